"""One wire and its manners: when the next attempt may be made, and how long to wait between two.

Waiting grows exponentially with full jitter; what a receiver asks for in `Retry-After` is heeded. All clocks here are
monotonic.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable

from .wire import Answer, Verdict, Wire

FIRST_WAIT = 0.5  # seconds; a wait is drawn from 0 to this, doubled with each failure
LONGEST_ASKED = 300.0  # seconds: a longer Retry-After is taken for this one


class Pause:
    """A sleep that ends early: `ring` ends the one under way, `end` this and all to come."""

    def __init__(self) -> None:
        self.ended = False
        self._bell = threading.Event()

    def wait(self, seconds: float) -> None:
        if not self.ended:
            self._bell.wait(seconds)
            if not self.ended:
                self._bell.clear()

    def ring(self) -> None:
        self._bell.set()

    def end(self) -> None:
        self.ended = True
        self._bell.set()


class Line:
    """Attempts over the wire that `make` makes at the first one. `longest` bounds the waits, in seconds."""

    def __init__(self, make: Callable[[], Wire], pause: Pause, *, longest: float) -> None:
        self._make, self._pause, self._longest = make, pause, longest
        self._wire: Wire | None = None
        self._failures, self._hurried = 0, False
        self._asked_until = self._next = 0.0

    def attempt(self, body: bytes, seconds: float) -> Answer:
        """One request, and what follows from its answer for the next one."""
        if self._wire is None:
            self._wire = self._make()
        self._hurried = False
        answer = self._wire.send(body, seconds)
        now = time.monotonic()
        if answer.verdict in (Verdict.LATER, Verdict.TROUBLE):
            self._next = now + random.uniform(0.0, min(self._longest, FIRST_WAIT * 2**self._failures))  # noqa: S311
            self._failures = min(self._failures + 1, 16)
            if answer.retry_after is not None:
                self._asked_until = self._next = now + min(answer.retry_after, LONGEST_ASKED)
            if self._hurried:  # whoever came while this was under way waits for the next one
                self.hurry()
        else:
            self._failures, self._next = 0, 0.0
        return answer

    def forget_failures(self) -> None:
        """Another batch, another beginning; what the receiver asked for holds on."""
        self._failures, self._next = 0, self._asked_until

    def hurry(self) -> None:
        """Somebody waits for it: no longer than the receiver asked."""
        self._hurried = True
        self._next = min(self._next, self._asked_until)

    @property
    def wait(self) -> float:
        """Seconds until the next attempt."""
        return max(0.0, self._next - time.monotonic())

    @property
    def asked(self) -> float:
        """Seconds that the receiver still asks for."""
        return max(0.0, self._asked_until - time.monotonic())

    def deliver(self, body: bytes, until: float) -> Answer:
        """Attempts until the body is taken or refused, or the moment `until` has passed.

        The time that the receiver asks for comes on top of it, up to `LONGEST_ASKED` seconds in all.
        """
        answer = None
        last_moment = until + LONGEST_ASKED
        while not self._pause.ended:
            if (wait := self.wait) > 0:
                if self.asked:
                    until = min(until + wait, last_moment)
                if answer is not None and time.monotonic() + wait >= until:
                    return answer
                over = time.monotonic() + wait
                while not self._pause.ended and (left := min(over, until) - time.monotonic()) > 0 and self.wait > 0:
                    self._pause.wait(min(left, self.wait))
                continue
            left = until - time.monotonic()
            if left <= 0:
                return answer or Answer(Verdict.LATER, "timeout", "did not take what came before in time")
            answer = self.attempt(body, left)
            if answer.verdict is not Verdict.LATER:
                return answer
        return Answer(Verdict.LATER, "shutdown", "was not waited for at the shutdown")

    def abandon(self) -> None:
        if self._wire is not None:
            self._wire.abandon()

    def close(self) -> None:
        if self._wire is not None:
            self._wire.close()
