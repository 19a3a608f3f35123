"""A text in coarse strokes: a byte a character, in which a search for a literal tells where a pattern could begin.

Python's regular expressions try a pattern at each character; `bytes.translate` and `bytes.find` read a text ten times
as fast. An outline only ever says where it is worth to look: the patterns decide, on the text itself.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from string import ascii_letters, digits

from .words import lowered

COVER = "\0"
"""Stands for what is redacted already. No pattern crosses it."""
_COVER = COVER.encode()


def table(classes: dict[str, str], rest: str = "") -> bytes:
    """For `bytes.translate`: each character of a key becomes its value; others become `rest`, or stay."""
    made = bytearray(rest.encode() * 256 if rest else range(256))
    for characters, stroke in classes.items():
        for character in characters.encode("latin-1"):
            made[character] = ord(stroke)
    return bytes(made)


def places(strokes: bytes, sought: bytes, start: int = 0, end: int | None = None) -> list[int]:
    """Where `sought` begins, overlapping or not."""
    found = []
    at = strokes.find(sought, start, end)
    while at >= 0:
        found.append(at)
        at = strokes.find(sought, at + 1, end)
    return found


_SHAPE = table({digits: "0", ascii_letters: "a"})
_LOWER = bytes(range(256)).decode("latin-1").lower().encode("latin-1")
_FOREIGN_DIGIT = re.compile(r"[^\D0-9]")
# Six digits or more with hardly anything between them: no phone number, card or national id has fewer.
_ISLAND = re.compile(rb"0(?:[ ./()-]{0,3}+0){5,}+")
_ANY_NAME = table({ascii_letters + "_-": "a"}, rest=" ")
_LONG_NAME = b"a" * 20  # a key may be of letters alone, but is long
_SIGN = re.compile("[＠﹫：＝]")


STEMS = (
    *("auth", "ausweis", "bsn", "burgerservice", "bearer", "basic", "cre", "clave", "clé", "contrase", "carte d"),
    *("key", "ken", "mdp", "pas", "pwd", "schlüssel"),
)
"""Parts of the words that are sought in every text: each of these words holds one. None begins within another."""


def _by_first_letter(stems: list[str]) -> list[re.Pattern[bytes]]:
    """A pattern that begins with one letter is as fast as a search for one word."""
    return [
        re.compile("|".join(stem for stem in stems if stem[0] == letter).encode("latin-1"))
        for letter in sorted({stem[0] for stem in stems})
    ]


_PLAIN_STEMS = _by_first_letter([stem for stem in STEMS if stem.isascii()])
_ALL_STEMS = _by_first_letter(list(STEMS))


class Outline:
    """Of `text`. `latin`: in Latin-1, where `?` stands for what that lacks, but `0` for digits of whatever script;
    `shape`: the same with `0` for each digit and `a` for each letter from A to Z of either case.

    `foreign`: whether there is more than Latin-1; `plain`: whether there is nothing but ASCII.
    """

    __slots__ = (
        *("_before", "_covers", "_islands", "_lower", "_occurrences", "_strokes"),
        *("foreign", "latin", "plain", "shape", "text"),
    )

    def __init__(self, text: str) -> None:
        self.text = text
        self.foreign, self.plain = False, text.isascii()
        try:
            self.latin = text.encode("latin-1")
        except UnicodeEncodeError:
            self.foreign = True
            self.latin = _FOREIGN_DIGIT.sub("0", text).encode("latin-1", "replace")
        self.shape = self.latin.translate(_SHAPE)
        self._lower: bytes | None = None
        self._strokes: dict[bytes, bytes] = {}
        self._islands: list[tuple[int, int]] | None = None
        self._occurrences: list[tuple[int, bytes]] | None = None
        self._before: Outline | None = None
        self._covers: list[tuple[int, int]] = []

    def covered(self, spans: list[tuple[int, int]]) -> Outline:
        """The outline of the text where `spans`, in order, are covered. It knows what could change by that."""
        made = Outline.__new__(Outline)
        pieces: list[str] = []
        at = 0
        for start, end in spans:
            pieces += self.text[at:start], COVER * (end - start)
            at = end
        made.text = "".join(pieces) + self.text[at:]
        made.foreign, made.plain = self.foreign, self.plain
        made.latin = _struck_out(self.latin, spans, _COVER)
        made.shape = _struck_out(self.shape, spans, _COVER)
        made._lower, made._strokes = None, {}
        made._islands = made._occurrences = None
        made._before, made._covers = self, spans
        return made

    def near(self, start: int, end: int) -> bool:
        """Whether what was covered last reaches into `start` to `end`; where nothing was, everything is new.

        A finding that nothing near it was covered for would have been found before: it, or what it lost against, would
        be covered by now.
        """
        if self._before is None:
            return True
        nth = bisect_right(self._covers, (start, len(self.text)))
        return (nth > 0 and self._covers[nth - 1][1] > start) or (
            nth < len(self._covers) and self._covers[nth][0] < end
        )

    def changed(self, reach: int) -> list[tuple[int, int]]:
        """What is within `reach` characters of what was covered last, in order; at first the whole text."""
        if self._before is None:
            return [(0, len(self.text))]
        windows: list[tuple[int, int]] = []
        for start, end in self._covers:
            begin = max(0, start - reach)
            if windows and begin <= windows[-1][1]:
                begin = windows.pop()[0]
            windows.append((begin, min(len(self.text), end + reach)))
        return windows

    @property
    def lower(self) -> bytes:
        """The text in lower case, in Latin-1."""
        if self._lower is None:
            if self._before is not None:
                self._lower = _struck_out(self._before.lower, self._covers, _COVER)
            else:
                self._lower = (
                    lowered(self.text).encode("latin-1", "replace") if self.foreign else self.latin.translate(_LOWER)
                )
        return self._lower

    def strokes(self, table: bytes) -> bytes:
        """The text in Latin-1, translated by `table`."""
        strokes = self._strokes.get(table)
        if strokes is None:
            strokes = self._strokes[table] = (
                self.latin.translate(table)
                if self._before is None
                else _struck_out(self._before.strokes(table), self._covers, table[:1])
            )
        return strokes

    def occurrences(self) -> list[tuple[int, bytes]]:
        """Where each of `STEMS` begins in `lower`, and which it is."""
        if self._occurrences is None:
            lower = self.lower
            if self._before is not None:
                self._occurrences = [
                    (at, stem) for at, stem in self._before.occurrences() if lower.startswith(stem, at)
                ]
            else:
                patterns = _PLAIN_STEMS if self.plain else _ALL_STEMS
                self._occurrences = [(m.start(), m[0]) for pattern in patterns for m in pattern.finditer(lower)]
        return self._occurrences

    @property
    def islands(self) -> list[tuple[int, int]]:
        """Where at least six digits stand, with at most three separators between any two: begin and end of each."""
        if self._islands is None:
            shape, before = self.shape, self._before
            if before is None:
                self._islands = [match.span() for match in _ISLAND.finditer(shape)]
            else:
                self._islands = [
                    match.span() for start, end in before.islands for match in _ISLAND.finditer(shape, start, end)
                ]
        return self._islands

    def promises(self) -> bool:
        """Whether there is anything that some pattern begins with: most short texts have nothing."""
        shape = self.shape
        return (
            b"0" in shape
            or b":" in shape
            or b"@" in shape
            or b"=" in shape
            or b"</" in shape
            or b"-----BEGIN" in self.latin
            or _LONG_NAME in self.latin.translate(_ANY_NAME)
            or (self.foreign and _SIGN.search(self.text) is not None)
        )


def _struck_out(strokes: bytes, spans: list[tuple[int, int]], stroke: bytes) -> bytes:
    made = bytearray(strokes)
    for start, end in spans:
        made[start:end] = stroke * (end - start)
    return bytes(made)
