"""`spanloom traces`: one line per trace."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from . import words
from .trace import Summary

_SHORT = 8  # characters of a trace id


def print_listing(traces: Sequence[Summary], console: Console) -> None:
    """The traces in the given order."""
    arrow = "→" if console.encoding.startswith("utf") else "->"
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, expand=False, header_style="bold")
    table.add_column("Trace", no_wrap=True, style="cyan")
    table.add_column("Name", no_wrap=True, overflow="ellipsis", min_width=8)
    table.add_column("Started", no_wrap=True, style="dim")
    table.add_column("Duration", no_wrap=True, justify="right")
    table.add_column("Spans", no_wrap=True, justify="right")
    table.add_column(f"Tokens in {arrow} out", no_wrap=True, justify="right")
    table.add_column("Outcome", no_wrap=True)
    length = _short(traces)
    for trace in traces:
        table.add_row(
            trace.trace_id[:length],
            Text(words.one_line(trace.name)),
            words.started(trace.start_ns),
            words.duration(trace.duration_ns),
            f"{trace.spans:,}",
            words.tokens(trace.input_tokens, trace.output_tokens, arrow),
            outcome(trace),
        )
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
