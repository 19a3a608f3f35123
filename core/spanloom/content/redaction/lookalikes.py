"""What looks like a phone number and is none, whatever its digits say."""

from __future__ import annotations

import re
from collections.abc import Sequence
from string import ascii_uppercase, digits

from .outline import Outline, places, table

_LOOKALIKE = re.compile(
    r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}"  # UUID
    r"|(?<!\d)(?:19|20)\d\d([-/. ])(?:0?[1-9]|1[0-2])\1(?:0?[1-9]|[12]\d|3[01])(?!\d)"  # 2024-07-18
    r"|(?<!\d)(?:0?[1-9]|[12]\d|3[01])([-/. ])(?:0?[1-9]|[12]\d|3[01])\2(?:19|20)\d\d(?!\d)"  # 18.07.2024, 07/18/2024
    r"|(?<![A-Za-z0-9])[A-Z]{2}\d\d(?:[ -][A-Z0-9]{4}){2,7}(?:[ -][A-Z0-9]{1,3})?(?![A-Za-z0-9])"  # an IBAN with a slip
    r"|(?<![\d:])\d\d?:\d\d(?::\d\d)?(?:[.,]\d+)?(?![\d:])"  # 12:30:05.123
)
SIGNS = table({digits + ascii_uppercase + "abcdef" + " :.,/()+-": "l"}, rest="x")
"""None begins or ends within a row of these but at its ends: `l`, in an outline's strokes."""


def without_lookalikes(outline: Outline, spots: Sequence[tuple[int, int, int, int]]) -> str:
    """The text, in which lookalikes near `spots` are struck out."""
    text = outline.text
    pieces: list[str] = []
    at = read = 0
    for _, _, first, last in spots:
        if last > read:
            for start in _lookalike_places(outline, max(first, read), last):
                if start >= at and (match := _LOOKALIKE.match(text, start)):
                    pieces += text[at:start], "\1" * (match.end() - start)
                    at = match.end()
            read = last
    return "".join(pieces) + text[at:] if pieces else text


_UUID = re.compile(rb"-(?=[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-)")
_YEAR = re.compile(rb"(?:19|20)(?=[0-9][0-9])")
_DATE_SIGNS = b"-/. "


def _lookalike_places(outline: Outline, start: int, end: int) -> list[int]:
    """Where one could begin, in order."""
    latin, shape = outline.latin, outline.shape
    found: list[int] = []
    if latin.find(b"-", start, end) >= 0:
        found = [match.start() - 8 for match in _UUID.finditer(latin, start, end)]
    for match in _YEAR.finditer(latin, start, end):
        at = match.start()
        if latin[at + 4 : at + 5] in _DATE_SIGNS:
            found.append(at)
        if latin[at - 1 : at] in _DATE_SIGNS:
            found += at - 6, at - 5, at - 4
    if outline.lettered:
        found += places(shape, b"aa00", start, end)
    for at in places(shape, b"0:00", start, end):
        found += at - 1, at
    if not found:
        return found
    return sorted(at for at in found if at >= start)
