"""Celery's workers: what their tasks traced is sent before they end."""

from __future__ import annotations

from typing import Any

from .errors import ConfigurationError
from .guard import GUARD
from .setup import running_loom

try:
    from celery import signals
except ImportError as error:
    raise ImportError("spanloom.celery needs Celery: run `pip install celery`.") from error

_timeout = 5.0


def connect(timeout: float = 5.0) -> None:
    """Connect to Celery's signals, so that each worker sends what has ended before it ends, for `timeout` seconds.

    The children of the prefork pool leave by `os._exit()`, when the worker shuts down, after `max_tasks_per_child`
    tasks or beyond `max_memory_per_child`: `worker_process_shutdown` comes before it. Tasks of the pools "solo" and
    "threads" run in the worker itself, and `worker_shutdown` comes at its end.

    Call it in the module of the Celery app, beside `spanloom.configure()`: children that are forked later have the
    configuration of their parent, each with a queue of its own. Calling it twice changes the time alone. Raises
    `ConfigurationError` where `timeout` is no number above 0. A child that is killed (a hard time limit,
    `revoke(terminate=True)`) sends no more than what its queue sent by itself, once a second.
    """
    global _timeout
    if not timeout > 0:
        raise ConfigurationError(f"spanloom.celery.connect(timeout={timeout!r}) cannot work: write seconds above 0.")
    _timeout = timeout
    for signal in (signals.worker_process_shutdown, signals.worker_shutdown):
        signal.connect(_shut_down, weak=False, dispatch_uid="spanloom")


def _shut_down(**_: Any) -> None:
    with GUARD.watching("spanloom.celery"):
        if (loom := running_loom()) is not None:
            loom.shutdown(_timeout)


__all__ = ["connect"]
