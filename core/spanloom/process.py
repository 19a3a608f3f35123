"""The end of a process, by whichever of Python's hooks it comes."""

from __future__ import annotations

import atexit
import os
import sys
import threading
import weakref
from collections.abc import Callable
from typing import Any

_BEFORE_NONE = -1_000_000  # multiprocessing runs its finalizers from the highest to the lowest


class Ending:
    """Calls `act()` when the process ends, in the process that made it and in all that are forked from it.

    The interpreter's own end is `atexit`, which comes after all threads that are no daemons have ended.
    `multiprocessing` ends the children that it forks, those of a `Pool` or a `ProcessPoolExecutor` too, by
    `os._exit()`: there `act` is a finalizer of its own. `under_way` is true while `act` runs.
    """

    def __init__(self, act: Callable[[], object]) -> None:
        self._act, self.under_way, self._told = act, False, False
        # At exit the youngest hook comes first, and finalizers, which share one, close pooled connections: theirs must
        # be older than ours, or each connection would have to be made anew.
        weakref.finalize(self, int)
        atexit.register(self._end)
        self._tell_multiprocessing()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(before=self._tell_multiprocessing)

    def _end(self) -> None:
        self.under_way = True
        try:
            self._act()
        finally:
            self.under_way = False

    def _tell_multiprocessing(self) -> None:
        """Where `multiprocessing` is in use: it forgets its finalizers in a child, but not what to call in each."""
        util: Any = sys.modules.get("multiprocessing.util")
        if util is None or self._told:
            return
        self._told = True
        util.register_after_fork(self, Ending._in_child)
        if sys.modules["multiprocessing.process"].parent_process() is not None:  # a child already
            self._in_child()

    def _in_child(self) -> None:
        util: Any = sys.modules["multiprocessing.util"]
        util.Finalize(None, self._end_of_child, exitpriority=_BEFORE_NONE)

    def _end_of_child(self) -> None:
        """The finalizers run before the child waits for its threads: one more of them waits for the others."""
        if _others():
            threading.Thread(target=self._after_threads, name="spanloom-end", daemon=False).start()
        else:
            self._end()

    def _after_threads(self) -> None:
        while others := _others():
            for thread in others:
                thread.join()
        self._end()


def begin(thread: threading.Thread) -> bool:
    """Start it. False at the interpreter's very end, where from Python 3.12 on none can be started, in its first
    releases in handlers of `atexit` neither: there, whoever shuts down does the work. Raises `RuntimeError` where there
    is no thread to be had."""
    try:
        thread.start()
    except RuntimeError as error:
        if "interpreter shutdown" not in str(error):
            raise
        return False
    return True


def _others() -> list[threading.Thread]:
    """The threads that the end of the process waits for, but the caller's and the main one."""
    here = (threading.current_thread(), threading.main_thread())
    return [thread for thread in threading.enumerate() if not thread.daemon and thread not in here]


__all__ = ["Ending", "begin"]
