"""A text in parts, so that what was searched before is not searched again where it stands in another text.

A context is made of documents with blank lines between them, and stands in the prompt again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate
from operator import itemgetter

from .known import Known
from .outline import COVER, Outline

Span = tuple[int, int, int, int]
"""Rank, negative length, start, end: the least of those that overlap wins."""

Part = tuple[int, int, bytes]
"""Start, end, and digest if it is worth one."""

LEAST = 64  # characters: to know a shorter part takes as long as to search it
_MOST_SPANS = 200
_COVERED = f"\n{COVER}\n"
_START = itemgetter(2)


class Parts:
    """What was found in parts of texts: at most `most` of them, by a keyed hash. Threads may share it."""

    def __init__(self, most: int) -> None:
        self._known: Known[Sequence[Span]] = Known(most)

    def search(self, outline: Outline, search: Callable[[Outline], list[Span]]) -> list[Span]:
        """What `search` finds in the text of `outline`, each part of which it is asked for once."""
        text = outline.text
        if len(text) < LEAST or b"0" not in outline.shape:
            return search(outline)
        cuts = _seams(outline) if "\n" in text else []
        bounds = zip([0, *(start for _, start in cuts)], [*(end for end, _ in cuts), len(text)], strict=True)
        found: list[Span] = []
        new: list[Part] = []
        for start, end in bounds:
            digest = self._known.digest(text[start:end]) if end - start >= LEAST else b""
            known = self._known.get(digest) if digest else None
            if known is None:
                new.append((start, end, digest))
            else:
                found += [(rank, size, start + begin, start + last) for rank, size, begin, last in known]
        if len(new) > len(cuts):
            found = search(outline)
            if shows_digit(outline, found):
                self._keep(new, [start for start, _, _ in new], found)
            return found
        if new:
            # Over a cover reaches no pattern either, so that they are searched at once.
            together = search(Outline(_COVERED.join([text[start:end] for start, end, _ in new]), amid=True))
            sizes = [end - start + len(_COVERED) for start, end, _ in new]
            found = sorted(found + self._keep(new, accumulate(sizes, initial=0), together), key=_START)
        # Patterns that ask for a digit anywhere, or for other signs, were tried in each part: if no digit stays, they
        # would not be tried in all of the text.
        return found if shows_digit(outline, found) else search(outline)

    def _keep(self, parts: Iterable[Part], places: Iterable[int], found: Sequence[Span]) -> list[Span]:
        """Know what was `found` where `parts` had their `places`; gives it back where it is in the text."""
        placed: list[Span] = []
        nth = 0
        for (start, end, digest), at in zip(parts, places, strict=False):
            first, last = nth, at + end - start
            while nth < len(found) and found[nth][2] < last:
                nth += 1
            own = [(rank, size, begin - at, stop - at) for rank, size, begin, stop in found[first:nth]]
            if digest and len(own) <= _MOST_SPANS:
                self._known.put(digest, tuple(own))  # `()` is one for all in which nothing is found
            placed += [(rank, size, begin + start, stop + start) for rank, size, begin, stop in own]
        return placed


def _seams(outline: Outline) -> list[tuple[int, int]]:
    from .seams import seams  # noqa: PLC0415 - at the first text, as the detectors whose words it reads

    return seams(outline)


def shows_digit(outline: Outline, found: Sequence[Span]) -> bool:
    """Whether there is a digit outside of what was found, which is in order."""
    shape = outline.shape
    at = 0
    for _, _, start, end in found:
        if shape.find(b"0", at, start) >= 0:
            return True
        at = end
    return shape.find(b"0", at) >= 0
