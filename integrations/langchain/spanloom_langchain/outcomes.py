"""Which exceptions are errors, and which are the end of a stream, a cancellation or LangGraph's control flow."""

from __future__ import annotations

import asyncio
import sys
from concurrent.futures import CancelledError

from spanloom.step import Outcome


def outcome_of(error: BaseException) -> Outcome:
    """The outcome that `error` stands for. LangGraph is asked by type, where the process has imported it at all."""
    if isinstance(error, GeneratorExit):
        return Outcome.ABANDONED
    if isinstance(error, (asyncio.CancelledError, CancelledError, KeyboardInterrupt, SystemExit)):
        return Outcome.CANCELLED
    graph = sys.modules.get("langgraph.errors")
    if graph is not None and isinstance(error, graph.GraphBubbleUp):
        return Outcome.HANDOFF if isinstance(error, graph.ParentCommand) else Outcome.INTERRUPTED
    return Outcome.ERROR


def leaves_orphans(error: BaseException) -> bool:
    """Whether the framework sends no end for what ran below a step that ended so."""
    graph = sys.modules.get("langgraph.errors")
    timed_out = graph is not None and isinstance(error, getattr(graph, "NodeTimeoutError", ()))
    return timed_out or outcome_of(error) is Outcome.CANCELLED
