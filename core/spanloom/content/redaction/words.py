"""Lower case that keeps each character in its place."""

from __future__ import annotations


def lowered(text: str) -> str:
    """`text` in lower case, character for character."""
    lower = text.lower()
    return lower if len(lower) == len(text) else "".join(c if len(low := c.lower()) > 1 else low for c in text)
