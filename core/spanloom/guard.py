"""The one guard: telemetry never raises into the application; what it swallows it logs once and counts."""

from __future__ import annotations

import logging
import threading
import traceback
from collections import Counter
from collections.abc import Callable
from functools import wraps
from typing import Any, Literal, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

log = logging.getLogger("spanloom")


class Guard:
    """Catches what Spanloom's own code raises. `strict` lets it through instead, so that a test fails loudly.

    Frameworks swallow a handler's exceptions too, so a strict guard also keeps them in `escaped`.
    """

    def __init__(self) -> None:
        self.strict = False
        self.escaped: list[BaseException] = []
        self.swallowed: Counter[str] = Counter()
        self._lock = threading.RLock()  # a handler of a signal may fail inside of it

    def caught(self, where: str, error: Exception) -> None:
        """Count `error`, log its first occurrence at `where`; raise it where the guard is strict."""
        with self._lock:
            self.swallowed[where] += 1
            first = self.swallowed[where] == 1
        if self.strict:
            self.escaped.append(error)
            raise error
        if first:
            log.warning(
                "spanloom failed in %s and carried on without it (%s); further failures there are counted, not logged",
                where,
                type(error).__name__,  # the type alone: an exception's text may hold content
            )
            log.debug("spanloom failed in %s:\n%s", where, _Frames(error))

    def after_fork(self) -> None:
        """In a forked child: the parent's other threads are gone, and whatever lock they held."""
        self._lock = threading.RLock()

    def watching(self, where: str) -> _Watch:
        """A context manager that catches and counts whatever its body raises."""
        return _Watch(self, where)


class _Watch:
    __slots__ = ("guard", "where")

    def __init__(self, guard: Guard, where: str) -> None:
        self.guard, self.where = guard, where

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> Literal[True] | None:
        if isinstance(error, Exception):
            self.guard.caught(self.where, error)
            return True
        return None


class _Frames:
    """Where an exception came from, and those that it followed: types and frames. Formatted where somebody reads it.

    Neither texts of exceptions nor lines of source: both may hold content.
    """

    def __init__(self, error: BaseException) -> None:
        self._error = error

    def __str__(self) -> str:
        lines: list[str] = []
        error: BaseException | None = self._error
        for _ in range(_MOST_CAUSES):
            if error is None:
                break
            lines.append(f"{type(error).__module__}.{type(error).__qualname__}")
            frames = traceback.StackSummary.extract(
                traceback.walk_tb(error.__traceback__), limit=-_MOST_FRAMES, lookup_lines=False
            )
            lines += [f"  {frame.filename}:{frame.lineno} in {frame.name}" for frame in frames]
            error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
        return "\n".join(lines)


_MOST_CAUSES, _MOST_FRAMES = 8, 32

GUARD = Guard()


def guarded(function: Callable[P, R]) -> Callable[P, R | None]:
    """Run `function` under the guard: None where it raised."""
    where = f"{function.__module__}.{function.__qualname__}"

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R | None:
        try:
            return function(*args, **kwargs)
        except Exception as error:
            GUARD.caught(where, error)
            return None

    return run


_told: set[str] = set()


def warn_once(key: str, message: str, *args: Any) -> None:
    """Log a warning the first time `key` is seen in this process."""
    if key not in _told:
        _told.add(key)
        log.warning(message, *args)
