"""The one span processor: it sees every span of the provider, knows which are steps, and hands ended ones on."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor

from .content.visible import Visible
from .guard import guarded
from .identity import Identity, current_identity
from .step import Lineage, Step

SCOPE = "spanloom"
_MOST_OTHERS = 50_000


@dataclass(slots=True)
class Ended:
    """A span on its way to the destinations: the live span, and what is known beside it.

    `step` is None for a span of another library; `lineage` is the place of its parent.
    """

    span: ReadableSpan
    step: Step | None
    lineage: Lineage | None
    identity: Identity
    root_name: str = ""
    content: Visible | None = None  # read by the first destination that needs it


@dataclass(frozen=True, slots=True)
class Enclosing:
    """The step that a span is, or lies in, and the span's own place."""

    step: Step
    lineage: Lineage


@dataclass(slots=True)
class _Other:
    lineage: Lineage
    step: Step | None
    identity: Identity


class Sink(Protocol):
    """What takes ended spans: never blocks, never raises."""

    def put(self, ended: Ended) -> None: ...


class Weave(SpanProcessor):
    """Stays on its provider for good (the SDK cannot remove a processor); without sinks it does nothing."""

    def __init__(self) -> None:
        self.sinks: Sequence[Sink] = ()
        self._steps: dict[int, Step] = {}
        self._others: OrderedDict[int, _Other] = OrderedDict()

    def step_started(self, step: Step) -> None:
        if step.span.is_recording():
            self._steps[step.span_id] = step

    def step_forgotten(self, step: Step) -> None:
        self._steps.pop(step.span_id, None)

    def enclosing(self, span_id: int) -> Enclosing | None:
        """The open step that the span is, or lies in."""
        step = self._steps.get(span_id)
        if step is not None:
            return Enclosing(step, Lineage(span_id, None, step.lineage))
        other = self._others.get(span_id)
        if other is not None and other.step is not None:
            return Enclosing(other.step, other.lineage)
        return None

    def lineage(self, span_id: int) -> Lineage | None:
        """The place of an open span of another library."""
        other = self._others.get(span_id)
        return other.lineage if other is not None else None

    @guarded
    def on_start(self, span: Span, parent_context: otel_context.Context | None = None) -> None:
        scope = span.instrumentation_scope
        if not self.sinks or (scope is not None and scope.name == SCOPE) or span.context is None:
            return
        parent = span.parent
        above: Lineage | None = None
        step: Step | None = None
        identity = current_identity()
        if parent is not None:
            enclosing = self.enclosing(parent.span_id)
            if enclosing is not None:
                above, step, identity = enclosing.lineage, enclosing.step, enclosing.step.identity
            else:
                other = self._others.get(parent.span_id)
                above = other.lineage if other else Lineage(parent.span_id, scope="", remote=parent.is_remote)
        lineage = Lineage(span.context.span_id, scope.name if scope is not None else "", above)
        self._others[span.context.span_id] = _Other(lineage, step, identity)
        if len(self._others) > _MOST_OTHERS:
            self._others.popitem(last=False)

    @guarded
    def on_end(self, span: ReadableSpan) -> None:
        if not self.sinks or span.context is None:
            return
        step = self._steps.pop(span.context.span_id, None)
        if step is not None:
            ended = Ended(span, step, step.lineage, step.identity, step.root_name)
        else:
            other = self._others.pop(span.context.span_id, None)
            if other is None:
                ended = Ended(span, None, None, current_identity())
            else:
                root = other.step.root_name if other.step is not None else ""
                ended = Ended(span, None, other.lineage.parent, other.identity, root)
        for sink in self.sinks:
            sink.put(ended)

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return True

    def shutdown(self) -> None:
        self.sinks = ()


def find_weave(provider: trace.TracerProvider) -> Weave | None:
    """The `Weave` that an earlier `configure()` put on `provider`."""
    active = getattr(provider, "_active_span_processor", None)
    for processor in getattr(active, "_span_processors", ()):
        if isinstance(processor, Weave):
            return processor
    return None
