"""The life of a run: found, opened under its parent, made current, closed with its outcome."""

from __future__ import annotations

import weakref
from collections import OrderedDict
from collections.abc import Hashable, Mapping, Sequence
from typing import Any
from uuid import UUID

from langchain_core.runnables.config import var_child_runnable_config
from opentelemetry.context import Context, get_current
from opentelemetry.trace import Link, SpanContext, get_current_span
from spanloom.content.plain import text_of
from spanloom.current import CurrentStep, running_task
from spanloom.guard import guarded
from spanloom.live import context_of
from spanloom.recorder import Recorder, note_error
from spanloom.setup import Loom, current_loom
from spanloom.step import Kind, Outcome, Step

from .frames import GraphStart, running_prompt, runs_graph
from .labels import graph_place, identity_of
from .outcomes import leaves_orphans, outcome_of
from .prompts import Links

# Python 3.11 takes longer to find a member in its enum than for most that is done here.
_LLM, _PROMPT, _OK, _ERROR = Kind.LLM, Kind.PROMPT, Outcome.OK, Outcome.ERROR
_INTERRUPTED = Outcome.INTERRUPTED
_MOST_THREADS = 10_000
_MOST_LINKS = 16
_BETWEEN = (
    __package__, "langchain_core.callbacks",
    "langchain_core.language_models.chat_models:ensure_started",  # of a v3 stream: whoever asks for its first event
)  # fmt: skip


def running_run() -> Hashable:
    """The key of the run whose body the caller is inside of, as LangChain itself tells its children."""
    return key_of(_running_id())


def _running_id() -> UUID | str | None:
    config = var_child_runnable_config.get()
    return getattr(config.get("callbacks"), "parent_run_id", None) if config else None


def key_of(run_id: UUID | str | None) -> Hashable:
    """The recorder's key of a run: a number, since the UUID object itself must be free to be collected.

    An application may pass a run id of its own as text (LangServe does): then that is the key.
    """
    return run_id.int if type(run_id) is UUID or isinstance(run_id, UUID) else run_id


class Runs:
    """Runs of one handler, in the recorder of `loom`, or of the last `configure()`."""

    def __init__(self, loom: Loom | None) -> None:
        self.loom = loom
        self._current: tuple[Recorder, CurrentStep] | None = None
        self._prompts = Links()
        self._threads: OrderedDict[str, list[SpanContext]] = OrderedDict()

    def recorder_of(self, run: Hashable) -> Recorder | None:
        """The recorder that the start of `run` is to be told: None where nothing is configured, or it has been told."""
        recorder = self._recorder()
        if recorder is None or not recorder.active:
            return None
        if recorder.has(run):  # the same handler twice, or two of them
            recorder.repeated += 1
            return None
        return recorder

    @guarded
    def last_trace_id(self) -> str | None:
        recorder = self._recorder()
        return recorder.recent.last() if recorder is not None else None

    def get(self, run_id: UUID | None) -> Step | None:
        """The open step of `run_id`."""
        recorder = self._recorder()
        return recorder.get(key_of(run_id)) if recorder is not None and run_id is not None else None

    def open(
        self,
        recorder: Recorder,
        step: Step,
        run_id: UUID,
        parent_run_id: UUID | None,
        metadata: Mapping[str, Any],
        tags: Sequence[str] | None,
        *,
        leaf: bool = False,
        batch: bool = False,
        serialized: Mapping[str, Any] | None = None,
        given: Any = None,
        graph: GraphStart | None = None,
    ) -> None:
        """Open `step` in `recorder`. `leaf` is as for `CurrentStep.enter`, `batch` where others start before its body
        does, `serialized` LangChain's form of a prompt, `given` the messages or the text that a model is given, `graph`
        is told of a graph's own run."""
        parent, context = _parent(recorder, parent_run_id), None
        above = recorder.get(parent) if parent is not None else None
        if above is not None:  # what a run inherits is not read anew
            step.identity = identity_of(metadata, tags or (), above.identity)
            step.graph = graph_place(metadata, above.graph, graph=graph is not None)
        else:
            step.identity = identity_of(metadata, tags or ())
            step.graph = graph_place(metadata, graph=graph is not None)
            if parent is None and "traceparent" in metadata:
                context = _incoming(metadata)
        task = running_task()
        if task is not None:
            step.task = weakref.ref(task)
        around = parent
        if above is not None and not self._current_step(recorder).is_innermost(running_run()):
            around = recorder.innermost(parent, _is_own)
            if around != parent:
                parent = None  # of no prompt of that step is anything known
        # Whoever could report the run's end holds its UUID: its run manager, or a child's.
        if step.kind is _PROMPT:
            self._prompts.note(step, parent, serialized)
        elif step.kind is _LLM:
            self._prompts.give(step, given, parent, recorder)
        opened = recorder.open(step, around, context, end_holder=run_id, again=True)
        if opened is None:
            return
        if graph is not None and not graph.awaited:
            run = step.run_id
            self._current_step(recorder).enter(step, leaf=True, running=lambda: run if runs_graph(run) else None)
        else:
            leaf = leaf or graph is not None
            self._current_step(recorder).enter(step, leaf=leaf, running=_running_prompt if batch else None)

    def close(self, step: Step, outcome: Outcome, error: BaseException | None = None) -> None:
        """End `step`."""
        recorder = self._recorder()
        if recorder is None:
            return
        if error is not None and outcome is _ERROR:
            note_error(step, error)
        self._current_step(recorder).leave(step)
        orphans = Outcome.CANCELLED if error is not None and leaves_orphans(error) else None
        if step.kind is _LLM and outcome is _OK:
            self._prompts.used(step, recorder)
        self._prompts.forget(step.run_id)
        if recorder.close(step.run_id, outcome, orphans=orphans) is not None:
            self._note_thread(step)

    def rendered(self, step: Step, value: Any) -> None:
        """The prompt `step` has made `value`."""
        self._prompts.rendered(step, value)

    def fail(self, run_id: UUID, error: BaseException) -> None:
        """End the step of `run_id` with the outcome that `error` stands for."""
        step = self.get(run_id)
        if step is None:
            return
        outcome = outcome_of(error)
        if outcome is Outcome.ABANDONED and _is_cancelled(step):
            outcome = Outcome.CANCELLED  # a cancelled task closes its generators
        self.close(step, outcome, error)

    # ---------------------------------------------------------------- LangGraph's threads
    def resumed(self, metadata: Mapping[str, Any], inputs: Any) -> Sequence[Link]:
        """Links to what a graph's thread stopped at, for a run that resumes it, with `Command(resume=…)` or with None.

        They lead to the steps that were interrupted, inner ones first, and to the run itself; a breakpoint
        (`interrupt_before`) interrupts no step.
        """
        left = self._threads.pop(text_of(metadata["thread_id"]), None)
        resumes = inputs is None or getattr(inputs, "resume", None) is not None
        return tuple(Link(context) for context in left) if left and resumes else ()

    def _note_thread(self, step: Step) -> None:
        """Remember what a thread's run was interrupted in, and at its end the run."""
        thread = step.graph.get("thread")
        if thread is None or not (step.outcome is _INTERRUPTED or "node" not in step.graph):
            return
        spans = self._threads.setdefault(thread, [])
        spans.append(context_of(step))
        del spans[:-_MOST_LINKS]
        if len(self._threads) > _MOST_THREADS:
            self._threads.popitem(last=False)

    # ---------------------------------------------------------------- state
    def _recorder(self) -> Recorder | None:
        loom = self.loom or current_loom()
        return loom.recorder if loom is not None else None

    def _current_step(self, recorder: Recorder) -> CurrentStep:
        if self._current is None or self._current[0] is not recorder:
            current = CurrentStep(running_run, recorder.span_of, lambda: not recorder.active, _BETWEEN)
            self._current = (recorder, current)
        return self._current[1]


def _parent(recorder: Recorder, reported_id: UUID | None) -> Hashable:
    """The reported parent, or the running step where that lies below it.

    A fallback hands its own parent's config to its candidates, and so does code that passes an outer config on.
    """
    if reported_id is None:
        return None
    running_id, reported = _running_id(), key_of(reported_id)
    if running_id is None or running_id is reported_id:
        return reported
    running = key_of(running_id)
    return reported if running == reported or not recorder.is_below(running, reported) else running


def _is_own(run: Hashable) -> bool:
    """Whether a run is LangChain's: see `key_of`. LlamaIndex's have texts."""
    return type(run) is int


def _running_prompt() -> Hashable:
    return key_of(running_prompt())


def _incoming(metadata: Mapping[str, Any]) -> Context | None:
    """The trace that a caller in another process passes on in the config's metadata, in the words of W3C Trace Context.

    None for a run inside another: metadata is inherited, and the running step is the parent.
    """
    if running_run() is not None:
        return None
    from opentelemetry.trace.propagation.tracecontext import (  # noqa: PLC0415  few applications are told of a trace
        TraceContextTextMapPropagator,
    )

    carrier = {key: str(metadata[key]) for key in ("traceparent", "tracestate") if key in metadata}
    context = TraceContextTextMapPropagator().extract(carrier, get_current())
    incoming = get_current_span(context).get_span_context()
    return context if incoming.is_remote else None


def _is_cancelled(step: Step) -> bool:
    """Whether the task that began the step is being cancelled, or was."""
    task = step.task() if step.task is not None else None
    return task is not None and (task.cancelled() or task.cancelling() > 0)
