"""A hook for `gunicorn.conf.py`: what a worker traced is sent before it ends."""

from __future__ import annotations

import os
from typing import Any

from .guard import GUARD
from .setup import running_loom


def worker_exit(server: Any, worker: Any) -> None:  # noqa: ARG001  gunicorn's signature
    """Gunicorn's server hook `worker_exit`: send what has ended, for five seconds at most.

    Import it in `gunicorn.conf.py` under its name, or call it from a hook of your own. It comes before the worker waits
    for its threads, which may be stuck in a request until gunicorn kills it. With `preload_app` the workers have the
    configuration of the application that the master loaded, each with a queue of its own, and need no `post_fork`.
    Where gunicorn calls the hook in the master, for a worker that is gone, it does nothing.
    """
    with GUARD.watching("spanloom.gunicorn"):
        if worker.pid == os.getpid() and (loom := running_loom()) is not None:
            loom.shutdown()


__all__ = ["worker_exit"]
