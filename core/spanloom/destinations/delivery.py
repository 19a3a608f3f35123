"""A bounded queue, a worker and a count of everything: what stands between the application and one receiver."""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from opentelemetry.context import (
    _SUPPRESS_INSTRUMENTATION_KEY,  # the SDK's own exporters use it: there is no public name yet
    Context,
    attach,
    set_value,
)

from ..guard import GUARD, log
from ..scores import Score
from ..weave import Ended

QUEUE_SPANS = 20_000
BATCH_SPANS = 512
DELAY_SECONDS = 1.0
_SCORES_AT_ONCE = 32  # each may be a request of its own: spans must not wait for long


@dataclass(slots=True)
class Counts:
    """Spans and scores since the start: each one offered is exported, dropped, failed, or still queued."""

    offered: int = 0
    exported: int = 0
    dropped: int = 0
    failed: int = 0


class Delivery:
    """Hands batches of ended spans to `export` on a thread of its own. `put` never blocks and never raises.

    `export(batch)` returns how many spans it delivered; `export_scores` likewise, where the receiver takes scores: they
    wait in the same queue. A full queue drops the newest span and counts it. The thread
    starts with the first span, also anew in a forked child, which begins with an empty queue: what the parent had
    queued, the parent sends. `tick` is called whenever the thread finds nothing to do, about every `delay_seconds`.
    """

    def __init__(
        self,
        name: str,
        export: Callable[[list[Ended]], int],
        *,
        queue_spans: int = QUEUE_SPANS,
        batch_spans: int = BATCH_SPANS,
        delay_seconds: float = DELAY_SECONDS,
        tick: Callable[[], object] | None = None,
        accepts: Callable[[Ended], bool] | None = None,
        export_scores: Callable[[list[Score]], int] | None = None,
        routed: bool = False,
    ) -> None:
        self.name, self.routed = name, routed
        self._export, self.export_scores, self._tick, self._accepts = export, export_scores, tick, accepts
        self._most, self._batch, self._delay = queue_spans, batch_spans, delay_seconds
        self._begin()
        if hasattr(os, "register_at_fork"):
            again = weakref.WeakMethod(self._begin)
            os.register_at_fork(after_in_child=lambda: (begin := again()) and begin())

    def _begin(self) -> None:
        self._counts = Counts()
        self._queue: deque[Ended | Score] = deque()
        self._condition = threading.Condition()
        self._thread: threading.Thread | None = None
        self._busy = 0
        self._lost_told = 0  # how many losses a flush has answered for
        self._wanted = False
        self._stopped = False

    def counts(self) -> dict[str, int]:
        """`{offered, queued, exported, dropped, failed}` at one moment; `queued` includes the batch under way."""
        with self._condition:
            c = self._counts
            return {
                "offered": c.offered,
                "queued": len(self._queue) + self._busy,
                "exported": c.exported,
                "dropped": c.dropped,
                "failed": c.failed,
            }

    # ---------------------------------------------------------------- the application's side
    def put(self, ended: Ended) -> None:
        """Queue a span, or drop and count it where the queue is full. What `accepts` refuses is not counted at all."""
        if self.accepts(ended):
            self._put(ended)

    def accepts(self, ended: Ended) -> bool:
        """Whether this destination takes the span."""
        return self._accepts is None or self._accepts(ended)

    def put_score(self, score: Score) -> None:
        """Queue a score; nothing where the receiver takes none, or its trace goes another way."""
        if self.export_scores is not None and (not self.routed or self.name in score.route):
            self._put(score)

    def _put(self, item: Ended | Score) -> None:
        with self._condition:
            self._counts.offered += 1
            full = len(self._queue) >= self._most
            if full or self._stopped:
                self._counts.dropped += 1
            else:
                self._queue.append(item)
                if self._thread is None:
                    self._start()
                elif len(self._queue) == self._batch:
                    self._condition.notify_all()
            first = full and self._counts.dropped == 1
        if first:
            log.warning("spanloom: the queue of %s is full (%d spans): dropping, and counting", self.name, self._most)

    def wake(self) -> None:
        """Begin to send what is queued, without waiting for a full batch."""
        with self._condition:
            self._wanted = bool(self._queue)
            self._condition.notify_all()

    def flush(self, timeout: float) -> bool:
        """Send what is queued now. True where all that came since the last flush was delivered by the time it returns.

        What was lost in between counts too, so that the answer does not depend on when the worker tried.
        """
        deadline = time.monotonic() + timeout
        self.wake()
        with self._condition:
            counts = self._counts
            wanted = counts.offered - counts.dropped  # spans are sent in the order they came
            while counts.exported + counts.failed < wanted:
                left = deadline - time.monotonic()
                if left <= 0 or (self._stopped and not self._busy):
                    return False
                self._condition.wait(left)
            lost = counts.failed + counts.dropped
            told, self._lost_told = self._lost_told, lost
            return lost == told

    def stop(self, timeout: float) -> bool:
        """Send what is queued and end the thread; what is not sent within `timeout` seconds is dropped and counted.

        A batch under way counts as queued until its receiver answers or the attempt ends.
        """
        done = self.flush(timeout)
        with self._condition:
            self._stopped = True
            self._counts.dropped += len(self._queue)
            self._queue.clear()
            self._condition.notify_all()
        return done

    # ---------------------------------------------------------------- the worker's side
    def _start(self) -> None:
        thread = threading.Thread(target=self._run, name=f"spanloom-{self.name}", daemon=True)
        with GUARD.watching("spanloom.destinations.start"):  # no thread to be had: the next span tries again
            thread.start()
            self._thread = thread

    def _run(self) -> None:
        # The exporters' own HTTP calls must not be traced, whatever is instrumented.
        attach(set_value(_SUPPRESS_INSTRUMENTATION_KEY, True, Context()))
        while (batch := self._next()) is not None:
            if not batch:
                self._idle()
                continue
            spans = [item for item in batch if not isinstance(item, Score)]
            scores = [item for item in batch if isinstance(item, Score)]
            sent = 0
            with suppress(Exception), GUARD.watching("spanloom.destinations.settle"):
                for item in spans:
                    if isinstance(item, Ended):
                        item.settle()
            try:
                if spans:
                    with suppress(Exception), GUARD.watching(f"spanloom.destinations.{self.name}"):
                        sent += self._export(spans)
                if scores and self.export_scores is not None:
                    with suppress(Exception), GUARD.watching(f"spanloom.destinations.{self.name}.scores"):
                        sent += self.export_scores(scores)
            finally:
                with self._condition:
                    self._busy = 0
                    self._counts.exported += sent
                    self._counts.failed += len(batch) - sent
                    self._condition.notify_all()

    def _idle(self) -> None:
        # Not under the queue's lock: a tick may end steps, and so come back here with another thread's lock in hand.
        if self._tick is not None:
            with suppress(Exception), GUARD.watching("spanloom.destinations.tick"):
                self._tick()

    def _next(self) -> list[Ended | Score] | None:
        """The next batch, when it is full, asked for, or the delay is over; an empty one when idle; None at the end."""
        with self._condition:
            deadline = time.monotonic() + self._delay
            while not self._stopped and not self._wanted and len(self._queue) < self._batch:
                left = deadline - time.monotonic()
                if left <= 0:
                    break
                self._condition.wait(left)
            batch: list[Ended | Score] = []
            scores = 0
            while self._queue and len(batch) < self._batch and scores < _SCORES_AT_ONCE:
                batch.append(item := self._queue.popleft())
                scores += isinstance(item, Score)
            self._busy = len(batch)
            if not self._queue:
                self._wanted = False
            return None if self._stopped and not batch else batch
