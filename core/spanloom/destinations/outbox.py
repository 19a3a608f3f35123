"""Batches on their way through a spool: on the disk before they are sent, and off it when the receiver has them."""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections.abc import Mapping, Sequence
from contextlib import suppress

from opentelemetry.context import (
    _SUPPRESS_INSTRUMENTATION_KEY,  # the SDK's own exporters use it: there is no public name yet
    Context,
    attach,
    set_value,
)

from ..guard import GUARD
from ..process import begin
from ..spool import SpoolError
from .line import Line, Pause
from .pending import Pending, PendingBatches
from .receipt import Receipt
from .spooled import SpooledBatches, SpoolSettings
from .voice import Voice
from .wire import Answer, Verdict
from .wire.encoding import LEAST_BYTES, Batch, halves, in_pieces

STUMBLE_SECONDS = 2.0  # that a batch is put off which the receiver stumbled over, doubled each time
_MOST_STUMBLE_SECONDS = 300.0
_LOOK_SECONDS = 5.0  # how often to look for what dead processes left
_CLOSE_SECONDS = 0.5  # that a shutdown waits for the thread to close its file; it ends without too


class Outbox:
    """Takes batches from the worker at the speed of the disk, and sends them on a thread of its own, oldest first.

    It begins with what processes that have ended left for this destination in the same file. Raises `StoreError` where
    the file is no spool; where the disk fails for now, what fits is kept in memory, and the worker waits for the rest.
    """

    def __init__(
        self,
        name: str,
        lines: Mapping[str, Line],
        pause: Pause,
        voice: Voice,
        settings: SpoolSettings,
        *,
        timeout: float,
        batch_bytes: int,
    ) -> None:
        self._lines, self._pause, self._voice = lines, pause, voice
        self._path, self._timeout, self._most = settings.path, timeout, batch_bytes
        self._batches = SpooledBatches(name, lines, voice, settings)
        self._looked = 0.0
        self._thread = threading.Thread(target=self._run, name=f"spanloom-{name}-spool", daemon=True)
        if hasattr(os, "register_at_fork"):
            leave = weakref.WeakMethod(self.leave_to_parent)
            os.register_at_fork(after_in_child=lambda: (act := leave()) and act())
        with GUARD.watching("spanloom.destinations.spool"):
            begin(self._thread)

    def about(self) -> dict[str, int]:
        """`{waiting, bytes, recovered, lost, in_memory, set_aside}`.

        Spans and scores that wait, from other processes too; bytes of the file in use; sent and lost of those that
        other processes left; those that could not be written to the disk; and files set aside as corrupted.
        """
        return self._batches.about()

    def has_parked(self, items: int) -> bool:
        """Whether so many of this process's own are on the disk, and the receiver has just failed to take them."""
        mine = self._batches.own()
        return (
            sum(one.items for one in mine if one.place is not None) == items
            and all(self._lines[one.lane].wait > 0 or one.next > time.monotonic() for one in mine)
        )  # fmt: skip

    # ---------------------------------------------------------------- the worker's side
    def add(self, batches: Sequence[Batch], receipt: Receipt) -> None:
        """Write them down. Where the disk fails they are kept in memory; where that is full, this waits for room."""
        changed = self._batches.changed
        for batch in batches:
            while not self._batches.keep(batch, receipt):
                with changed:
                    if self._pause.ended:
                        receipt.lost(batch.items, "shutdown")
                        break
                    changed.wait(1.0)

    def hurry(self) -> None:
        """Somebody waits: what was put off is tried now."""
        self._batches.hurry()

    def close(self) -> None:
        """Stop sending: the thread ends, closes the file, and gives up its claim on what is in it."""
        self._batches.tell()
        for line in self._lines.values():
            line.abandon()
        if self._thread.is_alive():
            self._thread.join(_CLOSE_SECONDS)
        else:
            self._batches.close()

    def leave_to_parent(self) -> None:
        """In a forked child: what is in the file, and the connection to it, are the parent's."""
        self._batches.close(in_child=True)

    # ---------------------------------------------------------------- the spool's own thread
    def _run(self) -> None:
        attach(set_value(_SUPPRESS_INSTRUMENTATION_KEY, True, Context()))
        while not self._pause.ended:
            with suppress(Exception), GUARD.watching("spanloom.destinations.spool"):
                self._turn()
                continue
            self._pause.wait(1.0)  # after an error of our own
        self._batches.end()
        for line in self._lines.values():
            line.close()
        self._batches.close()

    def _turn(self) -> None:
        now = time.monotonic()
        if now - self._looked >= _LOOK_SECONDS or not self._looked:
            self._looked = now
            self._batches.look()
        self._batches.look_at_file()
        before, seconds = self._batches.news, _LOOK_SECONDS

        def choose(pending: PendingBatches) -> Pending | None:
            nonlocal seconds
            one, seconds = self._due(pending, now)
            return one

        with self._batches.sending(choose) as one:
            if one is not None:
                self._try(one)
                return
        with self._batches.changed:
            if not self._pause.ended and self._batches.news == before:
                self._batches.changed.wait(seconds)

    def _due(self, pending: PendingBatches, now: float) -> tuple[Pending | None, float]:
        """The next batch to try; else how long to wait for one."""
        seconds = _LOOK_SECONDS
        for name, line in self._lines.items():
            if not pending.waits(name):
                continue
            if (wait := line.wait) > 0:
                seconds = min(seconds, wait)
                continue
            one, turn = pending.due(name, now)
            if one is not None:
                return one, 0.0
            seconds = min(seconds, turn - now if turn is not None else seconds)
        return None, seconds

    def _try(self, one: Pending) -> None:
        try:
            body = self._batches.body(one)
        except SpoolError:
            one.next = time.monotonic() + 1.0
            return
        if body is None:
            return
        batch = Batch(body, one.items, one.lane)
        if len(pieces := in_pieces(batch, self._most)) > 1:
            self._batches.split(one, pieces)  # written by a process that was allowed larger ones
            return
        answer = self._lines[one.lane].attempt(body, self._timeout)
        match answer.verdict:
            case Verdict.TAKEN:
                self._voice.taken(batch, answer)
                self._voice.again(f"away:{one.lane}")
                self._batches.took(one, answer.rejected)
            case Verdict.TOO_LARGE if batch.is_divisible:
                self._most = max(LEAST_BYTES, min(self._most, len(body) // 2))
                self._batches.split(one, halves(batch))
            case Verdict.TOO_LARGE | Verdict.REFUSED:
                self._voice.lost(batch, answer)
                self._batches.lose(one, answer.reason)
            case _:
                if not self._pause.ended:
                    self._postpone(one, answer)

    def _postpone(self, one: Pending, answer: Answer) -> None:
        if answer.verdict is Verdict.TROUBLE:  # this batch may be what it cannot take: others go before it
            one.failures += 1
            put_off = STUMBLE_SECONDS * 2.0 ** min(one.failures - 1, 9)
            one.next = time.monotonic() + min(_MOST_STUMBLE_SECONDS, put_off)
        self._voice.once(f"away:{one.lane}", "%s. What it should have waits in %s.", answer.said, self._path)
        self._batches.expire()
