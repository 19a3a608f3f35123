"""Where words stand in a text, whatever their case: much faster than a pattern of alternatives."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

_WHOLE = 4  # letters: as long as that, no letter may follow; longer words may have endings


def lowered(text: str) -> str:
    """`text` in lower case, character for character."""
    lower = text.lower()
    return lower if len(lower) == len(text) else "".join(c if len(low := c.lower()) > 1 else low for c in text)


def ends(lower: str, words: Iterable[str], *, inside: bool = False) -> Iterator[tuple[int, str]]:
    """Behind each occurrence of a word in a lower-case text, and the word.

    None begins inside another word, except `inside` (`dbpassword`, `openaiapikey`).
    """
    for word in words:
        size = len(word)
        at = lower.find(word)
        while at >= 0:
            end = at + size
            if (inside or not lower[max(0, at - 1) : at].isalpha()) and not (
                size <= _WHOLE and lower[end : end + 1].isalpha()
            ):
                yield end, word
            at = lower.find(word, end)
