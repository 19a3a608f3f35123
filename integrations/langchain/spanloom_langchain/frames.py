"""What only LangChain's own frames tell: whether a stream was read to its end, and which prompt of a batch runs.

A sync stream that its consumer closes ends with an ordinary `on_chain_end`, since `_transform_stream_with_config`
swallows the GeneratorExit. But the callback runs inside that function's frame, whose `iterator` is still suspended
then, and finished after a full read. The prompts of one `generate` start back to back, before any runs; the one that
runs is in the frame of `_generate_with_cache`, with its `run_manager`. Where a frame cannot be found or read the answer
is None, and the caller falls back on what callbacks tell.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from functools import cache
from types import FrameType
from typing import Any
from uuid import UUID

from langchain_core.runnables.base import Runnable
from spanloom.guard import warn_once

_MOST_FRAMES = 64


def _code_of(owner: type, name: str) -> Any:
    return getattr(getattr(owner, name, None), "__code__", None)


_STREAM = _code_of(Runnable, "_transform_stream_with_config")


@cache
def _calls() -> frozenset[Any]:
    from langchain_core.language_models import BaseChatModel  # noqa: PLC0415  30 ms: where a model runs, it is there

    return frozenset(_code_of(BaseChatModel, name) for name in ("_generate_with_cache", "_agenerate_with_cache")) - {
        None
    }


def left_unread() -> bool | None:
    """Whether the stream whose end is being reported was left before its end; None where that cannot be told."""
    if _STREAM is None:
        _missing("Runnable._transform_stream_with_config", "some abandoned streams will be shown as ok")
        return None
    for frame in _frames():
        if frame.f_code is _STREAM:
            iterator = frame.f_locals.get("iterator")
            if not inspect.isgenerator(iterator):
                return None
            return inspect.getgeneratorstate(iterator) != inspect.GEN_CLOSED
    return None


def running_prompt() -> UUID | None:
    """The run id of the chat model call whose body the caller is in; None outside of any."""
    calls = _calls()
    if not calls:
        _missing("BaseChatModel._generate_with_cache", "spans opened in a batch of prompts lie in the step around it")
        return None
    for frame in _frames():
        if frame.f_code in calls:
            run_id = getattr(frame.f_locals.get("run_manager"), "run_id", None)
            return run_id if isinstance(run_id, UUID) else None
    return None


def _frames() -> Iterator[FrameType]:
    frame: FrameType | None = sys._getframe(2)
    for _ in range(_MOST_FRAMES):
        if frame is None:
            return
        yield frame
        frame = frame.f_back


def _missing(name: str, what: str) -> None:
    warn_once(f"langchain:{name}", "spanloom: this langchain-core has no %s: %s", name, what)
