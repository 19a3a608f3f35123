"""A plain value as JSON, written once in a batch: the budget asks for its size, and a dialect for its text."""

from __future__ import annotations

import json
from typing import Any

import orjson

from .batch import COPYING


def as_json(value: Any) -> str:
    """Compact JSON of a plain value (what `content.plain` returns)."""
    batch = COPYING.batch
    if batch is not None and (before := batch.written.get(id(value))) is not None:
        return before[1]  # type: ignore[no-any-return]
    try:
        return orjson.dumps(value).decode()
    except TypeError:  # what it does not take and `json` does: keys that are no text, numbers of more than 64 bits
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def json_bytes(value: Any, most: int) -> int | None:
    """How many bytes of UTF-8 the JSON of a value takes; None for what is not made of plain values.

    The JSON of a dict or a list is kept for the batch, where it is no longer than `most`: it is about to go out.
    """
    batch = COPYING.batch
    if batch is not None and (before := batch.written.get(id(value))) is not None:
        return before[2]  # type: ignore[no-any-return]
    try:
        written = orjson.dumps(value)
    except TypeError:
        return None
    if batch is not None and len(written) <= most and ((kind := type(value)) is dict or kind is list):
        batch.written[id(value)] = value, written.decode(), len(written)
    return len(written)
