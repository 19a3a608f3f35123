"""The one span processor: it sees every span of the provider, knows which are steps, and hands ended ones on."""

from __future__ import annotations

import weakref
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from opentelemetry import context as otel_context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor, TracerProvider
from opentelemetry.trace import StatusCode

from .dialects import foreign
from .ended import Ended
from .guard import GUARD, guarded, warn_once
from .identity import Identity, current_identity
from .prices import PriceList
from .repeats import SentPrompts
from .routing import NOWHERE, Route, Routes
from .step import Kind, Lineage, Outcome, Step

SCOPE = "spanloom"
_CALLS = frozenset({Kind.LLM, Kind.EMBEDDING})
_MOST_OTHERS = 50_000
_MOST_GONE = 10_000
_MOST_TRACES = 50_000


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
    route: Route | None = None


def is_top(above: Lineage | None) -> bool:
    """Whether a span whose parent is at `above` is at the top of its trace in this process: it has no parent, one in
    another process, or one that was never seen here."""
    return above is None or above.remote or (above.scope == "" and above.parent is None)


class Sink(Protocol):
    """What takes ended spans: never blocks, never raises."""

    def put(self, ended: Ended) -> None: ...


class Weave(SpanProcessor):
    """Stays on its provider for good (the SDK cannot remove a processor); without sinks it does nothing.

    `sinks` take what ends; `flush(seconds)` and `stop()` are what the provider's own `force_flush` and `shutdown` call.
    `beside(processors)` is told which other processors the provider has, at once and whenever one comes.
    """

    def __init__(self, provider: TracerProvider | None = None) -> None:
        self.sinks: Sequence[Sink] = ()
        self.beside: Callable[[Sequence[Any]], object] | None = None
        self._all = getattr(provider, "_active_span_processor", None)  # the SDK has no public way to see them
        self._seen: object = None
        self.flush: Callable[[float], bool] | None = None
        self.stop: Callable[[], object] | None = None
        self.prices: PriceList | None = None
        self.routes = Routes({})
        self.prompts: SentPrompts | None = None
        self._steps: dict[int, Step] = {}
        self._others: OrderedDict[int, _Other] = OrderedDict()
        self._gone: OrderedDict[int, Lineage] = OrderedDict()  # spans that ended lately: a late child still finds them
        self._tops: OrderedDict[int, set[int]] = OrderedDict()  # by trace: the open spans at the top of this process

    def _look(self) -> None:
        processors = getattr(self._all, "_span_processors", None)
        if processors is not self._seen and self.beside is not None:
            self._seen = processors
            self.beside(processors or ())

    def look_again(self) -> None:
        """Tell `beside` of the processors that are there."""
        self._seen = None
        self._look()

    def step_started(self, step: Step) -> None:
        if step.live is not None or step.held.is_recording():
            self._steps[step.span_id] = step
            above = step.lineage
            if above is None or above.scope is not None or step.trace_id not in self._tops:  # else inside of a step
                self._began(step.trace_id, step.span_id, above)

    def step_ended(self, step: Step, span: Any = None) -> None:
        """Take a step whose live span no processor of the SDK sees the end of; `span` is that, where there is one."""
        if self._steps.pop(step.span_id, None) is None:
            return
        self._gone[step.span_id] = step.place  # type: ignore[assignment]
        if len(self._gone) > _MOST_GONE:
            self._gone.popitem(last=False)
        tops = self._tops.get(step.trace_id)
        closes = (tops is None or step.span_id in tops) and self._closes(step.trace_id, step.span_id, step.lineage)
        if self.sinks:
            ended = Ended(
                span, step, step.lineage, step.identity, step.root_name,
                prices=self.prices, prompts=self.prompts, route=step.route, closes=closes,
            )  # fmt: skip
            ended.trace = step.trace_id
            failed = step.outcome is Outcome.ERROR if span is None else span.status.status_code is StatusCode.ERROR
            ended.error = failed
            self._hand_on(ended)

    def step_forgotten(self, step: Step) -> None:
        self._steps.pop(step.span_id, None)

    def is_open(self, trace_id: int) -> bool:
        """Whether a span of the trace is open at the top of this process."""
        return trace_id in self._tops

    def after_fork(self) -> None:
        """In a forked child: what is open in the parent, the parent ends; what begins here is at the top here."""
        self._tops = OrderedDict()

    def _began(self, trace_id: int, span_id: int, above: Lineage | None) -> None:
        """Note a span at the top; also the first one of a trace that nothing else is open of: in a forked child, or
        after the top has ended."""
        if trace_id not in self._tops or is_top(above):
            self._tops.setdefault(trace_id, set()).add(span_id)
            if len(self._tops) > _MOST_TRACES:
                self._tops.popitem(last=False)

    def _closes(self, trace_id: int, span_id: int, above: Lineage | None) -> bool:
        """Whether, with the end of this span, none is open at the top of its trace any more."""
        tops = self._tops.get(trace_id)
        if tops is None:  # begun before `configure()`, or outlived the top
            return is_top(above)
        tops.discard(span_id)
        if tops:
            return False
        self._tops.pop(trace_id, None)
        return True

    def enclosing(self, span_id: int) -> Enclosing | None:
        """The open step that the span is, or lies in."""
        step = self._steps.get(span_id)
        if step is not None:
            assert step.place is not None
            return Enclosing(step, step.place)
        other = self._others.get(span_id)
        if other is not None and other.step is not None:
            return Enclosing(other.step, other.lineage)
        return None

    def lineage(self, span_id: int) -> Lineage | None:
        """The place of a span of another library, or of any span that ended lately."""
        other = self._others.get(span_id)
        return other.lineage if other is not None else self._gone.get(span_id)

    @guarded
    def on_start(self, span: Span, parent_context: otel_context.Context | None = None) -> None:  # noqa: ARG002
        scope = span.instrumentation_scope
        self._look()
        if not self.sinks or (scope is not None and scope.name == SCOPE) or span.context is None:
            return
        step: Step | None = None
        route: Route | None = None
        identity = current_identity()
        above = self._above(span)
        if span.parent is not None:
            enclosing = self.enclosing(span.parent.span_id)
            if enclosing is not None:
                step, identity, route = enclosing.step, enclosing.step.identity, enclosing.step.route
            elif (other := self._others.get(span.parent.span_id)) is not None:
                identity, route = other.identity.overlaid(identity), other.route
        if route is None:
            route = self.routes.of_span(identity)
        lineage = Lineage(span.context.span_id, scope.name if scope is not None else "", above)
        self._others[span.context.span_id] = _Other(lineage, step, identity, route)
        self._began(span.context.trace_id, span.context.span_id, above)
        if len(self._others) > _MOST_OTHERS:
            self._others.popitem(last=False)

    @guarded
    def on_end(self, span: ReadableSpan) -> None:
        if span.context is None:
            return
        if not self.sinks:
            self._closes(span.context.trace_id, span.context.span_id, None)
            return
        self._look()
        step = self._steps.pop(span.context.span_id, None)
        other = self._others.pop(span.context.span_id, None)
        if step is not None and step.place is not None:
            self._ended_at(step.span_id, step.place)
        elif other is not None:
            self._ended_at(span.context.span_id, other.lineage)
        above = step.lineage if step is not None else other.lineage.parent if other is not None else self._above(span)
        closes = self._closes(span.context.trace_id, span.context.span_id, above)
        if not span.context.trace_flags.sampled:  # recorded for somebody else's sake
            return
        if step is not None:
            ended = Ended(
                span, step, above, step.identity, step.root_name,
                prices=self.prices, prompts=self.prompts, route=step.route, closes=closes,
            )  # fmt: skip
        elif other is not None:
            root = other.step.root_name if other.step is not None else ""
            repeats = _repeats(span, other)
            ended = Ended(span, None, above, other.identity, root, repeats=repeats, closes=closes)
        else:  # begun before `configure()`
            ended = Ended(span, None, above, current_identity(), closes=closes)
        if step is None and self.routes:
            known = other.route if other is not None else self.routes.of_span(ended.identity)
            ended.route = (self.routes.of_trace(span.context.trace_id) or NOWHERE) if known is None else known
        self._hand_on(ended)

    def _ended_at(self, span_id: int, place: Lineage) -> None:
        self._gone[span_id] = place
        if len(self._gone) > _MOST_GONE:
            self._gone.popitem(last=False)

    def _hand_on(self, ended: Ended) -> None:
        if self.routes:
            self.routes.count(ended.route)
        for sink in self.sinks:
            try:
                sink.put(ended)
            except Exception as error:  # one sink's trouble is not the next one's
                GUARD.caught("spanloom.weave.put", error)

    def _above(self, span: ReadableSpan) -> Lineage | None:
        """The place of the span's parent; the parent alone where nothing more is known of it."""
        parent = span.parent
        if parent is None:
            return None
        enclosing = self.enclosing(parent.span_id)
        if enclosing is not None:
            return enclosing.lineage
        return self.lineage(parent.span_id) or Lineage(parent.span_id, scope="", remote=parent.is_remote)

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self.flush(timeout_millis / 1000) if self.flush is not None else True

    @guarded
    def shutdown(self) -> None:
        if self.stop is not None:
            self.stop()


def _repeats(span: ReadableSpan, other: _Other) -> bool:
    """Whether another instrumentation tells of the call that the enclosing step is, or is made of."""
    step, scope = other.step, other.lineage.scope or ""
    framework = foreign.framework_of(scope)
    if step is None:  # a tree of its own, beside ours
        if framework not in TRACED_WHOLLY:
            return False
    elif step.kind not in _CALLS and framework is None:
        return False
    if not foreign.is_model_call(span.attributes or {}):
        return False
    warn_once(
        f"repeats:{scope}",
        "spanloom: %s records the model calls that are steps already. In Langfuse and in Spanloom's own costs and "
        "metrics each counts once; elsewhere leave out the spans with %s, or switch that instrumentation off.",
        scope,
        foreign.REPEATS,
    )
    return True


TRACED_WHOLLY: set[str] = set()
"""The frameworks all of whose calls are steps, since an adapter's `instrument()` is on."""

_weaves: weakref.WeakKeyDictionary[TracerProvider, Weave] = weakref.WeakKeyDictionary()


def weave_of(provider: TracerProvider) -> Weave:
    """The `Weave` on `provider`: one for good, since the SDK cannot remove a processor."""
    weave = _weaves.get(provider)
    if weave is None:
        weave = _weaves[provider] = Weave(provider)
        provider.add_span_processor(weave)
    return weave
