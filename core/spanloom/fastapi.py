"""A lifespan for FastAPI, Starlette and whoever else takes one: tracing from the server's start to its end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from .errors import ConfigurationError, is_number
from .guard import GUARD
from .loom import Loom
from .setup import configure as configure_by_environment
from .setup import running_loom

# FastAPI's own type is a union, of lifespans without a state and with one
Lifespan = Callable[[Any], AbstractAsyncContextManager[Any]]


def lifespan(
    configure: Callable[[], Loom] | None = None,
    inner: Callable[[Any], AbstractAsyncContextManager[Any]] | None = None,
    *,
    timeout: float = 5.0,
) -> Lifespan:
    """What `FastAPI(lifespan=…)` takes: configure when the server starts, send and shut down when it ends.

    `configure` is called without arguments in each process that serves (uvicorn's `--workers`, or anew at each
    `--reload`), and returns what `spanloom.configure(…)` does; by default that is the configuration that is running, or
    else one by the environment. What it raises keeps the server from starting. `inner` is the application's own
    lifespan, which runs inside: its start and its end are traced, and the state that it yields is passed on. At the end
    what is queued is sent for at most `timeout` seconds, without holding the event loop.

    uvicorn ends by the signal that it received, which runs no other hook of Python's; an end that is forced (a second
    Ctrl+C) runs no lifespan either. Raises `ConfigurationError` for settings that cannot work.
    """
    for name, given in (("configure", configure), ("inner", inner)):
        if not (given is None or callable(given)):
            raise ConfigurationError(f"lifespan({name}={given!r}) is not callable: pass the function, not its result.")
    if not (is_number(timeout) and timeout > 0):
        raise ConfigurationError(f"lifespan(timeout={timeout!r}) cannot work: write seconds above 0.")

    @asynccontextmanager
    async def around(app: Any) -> AsyncIterator[Mapping[str, Any] | None]:
        loom = configure() if configure is not None else running_loom() or configure_by_environment()
        try:
            if inner is None:
                yield None
            else:
                async with inner(app) as state:
                    yield state
        finally:
            with GUARD.watching("spanloom.fastapi"):
                await asyncio.to_thread(loom.shutdown, timeout)

    return around


__all__ = ["lifespan"]
