"""The step as OpenTelemetry's current span, inside its body and nowhere else.

A `StepContext` is a `Context` that answers with a step's span to code inside that step's body and with what was current
before to everyone else. It asks the framework where the caller is (LangChain's `var_child_runnable_config`,
LlamaIndex's `active_span_id`: both are context variables that a body sees and a caller or the consumer of a stream does
not). So it may stay attached for good: no token is ever reset across contexts, nothing leaks into the caller, and the
caller's current span is the very object that it was.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Hashable, Iterator
from contextvars import ContextVar
from types import FrameType
from typing import Any

from opentelemetry import context as otel_context
from opentelemetry.context import Context, attach, get_current
from opentelemetry.trace import INVALID_SPAN, Span, set_span_in_context

from .step import Step

_SPAN_KEY = next(iter(set_span_in_context(INVALID_SPAN, Context())))  # the API has no public name for it

Locate = Callable[[], Hashable]
"""The run id of the body that the caller is inside of, as the framework tells it; None outside of any."""

SpanOf = Callable[[Hashable], Span | None]


class _Leaf:
    """A model or retriever step: its body runs in its caller's own frame, where no framework variable tells it apart.

    `frame_id` is the frame that calls the body, in the task that began the step. A call that was cancelled is never
    reported as ended, and its exception may live on: but its frame is on that task's stack no more. `running` tells
    apart the steps of one batch, whose bodies share a frame.
    """

    __slots__ = ("at", "below", "frame_id", "running", "step")

    def __init__(
        self, step: Step, at: Hashable, below: _Leaf | None, frame_id: int | None, running: Locate | None
    ) -> None:
        self.step, self.at, self.below, self.frame_id, self.running = step, at, below, frame_id, running

    @property
    def over(self) -> bool:
        """Whether it will not be current any more. From its first chunk on, a model's body alternates with the consumer
        of its stream."""
        step = self.step
        return step.closed or step.streaming or (step.end_holder is not None and step.end_holder() is None)

    @property
    def live(self) -> bool:
        """Whether the caller is in its body, as far as the leaf itself can tell."""
        step = self.step
        if self.over:
            return False
        if self.running is not None and self.running() != step.run_id:
            return False
        if self.frame_id is None or step.task is None or running_task() is not step.task():
            return True
        frame: FrameType | None = sys._getframe(1)
        while frame is not None:
            if id(frame) == self.frame_id:
                return True
            frame = frame.f_back
        return False


def context_reader() -> Callable[[], Context]:
    """What answers as `get_current` does, for those who ask at each token of a stream.

    Where OpenTelemetry keeps contexts in a context variable, it is that variable's own `get`: the public one takes five
    times as long.
    """
    kept = getattr(getattr(otel_context, "_RUNTIME_CONTEXT", None), "_current_context", None)
    return kept.get if isinstance(kept, ContextVar) else get_current


def running_task() -> asyncio.Task[Any] | None:
    """The asyncio task that runs the caller; None outside of any."""
    return asyncio.current_task() if asyncio._get_running_loop() is not None else None  # the public one raises, dearly


class StepContext(Context):
    """A `Context` whose current span depends on who asks. `base` is the run in whose body `outer` became current."""

    __slots__ = ("base", "is_left", "is_over", "leaf", "locate", "outer", "span_of")

    def __init__(self, outer: Context, base: Hashable, of: CurrentStep, leaf: _Leaf | None = None) -> None:
        super().__init__(outer)
        self.outer, self.base, self.leaf, self.is_left = outer, base, leaf, False
        self.locate, self.span_of, self.is_over = of.locate, of.span_of, of.is_over

    def inside(self) -> Span | None:
        """The span of the step whose body the caller is in; None where `outer` is right."""
        run_id = self.locate()
        leaf = self.leaf
        while leaf is not None:
            if leaf.at == run_id and leaf.live:
                return leaf.step.span  # type: ignore[no-any-return]
            leaf = leaf.below
        return None if run_id is None or run_id == self.base else self.span_of(run_id)

    @property
    def is_idle(self) -> bool:
        """Whether it stands for nothing here: left by a stream that nobody read to its end, or was read elsewhere."""
        return self.is_over() or (self.is_left and self.inside() is None)

    def get(self, key: str, default: Any = None) -> Any:
        if key == _SPAN_KEY and (span := self.inside()) is not None:
            return span
        return self.outer.get(key, default)

    def copy(self) -> dict[str, object]:
        values = self.outer.copy()
        if (span := self.inside()) is not None:
            values[_SPAN_KEY] = span
        return values

    def __getitem__(self, key: str) -> object:
        return self.copy()[key]

    def __contains__(self, key: object) -> bool:
        return key in self.copy()

    def __iter__(self) -> Iterator[str]:
        return iter(self.copy())

    def __len__(self) -> int:
        return len(self.copy())

    def keys(self) -> Any:
        return self.copy().keys()

    def values(self) -> Any:
        return self.copy().values()

    def items(self) -> Any:
        return self.copy().items()

    def __eq__(self, other: object) -> bool:
        return self is other or self.copy() == other

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = None  # type: ignore[assignment]  # as a dict has none


class CurrentStep:
    """Keeps a `StepContext` current for one framework and one recorder."""

    def __init__(
        self, locate: Locate, span_of: SpanOf, is_over: Callable[[], bool], between: tuple[str, ...] = ()
    ) -> None:
        """`is_over` says whether no step will come any more: what is attached then stands for nothing. `between` are
        the packages whose frames lie between a leaf's caller and `enter`, and the functions whose frames do
        (`package.module:function`), which return before the body runs."""
        self.locate, self.span_of, self.is_over, self._between = locate, span_of, is_over, (__package__, *between)

    def enter(self, step: Step, *, leaf: bool = False, base: Hashable = None, running: Locate | None = None) -> None:
        """Make sure that code inside `step`'s body sees its span. Call it in the context that the body inherits.

        `leaf` marks a step whose body the framework's variable does not tell from its caller's. `base` is the run that
        the caller is inside of, where `locate` already answers with `step`'s own. `running` names the leaf whose body
        runs, where several begin before any does.
        """
        outer = before = get_current()
        while type(outer) is StepContext and outer.is_idle:
            outer = outer.outer
        if type(outer) is StepContext and outer.span_of == self.span_of:
            if not leaf:
                return  # it already answers for every step of this framework
            run_id = self.locate()
            base, below, outer = outer.base, outer.leaf, outer.outer
            while below is not None and (below.over or (below.running is None and not below.live)):
                below = below.below
        else:
            run_id, below = self.locate(), None
            if base is None and run_id != step.run_id:
                base = run_id
        inner = _Leaf(step, run_id, below, self._caller(step), running) if leaf else None
        entered = StepContext(outer, base, self, inner)
        attach(entered)
        step.entry = (entered, before)

    def is_innermost(self, run_id: Hashable) -> bool:
        """Whether no other framework's step lies between the body of `run_id`, which the caller is in, and the caller.
        False where it takes a look at the current span to know."""
        current = get_current()
        return type(current) is StepContext and current.span_of == self.span_of and current.base != run_id

    def leave(self, step: Step, *, back: bool = True) -> None:
        """Put `back` what was current before `step`, where nothing else has been made current since.

        Where an end arrives in another context (a shielded task, another thread) there is nothing to put back: what
        stays attached there answers with the outer span.
        """
        if step.entry is not None:
            entered, before = step.entry
            step.entry = None
            entered.is_left = True
            if back and get_current() is entered:
                attach(before)

    def _caller(self, step: Step) -> int | None:
        if step.task is None:
            return None
        frame: FrameType | None = sys._getframe(2)
        while frame is not None and _place(frame).startswith(self._between):
            frame = frame.f_back
        return None if frame is None else id(frame)


def _place(frame: FrameType) -> str:
    return f"{frame.f_globals.get('__name__')}:{frame.f_code.co_name}"
