"""What a dialect makes of a step."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from opentelemetry.trace import SpanKind

Attributes = dict[str, Any]
"""Span attributes: str, bool, int, float, or a list of one of them."""

STEP_KIND = "spanloom.step.kind"
STEP_NAME = "spanloom.step.name"
STEP_OUTCOME = "spanloom.step.outcome"


@dataclass(slots=True)
class Rendered:
    """A span in one receiver's dialect, ready to be copied onto the wire."""

    name: str
    kind: SpanKind
    attributes: Attributes
    events: list[tuple[str, int, Attributes]] = field(default_factory=list)
    error: bool = False
    status_description: str | None = None


def known(attributes: Attributes) -> Attributes:
    """`attributes` without those that have no value: None, an empty string or an empty list."""
    return {k: v for k, v in attributes.items() if v is not None and v != "" and v != [] and v != ()}
