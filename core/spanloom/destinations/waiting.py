"""What a queue knows of what waits in it."""

from __future__ import annotations

from typing import Any, Protocol

from opentelemetry.trace import StatusCode

from ..ended import Ended
from ..scores import Score
from .weight import SPAN_BYTES, weight_of


class Waiting(Protocol):
    """Its trace, about how many bytes it is, and whether it holds an error."""

    trace: int
    weight: int
    error: bool


class Other:
    """What is no span: a score, which waits in the same queue, with its trace."""

    __slots__ = ("error", "is_score", "item", "trace", "weight")

    def __init__(self, item: Any) -> None:
        self.item, self.is_score = item, isinstance(item, Score)
        self.trace = int(item.trace_id, 16) if self.is_score else -id(self)
        self.weight, self.error = SPAN_BYTES, False


def waiting(item: Any) -> Waiting:
    """The item as a queue sees it; a span is looked at once for all destinations."""
    if type(item) is not Ended:
        return Other(item)
    if not item.weight:
        if not item.trace:
            span = item.span
            ids, status = getattr(span, "context", None), getattr(span, "status", None)
            item.trace = ids.trace_id if ids is not None else -id(item)
            item.error = status is not None and status.status_code is StatusCode.ERROR
        item.weight = weight_of(item)
    return item
