"""The batches that wait for one receiver, and the file that they wait in."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from ..spool import Place, Spool, SpoolError
from .pending import Pending, PendingBatches
from .receipt import Receipt
from .voice import Voice
from .wire.encoding import Batch

LONGEST_WAIT = 30.0  # seconds between two attempts
_CACHED_BYTES = 16 * 1024 * 1024  # of what is on the disk, kept at hand too
_MEMORY_BYTES = 16 * 1024 * 1024  # of what could not be written to the disk


@dataclass(frozen=True, slots=True)
class SpoolSettings:
    """The file, the bytes that it may hold, and the seconds that a batch is kept in it."""

    path: Path
    most_bytes: int
    most_seconds: float
    longest_wait: float = LONGEST_WAIT


class SpooledBatches:
    """Each batch is on the disk, in memory, or in both; and none goes without being counted.

    The worker adds, the spool's own thread takes what it sends: `changed` is held around what waits, and told of news.
    Raises `StoreError` where the file is no spool; where the disk fails for now, what fits is kept in memory.
    """

    def __init__(self, name: str, lanes: Iterable[str], voice: Voice, settings: SpoolSettings) -> None:
        self._voice, self._settings = voice, settings
        self._spool = Spool(settings.path, name, settings.most_bytes, settings.most_seconds)
        self._pending = PendingBatches(lanes)
        self.changed = threading.Condition()
        self.news = 0  # how often something came that a thread may wait for
        self._rescuing = threading.Lock()
        self._generation = self._bytes = 0
        self._sending: Pending | None = None
        self._sent: list[Place] = []  # taken by the receiver, and still on the disk
        self._recovered = self._others_lost = self._unspooled = 0
        with suppress(SpoolError):  # said when it is needed
            self._spool.open()
        self.look_at_file()

    def about(self) -> dict[str, int]:
        """As `Outbox.about`."""
        return {
            "waiting": self._pending.items,
            "bytes": self._bytes,
            "recovered": self._recovered,
            "lost": self._others_lost + self._spool.unclaimed,
            "in_memory": self._unspooled,
            "set_aside": self._spool.set_aside,
        }

    def own(self) -> list[Pending]:
        """Those of this process."""
        with self.changed:
            return [one for one in self._pending if one.receipt is not None]

    def tell(self) -> None:
        """There is news."""
        with self.changed:
            self.news += 1
            self.changed.notify_all()

    # ---------------------------------------------------------------- what comes
    def keep(self, batch: Batch, receipt: Receipt) -> bool:
        """Write it down, or keep it in memory where the disk fails. False where there is no room for it either."""
        place = None
        try:
            (place,), gone = self._spool.append([(batch.lane, batch.items, batch.body)])
        except SpoolError:
            with self.changed:
                if self._pending.memory and self._pending.memory + len(batch.body) > _MEMORY_BYTES:
                    return False
            self._unspooled += batch.items
            self._voice.once(
                "disk", "cannot write to its spool %s: what comes waits in memory alone.", self._settings.path
            )
        else:
            self._voice.again("disk")
            if self._spool.unclaimed:
                self._voice.once(
                    "unclaimed",
                    "has a full spool, and in it what was left for a destination that no process has any more: that "
                    "goes, and is counted as lost.",
                )
            if gone:
                self._give_up(gone)
        self.look_at_file()
        with self.changed:
            at_hand = place is None or self._pending.cached + len(batch.body) <= _CACHED_BYTES
            body = batch.body if at_hand else None
            self._pending.add(Pending(batch.lane, batch.items, body, place, receipt, time.monotonic()))
        self.tell()
        return True

    def hurry(self) -> None:
        """Whatever was put off has its turn now."""
        with self.changed:
            for one in self._pending:
                one.next = 0.0
        self.tell()

    # ---------------------------------------------------------------- what goes
    @contextmanager
    def sending(self, choose: Callable[[PendingBatches], Pending | None]) -> Iterator[Pending | None]:
        """The batch that `choose` chooses, under the lock: while it is under way, the receiver may have it already."""
        with self.changed:
            self._sending = one = choose(self._pending)
        try:
            yield one
        finally:
            self._sending = None

    def body(self, one: Pending) -> bytes | None:
        """What it holds; None where that is lost, and counted. Raises `SpoolError` where the disk fails for now."""
        if one.body is not None:
            return one.body
        body = self._spool.body(one.place) if one.place is not None else None
        if body is None:
            self.look_at_file()
            self.lose(one, "spool_full" if one.place is None else "spool_corrupted")
        return body

    def split(self, one: Pending, pieces: Sequence[Batch]) -> None:
        """Its pieces instead of it, in its turn."""
        places: Sequence[Place | None] = [None] * len(pieces)
        if one.place is not None:
            with suppress(SpoolError):  # then from memory; what is on the disk goes when all of it has gone
                places = self._spool.replace(one.place, [(p.lane, p.items, p.body) for p in pieces])
        if not self._forget(one):
            return
        with self.changed:
            if one.place is not None and places[0] is None:
                self._sent.append(one.place)
            for piece, place in zip(reversed(pieces), reversed(places), strict=True):
                made = Pending(piece.lane, piece.items, piece.body, place, one.receipt, one.born)
                self._pending.add(made, first=True)

    def took(self, one: Pending, rejected: int) -> None:
        """The receiver has it, but for `rejected` of its items."""
        rejected = min(rejected, one.items)
        if not self._forget(one, sent=True):
            return
        if one.receipt is None:
            self._recovered += one.items - rejected
            self._others_lost += rejected
        else:
            one.receipt.lost(rejected, "rejected")
            one.receipt.took(one.items - rejected)

    def lose(self, one: Pending, reason: str) -> None:
        """It will not be sent."""
        if not self._forget(one, sent=True):
            return
        if one.receipt is None:
            self._others_lost += one.items
        else:
            one.receipt.lost(one.items, reason)

    def expire(self) -> None:
        """What has waited for longer than the settings allow is lost."""
        now = time.monotonic()
        with self.changed:
            old = [each for each in self._pending if now - each.born > self._settings.most_seconds]
        for each in old:
            self._voice.once(
                "expired",
                "did not take what is in its spool for %g hours: the oldest goes, and is counted as failed.",
                self._settings.most_seconds / 3600,
            )
            self.lose(each, "spool_expired")

    def _give_up(self, gone: Sequence[Place]) -> None:
        """These went from the file to make room."""
        self._voice.once("full", "has a full spool: the oldest that waits in it goes, and is counted as failed.")
        away = set(gone)
        with self.changed:
            ones = [one for one in self._pending if one.place in away]
            if self._sending in ones:  # it may arrive yet
                self._pending.put(ones.pop(ones.index(self._sending)), None)
        for one in ones:
            self.lose(one, "spool_full")

    def _forget(self, one: Pending, *, sent: bool = False) -> bool:
        """False where it is gone already."""
        with self.changed:
            if one not in self._pending:
                return False
            self._pending.remove(one)
            if sent and one.place is not None:
                self._sent.append(one.place)
            self.changed.notify_all()
        if sent:
            self._forget_sent()
        return True

    def _forget_sent(self) -> None:
        """Off the disk with what the receiver has; where that fails, the next time."""
        with self.changed:
            sent, self._sent = self._sent, []
        if sent:
            try:
                self._spool.remove(sent)
            except SpoolError:
                with self.changed:
                    self._sent += sent

    # ---------------------------------------------------------------- the file itself
    def look(self) -> None:
        """For what dead processes left, and whether the file is still there."""
        if not self._spool.is_in_place():
            self._voice.once("moved", "finds its spool %s gone, and begins a new one.", self._settings.path)
            self._spool.begin_anew()
        self._forget_sent()
        with suppress(SpoolError):
            found = self._spool.adopt()
            self._bytes = self._spool.used()
            now = time.monotonic()
            with self.changed:
                for kept in found:
                    if self._pending.has(kept.lane):
                        self._pending.add(Pending(kept.lane, kept.items, None, kept.place, None, now - kept.age))

    def look_at_file(self) -> None:
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
        with self.changed:
            stranded = [
                one for one in self._pending if one.place is not None and one.place[0] != self._spool.generation
            ]
        for one in stranded:
            if one.body is None:
                self.lose(one, "spool_corrupted")
                continue
            place = None
            with suppress(SpoolError):
                (place,), _ = self._spool.append([(one.lane, one.items, one.body)])
            with self.changed:
                if one in self._pending:
                    self._pending.put(one, place)
                elif place is not None:
                    self._sent.append(place)

    def end(self) -> None:
        """Nothing more is sent: what is in memory only is lost, and the file is closed for those who come after."""
        self._forget_sent()
        with self.changed:
            unwritten = [one for one in self._pending if one.place is None]
        for one in unwritten:
            self.lose(one, "shutdown")

    def close(self, *, in_child: bool = False) -> None:
        """Close the file, and give up the claim on what is in it; in a forked child that is the parent's."""
        self._spool.close(in_child=in_child)
