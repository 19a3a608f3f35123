"""The live span of a step, made only where somebody looks at it.

A span of OpenTelemetry's SDK costs more than all else that a step does in the application's call, and is mostly looked
at by nobody: the destinations render the step itself. So where Spanloom's own processor is the only one of its provider
and every trace is sampled, a step gets its ids alone, and a `StepSpan` over it when code asks what is current. Where
other processors or samplers would see the spans, each step has one of the SDK's.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan, Tracer, TracerProvider
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, DEFAULT_ON
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, Span, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from . import ids
from .dialects import genai
from .step import Outcome, Step

_RANDOM = getattr(TraceFlags, "RANDOM_TRACE_ID", 0)  # since 1.40
_UNSET, _ERROR = Status(StatusCode.UNSET), Status(StatusCode.ERROR)
_making = threading.RLock()
if hasattr(os, "register_at_fork"):

    def _in_child() -> None:
        global _making
        _making = threading.RLock()  # whatever thread of the parent held it is gone

    os.register_at_fork(after_in_child=_in_child)


class LiveSpans:
    """The spans of one tracer's steps. `own` is Spanloom's processor on `provider`."""

    def __init__(self, provider: TracerProvider, tracer: Any, own: Any) -> None:
        self.tracer, self.own = tracer, own
        self._all: Any = getattr(provider, "_active_span_processor", None)  # the SDK has no public way to see them
        self._known: object = None
        self._alone = False
        self._plain = _is_plain(provider, tracer)
        self._notebooks: Tracer | None = None

    @property
    def are_light(self) -> bool:
        """Whether nobody but Spanloom's own processor sees the spans that begin now."""
        if not self._plain:
            return False
        processors = self._all._span_processors
        if processors is not self._known:
            self._known = processors
            self._alone = len(processors) == 1 and processors[0] is self.own
        return self._alone

    @property
    def resource(self) -> Resource:
        return self.tracer.resource  # type: ignore[no-any-return]  # the SDK merges into it after a fork

    @property
    def scope(self) -> InstrumentationScope:
        return self.tracer._instrumentation_scope  # type: ignore[no-any-return]

    def start(self, step: Step, around: Context) -> Span:
        """A span of the SDK, as its samplers and processors see any other."""
        return self.tracer.start_span(  # type: ignore[no-any-return]
            genai.span_name(step),
            around,
            genai.span_kind(step),
            genai.start_attributes(step),
            links=step.links,
            start_time=step.start_ns,
        )

    def begin_below(self, step: Step, above: Any) -> None:
        """Give `step` its ids, below another step or what is left of one."""
        step.span_id = ids.span_id()
        step.trace_id, step.parent_span_id = above.trace_id, above.span_id
        step.trace_flags, step.trace_state = above.trace_flags, above.trace_state

    def begin(self, step: Step, above: SpanContext | None) -> None:
        """Give `step` its ids, below the span `above` of somebody else's or at the top of a trace."""
        step.span_id = ids.span_id()
        if above is None:
            step.trace_id, step.trace_flags, step.trace_state = ids.trace_id(), TraceFlags.SAMPLED | _RANDOM, None
        else:
            step.trace_id, step.trace_state = above.trace_id, above.trace_state
            step.trace_flags = TraceFlags.SAMPLED | (above.trace_flags & _RANDOM)
            step.above, step.parent_span_id = above, above.span_id

    def span_of(self, step: Step) -> Span:
        """The one over `step`: the same while the step is open."""
        with _making:  # two threads inside one body see one span
            if step.held is None:
                if step.closed:
                    return StepSpan(step, self)  # not kept, or the two would keep one another alive
                step.held = StepSpan(step, self)
            return step.held  # type: ignore[no-any-return]

    def end(self, step: Step) -> None:
        """Tell of the end of a step that `begin` or `begin_below` has given its ids."""
        span = step.held
        if span is not None:
            step.held = None  # or the two would keep one another alive
            if span.is_over:  # the application has ended it
                return
            span.close()
        self.tell(step, span)

    def tell(self, step: Step, span: StepSpan | None) -> None:
        """Hand the step on; to processors that have come since it began too, as the SDK does."""
        if self.are_light:
            self.own.step_ended(step, span)
        else:
            self._all.on_end((span or StepSpan(step, self)).snapshot())

    def notebook(self, name: str) -> Any:
        """A span of the SDK that nobody sees, for what an application writes on one of ours: the limits and the rules
        are the SDK's own."""
        if self._notebooks is None:
            provider = TracerProvider(
                ALWAYS_ON, self.resource, shutdown_on_exit=False, span_limits=getattr(self.tracer, "_span_limits", None)
            )
            self._notebooks = provider.get_tracer(self.scope.name)  # type: ignore[assignment]
        return self._notebooks.start_span(name, Context())  # type: ignore[union-attr]


def _is_plain(provider: TracerProvider, tracer: Any) -> bool:
    """Whether the SDK does nothing with a span of `tracer` that others could see but call the processors."""
    return (
        type(provider) is TracerProvider
        and type(tracer) is Tracer
        and tracer.sampler in (ALWAYS_ON, DEFAULT_ON)
        and type(tracer.id_generator) is RandomIdGenerator
        and type(getattr(tracer, "_tracer_metrics", None)).__name__ in ("NoneType", "NoOpTracerMetrics")
        and getattr(tracer, "_instrumentation_scope", None) is not None
        and getattr(getattr(provider, "_active_span_processor", None), "_span_processors", None) is not None
    )


def context_of(step: Step) -> SpanContext:
    """The ids of `step`'s span."""
    if step.live is None:
        return step.held.get_span_context()  # type: ignore[no-any-return]
    return _context(step, step.span_id)


_FLAGS = {flags: TraceFlags(flags) for flags in range(4)}


def _context(step: Step, span_id: int) -> SpanContext:
    return SpanContext(step.trace_id, span_id, False, _FLAGS[step.trace_flags & 3], step.trace_state)


class StepSpan(Span, ReadableSpan):
    """OpenTelemetry's span over a step. What the application writes on it stands in a span of the SDK beside it."""

    def __init__(self, step: Step, live: LiveSpans) -> None:  # ReadableSpan's own fields are not used
        self._step, self._live = step, live
        self._ids: SpanContext | None = None
        self._parent_ids: SpanContext | None = None
        self._notes: Any = None
        self._renamed: str | None = None
        self._ended_ns: int | None = None

    def __repr__(self) -> str:
        return f'{type(self).__name__}(name="{self.name}", context={self.context})'

    # ---------------------------------------------------------------- what it tells
    @property
    def context(self) -> SpanContext:
        if self._ids is None:
            self._ids = context_of(self._step)
        return self._ids

    def get_span_context(self) -> SpanContext:
        return self.context

    @property
    def parent(self) -> SpanContext | None:
        step = self._step
        if step.above is not None or not step.parent_span_id:
            return step.above  # type: ignore[no-any-return]
        if self._parent_ids is None:
            self._parent_ids = _context(step, step.parent_span_id)
        return self._parent_ids

    @property
    def name(self) -> str:
        return self._renamed if self._renamed is not None else genai.span_name(self._step)

    @property
    def kind(self) -> SpanKind:
        return genai.span_kind(self._step)

    @property
    def start_time(self) -> int | None:
        return self._step.start_ns

    @property
    def end_time(self) -> int | None:
        return self._ended_ns if self._ended_ns is not None else self._step.end_ns or None

    @property
    def own_attributes(self) -> Mapping[str, Any]:
        """Those that the application has set."""
        return self._notes.attributes if self._notes is not None else {}

    @property
    def attributes(self) -> Mapping[str, Any]:
        """Those of the conventions, and the application's."""
        if self._step.closed:
            return {**self.own_attributes, **genai.structure(self._step)}
        return {**genai.start_attributes(self._step), **self.own_attributes}

    @property
    def events(self) -> Sequence[Event]:
        return self._notes.events if self._notes is not None else ()

    @property
    def links(self) -> Sequence[Link]:
        own = self._notes.links if self._notes is not None else ()
        return (*self._step.links, *own) if self._step.links else own

    @property
    def status(self) -> Status:
        own = self._notes.status if self._notes is not None else _UNSET
        failed = self._step.outcome is Outcome.ERROR and self._ended_ns is None
        return _ERROR if failed and own.status_code is not StatusCode.OK else own

    @property
    def resource(self) -> Resource:
        return self._live.resource

    @property
    def instrumentation_scope(self) -> InstrumentationScope:
        return self._live.scope

    @property
    def instrumentation_info(self) -> Any:
        return self._live.tracer.instrumentation_info

    @property
    def dropped_attributes(self) -> int:
        return self._notes.dropped_attributes if self._notes is not None else 0

    @property
    def dropped_events(self) -> int:
        return self._notes.dropped_events if self._notes is not None else 0

    @property
    def dropped_links(self) -> int:
        return self._notes.dropped_links if self._notes is not None else 0

    def snapshot(self) -> ReadableSpan:
        """What the SDK's processors are given at a span's end."""
        return ReadableSpan(
            name=self.name,
            context=self.context,
            parent=self.parent,
            resource=self.resource,
            attributes=self.attributes,
            events=self.events,
            links=self.links,
            kind=self.kind,
            status=self.status,
            start_time=self.start_time,
            end_time=self.end_time,
            instrumentation_scope=self.instrumentation_scope,
        )

    def to_json(self, indent: int | None = 4) -> str:
        return self.snapshot().to_json(indent)  # type: ignore[no-any-return]

    # ---------------------------------------------------------------- what is written on it
    @property
    def is_over(self) -> bool:
        """Whether the application has ended it."""
        return self._ended_ns is not None

    def is_recording(self) -> bool:
        return self._ended_ns is None and not self._step.closed

    def _written(self) -> Any:
        if self._notes is not None:
            return self._notes
        with _making:
            if self._notes is None:
                self._notes = self._live.notebook(self.name)
                if not self.is_recording():
                    self._notes.end()  # so that it refuses what comes now, and says so
            return self._notes

    def set_attributes(self, attributes: Mapping[str, Any]) -> None:
        self._written().set_attributes(attributes)

    def set_attribute(self, key: str, value: Any) -> None:
        self._written().set_attribute(key, value)

    def add_event(self, name: str, attributes: Any = None, timestamp: int | None = None) -> None:
        self._written().add_event(name, attributes, timestamp)

    def add_link(self, context: SpanContext, attributes: Any = None) -> None:
        self._written().add_link(context, attributes)

    def record_exception(
        self, exception: BaseException, attributes: Any = None, timestamp: int | None = None, escaped: bool = False
    ) -> None:
        self._written().record_exception(exception, attributes, timestamp, escaped)

    def set_status(self, status: Status | StatusCode, description: str | None = None) -> None:
        self._written().set_status(status, description)

    def update_name(self, name: str) -> None:
        written = self._written()
        written.update_name(name)
        self._renamed = written.name

    def end(self, end_time: int | None = None) -> None:
        """End the span, as the application may; the step goes on, and nothing more is told of it."""
        with _making:
            over = not self.is_recording()
            if not over:
                self._ended_ns = end_time if end_time is not None else time.time_ns()
        if over:
            self._written().end()  # it says that it has ended before
            return
        self.close()
        self._live.tell(self._step, self)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, stack: TracebackType | None
    ) -> None:
        if error is not None and self.is_recording():  # as the SDK's own
            self.record_exception(error, escaped=True)
            self.set_status(Status(StatusCode.ERROR, f"{type(error).__name__}: {error}"))
        self.end()

    def close(self) -> None:
        """Let nothing more be written on it."""
        if self._notes is not None:
            self._notes.end()
