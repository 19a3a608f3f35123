"""A text in coarse strokes: a byte a character, in which a search for a literal tells where a pattern could begin.

Python's regular expressions try a pattern at each character; `bytes.translate` and `bytes.find` read a text ten times
as fast. An outline only ever says where it is worth to look: the patterns decide, on the text itself.
"""

from __future__ import annotations

import re
from string import ascii_letters, digits

from .words import lowered


def table(classes: dict[str, str], rest: str = "") -> bytes:
    """For `bytes.translate`: each character of a key becomes its value; others become `rest`, or stay."""
    made = bytearray(rest.encode() * 256 if rest else range(256))
    for characters, stroke in classes.items():
        for character in characters.encode("latin-1"):
            made[character] = ord(stroke)
    return bytes(made)


def places(strokes: bytes, sought: bytes) -> list[int]:
    """Where `sought` begins, overlapping or not."""
    found = []
    at = strokes.find(sought)
    while at >= 0:
        found.append(at)
        at = strokes.find(sought, at + 1)
    return found


_SHAPE = table({digits: "0", ascii_letters: "a"})
_LOWER = bytes(range(256)).decode("latin-1").lower().encode("latin-1")
_FOREIGN_DIGIT = re.compile(r"[^\D0-9]")
# Six digits or more with hardly anything between them: no phone number, card or national id has fewer.
_ISLAND = re.compile(rb"0(?:[ ./()-]{0,3}+0){5,}+")
_ANY_NAME = table({ascii_letters + "_-": "a"}, rest=" ")
_LONG_NAME = b"a" * 20  # a key may be of letters alone, but is long
_SIGN = re.compile("[＠﹫：＝]")


class Outline:
    """Of `text`. `latin`: in Latin-1, where `?` stands for what that lacks, but `0` for digits of whatever script;
    `shape`: the same with `0` for each digit and `a` for each letter from A to Z of either case."""

    __slots__ = ("_islands", "_lower", "foreign", "latin", "shape", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self.foreign = False
        try:
            self.latin = text.encode("latin-1")
        except UnicodeEncodeError:
            self.foreign = True
            self.latin = _FOREIGN_DIGIT.sub("0", text).encode("latin-1", "replace")
        self.shape = self.latin.translate(_SHAPE)
        self._lower: bytes | None = None
        self._islands: list[tuple[int, int]] | None = None

    @property
    def lower(self) -> bytes:
        """The text in lower case, in Latin-1."""
        if self._lower is None:
            self._lower = lowered(self.text).encode("latin-1", "replace") if self.foreign else self.latin.translate(_LOWER)
        return self._lower

    @property
    def islands(self) -> list[tuple[int, int]]:
        """Where at least six digits stand, with at most three separators between any two: begin and end of each."""
        if self._islands is None:
            self._islands = [match.span() for match in _ISLAND.finditer(self.shape)]
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
