"""Which spans are one more layer of a step that is already there: one call, reported several times."""

from __future__ import annotations

import inspect
import sys
import weakref
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from llama_index_instrumentation.dispatcher import Dispatcher
from spanloom.step import Kind

from .frames import Frame, Frames, ModelFrame, StepFrame
from .steps import Family, is_output_schema

# A tool's methods call one another, in any order, and its parent class's: that is one call of one tool.
_TOOL_METHODS = ("acall", "__call__", "call")


def is_layer(frame: StepFrame, instance: Any, above: Frame | None, frames: Frames) -> bool:
    """Whether the span of `frame`, entered right below `above`, is no step of its own.

    Where a model calls another model, the one around turns out to be a wrapper: it becomes a chain.
    """
    family = frame.family
    if family in _MODELS:
        around = frames.open.get(frame.home)
        if not isinstance(around, StepFrame) or around.family is not family or around.step is None:
            return False
        if around.instance_id == frame.instance_id:  # `CustomLLM.chat` asks its own `complete`
            return True
        if type(frame) is ModelFrame:
            around.step.kind = Kind.CHAIN
        return False
    if family is _TOOL and is_output_schema(instance):
        return True
    if above is None or above.family is not family or not isinstance(above, StepFrame):
        return False
    if family is _TOOL:
        return _is_same_tool(frame, instance, above, frames)
    return above.instance_id == frame.instance_id  # a method that calls its parent class's


def _is_same_tool(frame: StepFrame, instance: Any, above: StepFrame, frames: Frames) -> bool:
    if above.instance_id == frame.instance_id:
        return not _calls_itself(instance)
    around = frames.open.get(frame.home)
    # An adapter and the tool in it have one description.
    return around is not None and around.step is not None and around.step.tool_name == instance.metadata.name


def _calls_itself(tool: Any) -> bool:
    """Whether the call of `tool` that LlamaIndex just reports, inside of another one, comes out of the tool's own
    function, rather than out of a method that hands it on. Of one handed to another thread nothing is seen."""
    functions = _codes(getattr(tool, name, None) for name in ("_fn", "_async_fn", "_real_fn"))
    methods = _methods_of(type(tool))  # type: ignore[arg-type]  # a class can be hashed
    here: Any = sys._getframe()
    while here is not None:
        if here.f_code in functions:
            return True
        if here.f_code in methods:
            return False
        here = here.f_back
    return False


@lru_cache(maxsize=1_000)
def _methods_of(kind: type) -> set[Any]:
    return _codes(vars(c).get(name) for c in kind.__mro__ for name in _TOOL_METHODS)


def _codes(functions: Iterable[Any]) -> set[Any]:
    return {getattr(inspect.unwrap(f), "__code__", None) for f in functions if f is not None}


_TOOL = Family.TOOL
_MODELS = frozenset({Family.LLM, Family.EMBEDDING})
_DISPATCHER = Dispatcher.__module__


Streaming = dict[int, tuple[str, weakref.ref[Any]]]
"""The models whose streams are open: by the id of its generator's frame, a model's span id and the generator."""


def frame_of(generator: Any) -> Any:
    """The frame that a generator's body runs in, the same for as long as it can run; None where it has ended."""
    return getattr(generator, "gi_frame", None) or getattr(generator, "ag_frame", None)


def enclosing_model(streaming: Streaming, frames: Frames, *, spans: bool = True) -> Frame | None:
    """The streaming model out of whose generator the present code is called: it asks another model, or itself, lazily.

    The framework reports such a call below whoever consumes the stream. `spans` says whether spans of LlamaIndex's may
    lie between the two.
    """
    here: Any = sys._getframe()
    while here is not None:
        found = streaming.get(id(here))
        if found is not None and frame_of(found[1]()) is here:
            return frames.open.get(found[0])
        if not spans and here.f_globals.get("__name__") == _DISPATCHER:
            return None
        here = here.f_back
    return None
