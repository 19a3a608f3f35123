"""What a benchmark found, for a terminal."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

from .figures import ITSELF
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
        console.print(target_table(report["targets"]))


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold")
    for n, column in enumerate(columns):
        table.add_column(column, justify="right" if n else "left", no_wrap=True)
    return table


def _row(table: Table, subject: str, *cells: str) -> None:
    table.add_row(SUBJECTS[subject].title, *cells, style="bold" if subject == OURS else None)


def _over_itself(table: Table, *cells: str) -> None:
    """What the same measurement finds where there is nothing to find."""
    table.add_row("no-op handler over itself", *cells, style="dim")


def _workload(name: str, of: dict[str, Any]) -> Table:
    table = _table(
        f"{name.upper()}: {of['title']} (per run, over the no-op handler)",
        "", "spans", "app µs", "quartiles", "all µs", "quartiles", "app/floor", "all/floor", "p50 + µs",
        "p99 + µs", "kB",
    )  # fmt: skip
    for subject, figure in of["subjects"].items():
        _row(table, subject, *_costs(figure))
        if subject == NOOP:
            _over_itself(table, *_costs(of[ITSELF]))
    return table


def _costs(f: dict[str, Any]) -> list[str]:
    return [
        _spans(f),
        f"{f['app_us']:,.0f}",
        _between(f, "app_us", 0),
        f"{f['all_us']:,.0f}",
        _between(f, "all_us", 0),
        ratio(f.get("app_ratio")),
        ratio(f.get("all_ratio")),
        f"{f['p50_us']:,.0f}",
        f"{f['p99_us']:,.0f}",
        f"{sum(f['bytes'].values()) / 1000:,.1f}",
    ]


def _spans(f: dict[str, Any]) -> str:
    said = ["+".join(map(str, sorted(set(f["spans"].values())))) or "–"]
    return ", ".join(said + [f"{f[what]} {what}" for what in ("lost", "late") if f[what]])


def _between(f: dict[str, Any], key: str, digits: int) -> str:
    return f"{f[f'{key}_low']:,.{digits}f}…{f[f'{key}_high']:,.{digits}f}"


def _tokens(tokens: dict[str, Any]) -> Table:
    columns = (column for w in tokens for column in (f"{w.upper()} app", "quartiles", f"{w.upper()} all", "quartiles"))
    table = _table("A streamed token after the first, µs over the no-op handler", "", *columns)
    for subject in next(iter(tokens.values())):
        cells: list[str] = []
        for f in (of.get(subject) for of in tokens.values()):
            for key in ("app_us", "all_us"):
                cells += [f"{f[key]:.2f}", _between(f, key, 2)] if f else ["–", "–"]
        if subject == NOOP:
            _over_itself(table, *cells)
        else:
            _row(table, subject, *cells)
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


def target_table(targets: list[dict[str, Any]]) -> Table:
    table = _table("Targets", "", "on", "measured", "wanted", "")
    for t in targets:
        wanted = f"{'≥' if t['at_least'] else '≤'} {t['limit']:g}"
        verdict = "[yellow]not told[/]" if t["value"] is None else "[green]met[/]" if t["met"] else "[red]missed[/]"
        table.add_row(t["what"], t["on"], ratio(t["value"]), wanted, verdict)
    return table


def ratio(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"
