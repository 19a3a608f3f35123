"""About how many bytes an ended span keeps alive, told in a few microseconds on the application's thread.

An estimate, not a measurement: the texts that a look of a few levels finds, of long lists a sample, and a fixed share
for the span itself. What several spans share is counted for each of them, so that the sum errs to the safe side.
Content is read, at its cost, on the worker only.
"""

from __future__ import annotations

from typing import Any

from ..step import Content, Deferred, Step

SPAN_BYTES = 2_500  # a live span of the SDK with its attributes, the step and what holds them, measured
_DEPTH = 4
_SAMPLE = 3  # of the items of a list or dict: those at its end, which a conversation grows by
_EACH = 48  # bytes of an object beside its text
_NOTHING: tuple[Any, ...] = ()
_FIELDS = tuple(Content.__slots__)


def weight_of(item: Any) -> int:
    """Bytes, at least `SPAN_BYTES` for a span."""
    step: Step | None = getattr(item, "step", None)
    if step is None:
        return SPAN_BYTES
    total, content = SPAN_BYTES, step.content
    try:
        for name in _FIELDS:
            value = getattr(content, name)
            if value is not None and value is not _NOTHING:
                total += _weight(value, _DEPTH)
    except Exception:  # an object of the application's that lets nobody look, or that another thread is writing to
        return total
    return total


def _weight(value: Any, depth: int) -> int:
    kind = type(value)
    if kind is str or kind is bytes:
        return _EACH + len(value)
    if kind is Deferred:
        return sum(_weight(argument, depth) for argument in value.args)
    if kind is int or kind is float or kind is bool or value is None or depth == 0:
        return _EACH
    if kind is list or kind is tuple:
        some = value[-_SAMPLE:]
        if not some:
            return _EACH
        return _EACH + sum([_weight(one, depth - 1) for one in some]) * len(value) // len(some)
    if kind is dict:
        values = value
    else:
        values = getattr(value, "__dict__", None)
        if type(values) is not dict:
            return _EACH
    total = _EACH
    for one in values.values():
        one_kind = type(one)
        if one_kind is str:
            total += len(one)
        elif (one_kind is list or one_kind is tuple or one_kind is dict) and one:
            total += _weight(one, depth - 1)
    return total
