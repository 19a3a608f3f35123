"""What ends a request that takes too long, whatever it waits for."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

_IDLE = 10.0  # seconds that its thread stays for the next request


class Alarm:
    """Calls `ring` when the time that was set is over. Of one user at a time; not for use across a fork.

    One thread serves many requests: to start one for each costs more than all else that Python does for a request.
    """

    def __init__(self, ring: Callable[[], object]) -> None:
        self._ring, self._changed = ring, threading.Condition()
        self._thread: threading.Thread | None = None
        self._due: float | None = None
        self._wakes = 0.0
        self._closed = False
        self.rang = False

    def set(self, seconds: float) -> None:
        """Ring in `seconds`. Never where no thread can be had: the interpreter is ending."""
        with self._changed:
            self.rang, self._due, self._closed = False, time.monotonic() + seconds, False
            if self._thread is not None:
                if self._due < self._wakes:
                    self._changed.notify()
                return
            thread = threading.Thread(target=self._watch, name="spanloom-alarm", daemon=True)
            try:
                thread.start()
            except RuntimeError:
                return
            self._thread = thread

    def clear(self) -> None:
        """Not any more: what has not rung by now will not."""
        with self._changed:
            self._due = None

    def close(self) -> None:
        """Let go of the thread."""
        with self._changed:
            self._due, self._closed = None, True
            self._changed.notify()

    def _watch(self) -> None:
        with self._changed:
            needed = time.monotonic()
            while not self._closed:
                now = time.monotonic()
                if self._due is None:
                    if now >= needed + _IDLE:
                        break
                    self._wakes = needed + _IDLE
                elif now >= self._due:
                    self._due, self.rang = None, True
                    self._ring()
                    continue
                else:
                    needed, self._wakes = now, min(self._due, now + _IDLE)
                self._changed.wait(self._wakes - now)
            self._thread = None
