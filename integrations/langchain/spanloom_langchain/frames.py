"""What only LangChain's own frames tell: whether a stream was read to its end, which prompt of a batch runs, and
which graph.

A sync stream that its consumer closes ends with an ordinary `on_chain_end`, since `_transform_stream_with_config`
swallows the GeneratorExit. But the callback runs inside that function's frame, whose `iterator` is still suspended
then, and finished after a full read. The prompts of one `generate` start back to back, before any runs; the one that
runs is in the frame of `_generate_with_cache`, with its `run_manager`. Where a frame cannot be found or read the answer
is None, and the caller falls back on what callbacks tell.

A graph runs in the frame of `Pregel.stream` or `astream`, in its caller's own context: LangChain's variable tells its
nodes, but not what the graph itself does between them, such as asking its checkpointer. A node's `TracePolicy` reaches
LangSmith's tracers alone, but the frame that starts the node knows it.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Hashable, Iterator, Mapping
from functools import cache
from types import FrameType
from typing import Any, NamedTuple
from uuid import UUID

from langchain_core.runnables.base import Runnable
from spanloom.guard import warn_once
from spanloom.loaded import loaded

_MOST_FRAMES = 64


def _code_of(owner: type, name: str) -> Any:
    return getattr(getattr(owner, name, None), "__code__", None)


_STREAM = _code_of(Runnable, "_transform_stream_with_config")


Codes = Mapping[int, Any]
"""Codes by their id: to hash one takes longer than to go on to the next frame."""


def _codes_of(owner: type, *names: str) -> Codes:
    return {id(code): code for name in names if (code := _code_of(owner, name)) is not None}


@cache
def _calls() -> Codes:
    from langchain_core.language_models import BaseChatModel  # noqa: PLC0415  30 ms: where a model runs, it is there

    return _codes_of(BaseChatModel, "_generate_with_cache", "_agenerate_with_cache")


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
        if id(frame.f_code) in calls:
            run_id = getattr(frame.f_locals.get("run_manager"), "run_id", None)
            return run_id if isinstance(run_id, UUID) else None
    return None


class GraphStart(NamedTuple):
    """The start of a graph's own run. `metadata` is what the graph was made with, and nothing that a run around it
    says; `awaited`, whether its caller waits for its end (`invoke`) or reads it piece by piece (`stream`)."""

    metadata: Mapping[str, Any]
    awaited: bool


class NodeStart(NamedTuple):
    """The start of a node whose application says, by a `TracePolicy`, what a trace records of it: `recorded` is that of
    its input, and `process_outputs` makes it of its output (None: as it is)."""

    recorded: Any
    process_outputs: Callable[[Any], Any] | None


def starting() -> GraphStart | NodeStart | None:
    """What is known of the graph, or the node, whose start is being reported; None for any other run, and for a node
    that is traced as it is. Asked in the callback itself."""
    if _GRAPH not in sys.modules or not (graphs := _graph_codes()):
        return None
    nodes = _node_codes()
    frame: FrameType | None = sys._getframe(2)
    while frame is not None:
        if id(frame.f_code) in graphs:
            return _graph_start(frame)
        if id(frame.f_code) in nodes:
            return _node_start(frame.f_locals)
        if frame.f_globals.get("__name__") != _REPORTING:
            return None
        frame = frame.f_back
    return None


def _graph_start(frame: FrameType) -> GraphStart:
    config = getattr(frame.f_locals.get("self"), "config", None)
    metadata = config.get("metadata") if isinstance(config, Mapping) else None
    caller = frame.f_back
    return GraphStart(
        metadata if isinstance(metadata, Mapping) else {},
        caller is not None and id(caller.f_code) in _graph_codes("invoke", "ainvoke"),
    )


def _node_start(variables: Mapping[str, Any]) -> NodeStart | None:
    policy = getattr(variables.get("self"), "trace_policy", None)
    outputs = getattr(policy, "process_outputs", None)
    if getattr(policy, "process_inputs", None) is None and outputs is None:
        return None
    return NodeStart(variables.get("recorded"), outputs)


def runs_graph(run: Hashable) -> bool:
    """Whether the caller is in the body of the graph `run` that somebody reads piece by piece.

    On the way to its checkpointer a graph's frame is on the stack, or its loop's, which may have a thread or a task of
    its own. Writes go there alone: then it is the graph's that the context knows.
    """
    codes, keeps = _graph_codes(), False
    kept = loaded("langgraph.checkpoint.base", "BaseCheckpointSaver") + loaded("langgraph.cache.base", "BaseCache")
    for frame in _frames():
        module = frame.f_globals.get("__name__")
        if id(frame.f_code) in codes:
            return _is_run(frame.f_locals.get("run_manager"), run)
        if module == _LOOP:
            return _is_run(getattr(frame.f_locals.get("self"), "manager", None), run)
        if module == _GRAPH:
            return False  # the consumer asks for a state
        names = frame.f_code.co_varnames
        keeps = keeps or (names[:1] == ("self",) and isinstance(frame.f_locals.get("self"), kept))
    return keeps


_GRAPH, _LOOP = "langgraph.pregel.main", "langgraph.pregel._loop"
_REPORTING = "langchain_core.callbacks.manager"
_known: dict[tuple[str, ...], Codes] = {}


def _graph_codes(*names: str) -> Codes:
    """The codes of a graph's methods, by default of those that run it; empty where nobody has imported LangGraph."""
    names = names or ("stream", "astream")
    if (known := _known.get(names)) is not None:
        return known
    if not (graphs := loaded(_GRAPH, "Pregel")):
        return {}
    known = _known[names] = _codes_of(graphs[0], *names)
    if len(known) < len(names):
        _missing("Pregel.stream", "agents are shown as chains, checkpointers lie around their graph", "langgraph")
    return known


def _node_codes() -> Codes:
    """The codes of what starts a node, where LangGraph has trace policies."""
    if (known := _known.get(_NODE_STARTS)) is not None:
        return known
    if not (sequences := loaded("langgraph._internal._runnable", "RunnableSeq")):
        return {}
    known = _known[_NODE_STARTS] = _codes_of(sequences[0], *_NODE_STARTS)
    if not known and loaded("langgraph.types", "TracePolicy"):
        _missing("RunnableSeq._start", "nodes are traced as they are, whatever their TracePolicy says", "langgraph")
    return known


_NODE_STARTS = ("_start", "_astart")


def _is_run(manager: Any, run: Hashable) -> bool:
    run_id = getattr(manager, "run_id", None)
    return (run_id.int if isinstance(run_id, UUID) else run_id) == run


def _frames() -> Iterator[FrameType]:
    frame: FrameType | None = sys._getframe(2)
    for _ in range(_MOST_FRAMES):
        if frame is None:
            return
        yield frame
        frame = frame.f_back


def _missing(name: str, what: str, package: str = "langchain-core") -> None:
    warn_once(f"langchain:{name}", "spanloom: this %s has no %s: %s", package, name, what)
