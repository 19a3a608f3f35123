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
    if sampling.errors:
        errors = {"name": "errors", "type": "status_code", "status_code": {"status_codes": ["ERROR"]}}
        out.append(
            Noted("Only a step's outcome `error` sets this status: interrupts and abandoned streams do not.", errors)
        )
    if sampling.slower_than is not None:
        slow = {"type": "latency", "latency": {"threshold_ms": round(sampling.slower_than * 1000)}}
        out.append(Noted("From the first start to the last end of the trace.", _unless_never(sampling, "slow", slow)))
    for number, (key, value) in enumerate(sampling.always, 1):
        out.append(_unless_never(sampling, f"always-{number}", _with(key, value)))
    if sampling.keep == 1:
        out.append(_unless_never(sampling, "rest", {"type": "always_sample"}))
    elif sampling.keep:
        share = {
            "type": "ottl_condition",
            "ottl_condition": {"error_mode": "ignore", "span": ottl.is_kept(sampling.keep)},
        }
        out.append(
            Noted(
                f"{100 * sampling.keep:g} % of the rest, by OpenTelemetry's consistent probability, as in the app:\n"
                "by the trace's randomness (`rv` of the tracestate, else the last 56 bits of its id).\n"
                "The policy `probabilistic` has a rule of its own.",
                _unless_never(sampling, "share", share),
            )
        )
    return out


def _unless_never(sampling: Sampling, name: str, policy: dict[str, Any]) -> dict[str, Any]:
    """`policy`, but not for what is never to be kept. An error is kept all the same, as in the application."""
    if not sampling.never:
        return {"name": name, **policy}
    others = [
        {"name": f"never-{number}", **_with(key, value, invert_match=True)}
        for number, (key, value) in enumerate(sampling.never, 1)
    ]
    return {"name": name, "type": "and", "and": {"and_sub_policy": [{"name": f"{name}-itself", **policy}, *others]}}


def _with(key: str, value: str, **more: bool) -> dict[str, Any]:
    return {"type": "string_attribute", "string_attribute": {"key": key, "values": [value], **more}}


def seconds(value: float) -> str:
    """A duration as the Collector reads it."""
    return f"{value:g}s" if value == int(value) else f"{round(value * 1000)}ms"
