"""The policy of the tail sampler, as the app's own would decide."""

from __future__ import annotations

from typing import Any

from . import ottl
from .settings import Sampling
from .yaml import Noted

_REMEMBERED = 4  # decisions, for each trace that waits: spans that come late follow them


def processor(sampling: Sampling) -> dict[str, Any]:
    """The settings of `tail_sampling`."""
    return {
        "decision_wait": Noted(
            "As long as your longest trace takes: what comes later follows what was decided without it.",
            seconds(sampling.wait),
        ),
        "decision_wait_after_root_received": seconds(sampling.after_root),
        "num_traces": Noted(
            "Beyond it the oldest goes undecided: traces a second × seconds of wait, and room.", sampling.traces
        ),
        "decision_cache": {
            "sampled_cache_size": _REMEMBERED * sampling.traces,
            "non_sampled_cache_size": _REMEMBERED * sampling.traces,
        },
        "policies": _policies(sampling),
    }


def _policies(sampling: Sampling) -> list[Any]:
    out: list[Any] = []
    for number, (key, value) in enumerate(sampling.never, 1):
        policy = {"name": f"never-{number}", **_with(key, value)}
        out.append({"name": f"drop-{number}", "type": "drop", "drop": {"drop_sub_policy": [policy]}})
    if sampling.errors:
        out.append(
            Noted(
                "Only a step's outcome `error` sets this status: interrupts and abandoned streams do not.",
                {"name": "errors", "type": "status_code", "status_code": {"status_codes": ["ERROR"]}},
            )
        )
    if sampling.slower_than is not None:
        slow = {"name": "slow", "type": "latency", "latency": {"threshold_ms": round(sampling.slower_than * 1000)}}
        out.append(Noted("From the first start to the last end of the trace.", slow))
    for number, (key, value) in enumerate(sampling.always, 1):
        out.append({"name": f"always-{number}", **_with(key, value)})
    if sampling.keep == 1:
        out.append({"name": "rest", "type": "always_sample"})
    elif sampling.keep:
        share = {"error_mode": "ignore", "span": [ottl.is_kept(sampling.keep)]}
        out.append(
            Noted(
                f"{sampling.keep:.4%} of the rest, by trace id: OpenTelemetry's rule of consistent probability, the\n"
                "same one as in the application's sampler (the policy `probabilistic` has a rule of its own).",
                {"name": "share", "type": "ottl_condition", "ottl_condition": share},
            )
        )
    return out


def _with(key: str, value: str) -> dict[str, Any]:
    return {"type": "string_attribute", "string_attribute": {"key": key, "values": [value]}}


def seconds(value: float) -> str:
    """A duration as the Collector reads it."""
    return f"{value:g}s" if value == int(value) else f"{round(value * 1000)}ms"
