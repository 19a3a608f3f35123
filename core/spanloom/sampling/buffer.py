"""The traces that wait: undecided ones, and those that are not kept but may yet be; and how much that is."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Sequence

from ..ended import Ended
from ..scores import Score
from .size import about_bytes
from .view import TraceView, seconds_of

SCORE_BYTES = 500


class Trace:
    """What has ended of one trace. `lists` holds its spans, one list for each destination; all have its steps.

    `size` is how many objects it holds, `bytes` about how much. `root` is the longest of its spans at the top, `some`
    any of its spans. `never` marks one that a rule drops: no score changes that. `late` marks what came after the rest
    of the trace was gone. `ask` is off where a predicate itself began the trace: it is not asked again.
    """

    __slots__ = (
        "ask", "bytes", "count", "due", "error", "id", "late", "lists", "low", "never", "root", "scores", "since",
        "size", "slow", "some", "start_ns",
    )  # fmt: skip

    def __init__(self, trace_id: int, destinations: int, now: float, *, late: bool = False) -> None:
        self.id, self.since, self.due, self.late, self.ask = trace_id, now, 0.0, late, True
        self.lists: tuple[list[Ended], ...] = tuple([] for _ in range(destinations))
        self.scores: list[Score] = []
        self.error = self.slow = self.low = self.never = False
        self.root: Ended | None = None
        self.some: Ended | None = None
        self.size = 1
        self.bytes = self.count = self.start_ns = 0

    def top(self, ended: Ended) -> None:
        """A span at the top of this process has ended."""
        if self.root is None or seconds_of(ended) > seconds_of(self.root):
            self.root = ended

    @property
    def longest(self) -> list[Ended]:
        """The spans of the destination that takes most."""
        return self.lists[0] if len(self.lists) == 1 else max(self.lists, key=len, default=[])

    def view(self, *, complete: bool) -> TraceView:
        """For predicates."""
        return TraceView(
            self.id,
            self.root,
            self.longest,
            error=self.error,
            complete=complete,
            count=self.count,
            start_ns=self.start_ns,
            scores=self.scores,
        )


class Buffer:
    """`waiting` for their decision, the oldest first; and `held`, the first to go first."""

    def __init__(self) -> None:
        self.waiting: OrderedDict[int, Trace] = OrderedDict()
        self.held: OrderedDict[int, Trace] = OrderedDict()
        self._size = self._bytes = 0

    def get(self, trace_id: int) -> Trace | None:
        return self.waiting.get(trace_id) or self.held.get(trace_id)

    def oldest(self) -> Trace | None:
        return next(iter(self.waiting.values()), None)

    def first_held(self) -> Trace | None:
        return next(iter(self.held.values()), None)

    def beyond(self, most: int, most_bytes: int) -> bool:
        """Whether it holds more than that many objects, or bytes."""
        return self._size > most or self._bytes > most_bytes

    # ---------------------------------------------------------------- traces
    def opened(self, trace: Trace) -> Trace:
        """A new trace waits."""
        self.waiting[trace.id] = trace
        self._size += trace.size
        return trace

    def hold(self, trace: Trace, due: float) -> None:
        """Move a waiting trace, or a new one, to those that are not kept, until `due`."""
        if self.waiting.pop(trace.id, None) is None:
            self._size += trace.size
        trace.due = due
        self.held[trace.id] = trace

    def remove(self, trace: Trace) -> None:
        if self.waiting.pop(trace.id, None) is None:
            self.held.pop(trace.id, None)
        self._size -= trace.size
        self._bytes -= trace.bytes

    # ---------------------------------------------------------------- what belongs to them
    def add(self, trace: Trace, ended: Ended, wanted: Sequence[bool]) -> None:
        """Put a span to its trace, for the destinations that want it."""
        trace.count += 1
        if trace.some is None:
            trace.some = ended
        start = ended.span.start_time or time.time_ns()
        trace.start_ns = min(trace.start_ns or start, start)
        for spans, wants in zip(trace.lists, wanted, strict=True):
            if wants:
                spans.append(ended)
        if True in wanted:
            self._grown(trace, about_bytes(ended))

    def scored(self, trace: Trace, score: Score) -> None:
        """Put a score to its trace."""
        trace.scores.append(score)
        self._grown(trace, SCORE_BYTES)

    def _grown(self, trace: Trace, size: int) -> None:
        trace.bytes += size
        trace.size += 1
        self._bytes += size
        self._size += 1
