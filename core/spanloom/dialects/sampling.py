"""What a span says of the sampling that it came through: why its trace was kept, and with which probability."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Any, NamedTuple

from .rendered import Attributes

PROBABILITY = "spanloom.sampling.probability"
REASON = "spanloom.sampling.reason"

_CONTROL_FLOW = frozenset({
    "langgraph.errors.GraphBubbleUp",
    "langgraph.errors.GraphDrained",
    "langgraph.errors.GraphInterrupt",
    "langgraph.errors.NodeInterrupt",
    "langgraph.errors.ParentCommand",
    "workflows.runtime.types.results.WaitingForEvent",
    "asyncio.exceptions.CancelledError",
    "concurrent.futures._base.CancelledError",
    "GeneratorExit",
    "KeyboardInterrupt",
})  # fmt: skip
"""`exception.type` of what travels as an exception and is none of the application's errors."""


class Reason(enum.StrEnum):
    """Why a trace is kept; the value of `spanloom.sampling.reason`."""

    ERROR = "error"
    SLOW = "slow"
    LOW_SCORE = "low_score"
    ALWAYS = "always"
    SHARE = "share"


class Kept(NamedTuple):
    """How a trace was kept. Divide by `probability` (above 0, at most 1) to estimate what there was in all.

    `threshold` is OpenTelemetry's rejection threshold of 56 bits: 0 where nothing was left to chance.
    """

    probability: float
    reason: Reason
    threshold: int = 0


def attributes(kept: Kept | None) -> Attributes:
    """On every span that was sampled, of whatever library, in every dialect."""
    return {} if kept is None else {PROBABILITY: kept.probability, REASON: kept.reason.value}


def langfuse(kept: Kept | None) -> Attributes:
    """The same as an observation's metadata, where Langfuse's tables show it."""
    if kept is None:
        return {}
    return {
        "langfuse.observation.metadata.sampling_probability": kept.probability,
        "langfuse.observation.metadata.sampling_reason": kept.reason.value,
    }


def honeycomb(kept: Kept | None) -> Attributes:
    """Honeycomb's own word: how many spans this one stands for, a whole number, by which it weighs its counts."""
    return {} if kept is None or kept.probability >= 1 else {"SampleRate": round(1 / kept.probability)}


def neutral(kept: Kept | None) -> dict[str, Any]:
    """As the local file keeps it, under `sampling` of a span's record."""
    if kept is None:
        return {}
    return {"sampling": {"probability": kept.probability, "reason": kept.reason.value}}


def is_control_flow(exception: Mapping[str, Any]) -> bool:
    """Whether an `exception` event tells of an interrupt, a handoff or a cancellation: OpenTelemetry's own context
    managers set the status ERROR for these too."""
    return exception.get("exception.type") in _CONTROL_FLOW
