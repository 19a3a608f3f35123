"""Actions that failed, and what they were to decide on: it is dropped, and counted."""

from __future__ import annotations

import threading
from collections import Counter

from ..guard import warn_once
from .acting import PLACEHOLDERS, Action


class Failures:
    """Content that was dropped because the action that was to decide on it raised, by action."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._lock = threading.Lock()

    def note(self, action: Action, error: Exception) -> None:
        name = type(action).__name__.lower()
        with self._lock:
            self.counts[name] += 1
        warn_once(
            f"content:{name}",
            "spanloom: a content policy's %s(…) failed (%s): what it was to decide on is dropped, and counted",
            name,
            type(error).__name__,  # the type alone: an exception's text may hold content
        )

    def after_fork(self) -> None:
        self._lock = threading.Lock()


FAILURES = Failures()


def content_after_fork() -> None:
    """In a forked child: whatever lock another thread of the parent held, nobody will let go of."""
    FAILURES.after_fork()
    PLACEHOLDERS.after_fork()
