"""Run id to open step: open, close, and nothing forgotten.

Parents come from the framework's own run ids; only a root asks what is current. Every step that is opened is closed
exactly once: by its adapter, with an ancestor that was cancelled, by eviction, or at shutdown.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable
from typing import Any

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.trace import NonRecordingSpan, Status, StatusCode, TraceFlags

from .content.plain import describe_error, stack_text
from .dialects import genai
from .guard import GUARD
from .identity import NOBODY, current_identity
from .live import LiveSpans
from .places import Around, Holder, Left, left_by
from .recent import Recent
from .step import Deferred, Kind, Lineage, Outcome, Step
from .weave import Weave

MAX_OPEN_STEPS = 20_000
MAX_STEP_SECONDS = 3600.0
_REMEMBERED = 10_000
_LOOK_NS = 1_000_000_000
_LEAVES = frozenset({Kind.LLM, Kind.RETRIEVER, Kind.TOOL, Kind.EMBEDDING, Kind.RERANKER})


class Recorder:
    """Holds the open steps of one configuration. Thread-safe; bounded by count and by age."""

    def __init__(
        self,
        live: LiveSpans,
        weave: Weave,
        *,
        max_open_steps: int = MAX_OPEN_STEPS,
        max_step_seconds: float = MAX_STEP_SECONDS,
    ) -> None:
        self._live, self._weave = live, weave
        self._max_open, self._max_age_ns = max_open_steps, int(max_step_seconds * 1e9)
        self._look_ns = 0  # when `open` looks next for steps that are too old
        self._lock = threading.RLock()
        self._open: dict[Hashable, Step] = {}  # in the order they were opened: the oldest is first
        self._ended: OrderedDict[Hashable, Left] = OrderedDict()
        self._lost: deque[tuple[Hashable, int]] = deque()
        lost = self._lost

        def note_lost(holder: weakref.ref[Any]) -> None:
            # Collection may strike anywhere, also inside the lock: note it now, act on it later.
            lost.append((holder.run_id, time.time_ns()))  # type: ignore[attr-defined]

        self._note_lost = note_lost
        self.recent = Recent()
        self.active = True
        self.on_ended: Callable[[Step], object] | None = None  # told of every step, be its trace sampled or not
        self.opened = self.evicted = self.repeated = 0

    # ---------------------------------------------------------------- reading
    def get(self, run_id: Hashable) -> Step | None:
        """The open step of `run_id`; None where there is none."""
        return self._open.get(run_id)

    def has(self, run_id: Hashable) -> bool:
        """Whether `run_id` is open."""
        return run_id in self._open

    def span_of(self, run_id: Hashable) -> trace.Span | None:
        """The span that code inside the body of `run_id` sees as current."""
        step = self._open.get(run_id)
        if step is not None:
            return step.span  # type: ignore[no-any-return]
        left = self._ended.get(run_id)  # a task that outlives the step which began it
        return NonRecordingSpan(left.context) if left is not None else None

    def is_below(self, run_id: Hashable, ancestor: Hashable) -> bool:
        """Whether the open step of `run_id` lies below the one of `ancestor`, at any depth."""
        step = self.get(run_id)
        while step is not None and step.parent_run_id is not None:
            if step.parent_run_id == ancestor:
                return True
            step = self._open.get(step.parent_run_id)
        return False

    def innermost(self, parent: Hashable, is_own: Callable[[Hashable], bool]) -> Hashable:
        """`parent`, or the open step of another framework around the caller, where that lies below it.

        A framework knows its own runs alone: one that another framework's tool begins is told with the parent of that
        tool's run. `is_own` tells the runs of the framework that asks.
        """
        enclosing = self._weave.enclosing(trace.get_current_span().get_span_context().span_id)
        if enclosing is None:
            return parent
        run = enclosing.step.run_id
        return run if run != parent and not is_own(run) and self.is_below(run, parent) else parent

    def __len__(self) -> int:
        return len(self._open)

    # ---------------------------------------------------------------- opening
    def open(
        self,
        step: Step,
        parent: Hashable = None,
        context: otel_context.Context | None = None,
        end_holder: object = None,
        *,
        again: bool = False,
    ) -> Step | None:
        """Open `step` under the run `parent`; without a known parent, under the current span.

        None where the recorder is shut down or the run is already known (a handler registered twice). `context` stands
        in for the current OpenTelemetry context. `end_holder` is an object without which the framework cannot report
        the step's end: when it is collected, the step ends. `again` lets a run that has ended begin anew, where an
        application chooses the ids itself. Fills the step's ids, identity and start time.
        """
        if not self.active:
            return None
        now = time.time_ns()
        if self._lost or len(self._open) >= self._max_open or now >= self._look_ns:
            with self._lock:
                given_up = self._reaped() + self._evicted(now, room_for=1)
                self._look_ns = now + min(_LOOK_NS, self._max_age_ns)
            self._finish(given_up)
        run_id = step.run_id
        if run_id in self._open or (not again and run_id in self._ended):
            self.repeated += 1
            return None
        step.start_ns = step.start_ns or now
        around = above = None
        if parent is not None:
            above = self._open.get(parent) or self._ended.get(parent)
        if above is not None:
            step.parent_run_id = parent
            step.lineage, step.root_name, step.route = above.place, above.root_name, above.route
            own, inherited, using = step.identity, above.identity, current_identity()
            if own is NOBODY and using is NOBODY:
                step.identity = inherited
            elif own is not inherited or own is NOBODY:  # else it is its parent's, and whole
                step.identity = inherited.overlaid(using).overlaid(own)
        else:
            context = context if context is not None else otel_context.get_current()
            around = self._around(trace.get_current_span(context), step)
            self._begin_at_the_top(step, around)
        self._begin_span(step, above, around, context)
        if end_holder is not None:
            try:
                step.end_holder = holder = Holder(end_holder, self._note_lost)
                holder.run_id = run_id
            except TypeError:  # a text cannot be watched: then only callbacks or age end it
                pass
        with self._lock:
            if run_id in self._open:  # told by two threads at once
                self.repeated += 1
                return None
            if step.parent_run_id is None:
                self.recent.opened(step, alone=not self._open)
            self._open[run_id] = step
            if again:
                self._ended.pop(run_id, None)
            self.opened += 1
            if (up := self._open.get(step.parent_run_id)) is not None:
                if up.children is None:
                    up.children = set()
                up.children.add(run_id)
            self._weave.step_started(step)
        return step

    def _begin_at_the_top(self, step: Step, around: Around | None) -> None:
        if around is not None:
            step.lineage, step.root_name = around.place, around.root_name or step.name
            step.identity = around.identity.overlaid(current_identity()).overlaid(step.identity)
        else:
            step.identity = current_identity().overlaid(step.identity)
            step.root_name = step.name

    def _begin_span(
        self, step: Step, above: Step | Left | None, around: Around | None, context: otel_context.Context | None
    ) -> None:
        """Give the step its ids and, where somebody else would see it, its live span."""
        live = self._live
        if live.are_light:
            if above is not None:
                if above.trace_flags & TraceFlags.SAMPLED:
                    step.live = live
                    live.begin_below(step, above)
            else:
                outer = around.span.get_span_context() if around is not None else None
                if outer is None or outer.trace_flags & TraceFlags.SAMPLED:
                    step.live = live
                    live.begin(step, outer)
        if step.live is None:  # samplers and processors of others run here
            context = context if context is not None else otel_context.get_current()
            if above is not None:
                span = above.span if isinstance(above, Step) else NonRecordingSpan(above.context)
                context = trace.set_span_in_context(span, context)
            step.held = live.start(step, context)
            ids = step.held.get_span_context()
            step.trace_id, step.span_id = ids.trace_id, ids.span_id
            step.trace_flags, step.trace_state = ids.trace_flags, ids.trace_state
        step.place = Lineage(step.span_id, None, step.lineage)
        if above is None:
            route = around.route if around is not None else None
            step.route = self._weave.routes.begin(step.trace_id, step.identity) if route is None else route

    # ---------------------------------------------------------------- closing
    def close(
        self,
        run_id: Hashable,
        outcome: Outcome = Outcome.OK,
        *,
        error: BaseException | None = None,
        orphans: Outcome | None = None,
        tells_all: bool = False,
        end_ns: int | None = None,
    ) -> Step | None:
        """End the step of `run_id`; None where it is not open.

        `orphans` is the outcome of descendants that are still open, where the framework will send no end for them;
        those of a cancelled step are cancelled with it. Where the framework `tells_all` ends, only those are orphans
        that another framework may not tell of: the ones with an `end_holder`.
        """
        if orphans is None and outcome is Outcome.CANCELLED:
            orphans = Outcome.CANCELLED
        with self._lock:
            settled = self._settled(run_id, outcome, end_ns or time.time_ns(), orphans, tells_all)
        if not settled:
            return None
        if error is not None:
            note_error(settled[-1], error)
        self._finish(settled)
        return settled[-1]

    def lose(self, run_id: Hashable) -> None:
        """Note that nobody can end the step of `run_id` any more: it ends as one that was left, at this time.

        For those whom the collection of garbage tells so. It may strike anywhere, also where this thread holds a lock,
        ours or one of somebody else's span processor: so the step is ended a little later, out of another call.
        """
        self._lost.append((run_id, time.time_ns()))

    def evict(self, now_ns: int | None = None) -> int:
        """End the steps that nobody can end any more, and those that have been open for too long; how many of these."""
        with self._lock:
            reaped = self._reaped()
            evicted = self._evicted(now_ns)
        self._finish(reaped + evicted)
        return len(evicted)

    def end_all(self) -> None:
        """End every open step and take no more. Children first, so that parents outlast them."""
        with self._lock:
            self.active = False
            settled = self._reaped()
            for step in reversed(tuple(self._open.values())):
                settled += self._given_up(step)
        self._finish(settled)

    def _settled(
        self,
        run_id: Hashable,
        outcome: Outcome,
        end_ns: int,
        orphans: Outcome | None = None,
        tells_all: bool = False,
    ) -> list[Step]:
        """Take the step of `run_id` out of the open ones, and its orphans; inner ones first. Under the lock."""
        step = self._open.pop(run_id, None)
        if step is None:
            return []
        step.outcome, step.end_ns, step.end_holder = outcome, end_ns, None
        settled: list[Step] = []
        if orphans is not None and step.children:
            for child in tuple(step.children):
                if tells_all and (below := self._open.get(child)) is not None and below.end_holder is None:
                    continue
                settled += self._settled(child, orphans, end_ns, orphans)
        if (above := self._open.get(step.parent_run_id)) is not None and above.children is not None:
            above.children.discard(run_id)
        self._ended[run_id] = left_by(step)
        if len(self._ended) > _REMEMBERED:
            self._ended.popitem(last=False)
        step.closed, step.children = True, None
        return [*settled, step]

    def _finish(self, steps: list[Step]) -> None:
        """End the spans of settled steps. Outside of the lock: processors of others run here."""
        for step in steps:
            try:  # one that fails leaves the others to end
                if step.live is not None:
                    step.live.end(step)
                elif step.held.is_recording():
                    step.held.set_attributes(genai.structure(step))
                    if step.outcome is Outcome.ERROR:
                        step.held.set_status(Status(StatusCode.ERROR))  # no text: it may hold content
                    step.held.end(step.end_ns)
            except Exception as error:
                GUARD.caught("spanloom.recorder", error)
            self._weave.step_forgotten(step)
            self.recent.closed(step)
            if self.on_ended is not None:
                try:
                    self.on_ended(step)
                except Exception as error:
                    GUARD.caught("spanloom.recorder.on_ended", error)

    def _reaped(self) -> list[Step]:
        """Settle the steps whose end nobody holds any more, at the time they were lost, inner ones first.

        A cancelled model, retriever or tool gets no end from LangChain. A chain always does, unless it is a stream that
        was left; then the steps around it were waiting for that stream.
        """
        if not self._lost:
            return []
        lost: dict[Hashable, int] = {}
        while self._lost:
            run_id, lost_ns = self._lost.popleft()
            lost[run_id] = lost_ns
        settled: list[Step] = []
        for step in reversed(tuple(self._open.values())):
            if step.run_id not in lost:
                continue
            left = step.streaming or step.awaits_stream or step.kind not in _LEAVES
            if left and (above := self._open.get(step.parent_run_id)) is not None:
                above.awaits_stream = True
            outcome, orphans = (Outcome.ABANDONED, None) if left else (Outcome.CANCELLED, Outcome.CANCELLED)
            settled += self._settled(step.run_id, outcome, lost[step.run_id], orphans)
        return settled

    def after_fork(self) -> None:
        """In a forked child: the open steps are the parent's to end; here they are places to hang under."""
        self._lock = threading.RLock()
        for run_id, step in self._open.items():
            self._ended[run_id] = left_by(step)
        self._open = {}
        self.opened = self.evicted = self.repeated = 0

    def _evicted(self, now_ns: int | None = None, room_for: int = 0) -> list[Step]:
        """Settle the steps that are too old, and the oldest ones until there is room."""
        limit = (now_ns or time.time_ns()) - self._max_age_ns
        settled: list[Step] = []
        while self._open:
            oldest = next(iter(self._open.values()))
            if oldest.start_ns >= limit and len(self._open) + room_for <= self._max_open:
                break
            self.evicted += 1
            settled += self._given_up(oldest)
        return settled

    def _given_up(self, step: Step) -> list[Step]:
        """Settle a step that nobody else ended: as `incomplete`, or, where it waits for a stream that was begun and
        never finished, as `abandoned`, with the steps around it."""
        left = step.streaming or step.awaits_stream
        if left and (above := self._open.get(step.parent_run_id)) is not None:
            above.awaits_stream = True
        return self._settled(step.run_id, Outcome.ABANDONED if left else Outcome.INCOMPLETE, time.time_ns())

    # ---------------------------------------------------------------- parents
    def _around(self, span: trace.Span, step: Step) -> Around | None:
        """What the current span is to a topmost step: a step of the other framework, or any other span."""
        ids = span.get_span_context()
        if not ids.is_valid:
            return None
        enclosing = self._weave.enclosing(ids.span_id)
        if enclosing is not None:  # a step, or a span that another library opened inside one
            above = self._open.get(enclosing.step.run_id)
            if above is not None:
                step.parent_run_id = above.run_id
            around = enclosing.step
            return Around(span, enclosing.lineage, around.identity, around.root_name, around.route)
        lineage = self._weave.lineage(ids.span_id) or Lineage(ids.span_id, scope="", remote=ids.is_remote)
        return Around(span, lineage, current_identity(), "", None)


def note_error(step: Step, error: BaseException) -> None:
    """Keep the type of `error` as structure; its text and stack as content."""
    kind = type(error)
    builtin = kind.__module__ in ("builtins", "__main__")
    step.error_type = kind.__qualname__ if builtin else f"{kind.__module__}.{kind.__qualname__}"
    step.content.error_message, stack = describe_error(error)
    step.content.error_stack = Deferred(stack_text, (stack,)) if stack is not None else None
