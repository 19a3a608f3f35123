"""`spanloom costs`: what the model calls of a local file cost, by user, tenant, model, tag, prompt, feature or day."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..store import Call
from . import words

_GAP = 2
_NAME = 12  # columns that a name gets before others are left out
_LEFT_OUT_FIRST = ("Unpriced", "Output", "Input", "Calls")
_LATEST_NS = 2**63 - 1  # of the file's column, in the year 2262
_UNITS = {"m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def _feature(call: Call) -> Sequence[str]:
    value = (call.identity.get("metadata") or {}).get("feature")
    return [] if value is None else [str(value)]


def _prompt(call: Call) -> Sequence[str]:
    prompt = call.identity.get("prompt") or {}
    version = prompt.get("version")
    return [f"{prompt['name']} v{version}" if version is not None else prompt["name"]] if prompt.get("name") else []


def _day(call: Call) -> Sequence[str]:
    return [datetime.fromtimestamp(call.start_ns / 1e9).astimezone().strftime("%Y-%m-%d")]


GROUPS: dict[str, Callable[[Call], Sequence[str]]] = {
    "user": lambda call: [call.user_id] if call.user_id else [],
    "tenant": lambda call: [str(call.identity["tenant"])] if call.identity.get("tenant") else [],
    "model": lambda call: [call.model] if call.model else [],
    "tag": lambda call: [str(tag) for tag in dict.fromkeys(call.identity.get("tags") or ())],
    "prompt": _prompt,
    "feature": _feature,
    "day": _day,
}
"""What a call belongs to, by each way to group: nothing, one name, or, of tags, several."""


@dataclass(slots=True)
class Sum:
    """What calls add up to. `cost` is None where no price is known of any; `unpriced` calls are not in it."""

    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost: Decimal | None = None
    unpriced: int = 0

    def add(self, call: Call) -> None:
        self.calls += 1
        self.input_tokens += call.input_tokens or 0
        self.output_tokens += call.output_tokens or 0
        if call.cost is not None:
            self.cost = (self.cost or Decimal(0)) + Decimal(call.cost)
        elif call.input_tokens or call.output_tokens:
            self.unpriced += 1


def added_up(calls: Iterable[Call], by: str) -> tuple[dict[str | None, Sum], Sum]:
    """The sums by name, dearest first (days in order), under None what belongs to none; and the sum of all."""
    sums: dict[str | None, Sum] = {}
    total = Sum()
    for call in calls:
        total.add(call)
        names: Sequence[str | None] = GROUPS[by](call) or [None]
        for name in names:
            sums.setdefault(name, Sum()).add(call)

    def place(item: tuple[str | None, Sum]) -> tuple[object, ...]:
        name, one = item
        dearest = () if by == "day" else (-(one.cost or Decimal(0)), -one.calls)
        return (name is None, *dearest, name or "")

    return dict(sorted(sums.items(), key=place)), total


def since_ns(text: str) -> int:
    """`30m`, `24h`, `7d`, `2w` ago, or a day or time in ISO 8601 (local, unless it names its offset).

    Raises `ValueError` for anything else.
    """
    if found := re.fullmatch(r"(\d{1,6}(?:\.\d+)?)([mhdw])", text.strip()):
        return max(0, time.time_ns() - int(float(found[1]) * _UNITS[found[2]] * 1e9))
    found_ns = int(datetime.fromisoformat(text.strip()).astimezone().timestamp() * 1e9)
    return min(max(0, found_ns), _LATEST_NS)


def print_costs(sums: dict[str | None, Sum], total: Sum, by: str, console: Console) -> None:
    """A line for each name and one for all. Names are cut, and on a narrow terminal columns left out, so lines fit."""
    places = words.dollar_places(total.cost or Decimal(0))
    dash = "–" if console.encoding.startswith("utf") else "-"
    lines = [(f"(no {by})" if name is None else words.one_line(name), one) for name, one in sums.items()]
    lines.append(("Total", total))
    columns = {
        by.capitalize(): [name for name, _ in lines],
        "Calls": [f"{one.calls:,}" for _, one in lines],
        "Input": [f"{one.input_tokens:,}" for _, one in lines],
        "Output": [f"{one.output_tokens:,}" for _, one in lines],
        "Cost": [dash if one.cost is None else words.dollars(one.cost, places) for _, one in lines],
        "Unpriced": [f"{one.unpriced:,}" if one.unpriced else "" for _, one in lines],
    }
    if not total.unpriced:
        del columns["Unpriced"]
    head = by.capitalize()
    widths = {title: max(len(title), *(Text(cell).cell_len for cell in cells)) for title, cells in columns.items()}
    for left_out in (*_LEFT_OUT_FIRST, None):
        room = console.width - sum(width + _GAP for title, width in widths.items() if title != head)
        if room >= min(_NAME, widths[head]) or left_out is None:
            break
        if left_out in columns:
            del widths[left_out], columns[left_out]
    widths[head] = max(4, min(widths[head], room))
    table = Table(box=None, padding=(0, _GAP, 0, 0), pad_edge=False, header_style="bold")
    for title in columns:
        table.add_column(
            title,
            justify="left" if title == head else "right",
            style="yellow" if title == "Unpriced" else "",
            no_wrap=True,
            overflow="ellipsis",
            width=widths[title],
        )
    rows = list(zip(*columns.values(), strict=True))
    for row in rows[:-1]:
        table.add_row(*(Text(cell) for cell in row), style="dim" if row[0] == f"(no {by})" else "")
    table.add_section()
    table.add_row(*(Text(cell) for cell in rows[-1]), style="bold")
    console.print(table)
    if total.unpriced:
        console.print(
            f"{words.count(total.unpriced, 'call')} of models whose price is not known, not in the cost: "
            "configure(prices=Prices(…)) tells it.",
            style="dim",
        )
    if by == "tag" and sum(one.calls for one in sums.values()) > total.calls:
        console.print("A call with several tags stands under each of them, and once in the total.", style="dim")
