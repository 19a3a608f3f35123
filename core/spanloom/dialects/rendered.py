"""What a dialect makes of a step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from opentelemetry.trace import SpanKind

from ..content.plain import clean, label, plain
from ..step import Kind, Outcome, Step

Attributes = dict[str, Any]
"""Span attributes: str, bool, int, float, or a list of one of them."""

_INT_BITS = 64
_LARGE = 1 << 63

STEP_KIND = "spanloom.step.kind"
STEP_NAME = "spanloom.step.name"
STEP_OUTCOME = "spanloom.step.outcome"

OUTCOMES = {outcome: outcome.value for outcome in Outcome}
"""Their texts: an enumeration's own `value` costs as much as a handful of attributes."""


@dataclass(slots=True)
class Rendered:
    """A span in one receiver's dialect, ready to be copied onto the wire."""

    name: str
    kind: SpanKind
    attributes: Attributes
    events: list[tuple[str, int, Attributes]] = field(default_factory=list)
    error: bool = False
    status_description: str | None = None


def step_name(step: Step) -> str:
    """The framework's name for the step; for a tool and an agent, its own."""
    own = step.tool_name if step.kind is Kind.TOOL else step.agent_name if step.kind is Kind.AGENT else None
    return label(own or step.name) or step.kind.value


def put(out: Attributes, key: str, value: Any) -> None:
    """Set `key` to `value`, unless that is nothing (None, an empty text or list), or nothing that OTLP can carry."""
    kind = type(value)
    if kind is str:
        if value:
            out[key] = value if value.isascii() else clean(value)  # most are, and need no look at each character
    elif kind is bool or kind is float or (kind is int and -_LARGE < value < _LARGE):
        out[key] = value
    elif value is not None:
        kept = attribute(value)
        if kept is not None and kept not in ("", []):
            out[key] = kept


def known(attributes: Mapping[str, Any]) -> Attributes:
    """`attributes` without those that are nothing, or nothing that OTLP can carry."""
    out: Attributes = {}
    for key, value in attributes.items():
        if value is not None:
            put(out, key, value)
    return out


def attribute(value: Any) -> Any:
    """`value` as OTLP carries it: clean text, a bool, an int of 64 bits, a float, or a list of these; None for others.

    One text that is no UTF-8, or one number too large, must not cost a span its batch.
    """
    if isinstance(value, str):
        return clean(value)
    if value is None or isinstance(value, (bool, float)):
        return value
    if isinstance(value, int):
        return value if value.bit_length() < _INT_BITS else clean(str(plain(value)))
    if isinstance(value, (list, tuple)):
        out = []
        for item in value:
            if type(item) is str and item.isascii():
                out.append(item)
            elif (kept := attribute(item)) is not None:
                out.append(kept)
        return out
    return None
