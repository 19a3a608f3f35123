"""What is remembered of traces after their end: the last one of each context, and which ones are not sampled."""

from __future__ import annotations

from collections import OrderedDict
from contextvars import ContextVar
from dataclasses import dataclass

from opentelemetry.trace import TraceFlags, format_trace_id

from .step import Step

_REMEMBERED = 10_000


@dataclass(slots=True)
class _Request:
    """A root. `before` is the last one that had ended in the same context when this one began."""

    trace_id: str
    before: str | None
    alone: bool
    ended: bool = False


_here: ContextVar[_Request | None] = ContextVar("spanloom_request", default=None)


def _last(request: _Request | None) -> str | None:
    if request is None:
        return None
    return request.trace_id if request.ended else request.before


class Recent:
    """The traces that one recorder lately saw. Bounded; safe between threads, since each act is one of a dict's own."""

    def __init__(self) -> None:
        self._unsampled: OrderedDict[int, None] = OrderedDict()
        self._latest: _Request | None = None
        self._last_alone: str | None = None

    def opened(self, step: Step, *, alone: bool) -> None:
        """A root begins, in the context of whoever runs it; `alone` where nothing else is open.

        Noted here and not at its end: LangChain reports the end of an awaited run from a task of its own.
        """
        if self._latest is not None and not self._latest.ended:
            self._latest.alone = False
        self._latest = step.request = _Request(format_trace_id(step.trace_id), _last(_here.get()), alone)
        _here.set(step.request)
        if not step.trace_flags & TraceFlags.SAMPLED:
            self._unsampled[step.trace_id] = None
            if len(self._unsampled) > _REMEMBERED:
                self._unsampled.popitem(last=False)

    def closed(self, step: Step) -> None:
        """A step has ended."""
        if (request := step.request) is not None:
            request.ended = True
            self._last_alone = request.trace_id if request.alone else None

    def last(self) -> str | None:
        """The trace id of the last root that ended in this context (the caller's task or thread).

        Where none did (the run was begun in a task or thread of its own), the last one that ended anywhere, unless
        others ran at the same time: then None, rather than somebody else's trace.
        """
        return _last(_here.get()) or self._last_alone

    def is_sampled(self, trace_id: int) -> bool:
        """False for a trace that this process began and does not keep."""
        return trace_id not in self._unsampled
