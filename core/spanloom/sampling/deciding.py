"""Decides traces, once for all destinations of one policy, and hands on what is kept."""

from __future__ import annotations

import threading
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from ..dialects.sampling import Kept, Reason
from ..ended import Ended
from ..scores import Score
from ..step import Kind
from ..weave import is_top
from .buffer import Buffer, Trace
from .policy import TailSampling
from .rules import Rules

MOST_DECISIONS = 50_000
_MOST_NOTES = 1_000
_PRICED = frozenset({Kind.LLM, Kind.EMBEDDING})
_marking = threading.Lock()  # between the workers of two policies; no application's thread takes it


class Queue(Protocol):
    """What sampling needs of a destination's queue."""

    name: str
    export_scores: Any

    def accepts(self, ended: Ended) -> bool: ...
    def put(self, ended: Ended) -> None: ...
    def put_score(self, score: Score) -> None: ...
    def counts(self) -> dict[str, int]: ...


class Deciding:
    """The traces that wait, and what became of those that were decided lately. One thread at a time.

    `waiting` and `out` count spans and scores, one number for each queue; `unpriced` takes the model calls of traces
    that are not kept.
    """

    def __init__(self, policy: TailSampling, queues: Sequence[Queue], clock: Callable[[], float]) -> None:
        self.policy, self._queues, self._clock = policy, tuple(queues), clock
        self._rules, self._buffer = Rules(policy), Buffer()
        self._most_bytes = int(policy.max_megabytes * 1_000_000)
        self._decided: OrderedDict[int, Mapping[str, Kept] | None] = OrderedDict()  # None: not kept
        self._notes: dict[Kept, Mapping[str, Kept]] = {}
        self.waiting, self.out = [0] * len(self._queues), [0] * len(self._queues)
        self.unpriced: deque[Ended] = deque()
        self.kept: Counter[str] = Counter()
        self.dropped = self.early = self.late = 0

    # ---------------------------------------------------------------- what comes
    @property
    def asking(self) -> int | None:
        """The thread in which a predicate runs."""
        return self._rules.asking

    def take(self, ended: Ended, *, ask: bool = True) -> None:
        """A span has ended: it joins its trace, and may decide it. `ask=False`: a predicate is what ended it."""
        assert ended.span.context is not None
        trace_id = ended.span.context.trace_id
        wanted = [queue.accepts(ended) for queue in self._queues]
        error, slow = self._rules.is_error(ended), self._rules.learn(ended)
        trace = self._buffer.waiting.get(trace_id)
        if trace is None:
            if trace_id in self._decided:
                self._follow(trace_id, ended, wanted, error=error)
                return
            trace = self._buffer.opened(Trace(trace_id, len(self._queues), self._clock()))
            trace.ask = ask
        self._add(trace, ended, wanted)
        trace.error |= error
        trace.slow |= slow
        if ended.closes or is_top(ended.lineage):
            trace.top(ended)
        if ended.closes:
            self._decide(trace, complete=True)
        self._relieve()

    def take_score(self, score: Score, is_open: bool) -> None:
        """A score goes where its trace goes; a low one decides it. `is_open` says that the trace had not ended."""
        trace_id, low = int(score.trace_id, 16), self._rules.is_low(score)
        trace = self._buffer.get(trace_id)
        if trace is None and trace_id not in self._decided and is_open:
            trace = self._buffer.opened(Trace(trace_id, len(self._queues), self._clock()))
        if trace is not None:
            self._buffer.scored(trace, score)
            self._count(self.waiting, self._takes_scores())
            trace.low |= low
            if low and trace_id in self._buffer.held and not trace.never:
                self._keep(trace, Reason.LOW_SCORE)
            self._relieve()
        elif self._decided.get(trace_id, ()) is None:  # its spans are gone
            self._count(self.out, self._takes_scores())
        else:  # kept; or nothing is known of it here, and another process may have kept it
            for queue in self._queues:
                queue.put_score(score)

    def expire(self) -> None:
        """Let go of what was held for long enough, and decide what has waited for too long."""
        now = self._clock()
        while (trace := self._buffer.first_held()) is not None and trace.due <= now:
            self._drop(trace)
        while (trace := self._buffer.oldest()) is not None and trace.since + self.policy.max_seconds <= now:
            self.early += 1
            self._decide(trace, complete=False)

    def decide_all(self, deadline: float) -> None:
        """At the end: decide everything by what is known of it. Predicates are asked until `deadline` (monotonic)."""
        while (trace := self._buffer.oldest()) is not None:
            self._decide(trace, complete=False, hold=False, ask=time.monotonic() < deadline)
        while (trace := self._buffer.first_held()) is not None:
            self._drop(trace)

    def due(self) -> float | None:
        """When `expire` next has something to do, by the clock; None where nothing waits."""
        held, oldest = self._buffer.first_held(), self._buffer.oldest()
        dues = [held.due] if held is not None else []
        dues += [oldest.since + self.policy.max_seconds] if oldest is not None else []
        return min(dues, default=None)

    # ---------------------------------------------------------------- what becomes of it
    def _follow(self, trace_id: int, ended: Ended, wanted: Sequence[bool], *, error: bool) -> None:
        """A late span of a decided trace. An error keeps it, and whatever is still there of the trace."""
        self.late += 1
        note = self._decided[trace_id]
        self._decided.move_to_end(trace_id)
        if note is not None:
            _mark(ended, note)
            for queue, wants in zip(self._queues, wanted, strict=True):
                if wants:
                    queue.put(ended)
            return
        trace = self._buffer.held.get(trace_id)
        if trace is None:
            trace = Trace(trace_id, len(self._queues), self._clock(), late=True)
            self._buffer.hold(trace, self._clock() + self.policy.hold_seconds)
        self._add(trace, ended, wanted)
        if error:
            self._keep(trace, Reason.ERROR)
        elif not self.policy.holds:
            self._drop(trace)
        self._relieve()

    def _relieve(self) -> None:
        """Under pressure: first what is to be dropped anyway, then the oldest traces are decided."""
        while self._buffer.beyond(self.policy.max_spans, self._most_bytes):
            if (trace := self._buffer.first_held()) is not None:
                self._drop(trace)
            elif (trace := self._buffer.oldest()) is not None:
                self.early += 1
                self._decide(trace, complete=False, hold=False)
            else:
                break

    def _decide(self, trace: Trace, *, complete: bool, hold: bool = True, ask: bool = True) -> None:
        reason = self._rules.reason(trace, complete=complete, ask=ask)
        if reason is not None:
            self._keep(trace, reason)
            return
        self._remember(trace.id, None)
        if hold and self.policy.holds:
            self._buffer.hold(trace, self._clock() + self.policy.hold_seconds)
        else:
            self._drop(trace)

    def _keep(self, trace: Trace, reason: Reason) -> None:
        note = self._note(self._rules.kept(trace, reason))
        self._remember(trace.id, note)
        self._buffer.remove(trace)
        self.kept[reason.value] += 1
        for n, (queue, spans) in enumerate(zip(self._queues, trace.lists, strict=True)):
            for ended in spans:
                _mark(ended, note)
                self.waiting[n] -= 1
                queue.put(ended)
            for score in trace.scores if queue.export_scores is not None else ():
                self.waiting[n] -= 1
                queue.put_score(score)

    def _drop(self, trace: Trace) -> None:
        self._buffer.remove(trace)
        self.dropped += not trace.late
        takes = self._takes_scores()
        for n, spans in enumerate(trace.lists):
            gone = len(spans) + len(trace.scores) * takes[n]
            self.waiting[n] -= gone
            self.out[n] += gone
        self.unpriced.extend(e for e in trace.longest if e.step is not None and e.step.kind in _PRICED)

    # ---------------------------------------------------------------- books
    def _add(self, trace: Trace, ended: Ended, wanted: Sequence[bool]) -> None:
        self._buffer.add(trace, ended, wanted)
        self._count(self.waiting, wanted)

    def _count(self, counts: list[int], wanted: Sequence[bool]) -> None:
        for n, wants in enumerate(wanted):
            counts[n] += wants

    def _takes_scores(self) -> list[bool]:
        return [queue.export_scores is not None for queue in self._queues]

    def _remember(self, trace_id: int, note: Mapping[str, Kept] | None) -> None:
        self._decided[trace_id] = note
        self._decided.move_to_end(trace_id)
        if len(self._decided) > MOST_DECISIONS:
            self._decided.popitem(last=False)

    def _note(self, kept: Kept) -> Mapping[str, Kept]:
        """`kept` by the queues' names: one object for all traces that were kept alike."""
        note = self._notes.get(kept)
        if note is None:
            if len(self._notes) >= _MOST_NOTES:
                self._notes.clear()
            note = self._notes[kept] = dict.fromkeys((queue.name for queue in self._queues), kept)
        return note


def _mark(ended: Ended, note: Mapping[str, Kept]) -> None:
    if ended.kept is not note:
        with _marking:
            ended.kept = note if ended.kept is None else {**ended.kept, **note}
