"""The queue between whoever keeps content and the store: bounded, counted, tried again, shut while the store is down.

Nobody waits for a store that is down: once an item could not be stored in all its time, and no other one was meanwhile,
new content is refused at once, but for one item every now and then, which tries the store out.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from enum import Enum, auto

from opentelemetry.context import (
    _SUPPRESS_INSTRUMENTATION_KEY,  # the SDK's own exporters use it: there is no public name yet
    Context,
    attach,
    set_value,
)

from ..guard import GUARD, log, warn_once
from .subject import Reference

_FIRST_DELAY, _LONGEST_DELAY = 0.05, 1.0  # seconds between two attempts
_LONGEST_PROBE = 60.0
_LONGEST_WAIT = 3_600.0  # at a time


class State(Enum):
    QUEUED = auto()
    WRITING = auto()
    STORED = auto()
    FAILED = auto()
    DROPPED = auto()


_SETTLED = frozenset({State.STORED, State.FAILED, State.DROPPED})


class Item:
    """One piece of content on its way."""

    __slots__ = ("data", "deadline", "reason", "reference", "state", "stored_before")

    def __init__(self, reference: Reference, data: bytes, deadline: float) -> None:
        self.reference, self.data, self.deadline = reference, data, deadline
        self.state = State.QUEUED
        self.reason: str | None = None
        self.stored_before = 0  # how many were stored when its writing began


class Queue:
    """`write(item)` makes one attempt, on one of `writers` threads: False where the item must not be written any more;
    it raises where the store fails. `undo(item)` takes back what was written too late."""

    def __init__(
        self,
        write: Callable[[Item], bool],
        undo: Callable[[Item], None],
        *,
        objects: int,
        bytes: int,
        writers: int,
        probe_seconds: float,
    ) -> None:
        self._write, self._undo = write, undo
        self._most_objects, self._most_bytes, self._most_writers = objects, bytes, writers
        self._first_probe = probe_seconds
        self._begin()
        if hasattr(os, "register_at_fork"):
            again = weakref.WeakMethod(self._begin)
            os.register_at_fork(after_in_child=lambda: (begin := again()) and begin())

    def _begin(self) -> None:
        self._condition = threading.Condition()
        self._queue: deque[Item] = deque()
        self._writing: set[Item] = set()
        self._bytes = 0
        self._kept = self._stored = self._failed = self._dropped = 0
        self._lost_told = 0
        self._threads = self._idle = 0
        self._stopped = False
        self._down_until: float | None = None
        self._probe, self._probing = self._first_probe, False

    # ---------------------------------------------------------------- counting
    def counts(self) -> dict[str, int]:
        """`kept` is the sum of `stored`, `failed`, `dropped` and `queued`, at one moment."""
        with self._condition:
            return {
                "kept": self._kept,
                "stored": self._stored,
                "failed": self._failed,
                "dropped": self._dropped,
                "queued": self._kept - self._stored - self._failed - self._dropped,
            }

    @property
    def down(self) -> bool:
        """Whether the store counts as down."""
        return self._down_until is not None

    # ---------------------------------------------------------------- the keeper's side
    def put(self, item: Item) -> None:
        """Queue it, or settle it at once. Never waits for the store."""
        with self._condition:
            self._kept += 1
            if self._stopped:
                self._settle(item, State.DROPPED, "closed")
            elif self._is_shut():
                self._settle(item, State.FAILED, "store is down")
            elif len(self._queue) >= self._most_objects or self._bytes + len(item.data) > self._most_bytes:
                self._settle(item, State.DROPPED, "queue is full")
                warn_once("vault:full", "spanloom: the queue of the vault is full: dropping content, and counting")
            else:
                self._queue.append(item)
                self._bytes += len(item.data)
                if not self._idle and self._threads < self._most_writers:
                    self._start()
                self._condition.notify_all()

    def refuse(self, item: Item) -> None:
        """Count what could not even be queued."""
        with self._condition:
            self._kept += 1
            self._settle(item, State.FAILED, "error")

    def _is_shut(self) -> bool:
        """While the store is down, one item after each pause goes through, to try it out."""
        if self._down_until is None:
            return False
        now = time.monotonic()
        if now < self._down_until:
            return True
        self._down_until, self._probing = now + self._probe, True
        return False

    def wait(self, item: Item, deadline: float) -> bool:
        """Whether it was stored by then; what was not is given up for good."""
        with self._condition:
            while item.state not in _SETTLED:
                left = deadline - time.monotonic()
                if left <= 0:
                    self._give_up(item)
                    break
                self._condition.wait(min(left, _LONGEST_WAIT))
            return item.state is State.STORED

    def _give_up(self, item: Item) -> None:
        if item.state is State.WRITING:
            self._settle(item, State.FAILED, "time is over")
            self._failure(item)  # a store that hangs is down, too
        elif item.state is State.QUEUED:
            self._queue.remove(item)
            self._settle(item, State.DROPPED, "time is over")
            self._bytes -= len(item.data)

    def discard(self, subject: str, timeout: float) -> None:
        """Drop what is queued of a subject, and wait for what is being written of it."""
        with self._condition:
            for item in [i for i in self._queue if i.reference.subject == subject]:
                self._queue.remove(item)
                self._bytes -= len(item.data)
                self._settle(item, State.DROPPED, "erased")
            for item in self._writing:
                if item.reference.subject == subject and item.state is State.WRITING:
                    self._settle(item, State.DROPPED, "erased")
            self._condition.wait_for(lambda: not any(i.reference.subject == subject for i in self._writing), timeout)

    def flush(self, timeout: float) -> bool:
        """Wait for what is queued. True where all that came since the last flush was stored."""
        with self._condition:
            done = self._condition.wait_for(lambda: not self._queue and not self._writing, timeout)
            lost = self._failed + self._dropped
            told, self._lost_told = self._lost_told, lost
            return done and lost == told

    def stop(self, timeout: float) -> bool:
        """Store what is queued and end the threads; the rest is dropped and counted."""
        done = self.flush(timeout)
        with self._condition:
            self._stopped = True
            while self._queue:
                self._settle(self._queue.popleft(), State.DROPPED, "closed")
            self._bytes = 0
            for item in self._writing:
                if item.state is State.WRITING:
                    self._settle(item, State.FAILED, "closed")
            self._condition.notify_all()
        return done

    def resume(self) -> None:
        """Take items again, after `stop`."""
        with self._condition:
            self._stopped = False

    # ---------------------------------------------------------------- the writers' side
    def _start(self) -> None:
        thread = threading.Thread(target=self._run, name="spanloom-vault", daemon=True)
        with GUARD.watching("spanloom.vault.start"):  # no thread to be had: the next item tries again
            thread.start()
            self._threads += 1

    def _run(self) -> None:
        attach(set_value(_SUPPRESS_INSTRUMENTATION_KEY, True, Context()))  # the store's own calls must not be traced
        condition = self._condition
        while (item := self._next()) is not None:
            try:
                self._deliver(item)
            finally:
                with condition:
                    self._writing.discard(item)
                    if item.state is State.WRITING:  # the thread is going down
                        self._settle(item, State.FAILED, "error")
                    condition.notify_all()

    def _next(self) -> Item | None:
        with self._condition:
            self._idle += 1
            try:
                while not self._stopped:
                    while self._queue:
                        item = self._queue.popleft()
                        self._bytes -= len(item.data)
                        if time.monotonic() >= item.deadline:
                            self._settle(item, State.DROPPED, "time is over")
                            continue
                        item.state, item.stored_before = State.WRITING, self._stored
                        self._writing.add(item)
                        return item
                    self._condition.wait()
                self._threads -= 1
                return None
            finally:
                self._idle -= 1

    def _deliver(self, item: Item) -> None:
        delay = _FIRST_DELAY
        while True:
            try:
                written = self._write(item)
            except Exception as error:
                warn_once(
                    f"vault:{type(error).__name__}",
                    "spanloom: the vault's store or keys failed (%s): tried again for a while, then the content is "
                    "dropped, and counted as failed",
                    type(error).__name__,
                )
                with self._condition:
                    if self._down_until is None:
                        self._condition.wait_for(
                            lambda: self._stopped or item.state is not State.WRITING,
                            max(min(delay, item.deadline - time.monotonic()), 0),
                        )
                    if item.state is not State.WRITING:
                        return
                    if self._stopped or self._down_until is not None or time.monotonic() >= item.deadline:
                        self._settle(item, State.FAILED, "closed" if self._stopped else "store is down")
                        self._failure(item)
                        return
                delay = min(delay * 2, _LONGEST_DELAY)
                continue
            with self._condition:
                self._success()
                late = item.state is not State.WRITING
                if not late:
                    self._settle(item, State.STORED if written else State.DROPPED, None if written else "erased")
            if late and written:
                with GUARD.watching("spanloom.vault.undo"):
                    self._undo(item)
            return

    # ---------------------------------------------------------------- under the lock
    def _settle(self, item: Item, state: State, reason: str | None) -> None:
        item.state, item.reason = state, reason
        self._stored += state is State.STORED
        self._failed += state is State.FAILED
        self._dropped += state is State.DROPPED
        self._condition.notify_all()

    def _failure(self, item: Item) -> None:
        if self._down_until is None:
            if self._stopped or self._stored != item.stored_before:
                return
            log.warning("spanloom: the vault's store is down: content for it is dropped, and counted, until it is back")
            self._probe = self._first_probe
        elif self._probing:
            self._probe = min(self._probe * 2, _LONGEST_PROBE)
        else:
            return
        self._down_until, self._probing = time.monotonic() + self._probe, False
        while self._queue:
            self._settle(self._queue.popleft(), State.FAILED, "store is down")
        self._bytes = 0

    def _success(self) -> None:
        if self._down_until is not None:
            self._down_until, self._probing = None, False
            log.warning("spanloom: the vault's store is back")
