"""What a benchmark found, for a terminal."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

from .subjects import NOOP, OURS, SUBJECTS
from .workloads import WORKLOADS

_SHORT = {"langchain": "LC", "llama_index": "LI"}


def show(report: dict[str, Any], console: Console) -> None:
    """All tables of `report`, the JSON that `make bench` writes."""
    for name, of in report["workloads"].items():
        if WORKLOADS[name].shown:
            console.print(_workload(name, of))
    if report["tokens"]:
        console.print(_tokens(report["tokens"]))
    console.print(_rest(report))
    if report["targets"]:
        console.print(_targets(report["targets"]))


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold")
    for n, column in enumerate(columns):
        table.add_column(column, justify="right" if n else "left", no_wrap=True)
    return table


def _row(table: Table, subject: str, *cells: str) -> None:
    table.add_row(SUBJECTS[subject].title, *cells, style="bold" if subject == OURS else None)


def _workload(name: str, of: dict[str, Any]) -> Table:
    table = _table(
        f"{name.upper()}: {of['title']} (per run, over the no-op handler)",
        "", "spans", "app µs", "quartiles", "all µs", "quartiles", "app/floor", "all/floor", "p50 + µs",
        "p99 + µs", "kB",
    )  # fmt: skip
    for subject, f in of["subjects"].items():
        spans = sorted(set(f["spans"].values()))
        _row(
            table,
            subject,
            "+".join(map(str, spans)) + (f", {f['lost']} lost" if f["lost"] else "") if subject != NOOP else "–",
            f"{f['app_us']:,.0f}",
            f"{f['app_us_low']:,.0f}…{f['app_us_high']:,.0f}",
            f"{f['all_us']:,.0f}",
            f"{f['all_us_low']:,.0f}…{f['all_us_high']:,.0f}",
            ratio(f.get("app_ratio")),
            ratio(f.get("all_ratio")),
            f"{f['p50_us']:,.0f}",
            f"{f['p99_us']:,.0f}",
            f"{sum(f['bytes'].values()) / 1000:,.1f}",
        )
    return table


def _tokens(tokens: dict[str, Any]) -> Table:
    table = _table(
        "A streamed token after the first, µs over the no-op handler", "", *(f"{w.upper()} app / all" for w in tokens)
    )
    for subject in next(iter(tokens.values())):
        cells = (of.get(subject) for of in tokens.values())
        _row(table, subject, *(f"{c['app_us']:.2f} / {c['all_us']:.2f}" if c else "–" for c in cells))
    return table


def _rest(report: dict[str, Any]) -> Table:
    imports, peaks = report["imports"], report["peak_bytes"]
    sizes, growth = report["installed_bytes"], report["growth"]
    columns = [
        *(f"import {_SHORT[f]} ms,\nmin / median" for f in imports),
        *(f"ready {_SHORT[f]} ms,\nmedian" for f in imports),
        *(f"peak {_SHORT[f]}\nMB" for f in peaks),
        *(["installed\nMB"] if sizes else []),
        *(f"growth {_SHORT[f]} kB,\nresident / objects" for f in growth),
    ]
    table = _table("What it takes for good, over LangChain's own (LC) and LlamaIndex' own (LI)", "", *columns)
    for subject in next(iter(peaks.values())):
        cells = [
            f"{of[subject]['import_ms_min']:.0f} / {of[subject]['import_ms_median']:.0f}" for of in imports.values()
        ]
        cells += [f"{of[subject]['ready_ms_median']:.0f}" for of in imports.values()]
        cells += [f"{of[subject] / 1e6:.1f}" for of in peaks.values()]
        cells += [f"{sizes[subject] / 1e6:.1f}"] if sizes else []
        for of in growth.values():
            grown = of.get(subject)
            cells.append(f"{grown['resident'] / 1e3:,.0f} / {grown['objects'] / 1e3:,.0f}" if grown else "–")
        _row(table, subject, *cells)
    return table


def _targets(targets: list[dict[str, Any]]) -> Table:
    table = _table("Targets", "", "on", "measured", "wanted", "")
    for t in targets:
        wanted = f"{'≥' if t['at_least'] else '≤'} {t['limit']:g}"
        verdict = "[green]met[/]" if t["met"] else "[red]missed[/]"
        table.add_row(t["what"], t["on"], f"{t['value']:.2f}", wanted, verdict)
    return table


def ratio(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"
