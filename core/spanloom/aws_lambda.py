"""AWS Lambda, which freezes the process between invocations: one flush at the end of each."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Callable
from functools import wraps
from inspect import iscoroutinefunction
from typing import Any, TypeVar, overload

from . import ids
from .errors import ConfigurationError, is_number
from .guard import GUARD, guarded, warn_once
from .setup import current_loom

Handler = TypeVar("Handler", bound=Callable[..., Any])


@overload
def flush_each_invocation(handler: Handler) -> Handler: ...
@overload
def flush_each_invocation(*, timeout: float = 2.0, margin: float = 0.5) -> Callable[[Handler], Handler]: ...
def flush_each_invocation(handler: Any = None, *, timeout: float = 2.0, margin: float = 0.5) -> Any:
    """Decorate a Lambda handler: what has ended is sent before each invocation returns.

    The flush takes at most `timeout` seconds, and leaves `margin` seconds of what Lambda's context says to remain;
    where less than that remains nothing is waited for. What could not be sent in time stays queued for the next
    invocation. The handler's result and its exceptions are passed on as they are. A handler that is a coroutine
    function stays one, and the flush does not hold its event loop.

    Call `spanloom.configure()` at the module's top level: it then belongs to the cold start, once for all invocations,
    and what was traced during it goes out with the first of them. Under SnapStart that is sent before the snapshot is
    taken, and the random numbers that ids are made of are seeded anew when one is restored.

    `@flush_each_invocation` and `@flush_each_invocation(timeout=1.0)` both do. Raises `ConfigurationError` for settings
    that cannot work.
    """
    if not (handler is None or callable(handler)):
        raise ConfigurationError(f"flush_each_invocation() got {handler!r}: decorate the handler with it.")
    if not (is_number(timeout) and timeout > 0 and is_number(margin) and margin >= 0):
        raise ConfigurationError(
            "flush_each_invocation() needs a timeout above 0 and a margin of 0 or more, in seconds."
        )

    def decorate(handler: Any) -> Any:
        _around_snapshots(timeout)
        if iscoroutinefunction(handler):

            @wraps(handler)
            async def handle_async(*args: Any, **kwargs: Any) -> Any:
                try:
                    return await handler(*args, **kwargs)
                finally:
                    await asyncio.to_thread(_flush, _seconds(args, kwargs, timeout, margin))

            return handle_async

        @wraps(handler)
        def handle(*args: Any, **kwargs: Any) -> Any:
            try:
                return handler(*args, **kwargs)
            finally:
                _flush(_seconds(args, kwargs, timeout, margin))

        return handle

    return decorate if handler is None else decorate(handler)


def _seconds(args: tuple[Any, ...], kwargs: dict[str, Any], timeout: float, margin: float) -> float:
    """How long the flush may take, by the context that stands beside the event."""
    with GUARD.watching("spanloom.aws_lambda.context"):
        context = args[1] if len(args) > 1 else kwargs.get("context")
        remaining: Callable[[], float] | None = getattr(context, "get_remaining_time_in_millis", None)
        if remaining is not None:  # as where a test calls the handler
            return max(0.0, min(timeout, remaining() / 1000 - margin))
    return timeout


@guarded
def _flush(seconds: float) -> None:
    loom = current_loom()
    if loom is not None and not loom.flush(seconds):
        warn_once(
            "aws_lambda",
            "spanloom: not all that an invocation traced was sent in %.1f s: what is queued goes out with the next, "
            "loom.stats() counts what was lost. Further invocations are not logged.",
            seconds,
        )


def _around_snapshots(timeout: float) -> None:
    if os.environ.get("AWS_LAMBDA_INITIALIZATION_TYPE") != "snap-start":
        return
    try:
        import snapshot_restore_py  # noqa: PLC0415  only where it is there
    except ImportError:  # Lambda's runtimes with SnapStart bring it
        return
    snapshot_restore_py.register_before_snapshot(_flush, timeout)
    snapshot_restore_py.register_after_restore(random.seed)  # the SDK's ids are made of these numbers
    snapshot_restore_py.register_after_restore(ids.seed)


__all__ = ["flush_each_invocation"]
