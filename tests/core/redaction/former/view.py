"""A text as the patterns see it: escapes decoded, digits and spaces of any script made plain, placeholders covered."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable

from spanloom.content.redaction.finding import Finding

COVER = "\0"
"""Stands for what is redacted already. No pattern crosses it."""

PLACEHOLDER = re.compile(r"<[A-Z][A-Z0-9_]{0,40}_\d{1,9}>")

# Zero-width and direction marks go; JSON's escapes, at any depth of nesting, and what URLs escape are decoded.
_INVISIBLE = "\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff"
_SUBSTITUTED = re.compile(
    rf"(?P<placeholder>{PLACEHOLDER.pattern})"
    rf"|(?P<invisible>[{_INVISIBLE}]+)"
    r"|\\{1,8}u(?P<code>[0-9a-fA-F]{4})"
    r'|\\{1,8}(?P<escape>[nrtbf"/])'
    r"|%(?P<percent>40|2[bB])"
)
_ESCAPES = {"n": "\n", "r": "\n", "t": "\t", "b": " ", "f": " ", '"': '"', "/": "/"}
_WORTH_A_LOOK = re.compile(rf"[<\\%{_INVISIBLE}]")

_ZEROS = (
    0x0660, 0x06F0, 0x07C0, 0x0966, 0x09E6, 0x0A66, 0x0AE6, 0x0B66, 0x0BE6, 0x0C66, 0x0CE6, 0x0D66, 0x0E50, 0x0ED0,
    0x0F20, 0x1040, 0x17E0, 0x1810,
)  # fmt: skip
_PLAIN = {
    **{zero + i: str(i) for zero in _ZEROS for i in range(10)},
    **{0xFF01 + i: chr(0x21 + i) for i in range(0x5E)},  # full-width letters, digits and signs
    **dict.fromkeys((0xA0, 0x1680, *range(0x2000, 0x200B), 0x202F, 0x205F, 0x3000), " "),
    **dict.fromkeys(map(ord, "‐‑‒–—−﹣"), "-"),
    ord("﹫"): "@",
}  # fmt: skip


class View:
    """`text`, in which patterns search; spans of it map back to the source."""

    __slots__ = ("_ends", "_sources", "_starts", "text")

    def __init__(self, source: str) -> None:
        self._starts: list[int] = []  # of each piece, in the view
        self._sources: list[int] = []  # and in the source
        self._ends: list[int] = []  # its end in the source, or -1 where it stands there as it is
        if _WORTH_A_LOOK.search(source):
            source = self._substituted(source)
        self.text = source if source.isascii() else source.translate(_PLAIN)

    def _substituted(self, source: str) -> str:
        pieces: list[str] = []
        size = at = 0

        def add(piece: str, start: int, end: int) -> None:
            nonlocal size
            if piece:
                self._starts.append(size)
                self._sources.append(start)
                self._ends.append(end)
                pieces.append(piece)
                size += len(piece)

        for match in _SUBSTITUTED.finditer(source):
            add(source[at : match.start()], at, -1)
            at = match.end()
            add(_substitute(match), match.start(), at)
        add(source[at:], at, -1)
        return "".join(pieces)

    def source(self, start: int, end: int) -> tuple[int, int]:
        """Where `text[start:end]`, which is not empty, stands in the source."""
        if not self._starts:
            return start, end
        first, last = bisect_right(self._starts, start) - 1, bisect_right(self._starts, end - 1) - 1
        begin = self._sources[first] + (start - self._starts[first] if self._ends[first] < 0 else 0)
        if self._ends[last] < 0:
            return begin, self._sources[last] + end - self._starts[last]
        return begin, self._ends[last]

    def cover(self, found: Iterable[Finding]) -> None:
        """Hide `found`, whose spans are of the view, from further searches."""
        pieces: list[str] = []
        at = 0
        for finding in found:
            pieces += self.text[at : finding.start], COVER * (finding.end - finding.start)
            at = finding.end
        self.text = "".join(pieces) + self.text[at:]


def _substitute(match: re.Match[str]) -> str:
    match match.lastgroup:
        case "placeholder":
            return COVER
        case "code":
            char = chr(int(match["code"], 16))
            return " " if "\ud800" <= char <= "\udfff" else "" if re.match(f"[{_INVISIBLE}]", char) else char
        case "escape":
            return _ESCAPES[match["escape"]]
        case "percent":
            return "@" if match["percent"] == "40" else "+"
        case _:
            return ""
