"""A text in parts, so that what was searched before is not searched again where it stands in another text.

A context is made of documents with blank lines between them, and stands in the prompt again. A text may be cut at a
blank line where no pattern reaches over it: then what is found in the text is what is found in its parts.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from .known import Known
from .outline import Outline

Span = tuple[int, int, int, int]
"""Rank, negative length, start, end: the least of those that overlap wins."""

LEAST = 64  # characters: to know a shorter part takes as long as to search it
_MOST_SPANS = 200

_BLANK_LINE, _BLANK = re.compile(rb"\n\n"), 2
_BEGIN = re.Match.start
_FIRST_OF_A_KEY = b"-----BEGIN"  # has no end, where none is written
# A number soon behind a blank line may be one because of a word before: within 48 characters for national ids, six
# letters before the first digit not counted; 40 for phone numbers, 16 for versions.
_NUMBER = re.compile(rb"0(?:[ ./-]?[0a]){4}|0(?:[ ./()-]{0,3}0){4}|0\.0")
_REACH = 80  # of which a number that begins within 54 has its first five signs
# What goes on behind it is a value, in a text with its name before, or a number's next sign.
_GOES_ON = (":", "=", "=>", "x", "bearer", "basic", "token", "digest", "apikey", "negotiate")
_GOES_ON_FOREIGN = re.compile(f"(?:{'|'.join(_GOES_ON)})$", re.IGNORECASE)
_LONGEST_END = max(map(len, _GOES_ON))
_CLOSE, _LONGEST_TAGGED = b"</", 501


class Parts:
    """What was found in parts of texts: at most `most` of them, by a keyed hash. Threads may share it."""

    def __init__(self, most: int) -> None:
        self._known: Known[Sequence[Span]] = Known(most)

    def search(self, outline: Outline, search: Callable[[Outline], list[Span]]) -> list[Span]:
        """What `search` finds in the text of `outline`, each part of which it is asked for once."""
        text = outline.text
        if len(text) < LEAST:
            return search(outline)
        cuts = seams(outline)
        if not cuts:
            found = search(outline)
            if shows_digit(outline, found):  # and so it would show the same amid other parts
                self._keep(self._known.digest(text), found, 0)
            return found
        found, unknown = [], []
        for start, end in zip([0, *(cut + _BLANK for cut in cuts)], [*cuts, len(text)], strict=True):
            digest = self._known.digest(text[start:end]) if end - start >= LEAST else b""
            known = self._known.get(digest) if digest else None
            if known is None:
                unknown.append((start, end, digest))
                continue
            found += self._searched(text, unknown, search)
            unknown.clear()
            found += [(rank, size, start + begin, start + last) for rank, size, begin, last in known]
        found += self._searched(text, unknown, search)
        # Patterns that ask for a digit anywhere, or for other signs, were tried in each part: if none stays, they would
        # not be tried in all of the text.
        return found if shows_digit(outline, found) else search(outline)

    def _searched(
        self, text: str, parts: Sequence[tuple[int, int, bytes]], search: Callable[[Outline], list[Span]]
    ) -> list[Span]:
        """What is found in neighbours, which are searched together: that is quicker."""
        if not parts:
            return []
        offset = parts[0][0]
        found = [
            (rank, size, offset + begin, offset + last)
            for rank, size, begin, last in search(Outline(text[offset : parts[-1][1]], amid=True))
        ]
        nth = 0
        for start, end, digest in parts:
            first = nth
            while nth < len(found) and found[nth][2] < end:
                nth += 1
            if digest:
                self._keep(digest, found[first:nth], start)
        return found

    def _keep(self, digest: bytes, found: Sequence[Span], offset: int) -> None:
        if len(found) <= _MOST_SPANS:
            self._known.put(
                digest, tuple([(rank, size, begin - offset, last - offset) for rank, size, begin, last in found])
            )


def seams(outline: Outline) -> list[int]:
    """The blank lines over which no pattern reaches, by where they begin."""
    latin = outline.latin
    found = [at for at in map(_BEGIN, _BLANK_LINE.finditer(latin)) if _is_seam(outline, at, at + _BLANK)]
    return found if found and _FIRST_OF_A_KEY not in latin else []


def _is_seam(outline: Outline, end: int, start: int) -> bool:
    text, latin = outline.text, outline.latin
    first, last = text[start : start + 1], text[max(0, end - _LONGEST_END) : end]
    if not first or first in ":=" or first.isspace() or last[-1:].isspace():
        return False
    if last.lower().endswith(_GOES_ON) if last.isascii() else _GOES_ON_FOREIGN.search(last):
        return False
    if _NUMBER.search(outline.shape, start, start + _REACH) and _may_say_number(outline, end):
        return False
    close = latin.find(_CLOSE, start, start + _LONGEST_TAGGED) if b"<" in latin else -1
    return close < 0 or latin.rfind(b">", max(0, close - _LONGEST_TAGGED), end) < 0


def _may_say_number(outline: Outline, end: int) -> bool:
    """Whether the words that end before `end` may say what a number behind the blank line is."""
    from .addresses import VERSION_SIGNS  # noqa: PLC0415 - as the detectors, at the first text
    from .national_ids import may_name_number  # noqa: PLC0415
    from .phone_words import REACH, may_say_phone  # noqa: PLC0415

    text = outline.text
    return (
        text[end - 1 : end] in VERSION_SIGNS
        or may_say_phone(text[max(0, end - REACH) : end])
        or may_name_number(outline, end)
    )


def shows_digit(outline: Outline, found: Sequence[Span]) -> bool:
    """Whether there is a digit outside of what was found, which is in order."""
    shape = outline.shape
    at = 0
    for _, _, start, end in found:
        if shape.find(b"0", at, start) >= 0:
            return True
        at = end
    return shape.find(b"0", at) >= 0
