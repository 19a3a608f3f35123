"""`SIGTERM`, which ends a Python process on the spot unless somebody handles it."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from types import FrameType

from .errors import ConfigurationError, is_number
from .guard import GUARD
from .setup import at_end, running_loom

Previous = Callable[[int, FrameType | None], object] | int


def shutdown_on_sigterm(timeout: float = 5.0) -> None:
    """Send what has ended before `SIGTERM` ends this process, or a child that is forked from it.

    Open steps end as `incomplete`, what is queued is sent for at most `timeout` seconds, and then the process dies of
    the signal, as it would have done at once. The application runs on meanwhile.

    A handler that the application, or its server, installed before goes on to decide: it is called, and what has ended
    is being sent beside it. Where `SIGTERM` is ignored it stays so. Calling it twice changes the time alone.

    Call it in the main thread. Raises `ConfigurationError` elsewhere, and where a handler is there that was not
    installed by Python.
    """
    if not (is_number(timeout) and timeout > 0):
        raise ConfigurationError(f"shutdown_on_sigterm(timeout={timeout!r}) cannot work: write seconds above 0.")
    if threading.current_thread() is not threading.main_thread():
        raise ConfigurationError("shutdown_on_sigterm() must be called in the main thread: signals are handled there.")
    previous = signal.getsignal(signal.SIGTERM)
    if previous is None:
        raise ConfigurationError(
            "SIGTERM has a handler that was not installed by Python, and cannot be called from it: "
            "call loom.shutdown() where that handler ends the process."
        )
    if isinstance(previous, _OnSigterm):
        previous.timeout = timeout
    elif previous is not signal.SIG_IGN:
        signal.signal(signal.SIGTERM, _OnSigterm(previous, timeout))


class _OnSigterm:
    """The handler. It interrupts the main thread anywhere, which may hold any lock: so a thread of its own does the
    work, while the main one goes on and lets go of what it holds."""

    def __init__(self, previous: Previous, timeout: float) -> None:
        self.previous, self.timeout = previous, timeout
        self._pid = 0  # the process that is ending: a child may be forked from one
        self._sent = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if callable(self.previous):
            with GUARD.watching("spanloom.sigterm"):
                threading.Thread(target=self._flush, name="spanloom-sigterm").start()
            self.previous(number, frame)
        elif self._sent and self._pid == os.getpid():
            self._die(number)
        elif self._pid != os.getpid() and not at_end.under_way:  # at the very end, that is bounded too
            self._pid, self._sent = os.getpid(), False
            try:
                threading.Thread(target=self._shut_down, args=(number,), name="spanloom-sigterm").start()
            except RuntimeError:  # no thread to be had, as at the interpreter's end from Python 3.12 on
                if not threading.main_thread().is_alive():  # it only waits for other threads: it holds nothing
                    self._send()
                self._die(number)

    def _flush(self) -> None:
        with GUARD.watching("spanloom.sigterm"):
            if (loom := running_loom()) is not None:
                loom.flush(self.timeout)

    def _shut_down(self, number: int) -> None:
        self._send()
        self._sent = True
        os.kill(os.getpid(), number)  # to this handler once more: only the main thread may put the default back

    def _send(self) -> None:
        with GUARD.watching("spanloom.sigterm"):
            if (loom := running_loom()) is not None:
                loom.shutdown(self.timeout)

    def _die(self, number: int) -> None:
        """Of the signal, as without a handler. Handlers run in the main thread, which alone may do this."""
        signal.signal(number, signal.SIG_DFL)
        signal.raise_signal(number)


__all__ = ["shutdown_on_sigterm"]
