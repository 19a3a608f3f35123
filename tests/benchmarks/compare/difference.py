"""Two benchmarks, side by side: the figures of two commits."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

from .subjects import NOOP, SUBJECTS
from .tables import ratio
from .workloads import WORKLOADS


def difference(a: dict[str, Any], b: dict[str, Any]) -> list[dict[str, Any]]:
    """One row for each workload and subject that both have: `workload`, `subject`, and for each figure its two values.

    Ratios to the floor compare across machines and days; microseconds only within one.
    """
    rows = []
    for workload, of in a["workloads"].items():
        other = b["workloads"].get(workload)
        if other is None or not WORKLOADS[workload].shown:
            continue
        for subject, old in of["subjects"].items():
            new = other["subjects"].get(subject)
            if new is not None and subject != NOOP:
                pairs = {key: (old[key], new[key]) for key in ("app_us", "all_us", "app_ratio", "all_ratio", "p50_us")}
                pairs["bytes"] = (sum(old["bytes"].values()), sum(new["bytes"].values()))
                rows.append({"workload": workload, "subject": subject, **pairs})
    return rows


def show(a: dict[str, Any], b: dict[str, Any], console: Console) -> None:
    console.print(f"A: {a['commit']} of {a['taken_at']}   B: {b['commit']} of {b['taken_at']}")
    if a.get("format") != b.get("format"):
        console.print("[yellow]One of them is of before the no-op handler ran in the process of each subject: what is")
        console.print("[yellow]less than a tenth of the no-op handler's own cost may be nothing but that.")
    table = Table(title="From A to B", title_justify="left", title_style="bold")
    heads = ("", "", "app µs", "", "all µs", "", "app/floor", "all/floor", "p50 + µs", "kB")
    for n, head in enumerate(heads):
        table.add_column(head, justify="right" if n > 1 else "left", no_wrap=True)
    for row in difference(a, b):
        table.add_row(
            row["workload"],
            SUBJECTS[row["subject"]].title,
            _pair(row["app_us"]),
            _change(*row["app_us"]),
            _pair(row["all_us"]),
            _change(*row["all_us"]),
            " → ".join(map(ratio, row["app_ratio"])),
            " → ".join(map(ratio, row["all_ratio"])),
            _pair(row["p50_us"]),
            " → ".join(f"{size / 1000:,.1f}" for size in row["bytes"]),
        )
    console.print(table)


def _pair(values: tuple[float, float]) -> str:
    return " → ".join(f"{value:,.0f}" for value in values)


def _change(old: float, new: float) -> str:
    return f"{(new - old) / old * 100:+.0f} %" if old > 0 else "–"
