"""A span as one destination sends it: what an encoder reads of the SDK's `ReadableSpan`, and nothing around it.

The SDK's own class takes several times as long to make, and a span is copied once for each destination.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status


class EventCopy:
    """An event at `timestamp` (nanoseconds since the epoch)."""

    __slots__ = ("attributes", "name", "timestamp")

    dropped_attributes = 0

    def __init__(self, name: str, attributes: Mapping[str, Any], timestamp: int) -> None:
        self.name = name
        self.attributes = attributes
        self.timestamp = timestamp


class SpanCopy:
    """A finished span under the names of `ReadableSpan`: OpenTelemetry's encoder takes it for one."""

    __slots__ = (
        "attributes", "context", "end_time", "events", "instrumentation_scope", "kind", "links", "name", "parent",
        "resource", "start_time", "status",
    )  # fmt: skip

    dropped_attributes = 0
    dropped_events = 0
    dropped_links = 0

    def __init__(
        self,
        name: str,
        context: SpanContext | None,
        parent: SpanContext | None,
        kind: SpanKind,
        attributes: Mapping[str, Any],
        events: Sequence[EventCopy],
        links: Sequence[Link],
        status: Status,
        start_time: int | None,
        end_time: int | None,
        resource: Resource,
        instrumentation_scope: InstrumentationScope | None,
    ) -> None:
        self.name = name
        self.context = context
        self.parent = parent
        self.kind = kind
        self.attributes = attributes
        self.events = events
        self.links = links
        self.status = status
        self.start_time = start_time
        self.end_time = end_time
        self.resource = resource
        self.instrumentation_scope = instrumentation_scope

    def get_span_context(self) -> SpanContext | None:
        return self.context
