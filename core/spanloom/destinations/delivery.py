"""A bounded queue, a worker and a count of everything: what stands between the application and one receiver."""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections import Counter, deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

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
from .queue import Gone, WaitingSpans
from .receipt import Receipt
from .tally import Tally
from .waiting import Other, waiting

QUEUE_SPANS = 20_000
QUEUE_BYTES = 64 * 1024 * 1024
BATCH_SPANS = 512
DELAY_SECONDS = 1.0
_IDLE_SECONDS = 1.0
_PARKED_SECONDS = 0.05  # how often a stop asks whether there is still something to wait for
_INBOX = 64  # spans
_SCORES_AT_ONCE = 32  # each may be a request of its own: what cannot be delivered must not take its time for all

Export = Callable[[list[Ended]], int | Receipt]


class Delivery:
    """Hands batches of ended spans to `export` on a thread of its own. `put` never blocks and never raises.

    `export(batch)` returns how many spans it delivered, or a `Receipt` that will say; `export_scores` likewise, where
    the receiver takes scores: they wait in the same queue. The queue is bounded by `queue_spans` and by about
    `queue_bytes`; where it is full, spans are dropped by the rule of `WaitingSpans`, and counted. The thread starts
    with the first span, also anew in a forked child, which begins with an empty queue: what the parent had queued, the
    parent sends. A batch goes out after `delay_seconds` at most, which with `prompt` are counted from its first span.
    `tick` is called whenever the thread finds nothing to do, about once a second.

    `hurry(until)` is called when somebody waits for what is under way; an attempt must end by `until` where it is the
    caller's own thread that makes it. `about()` gives further entries of `counts()`. `parked(items)` says that so many
    are safe elsewhere, so that a stop need not wait for them.
    """

    def __init__(
        self,
        name: str,
        export: Export,
        *,
        queue_spans: int = QUEUE_SPANS,
        queue_bytes: int = QUEUE_BYTES,
        batch_spans: int = BATCH_SPANS,
        delay_seconds: float = DELAY_SECONDS,
        prompt: bool = False,
        tick: Callable[[], object] | None = None,
        accepts: Callable[[Ended], bool] | None = None,
        export_scores: Callable[[list[Score]], int | Receipt] | None = None,
        hurry: Callable[[float | None], object] | None = None,
        about: Callable[[], dict[str, Any]] | None = None,
        parked: Callable[[int], bool] | None = None,
        routed: bool = False,
    ) -> None:
        self.name, self.routed = name, routed
        self._export, self.export_scores, self._tick, self._accepts = export, export_scores, tick, accepts
        self._hurry, self._about, self._parked = hurry, about, parked
        self._most, self._most_bytes, self._batch = queue_spans, queue_bytes, batch_spans
        self._delay, self._prompt = delay_seconds, prompt
        self._begin()
        if hasattr(os, "register_at_fork"):
            again = weakref.WeakMethod(self._begin)
            os.register_at_fork(after_in_child=lambda: (begin := again()) and begin())

    def _begin(self) -> None:
        self._tally = Tally()
        # What came last. The worker puts it into the queue, a few at a time; who finds too much of it does so himself.
        self._inbox: deque[Any] = deque()
        self._inbox_most = min(_INBOX, self._most, self._batch)
        self._inbox_full = min(4 * _INBOX, self._most)
        self._full_told = False
        self._queue = WaitingSpans(self._most, self._most_bytes)
        self._condition = threading.Condition()
        self._thread: threading.Thread | None = None
        self._wanted = False
        self._stopped = False
        self._changing = False  # the queue, by the thread that holds the lock

    def counts(self) -> dict[str, Any]:
        """`{offered, queued, exported, dropped, failed, reasons}` of spans and scores, at one moment.

        Each one offered is exported, dropped, failed or still queued. `queued` includes the batch under way and what
        waits in a spool; `reasons` says why those dropped and failed are lost: `{reason: how many}`.
        """
        self._take_in()
        with self._condition:
            counts = self._tally.counts(self._queue.count)
        if self._about is not None:
            counts |= self._about()
        return counts

    # ---------------------------------------------------------------- the application's side
    def put(self, ended: Ended) -> None:
        """Queue a span, or drop and count it where the queue is full. What `accepts` refuses is not counted at all."""
        if self._accepts is None or self._accepts(ended):
            self._put(ended)

    def accepts(self, ended: Ended) -> bool:
        """Whether this destination takes the span."""
        return self._accepts is None or self._accepts(ended)

    def put_score(self, score: Score) -> None:
        """Queue a score; nothing where the receiver takes none, or its trace goes another way."""
        if self.export_scores is not None and (not self.routed or self.name in score.route):
            self._put(score)

    def _put(self, new: Any) -> None:
        inbox = self._inbox
        inbox.append(new)
        came = len(inbox)
        if came >= self._inbox_full or self._thread is None:
            self._take_in()
        elif came >= self._inbox_most or (self._prompt and came == 1):
            with self._condition:
                self._condition.notify_all()  # the worker takes them in

    def _take_in(self) -> None:
        """Put into the queue what came since the last time, in the order in which it came."""
        with self._condition:
            self._queue_up()
        self._say_full()

    def _queue_up(self) -> None:
        """As `_take_in`, under the lock.

        Whoever interrupts the thread that does it (a signal's handler, a finalizer) leaves it to go on.
        """
        inbox, queue, tally = self._inbox, self._queue, self._tally
        before = queue.count
        if not inbox or self._changing:
            return
        self._changing = True
        try:
            while inbox:
                new = waiting(inbox.popleft())
                if self._stopped:
                    tally.refused("stopped")
                    continue
                tally.came()
                if gone := queue.add(new, tally.round):
                    tally.drop(gone, "queue_full")
        finally:
            self._changing = False
        if self._stopped:
            return
        if self._thread is None:
            self._start()
        elif queue.count >= self._batch > before or (self._prompt and not before):
            self._condition.notify_all()

    def _take(self, most: int) -> Gone:
        """Out of the queue, under the lock."""
        if self._changing:
            return []
        self._changing = True
        try:
            batch = self._queue.take(most)
        finally:
            self._changing = False
        self._tally.under_way += len(batch)
        return batch

    def _say_full(self) -> None:
        if self._tally.dropped["queue_full"] and not self._full_told:
            self._full_told = True
            log.warning(
                "spanloom: the queue of %s is full (%d spans, about %d MB): dropping, and counting",
                self.name,
                self._most,
                self._most_bytes // 1_000_000,
            )

    def wake(self) -> None:
        """Begin to send what is queued, without waiting for a full batch."""
        self._take_in()
        with self._condition:
            self._wanted = self._queue.count > 0
            if self._wanted and self._thread is None:
                self._start()
            self._condition.notify_all()
        if self._hurry is not None:
            self._hurry(None)

    def flush(self, timeout: float) -> bool:
        """Send what is queued now. True where all that came since the last flush was delivered by the time it returns.

        What was lost in between counts too, so that the answer does not depend on when the worker tried.
        """
        return self._flush(timeout, stopping=False)

    def _flush(self, timeout: float, *, stopping: bool) -> bool:
        deadline = time.monotonic() + timeout
        self.wake()
        with self._condition:
            if self._changing:  # by this very thread, which cannot wait for what it interrupts
                return False
        if self._thread is None and self._queue.count:
            self._work_here(deadline)
        with self._condition:
            mine = self._tally.end_round()
            while self._tally.is_open(mine):
                left = deadline - time.monotonic()
                if left <= 0 or (self._stopped and not self._tally.under_way):
                    return False
                if stopping and self._parked is not None:
                    if not self._queue.count and self._parked(self._tally.under_way):
                        return False
                    left = min(left, _PARKED_SECONDS)
                self._condition.wait(left)
            return self._tally.lost_none()

    def stop(self, timeout: float) -> bool:
        """Send what is queued and end the thread; what is not sent within `timeout` seconds is dropped and counted.

        A batch under way counts as queued until its receiver answers or the attempt ends. What is in a spool stays
        there, counts as queued too, and is not waited for where its receiver is away.
        """
        done = self._flush(timeout, stopping=True)
        self._take_in()
        with self._condition:
            self._stopped = True
            if not self._changing:
                self._tally.drop(self._queue.clear(), "shutdown")
            self._condition.notify_all()
        return done

    # ---------------------------------------------------------------- the worker's side
    def _start(self) -> None:
        thread = threading.Thread(target=self._run, name=f"spanloom-{self.name}", daemon=True)
        with GUARD.watching("spanloom.destinations.start"):  # no thread to be had: the next span tries again
            if begin(thread):
                self._thread = thread

    def _run(self) -> None:
        # The exporters' own HTTP calls must not be traced, whatever is instrumented.
        attach(set_value(_SUPPRESS_INSTRUMENTATION_KEY, True, Context()))
        while (batch := self._next()) is not None:
            if batch:
                self._work(batch)
            else:
                self._idle()
            self._say_full()

    def _work_here(self, deadline: float) -> None:
        """Send what is queued on the caller's own thread: from Python 3.12 on, none can be started at the very end."""
        if self._hurry is not None:
            self._hurry(deadline)
        before = attach(set_value(_SUPPRESS_INSTRUMENTATION_KEY, True))
        while self._queue.count and time.monotonic() < deadline:
            with self._condition:
                batch = self._take(self._batch)
            self._work(batch)
        detach(before)

    def _work(self, batch: Gone) -> None:
        spans = [(one, round) for one, round in batch if not isinstance(one, Other) or not one.is_score]
        scores: Gone = [(one, round) for one, round in batch if isinstance(one, Other) and one.is_score]
        with suppress(Exception), GUARD.watching("spanloom.destinations.settle"):
            for one, _ in spans:
                if isinstance(one, Ended):
                    one.settle()
        if spans:
            self._hand_on(spans, self._export, f"spanloom.destinations.{self.name}")
        if self.export_scores is not None:
            for n in range(0, len(scores), _SCORES_AT_ONCE):
                some = scores[n : n + _SCORES_AT_ONCE]
                self._hand_on(some, self.export_scores, f"spanloom.destinations.{self.name}.scores")

    def _hand_on(self, batch: Gone, export: Callable[[list[Any]], int | Receipt], where: str) -> None:
        receipt, reason = Receipt(len(batch)), "error"
        try:
            with suppress(Exception), GUARD.watching(where):
                given = export([one.item if isinstance(one, Other) else one for one, _ in batch])
                reason = "not_taken"
                if isinstance(given, Receipt):
                    receipt, reason = given, ""
                else:
                    receipt.took(given)
        finally:
            if reason:
                receipt.lost_rest(reason)
            self._settle_later(batch, receipt)

    def _settle_later(self, batch: Gone, receipt: Receipt) -> None:
        rounds = Counter(round for _, round in batch)
        left = len(batch)

        def settle(exported: int, failed: Counter[str]) -> None:
            nonlocal left
            with self._condition:
                left -= exported + failed.total()
                self._tally.heard(exported, failed)
                if left <= 0:
                    self._tally.close(rounds)
                self._condition.notify_all()

        receipt.tell(settle)

    def _idle(self) -> None:
        # Not under the queue's lock: a tick may end steps, and so come back here with another thread's lock in hand.
        if self._tick is not None:
            with suppress(Exception), GUARD.watching("spanloom.destinations.tick"):
                self._tick()

    def _next(self) -> Gone | None:
        """The next batch, when it is full, asked for, or the delay is over; an empty one when idle; None at the end."""
        with self._condition:
            if self._prompt and not self._wait(_IDLE_SECONDS, 1):
                return None if self._stopped else []
            self._wait(self._delay, self._batch)
            batch = self._take(self._batch)
            if not self._queue.count:
                self._wanted = False
            return None if self._stopped and not batch else batch

    def _wait(self, seconds: float, spans: int) -> bool:
        """Until so many spans are there, or are asked for, or the time is over; whether there is any."""
        deadline = time.monotonic() + seconds
        self._queue_up()
        while not self._stopped and not self._wanted and self._queue.count < spans:
            left = deadline - time.monotonic()
            if left <= 0:
                break
            self._condition.wait(left)
            self._queue_up()
        return self._queue.count > 0
