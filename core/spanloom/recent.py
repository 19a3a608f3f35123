"""What is remembered of traces after their end: the last one of each context, and which ones are not sampled."""

from __future__ import annotations

from collections import OrderedDict
from contextvars import ContextVar

from opentelemetry.trace import format_trace_id

from .step import Step

_REMEMBERED = 10_000

_last_here: ContextVar[str | None] = ContextVar("spanloom_last_trace", default=None)


class Recent:
    """The traces that one recorder lately saw. Bounded; safe between threads, since each act is one of a dict's own."""

    def __init__(self) -> None:
        self._unsampled: OrderedDict[int, None] = OrderedDict()
        self._begun = 0
        self._alone: dict[int, int] = {}
        self._last_alone: str | None = None

    def opened(self, step: Step, *, alone: bool) -> None:
        """A root begins; `alone` where nothing else is open."""
        self._begun += 1
        if alone:
            self._alone = {step.span_id: self._begun}
        if not step.span.get_span_context().trace_flags.sampled:
            self._unsampled[step.trace_id] = None
            if len(self._unsampled) > _REMEMBERED:
                self._unsampled.popitem(last=False)

    def closed(self, step: Step) -> None:
        """A root ends, in the context of whoever ran it."""
        trace_id = format_trace_id(step.trace_id)
        _last_here.set(trace_id)
        self._last_alone = trace_id if self._alone.get(step.span_id) == self._begun else None

    def last(self) -> str | None:
        """The trace id of the last root that ended in this context (the caller's task or thread).

        Where none did (the run was begun in a task or thread of its own), the last one that ended anywhere, unless
        others ran at the same time: then None, rather than somebody else's trace.
        """
        return _last_here.get() or self._last_alone

    def is_sampled(self, trace_id: int) -> bool:
        """False for a trace that this process began and does not keep."""
        return trace_id not in self._unsampled
