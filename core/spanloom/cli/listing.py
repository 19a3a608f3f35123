"""`spanloom traces`: one line per trace."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from . import words
from .trace import Summary

_SHORT = 8  # characters of a trace id
_NAME = 16  # columns that a name gets before others are left out
_GAP = 2
_NUMBERS = ("Duration", "Spans", "Tokens")
_LEFT_OUT_FIRST = ("Started", "Spans", "Tokens", "Outcome", "Duration")


def print_listing(traces: Sequence[Summary], console: Console) -> None:
    """The traces in the given order. Names are cut, and on a narrow terminal columns left out, so that lines fit."""
    arrow = "→" if console.encoding.startswith("utf") else "->"
    length = _short(traces)
    columns = {
        "Trace": [Text(t.trace_id[:length], "cyan") for t in traces],
        "Name": [Text(words.one_line(t.name)) for t in traces],
        "Started": [Text(words.started(t.start_ns), "dim") for t in traces],
        "Duration": [Text(words.duration(t.duration_ns)) for t in traces],
        "Spans": [Text(f"{t.spans:,}") for t in traces],
        "Tokens": [Text(words.tokens(t.input_tokens, t.output_tokens, arrow)) for t in traces],
        "Outcome": [outcome(t) for t in traces],
    }
    widths = {head: max(len(head), *(cell.cell_len for cell in cells)) for head, cells in columns.items()}
    for head in (*_LEFT_OUT_FIRST, None):
        room = console.width - sum(w + _GAP for h, w in widths.items() if h != "Name")
        if room >= min(_NAME, widths["Name"]) or head is None:
            break
        del widths[head], columns[head]
    widths["Name"] = max(4, min(widths["Name"], room))
    table = Table(box=None, padding=(0, _GAP, 0, 0), pad_edge=False, header_style="bold")
    for head in columns:
        right = "right" if head in _NUMBERS else "left"
        table.add_column(head, no_wrap=True, overflow="ellipsis", width=widths[head], justify=right)  # type: ignore[arg-type]
    for row in zip(*columns.values(), strict=True):
        table.add_row(*row)
    console.print(table)


def outcome(trace: Summary) -> Text:
    """`ok`, `error`, `ok, 2 errors`: the root's outcome, and the errors below it where that does not say it all."""
    said = trace.outcome or "?"
    if not trace.whole:
        said = "running"
    text = Text(said, style={"ok": "green", "error": "bold red"}.get(said, "yellow"))
    if trace.errors > (1 if said == "error" else 0):
        text.append(f", {words.count(trace.errors, 'error')}", style="red")
    return text


def _short(traces: Sequence[Summary]) -> int:
    """How many characters tell the ids apart: at least 8."""
    ids = {t.trace_id for t in traces}
    return next((n for n in range(_SHORT, 32) if len({i[:n] for i in ids}) == len(ids)), 32)
