"""The scores of a trace, below its tree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.text import Text

from ..store import Row
from .words import one_line


def print_scores(
    scores: Sequence[Mapping[str, Any]], rows: Sequence[Row], console: Console, *, content: bool = False
) -> None:
    """One line a score: its name, its value and the step that it stands on; `content` shows comments too."""
    steps = {row.span_id: row for row in rows}
    for score in scores:
        line = Text("score ", style="dim")
        line.append(one_line(score["name"]), style="bold")
        line.append(f" = {_value(score['value'])}")
        if (row := steps.get(score.get("span_id", ""))) is not None:
            line.append(f" · {row.kind} {one_line(row.name)}", style="dim")
        if content and score.get("comment"):
            line.append(f" · {one_line(score['comment'])}")
        console.print(line, soft_wrap=True)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else one_line(str(value))
