"""A text in coarse strokes: a byte a character, in which a search for a literal tells where a pattern could begin.

Python's regular expressions try a pattern at each character; `bytes.translate` and `bytes.find` read a text ten times
as fast. An outline only ever says where it is worth to look: the patterns decide, on the text itself.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Sequence
from string import ascii_letters, digits
from typing import Any, TypeVar, cast

from .words import lowered

Read = TypeVar("Read")

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
# Digits with hardly anything between them. No phone number, card or national id has fewer than six.
_CLUSTER = re.compile(rb"0(?:[ ./()-]{0,3}+0)++")
_ISLAND = re.compile(rb"0(?:[ ./()-]{0,3}+0){5,}+")
_DIGITS_OF_AN_ISLAND, _SHORTEST_DOTTED = 6, 7
_LETTER = ord("a")
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


class Covers:
    """What is redacted of a text: `spans`, in order."""

    __slots__ = ("_begins", "spans")

    def __init__(self, spans: Sequence[tuple[int, int]]) -> None:
        self.spans = spans
        self._begins = [start for start, _ in spans]

    def near(self, start: int, end: int) -> bool:
        """Whether one reaches into `start` to `end`."""
        nth = bisect_right(self._begins, start)
        spans = self.spans
        return (nth > 0 and spans[nth - 1][1] > start) or (nth < len(spans) and spans[nth][0] < end)

    def hold(self, start: int, end: int) -> bool:
        """Whether one holds all of it."""
        nth = bisect_right(self._begins, start)
        return nth > 0 and self.spans[nth - 1][1] >= end


class Outline:
    """Of `text`. `latin`: in Latin-1, where `?` stands for what that lacks, but `0` for digits of whatever script;
    `shape`: the same with `0` for each digit and `a` for each letter from A to Z of either case.

    `foreign`: whether there is more than Latin-1; `plain`: whether there is nothing but ASCII. `amid`: whether it is
    part of a text that has digits elsewhere. `names_secrets`, `names_numbers`: whether a name of a secret, or a word
    for a national number, was seen in it.
    """

    __slots__ = (
        *("_before", "_covers", "_dotted", "_read", "_islands", "_lower", "_lettered", "_occurrences", "_strokes"),
        *("amid", "foreign", "latin", "names_numbers", "names_secrets", "plain", "shape", "text"),
    )

    def __init__(self, text: str, *, amid: bool = False) -> None:
        self.text, self.amid = text, amid
        self.foreign, self.plain = False, text.isascii()
        self.names_secrets = self.names_numbers = False
        try:
            self.latin = text.encode("latin-1")
        except UnicodeEncodeError:
            self.foreign = True
            self.latin = _FOREIGN_DIGIT.sub("0", text).encode("latin-1", "replace")
        self.shape = self.latin.translate(_SHAPE)
        self._lower: bytes | None = None
        self._strokes: dict[bytes, bytes] = {}
        self._islands: list[tuple[int, int]] | None = None
        self._dotted: list[tuple[int, int]] = []
        self._lettered: list[int] = []
        self._occurrences: list[tuple[int, bytes]] | None = None
        self._read: dict[Any, Any] = {}
        self._before: Outline | None = None
        self._covers: Covers | None = None

    def covered(self, covers: Covers) -> Outline:
        """The outline of the text where `covers` are. It knows what could change by that."""
        spans = covers.spans
        made = Outline.__new__(Outline)
        pieces: list[str] = []
        at = 0
        for start, end in spans:
            pieces += self.text[at:start], COVER * (end - start)
            at = end
        made.text = "".join(pieces) + self.text[at:]
        made.foreign, made.plain, made.amid = self.foreign, self.plain, self.amid
        made.names_secrets, made.names_numbers = self.names_secrets, self.names_numbers
        made.latin = _struck_out(self.latin, spans, _COVER)
        made.shape = _struck_out(self.shape, spans, _COVER)
        made._lower, made._strokes, made._read = None, {}, {}
        made._islands = made._occurrences = None
        made._dotted, made._lettered = [], []
        made._before, made._covers = self, covers
        return made

    def once(self, read: Callable[[Outline], Read]) -> Read:
        """What `read` reads in this outline, which it is asked for once."""
        found = self._read.get(read)
        if found is None:
            found = self._read[read] = read(self)
        return cast("Read", found)

    def near(self, start: int, end: int) -> bool:
        """Whether what was covered last reaches into `start` to `end`; where nothing was, everything is new.

        A finding that nothing near it was covered for would have been found before: it, or what it lost against, would
        be covered by now.
        """
        return self._covers is None or self._covers.near(start, end)

    def changed(self, reach: int) -> list[tuple[int, int]]:
        """What is within `reach` characters of what was covered last, in order; at first the whole text."""
        if self._covers is None:
            return [(0, len(self.text))]
        windows: list[tuple[int, int]] = []
        for start, end in self._covers.spans:
            begin = max(0, start - reach)
            if windows and begin <= windows[-1][1]:
                begin = windows.pop()[0]
            windows.append((begin, min(len(self.text), end + reach)))
        return windows

    @property
    def lower(self) -> bytes:
        """The text in lower case, in Latin-1."""
        if self._lower is None:
            if self._before is not None and self._covers is not None:
                self._lower = _struck_out(self._before.lower, self._covers.spans, _COVER)
            else:
                self._lower = (
                    self.latin.lower()  # several times as fast as a table
                    if self.plain
                    else lowered(self.text).encode("latin-1", "replace")
                    if self.foreign
                    else self.latin.translate(_LOWER)
                )
        return self._lower

    def strokes(self, table: bytes) -> bytes:
        """The text in Latin-1, translated by `table`."""
        strokes = self._strokes.get(table)
        if strokes is None:
            strokes = self._strokes[table] = (
                self.latin.translate(table)
                if self._before is None or self._covers is None
                else _struck_out(self._before.strokes(table), self._covers.spans, table[:1])
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
        return self._read_digits() if self._islands is None else self._islands

    @property
    def lettered(self) -> list[int]:
        """Where two letters with two digits behind them begin."""
        if self._islands is None:
            self._read_digits()
        return self._lettered

    @property
    def dotted(self) -> list[tuple[int, int]]:
        """Digits like `islands`, but of any number, that have a dot between two."""
        if self._islands is None:
            self._read_digits()
        return self._dotted

    def _read_digits(self) -> list[tuple[int, int]]:
        shape, before = self.shape, self._before
        islands: list[tuple[int, int]] = []
        if before is None:
            lettered, dotted = self._lettered, self._dotted
            for match in _CLUSTER.finditer(shape):
                start, end = span = match.span()
                if end - start >= _DIGITS_OF_AN_ISLAND:
                    if shape.count(b"0", start, end) >= _DIGITS_OF_AN_ISLAND:
                        islands.append(span)
                    if end - start >= _SHORTEST_DOTTED and shape.find(b"0.0", start, end) >= 0:
                        dotted.append(span)
                if start > 1 and shape[start - 1] == _LETTER and shape.startswith(b"aa00", start - 2):
                    lettered.append(start - 2)
        else:
            for start, end in before.islands:
                islands += [match.span() for match in _ISLAND.finditer(shape, start, end)]
            self._lettered = [at for at in before.lettered if shape.startswith(b"aa00", at)]
            self._dotted = before.dotted
        self._islands = islands
        return islands

    def promises(self) -> bool:
        """Whether there is anything that some pattern begins with: most short texts have nothing."""
        shape = self.shape
        return (
            self.amid
            or b"0" in shape
            or b":" in shape
            or b"@" in shape
            or b"=" in shape
            or b"</" in shape
            or b"-----BEGIN" in self.latin
            or _LONG_NAME in self.latin.translate(_ANY_NAME)
            or (self.foreign and _SIGN.search(self.text) is not None)
        )


def _struck_out(strokes: bytes, spans: Sequence[tuple[int, int]], stroke: bytes) -> bytes:
    made = bytearray(strokes)
    for start, end in spans:
        made[start:end] = stroke * (end - start)
    return bytes(made)
