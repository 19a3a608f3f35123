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
from opentelemetry.trace import StatusCode

from ..ended import Ended
from ..guard import GUARD, log
from ..scores import Score
from .queue import Gone, Waiting, WaitingSpans
from .receipt import Receipt
from .weight import SPAN_BYTES, weight_of

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
        self._offered = self._exported = 0
        self._dropped, self._failed = Counter[str](), Counter[str]()
        # What came last. The worker puts it into the queue, a few at a time; who finds too much of it does so himself.
        self._inbox: deque[Any] = deque()
        self._inbox_most = min(_INBOX, self._most, self._batch)
        self._inbox_full = min(4 * _INBOX, self._most)
        self._full_told = False
        self._queue = WaitingSpans(self._most, self._most_bytes)
        self._condition = threading.Condition()
        self._thread: threading.Thread | None = None
        self._under_way = 0
        self._round = 0  # each flush ends one
        self._open = Counter[int]()  # how many of each round are neither delivered nor lost
        self._lost_told = 0  # how many losses a flush has answered for
        self._wanted = False
        self._stopped = False

    def counts(self) -> dict[str, Any]:
        """`{offered, queued, exported, dropped, failed, reasons}` of spans and scores, at one moment.

        Each one offered is exported, dropped, failed or still queued. `queued` includes the batch under way and what
        waits in a spool; `reasons` says why those dropped and failed are lost: `{reason: how many}`.
        """
        self._take_in()
        with self._condition:
            counts = {
                "offered": self._offered,
                "queued": self._queue.count + self._under_way,
                "exported": self._exported,
                "dropped": self._dropped.total(),
                "failed": self._failed.total(),
                "reasons": dict(self._dropped + self._failed),
            }
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
        """As `_take_in`, under the lock."""
        inbox, queue, round = self._inbox, self._queue, self._round
        before, came = queue.count, 0
        while inbox:
            new = _known(inbox.popleft())
            came += 1
            if self._stopped:
                self._dropped["stopped"] += 1
                continue
            self._open[round] += 1
            if gone := queue.add(new, round):
                self._drop(gone, "queue_full")
        self._offered += came
        if self._stopped or not came:
            return
        if self._thread is None:
            self._start()
        elif queue.count >= self._batch > before or (self._prompt and not before):
            self._condition.notify_all()

    def _say_full(self) -> None:
        if self._dropped["queue_full"] and not self._full_told:
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
        if self._thread is None and self._queue.count:
            self._work_here(deadline)
        with self._condition:
            mine = self._round
            self._round += 1
            while any(round <= mine for round in self._open):
                left = deadline - time.monotonic()
                if left <= 0 or (self._stopped and not self._under_way):
                    return False
                if stopping and self._parked is not None:
                    if not self._queue.count and self._parked(self._under_way):
                        return False
                    left = min(left, _PARKED_SECONDS)
                self._condition.wait(left)
            lost = self._failed.total() + self._dropped.total()
            told, self._lost_told = self._lost_told, lost
            return lost == told

    def stop(self, timeout: float) -> bool:
        """Send what is queued and end the thread; what is not sent within `timeout` seconds is dropped and counted.

        A batch under way counts as queued until its receiver answers or the attempt ends. What is in a spool stays
        there, counts as queued too, and is not waited for where its receiver is away.
        """
        done = self._flush(timeout, stopping=True)
        self._take_in()
        with self._condition:
            self._stopped = True
            self._drop(self._queue.clear(), "shutdown")
            self._condition.notify_all()
        return done

    def _drop(self, gone: Gone, reason: str) -> None:
        self._dropped[reason] += len(gone)
        self._close_rounds(Counter(round for _, round in gone))

    def _close_rounds(self, rounds: Counter[int]) -> None:
        self._open.subtract(rounds)
        for round in rounds:
            if self._open[round] <= 0:
                del self._open[round]

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
                batch = self._queue.take(self._batch)
                self._under_way += len(batch)
            self._work(batch)
        detach(before)

    def _work(self, batch: Gone) -> None:
        spans = [(one, round) for one, round in batch if not isinstance(one, _Other) or not one.is_score]
        scores: Gone = [(one, round) for one, round in batch if isinstance(one, _Other) and one.is_score]
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
                given = export([one.item if isinstance(one, _Other) else one for one, _ in batch])
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
                lost = failed.total()
                left -= exported + lost
                self._under_way -= exported + lost
                self._exported += exported
                self._failed += failed
                if left <= 0:
                    self._close_rounds(rounds)
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
            batch = self._queue.take(self._batch)
            self._under_way += len(batch)
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


class _Other:
    """What is no span: a score, which waits in the same queue, with its trace."""

    __slots__ = ("error", "is_score", "item", "trace", "weight")

    def __init__(self, item: Any) -> None:
        self.item, self.is_score = item, isinstance(item, Score)
        self.trace = int(item.trace_id, 16) if self.is_score else -id(self)
        self.weight, self.error = SPAN_BYTES, False


def _known(item: Any) -> Waiting:
    """The item as the queue sees it; a span is looked at once for all destinations."""
    if type(item) is not Ended:
        return _Other(item)
    if not item.weight:
        if not item.trace:
            span = item.span
            ids, status = getattr(span, "context", None), getattr(span, "status", None)
            item.trace = ids.trace_id if ids is not None else -id(item)
            item.error = status is not None and status.status_code is StatusCode.ERROR
        item.weight = weight_of(item)
    return item
