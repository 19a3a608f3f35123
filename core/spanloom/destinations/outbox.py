"""Batches on their way through a spool: on the disk before they are sent, and off it when the receiver has them."""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from opentelemetry.context import (
    _SUPPRESS_INSTRUMENTATION_KEY,  # the SDK's own exporters use it: there is no public name yet
    Context,
    attach,
    set_value,
)

from ..guard import GUARD
from ..spool import Place, Spool, SpoolError
from .line import Line, Pause
from .pending import Pending, PendingBatches
from .receipt import Receipt
from .voice import Voice
from .wire import Answer, Verdict
from .wire.encoding import LEAST_BYTES, Batch, halves, in_pieces

LONGEST_WAIT = 30.0  # seconds between two attempts
STUMBLE_SECONDS = 2.0  # that a batch is put off which the receiver stumbled over, doubled each time
_LOOK_SECONDS = 5.0  # how often to look for what dead processes left
_CLOSE_SECONDS = 0.5  # that a shutdown waits for the thread to close its file; it ends without too
_CACHED_BYTES = 16 * 1024 * 1024  # of what is on the disk, kept at hand too
_MEMORY_BYTES = 16 * 1024 * 1024  # of what could not be written to the disk


@dataclass(frozen=True, slots=True)
class SpoolSettings:
    """The file, the bytes that it may hold, and the seconds that a batch is kept in it."""

    path: Path
    most_bytes: int
    most_seconds: float
    longest_wait: float = LONGEST_WAIT


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
        self._name, self._lines, self._pause, self._voice = name, lines, pause, voice
        self._settings, self._timeout, self._most = settings, timeout, batch_bytes
        self._spool = Spool(settings.path, name, settings.most_bytes)
        self._pending = PendingBatches(lines)
        self._changed = threading.Condition()
        self._rescuing = threading.Lock()
        self._generation = self._bytes = 0
        self._news = 0  # what the thread may wait for has come
        self._sending: Pending | None = None
        self._sent: list[Place] = []  # taken by the receiver, and still on the disk
        self._recovered = self._others_lost = self._unspooled = 0
        self._looked = 0.0
        with suppress(SpoolError):  # said when it is needed
            self._spool.open()
        self._look_at_file()
        self._thread = threading.Thread(target=self._run, name=f"spanloom-{name}-spool", daemon=True)
        if hasattr(os, "register_at_fork"):
            leave = weakref.WeakMethod(self.leave_to_parent)
            os.register_at_fork(after_in_child=lambda: (act := leave()) and act())
        with GUARD.watching("spanloom.destinations.spool"):
            self._thread.start()

    def about(self) -> dict[str, int]:
        """`{waiting, bytes, recovered, lost, in_memory, set_aside}`.

        Spans and scores that wait, from other processes too; bytes of the file in use; sent and lost of those that
        other processes left; those that could not be written to the disk; and files set aside as corrupted.
        """
        return {
            "waiting": self._pending.items,
            "bytes": self._bytes,
            "recovered": self._recovered,
            "lost": self._others_lost,
            "in_memory": self._unspooled,
            "set_aside": self._spool.set_aside,
        }

    def has_parked(self, items: int) -> bool:
        """Whether so many of this process's own are on the disk, and the receiver has just failed to take them."""
        with self._changed:
            mine = [one for one in self._pending if one.receipt is not None]
            return (
                sum(one.items for one in mine if one.place is not None) == items
                and all(self._lines[one.lane].wait > 0 or one.next > time.monotonic() for one in mine)
            )  # fmt: skip

    # ---------------------------------------------------------------- the worker's side
    def add(self, batches: Sequence[Batch], receipt: Receipt) -> None:
        """Write them down. Where the disk fails they are kept in memory; where that is full, this waits for room."""
        for batch in batches:
            while not self._keep(batch, receipt):
                with self._changed:
                    if self._pause.ended:
                        receipt.lost(batch.items, "shutdown")
                        break
                    self._changed.wait(1.0)

    def _keep(self, batch: Batch, receipt: Receipt) -> bool:
        place = None
        try:
            (place,), gone = self._spool.append([(batch.lane, batch.items, batch.body)])
        except SpoolError:
            with self._changed:
                if self._pending.memory and self._pending.memory + len(batch.body) > _MEMORY_BYTES:
                    return False
            self._unspooled += batch.items
            self._voice.once(
                "disk", "cannot write to its spool %s: what comes waits in memory alone.", self._settings.path
            )
        else:
            self._voice.again("disk")
            if gone:
                self._give_up(gone)
        self._look_at_file()
        with self._changed:
            at_hand = place is None or self._pending.cached + len(batch.body) <= _CACHED_BYTES
            body = batch.body if at_hand else None
            self._pending.add(Pending(batch.lane, batch.items, body, place, receipt, time.monotonic()))
            self._news += 1
            self._changed.notify_all()
        return True

    def hurry(self) -> None:
        """Somebody waits: what was put off is tried now."""
        with self._changed:
            for one in self._pending:
                one.next = 0.0
            self._news += 1
            self._changed.notify_all()

    def close(self) -> None:
        """Stop sending: the thread ends, closes the file, and gives up its claim on what is in it."""
        with self._changed:
            self._changed.notify_all()
        for line in self._lines.values():
            line.abandon()
        if self._thread.is_alive():
            self._thread.join(_CLOSE_SECONDS)
        else:
            self._spool.close()

    def leave_to_parent(self) -> None:
        """In a forked child: what is in the file, and the connection to it, are the parent's."""
        self._spool.close(in_child=True)

    # ---------------------------------------------------------------- the spool's own thread
    def _run(self) -> None:
        attach(set_value(_SUPPRESS_INSTRUMENTATION_KEY, True, Context()))
        while not self._pause.ended:
            with suppress(Exception), GUARD.watching("spanloom.destinations.spool"):
                self._turn()
                continue
            self._pause.wait(1.0)  # after an error of our own
        self._forget_sent()
        with self._changed:
            unwritten = [one for one in self._pending if one.place is None]
        for one in unwritten:
            self._lose(one, "shutdown")
        for line in self._lines.values():
            line.close()
        self._spool.close()

    def _turn(self) -> None:
        now = time.monotonic()
        if now - self._looked >= _LOOK_SECONDS or not self._looked:
            self._looked = now
            self._look()
        self._look_at_file()
        before = self._news
        one, seconds = self._due(now)
        if one is None:
            with self._changed:
                if not self._pause.ended and self._news == before:
                    self._changed.wait(seconds)
            return
        try:
            self._try(one)
        finally:
            self._sending = None

    def _due(self, now: float) -> tuple[Pending | None, float]:
        """The next batch to try; else how long to wait for one."""
        seconds = _LOOK_SECONDS
        with self._changed:
            for name, line in self._lines.items():
                if not self._pending.waits(name):
                    continue
                if (wait := line.wait) > 0:
                    seconds = min(seconds, wait)
                    continue
                one, turn = self._pending.due(name, now)
                if one is not None:
                    self._sending = one
                    return one, 0.0
                seconds = min(seconds, turn - now if turn is not None else seconds)
        return None, seconds

    def _try(self, one: Pending) -> None:
        body = one.body
        if body is None:
            try:
                body = self._spool.body(one.place) if one.place is not None else None
            except SpoolError:
                one.next = time.monotonic() + 1.0
                return
            if body is None:
                self._look_at_file()
                self._lose(one, "spool_full" if one.place is None else "spool_corrupted")
                return
        batch = Batch(body, one.items, one.lane)
        if len(pieces := in_pieces(batch, self._most)) > 1:
            self._split(one, pieces)  # written by a process that was allowed larger ones
            return
        answer = self._lines[one.lane].attempt(body, self._timeout)
        match answer.verdict:
            case Verdict.TAKEN:
                self._voice.taken(batch, answer)
                self._voice.again(f"away:{one.lane}")
                self._took(one, answer.rejected)
            case Verdict.TOO_LARGE if batch.is_divisible:
                self._most = max(LEAST_BYTES, min(self._most, len(body) // 2))
                self._split(one, halves(batch))
            case Verdict.TOO_LARGE | Verdict.REFUSED:
                self._voice.lost(batch, answer)
                self._lose(one, answer.reason)
            case _:
                if not self._pause.ended:
                    self._postpone(one, answer)

    def _postpone(self, one: Pending, answer: Answer) -> None:
        now = time.monotonic()
        if answer.verdict is Verdict.TROUBLE:  # this batch may be what it cannot take: others go before it
            one.failures += 1
            one.next = now + min(300.0, STUMBLE_SECONDS * 2.0 ** min(one.failures - 1, 9))
        self._voice.once(f"away:{one.lane}", "%s. What it should have waits in %s.", answer.said, self._settings.path)
        with self._changed:
            old = [each for each in self._pending if now - each.born > self._settings.most_seconds]
        for each in old:
            self._voice.once(
                "expired",
                "did not take what is in its spool for %g hours: the oldest goes, and is counted as failed.",
                self._settings.most_seconds / 3600,
            )
            self._lose(each, "spool_expired")

    def _split(self, one: Pending, pieces: Sequence[Batch]) -> None:
        places: Sequence[Place | None] = [None] * len(pieces)
        if one.place is not None:
            with suppress(SpoolError):  # then from memory; what is on the disk goes when all of it has gone
                places = self._spool.replace(one.place, [(p.lane, p.items, p.body) for p in pieces])
        if not self._forget(one):
            return
        with self._changed:
            if one.place is not None and places[0] is None:
                self._sent.append(one.place)
            for piece, place in zip(reversed(pieces), reversed(places), strict=True):
                made = Pending(piece.lane, piece.items, piece.body, place, one.receipt, one.born)
                self._pending.add(made, first=True)

    def _took(self, one: Pending, rejected: int) -> None:
        rejected = min(rejected, one.items)
        if not self._forget(one, sent=True):
            return
        if one.receipt is None:
            self._recovered += one.items - rejected
            self._others_lost += rejected
        else:
            one.receipt.lost(rejected, "rejected")
            one.receipt.took(one.items - rejected)

    def _lose(self, one: Pending, reason: str) -> None:
        if not self._forget(one, sent=True):
            return
        if one.receipt is None:
            self._others_lost += one.items
        else:
            one.receipt.lost(one.items, reason)

    def _give_up(self, gone: Sequence[Place]) -> None:
        """These went from the file to make room."""
        self._voice.once("full", "has a full spool: the oldest that waits in it goes, and is counted as failed.")
        away = set(gone)
        with self._changed:
            ones = [one for one in self._pending if one.place in away]
            if self._sending in ones:  # it may arrive yet
                self._pending.put(ones.pop(ones.index(self._sending)), None)
        for one in ones:
            self._lose(one, "spool_full")

    def _forget(self, one: Pending, *, sent: bool = False) -> bool:
        """False where it is gone already."""
        with self._changed:
            if one not in self._pending:
                return False
            self._pending.remove(one)
            if sent and one.place is not None:
                self._sent.append(one.place)
            self._changed.notify_all()
        if sent:
            self._forget_sent()
        return True

    def _forget_sent(self) -> None:
        """Off the disk with what the receiver has; where that fails, the next time."""
        with self._changed:
            sent, self._sent = self._sent, []
        if sent:
            try:
                self._spool.remove(sent)
            except SpoolError:
                with self._changed:
                    self._sent += sent

    # ---------------------------------------------------------------- the file itself
    def _look(self) -> None:
        """What dead processes left, and whether the file is still there."""
        if not self._spool.is_in_place():
            self._voice.once("moved", "finds its spool %s gone, and begins a new one.", self._settings.path)
            self._spool.begin_anew()
        self._forget_sent()
        with suppress(SpoolError):
            found = self._spool.adopt()
            self._bytes = self._spool.used()
            now = time.monotonic()
            with self._changed:
                for kept in found:
                    if self._pending.has(kept.lane):
                        self._pending.add(Pending(kept.lane, kept.items, None, kept.place, None, now - kept.age))

    def _look_at_file(self) -> None:
        """Where it was set aside: write anew what is at hand of what it held; the rest is lost, and counted."""
        if self._spool.generation == self._generation:
            return
        with self._rescuing:
            if self._spool.set_aside:
                self._voice.once(
                    "corrupt",
                    "had a corrupted spool at %s: it was renamed, and a new one begun. What only it held is lost.",
                    self._settings.path,
                )
            while self._generation != self._spool.generation:
                self._generation = self._spool.generation
                self._rescue()

    def _rescue(self) -> None:
        with self._changed:
            stranded = [
                one for one in self._pending if one.place is not None and one.place[0] != self._spool.generation
            ]
        for one in stranded:
            if one.body is None:
                self._lose(one, "spool_corrupted")
                continue
            place = None
            with suppress(SpoolError):
                (place,), _ = self._spool.append([(one.lane, one.items, one.body)])
            with self._changed:
                if one in self._pending:
                    self._pending.put(one, place)
                elif place is not None:
                    self._sent.append(place)
