"""Durations, counts and texts as a terminal shows them."""

from __future__ import annotations

import re
from datetime import datetime
from decimal import Decimal

# Traces hold what strangers wrote: an escape sequence in a prompt must not reach the terminal, nor turn text around.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


_MS, _SECOND, _HOUR = 1_000_000, 1_000_000_000, 3_599_500_000_000
_UNITS = (  # below this many ns, in that unit, with so many places: each bound is where rounding would overflow
    (9_950_000, _MS, 1, "ms"),
    (999_500_000, _MS, 0, "ms"),
    (59_995_000_000, _SECOND, 2, "s"),
)


def safe(text: str) -> str:
    """`text` with control characters replaced; newlines and tabs stay."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text.replace("\r\n", "\n"))


def one_line(text: str) -> str:
    """`text` on one line."""
    return safe(" ".join(text.split()))


def duration(ns: int) -> str:
    """`0.4 ms`, `312 ms`, `1.24 s`, `2 m 05 s`, `3 h 12 m`."""
    for below, unit, places, name in _UNITS:
        if ns < below:
            return f"{ns / unit:.{places}f} {name}"
    minutes, seconds = divmod(round(ns / _SECOND), 60)
    if ns < _HOUR:
        return f"{minutes} m {seconds:02} s"
    return f"{minutes // 60} h {minutes % 60:02} m"


def started(ns: int) -> str:
    """Local time; the year only where it is not this one."""
    when, now = datetime.fromtimestamp(ns / 1e9).astimezone(), datetime.now().astimezone()
    return when.strftime("%m-%d %H:%M:%S" if when.year == now.year else "%Y-%m-%d %H:%M")


def count(number: int, noun: str, nouns: str | None = None) -> str:
    """`1 span`, `1,204 spans`."""
    return f"{number:,} {noun if number == 1 else nouns or noun + 's'}"


def tokens(read: int | None, written: int | None, arrow: str = "→") -> str:
    """`1,204 → 87`; a dash for what the provider did not say, nothing where it said neither."""
    if read is None and written is None:
        return ""
    return f"{_number(read)} {arrow} {_number(written)}"


def dollars(cost: Decimal, places: int | None = None) -> str:
    """`$1,234.50`, `$0.000240`: with so many decimal places, by default as many as the amount needs."""
    if places is None:
        places = dollar_places(cost)
    least = Decimal(1).scaleb(-places)
    return f"<${least:f}" if 0 < cost < least else f"${cost:,.{places}f}"


def dollar_places(cost: Decimal) -> int:
    """Cents where there are many of them, else as many decimal places as tell small amounts apart."""
    return next((places for least, places in ((Decimal(100), 2), (Decimal(1), 4)) if cost >= least), 6)


def _number(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"
