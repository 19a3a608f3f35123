"""What a step hangs under: what is left of one that has ended, or somebody else's span; and who may tell of its end."""

from __future__ import annotations

import weakref
from collections.abc import Hashable
from typing import Any, NamedTuple

from opentelemetry.trace import Span, SpanContext, TraceFlags

from .identity import Identity
from .routing import Route
from .step import Lineage, Step


class Left(NamedTuple):
    """What is kept of a step that has ended, for children that come late and for code that outlives it."""

    trace_id: int
    span_id: int
    trace_flags: int
    trace_state: Any
    place: Lineage
    identity: Identity
    root_name: str
    route: Route

    @property
    def context(self) -> SpanContext:
        return SpanContext(
            self.trace_id,
            self.span_id,
            is_remote=False,
            trace_flags=TraceFlags(self.trace_flags),
            trace_state=self.trace_state,
        )


class Around(NamedTuple):
    """What a topmost step finds around it: somebody else's span, and what is known of that."""

    span: Span
    place: Lineage
    identity: Identity
    root_name: str
    route: Route | None  # None: below no step, whose way it could go


class Holder(weakref.ref[Any]):
    """An object without which the end of the run cannot be told."""

    __slots__ = ("run_id",)
    run_id: Hashable


def left_by(step: Step) -> Left:
    """What is kept of `step`, which ends."""
    assert step.place is not None
    return Left(
        step.trace_id, step.span_id, step.trace_flags, step.trace_state, step.place, step.identity, step.root_name,
        step.route,
    )  # fmt: skip
