"""The tail sampler in front of the queues of one or several destinations: traces wait here for their decision."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

from opentelemetry.context import (
    _SUPPRESS_INSTRUMENTATION_KEY,  # the SDK's own exporters use it: there is no public name yet
    Context,
    attach,
    detach,
    set_value,
)

from ..ended import Ended
from ..guard import GUARD, log
from ..process import begin
from ..scores import Score
from .deciding import Deciding, Queue
from .failed import failed
from .policy import TailSampling

_SWEEP_SECONDS = 0.25
_GATHER_SECONDS = 0.05
_LONGEST_REST_SECONDS = 3_600.0  # a condition waits for no more than a few hundred years
_BATCH = 512
LEAST_INBOX_SPANS = 10_000
_LOCK_SECONDS = 1.0
_UNTRACED = set_value(_SUPPRESS_INSTRUMENTATION_KEY, True, Context())  # for what predicates call


class _Unasked(NamedTuple):
    """A span that ended while a predicate ran, in its thread."""

    ended: Ended


class _Scored(NamedTuple):
    """A score, and whether its trace was open."""

    score: Score
    is_open: bool


class Tail:
    """Decides traces by `policy`, once for all of `queues`, and hands on the spans of those that are kept.

    `put` and `put_score` only note what came, and never block: grouping, estimating and deciding are the work of a
    thread of its own, which starts with the first span and sleeps where nothing waits. Where spans come faster than
    that, beyond `max_spans` (or 10,000) that nobody has looked at, the newest are dropped and counted, errors and the
    ends of traces last. `is_open(trace_id)` tells whether a span of that trace is open in this process. A forked child
    starts empty.
    """

    def __init__(
        self,
        policy: TailSampling,
        queues: Sequence[Queue],
        is_open: Callable[[int], bool] = lambda _: False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.policy, self.queues, self._is_open, self._clock = policy, tuple(queues), is_open, clock
        self._most = max(policy.max_spans, LEAST_INBOX_SPANS)
        self.after_fork()

    def after_fork(self) -> None:
        """Begin, also anew in a forked child: what waits in the parent, the parent decides."""
        self._inbox: deque[Ended | _Unasked | _Scored] = deque()
        # Reentrant, all of them: the collector may end a stream, and so come here, in the middle of anything.
        self._lock, self._starting, self._wake = threading.RLock(), threading.RLock(), threading.Condition()
        self._awake = False
        self._thread: threading.Thread | None = None
        self._resting = self._stopped = self._over = False
        self._sweeper: int | None = None  # the thread that is at it
        self._deciding = Deciding(self.policy, self.queues, self._clock)
        self._lost = [0] * len(self.queues)

    # ---------------------------------------------------------------- the application's side
    def put(self, ended: Ended) -> None:
        """Take a span that has ended. Never blocks, never raises."""
        inbox = self._inbox
        if self._stopped:
            for queue in self.queues:
                queue.put(ended)
            return
        if len(inbox) >= self._most and not self._has_room_for(ended):
            self._lose(ended)
            return
        asking = self._deciding.asking
        inbox.append(ended if asking is None or asking != threading.get_ident() else _Unasked(ended))
        self._nudge()

    def put_score(self, score: Score) -> None:
        """Take a score: it goes where its trace goes. Never blocks, never raises."""
        if self._stopped or len(self._inbox) >= self._most:
            for queue in self.queues:
                queue.put_score(score)
        elif self.policy.low_score is not None or any(queue.export_scores is not None for queue in self.queues):
            self._inbox.append(_Scored(score, self._is_open(int(score.trace_id, 16))))
            self._nudge()

    def _has_room_for(self, ended: Ended) -> bool:
        """Where spans come faster than they are looked at: room for errors, and for what ends a trace."""
        return len(self._inbox) < 2 * self._most and (ended.closes or failed(ended))

    def _nudge(self) -> None:
        if self._resting or len(self._inbox) == _BATCH:
            self._resting = False
            self._rouse()
        if self._thread is None:
            self._start()

    def _rouse(self) -> None:
        with self._wake:
            self._awake = True
            self._wake.notify_all()

    def _lose(self, ended: Ended) -> None:
        with self._starting:
            first = not any(self._lost)
            for n, queue in enumerate(self.queues):
                self._lost[n] += queue.accepts(ended)
        if first:
            log.warning("spanloom: tail sampling cannot keep up: dropping spans, and counting them")

    def _start(self) -> None:
        with self._starting, GUARD.watching("spanloom.sampling.start"):
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="spanloom-sampling", daemon=True)
                try:
                    if not begin(self._thread):
                        self._thread = None
                except RuntimeError:  # no thread to be had: the next span tries again
                    self._thread = None
                    raise

    # ---------------------------------------------------------------- anybody's
    def flush(self, timeout: float) -> bool:
        """Decide what can be decided, and hand on what is kept; what is open, or held, stays. False where another
        thread was at it for all of `timeout` seconds."""
        with self._locked(timeout) as mine:
            if mine:
                self._sweep()
            return mine

    def stop(self, timeout: float) -> bool:
        """Decide everything by what is known of it, and end the thread. Predicates are asked until the time is up."""
        deadline = time.monotonic() + timeout
        with self._locked(timeout) as mine:
            self._stopped = True
            if mine:
                self._sweep(until=deadline)
        self._rouse()
        self._price(deadline)
        if mine and (worker := self._thread) is not None and worker is not threading.current_thread():
            worker.join(max(0.0, deadline - time.monotonic()))  # it may be at the last price
        return mine

    def counts(self) -> dict[str, dict[str, Any]]:
        """Each queue's counts with what never reached it: `sampled_out` (of traces that are not kept), `waiting` (for
        their decision), and, within `dropped`, what came faster than it could be looked at. At one moment."""
        with self._locked(_LOCK_SECONDS) as mine:
            if mine:
                self._sweep()
            found: dict[str, dict[str, Any]] = {}
            for n, queue in enumerate(self.queues):
                counts: dict[str, Any] = dict(queue.counts())
                lost = self._lost[n]
                own = {"sampled_out": self._deciding.out[n], "waiting": self._deciding.waiting[n]}
                counts["dropped"] += lost
                if lost:
                    counts["reasons"] = {**counts["reasons"], "sampling_full": lost}
                counts["offered"] += sum(own.values()) + lost
                found[queue.name] = counts | own
            return found

    def decisions(self) -> dict[str, Any]:
        """Traces since the start, by what became of them: `{"kept": {reason: traces}, "dropped"}`; of these, those that
        were decided before their root ended (`early`); and the spans that came after it (`late_spans`)."""
        made = self._deciding
        return {"kept": dict(made.kept), "dropped": made.dropped, "early": made.early, "late_spans": made.late}

    @contextmanager
    def _locked(self, timeout: float) -> Iterator[bool]:
        mine = self._lock.acquire(timeout=max(0.0, timeout))
        try:
            yield mine
        finally:
            if mine:
                self._lock.release()

    # ---------------------------------------------------------------- the worker's side
    def _run(self) -> None:
        attach(_UNTRACED)
        while not self._stopped:
            self._rest()
            with suppress(Exception), GUARD.watching("spanloom.sampling"), self._lock:
                self._sweep()
            self._price()
        with suppress(Exception), GUARD.watching("spanloom.sampling"), self._lock:
            if not self._over:  # whoever stopped it could not wait for this thread
                self._sweep(until=time.monotonic())

    def _rest(self) -> None:
        """Sleep until there is something to do: for good, where nothing waits."""
        if not self._inbox:
            due = self._until_due()
            self._resting = True  # from here on a span wakes this thread
            if not self._inbox:
                self._wait(due)
            self._resting = False
            if self._inbox:
                self._wait(_GATHER_SECONDS)  # what ends together is looked at together
        elif len(self._inbox) < _BATCH:
            self._wait(_SWEEP_SECONDS)

    def _wait(self, seconds: float | None) -> None:
        with self._wake:
            self._wake.wait_for(lambda: self._awake or self._stopped, seconds)
            self._awake = False

    def _until_due(self) -> float | None:
        with self._lock:
            due = self._deciding.due()
        return None if due is None else min(max(_GATHER_SECONDS, due - self._clock()), _LONGEST_REST_SECONDS)

    def _sweep(self, until: float | None = None) -> None:
        """Look at what came, and at what is due; decide everything, where there is an end. Under the lock.

        `until` is that end: when predicates are asked no more (monotonic).
        """
        if self._sweeper is not None:  # a predicate that asks for the counts
            return
        self._sweeper = threading.get_ident()
        token = attach(_UNTRACED)
        try:
            while self._inbox:
                for _ in range(len(self._inbox)):
                    item = self._inbox.popleft()
                    with GUARD.watching("spanloom.sampling.take"):
                        self._take(item)
                if until is None:  # what has come in meanwhile is for the next time: this one must end
                    break
            with GUARD.watching("spanloom.sampling.expire"):
                self._deciding.expire()
            if until is not None:
                self._deciding.decide_all(until)
                self._over = True
        finally:
            detach(token)
            self._sweeper = None

    def _take(self, item: Ended | _Unasked | _Scored) -> None:
        if isinstance(item, _Scored):
            if not self._over:
                self._deciding.take_score(item.score, item.is_open)
                return
            for queue in self.queues:
                queue.put_score(item.score)
            return
        ended = item.ended if isinstance(item, _Unasked) else item
        if not self._over:
            self._deciding.take(ended, ask=ended is item)
            return
        for queue in self.queues:  # it came in while everything was being decided
            queue.put(ended)

    def _price(self, deadline: float | None = None) -> None:
        """What is not kept has cost something all the same. Outside of the lock: it takes its time."""
        unpriced = self._deciding.unpriced
        with suppress(Exception), GUARD.watching("spanloom.sampling.price"):
            while unpriced and (deadline is None or time.monotonic() < deadline):
                with suppress(IndexError):
                    unpriced.popleft().settle()
