"""About how many bytes an ended span keeps alive, told in a few microseconds on the application's thread.

An estimate, not a measurement: the texts that a look of a few levels finds, in lists by a sample, and a fixed share
for the span itself. What several spans share is counted for each of them, so that the sum errs to the safe side.
Content is read, at its cost, on the worker only.
"""

from __future__ import annotations

from operator import attrgetter
from typing import Any

from ..step import Content, Deferred, Step

SPAN_BYTES = 2_500  # a live span of the SDK with its attributes, the step and what holds them, measured
_DEPTH = 4
_SAMPLE = 2  # of the items of a list or dict: those at its end, which a conversation grows by
_TEXTS = ("content", "text", "page_content", "text_resource", "blocks")  # what holds a message's or a document's text
_HELD = ("text", "blocks", "value")  # the same of an adapter's snapshot, which has slots
_SMALL = 20  # entries of a dict
_EACH = 48  # bytes of an object beside its text
_NOTHING: tuple[Any, ...] = ()
_fields = attrgetter(*Content.__slots__)


def weight_of(item: Any) -> int:
    """Bytes, at least `SPAN_BYTES` for a span."""
    step: Step | None = getattr(item, "step", None)
    if step is None:
        return SPAN_BYTES
    total = SPAN_BYTES
    try:
        for value in _fields(step.content):
            if value is None or value is _NOTHING:
                continue
            kind = type(value)
            if kind is str:
                total += len(value)
            elif kind is Deferred and len(args := value.args) == 1 and type(only := args[0]) is str:  # as most are
                total += _EACH + len(only)
            else:
                total += _weight(value, _DEPTH)
    except Exception:  # an object of the application's that lets nobody look, or that another thread is writing to
        return total
    return total


def _weight(value: Any, depth: int) -> int:
    kind = type(value)
    if kind is Deferred:
        value = value.args
        kind = tuple
    if depth == 0:
        return _EACH
    if kind is list or kind is tuple:
        found = 0
        some = value[-_SAMPLE:]
        for one in some:
            found += len(one) if type(one) is str else _weight(one, depth - 1)
        return _EACH + (found * len(value) // _SAMPLE if len(value) > _SAMPLE else found)
    if kind is dict:
        total = _EACH * len(value)
        if total <= _EACH * _SMALL:
            for one in list(value.values())[-_SAMPLE:]:
                total += len(one) if type(one) is str else _weight(one, depth - 1)
        return total
    if kind is str or kind is bytes:
        return len(value)
    named = getattr(value, "__dict__", None)
    total = _EACH
    if type(named) is dict:
        for name in _TEXTS:
            if name in named:
                text = named[name]
                total += len(text) if type(text) is str else _weight(text, depth - 1)
    elif named is None and kind not in _NUMBERS:
        for name in _HELD:
            if (text := getattr(value, name, None)) is not None:
                total += len(text) if type(text) is str else _weight(text, depth - 1)
    return total


_NUMBERS = frozenset({int, float, bool, type(None)})
