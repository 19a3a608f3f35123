"""Content within bounds: what is too long is cut inside its texts, so that JSON stays whole, and says so in place."""

from __future__ import annotations

import json
from typing import Any

from .walk import map_text, texts

ATTRIBUTE_BYTES = 64 * 1024
"""The default budget of one attribute, in bytes of UTF-8."""

_OVERHEAD = 96  # bytes that a message or a document adds around its texts in JSON
_MARK = 48  # bytes of a mark


def fit(value: Any, limit: int) -> tuple[Any, int]:
    """`value` with its longest texts cut until its JSON is about `limit` bytes; and how many texts were cut.

    Short texts stay whole: the budget is shared so that every text keeps as much as the longest may. A sequence with
    too many items keeps its first and its last ones, around a text that says how many were left out.
    """
    cut = 0
    if isinstance(value, (tuple, list)) and (most := max(4, limit // _OVERHEAD)) < len(value):
        value, left_out = _ends(value, most)
        cut += left_out
    sizes = sorted(_size(t) for t in texts(value))
    overhead = _OVERHEAD * (len(value) if isinstance(value, (tuple, list)) else 1)
    room = max(0, limit - overhead)
    if sum(sizes) <= room:
        return value, cut
    longest = _share(sizes, room)

    def shorten(text: str) -> str:
        nonlocal cut
        if _size(text) <= longest:
            return text
        cut += 1
        keep = _head(text, max(0, longest - _MARK))
        return f"{keep}… [{len(text) - len(keep)} characters cut]"

    return map_text(value, shorten), cut


def _share(sizes: list[int], room: int) -> int:
    """The largest L for which the sum of min(size, L) is at most `room`. `sizes` is sorted."""
    left = len(sizes)
    for size in sizes:
        if size * left > room:
            break
        room -= size
        left -= 1
    return room // left if left else 0


def _ends(value: Any, most: int) -> tuple[Any, int]:
    head = most // 4
    tail = most - head
    return type(value)([*value[:head], *value[len(value) - tail :]]), len(value) - most


def _size(text: str) -> int:
    """Bytes of `text` in JSON: escapes included."""
    if len(text) > ATTRIBUTE_BYTES:  # long enough to be cut in any case; an estimate spares the pass
        return len(text) if text.isascii() else 3 * len(text)
    return len(json.dumps(text, ensure_ascii=False).encode("utf-8", "replace"))


def _head(text: str, size: int) -> str:
    """The start of `text` that takes at most `size` bytes in JSON."""
    head = text[:size]
    while head and (over := len(json.dumps(head, ensure_ascii=False).encode("utf-8", "replace")) - size) > 0:
        head = head[: -max(1, over // 4)]
    return head
