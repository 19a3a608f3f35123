"""Whether a stream was read to its end: the one thing that LangChain's callbacks do not tell.

A sync stream that its consumer closes ends with an ordinary `on_chain_end`, since `_transform_stream_with_config`
swallows the GeneratorExit. But the callback runs inside that function's frame, whose `iterator` is still suspended
then, and finished after a full read. Where the frame cannot be found or read the answer is None, and the handler falls
back on the children that are still open.
"""

from __future__ import annotations

import inspect
import sys
from types import FrameType

from langchain_core.runnables.base import Runnable
from spanloom.guard import warn_once

_STREAMING = getattr(getattr(Runnable, "_transform_stream_with_config", None), "__code__", None)
_MOST_FRAMES = 16


def left_unread() -> bool | None:
    """Whether the stream whose end is being reported was left before its end; None where that cannot be told."""
    if _STREAMING is None:
        warn_once(
            "langchain-stream-frame",
            "spanloom: this langchain-core has no Runnable._transform_stream_with_config: "
            "some abandoned streams will be shown as ok",
        )
        return None
    frame: FrameType | None = sys._getframe(1)
    for _ in range(_MOST_FRAMES):
        if frame is None:
            return None
        if frame.f_code is _STREAMING:
            iterator = frame.f_locals.get("iterator")
            if not inspect.isgenerator(iterator):
                return None
            return inspect.getgeneratorstate(iterator) != inspect.GEN_CLOSED
        frame = frame.f_back
    return None
