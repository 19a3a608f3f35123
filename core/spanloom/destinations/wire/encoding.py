"""Spans as OTLP's bytes, in requests of a bounded size, and such requests cut in two."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import format_span_id, format_trace_id

from .attributes import sized, varint
from .otlp import resource_bytes, schema_bytes, scope_bytes, span_bytes

if TYPE_CHECKING:
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

TRACES = "traces"
LEAST_BYTES = 256 * 1024  # what a receiver's refusals teach of its limit never goes below
_ENVELOPE = 8  # bytes around one message in a request, at most


class Batch(NamedTuple):
    """One request's body, not compressed, and how many spans (or other things) it holds. `lane` says over which of a
    destination's wires it goes."""

    body: bytes
    items: int
    lane: str = TRACES

    @property
    def is_divisible(self) -> bool:
        return self.lane == TRACES and self.items > 1


def encoded(spans: Sequence[ReadableSpan], most_bytes: int) -> tuple[list[Batch], list[str]]:
    """Requests of at most `most_bytes` each, unless one span alone is larger; and the names of those that cannot be
    encoded, which cost only themselves."""
    unfit: list[str] = []
    groups: list[_ResourceSpans] = []
    resource: Resource | None = None
    scope: InstrumentationScope | None = None
    place: list[bytes] | None = None
    for span in spans:
        try:
            body = span_bytes(span)
            if place is None or span.resource is not resource or span.instrumentation_scope is not scope:
                place = None  # where the next one's is not found, it has none
                resource, scope = span.resource, span.instrumentation_scope
                place = _place(groups, resource, scope)
            place.append(body)
        except Exception:
            unfit.append(_name(span))
    return list(_batches(groups, most_bytes, len(spans))), unfit


def halves(batch: Batch) -> list[Batch]:
    """Its spans in two requests. The batch holds at least two."""
    return list(_batches(_groups_of(batch), len(batch.body), (batch.items + 1) // 2))


def in_pieces(batch: Batch, most_bytes: int) -> list[Batch]:
    if len(batch.body) <= most_bytes or not batch.is_divisible:
        return [batch]
    return list(_batches(_groups_of(batch), most_bytes, batch.items))


def name_of(batch: Batch) -> str:
    """The one span of a request, by its name and ids."""
    for resourced in _parsed(batch).resource_spans:
        for scoped in resourced.scope_spans:
            for span in scoped.spans:
                return f"{span.name!r} (trace {span.trace_id.hex()}, span {span.span_id.hex()})"
    return "a span"


class _ScopeSpans:
    """Encoded spans of one scope."""

    __slots__ = ("schema", "scope", "spans")

    def __init__(self, scope: bytes, schema: bytes) -> None:
        self.scope, self.schema = scope, schema
        self.spans: list[bytes] = []

    @property
    def head(self) -> int:
        """Bytes of all but the spans, at most."""
        return len(self.scope) + len(self.schema) + _ENVELOPE


class _ResourceSpans:
    """Encoded spans of one resource, by their scopes."""

    __slots__ = ("of", "resource", "schema", "scopes")

    def __init__(self, resource: bytes, schema: bytes, of: Resource | None = None) -> None:
        self.resource, self.schema, self.of = resource, schema, of
        self.scopes: dict[object, _ScopeSpans] = {}

    @property
    def head(self) -> int:
        return len(self.resource) + len(self.schema) + _ENVELOPE


def _place(groups: list[_ResourceSpans], resource: Resource, scope: InstrumentationScope | None) -> list[bytes]:
    """Where the spans of such a scope are gathered. Resources are few, and their hash is slow: they are compared."""
    for group in groups:
        if group.of is resource or group.of == resource:
            break
    else:
        group = _ResourceSpans(resource_bytes(resource), schema_bytes(resource.schema_url), resource)
    scoped = group.scopes.get(scope)
    if scoped is None:
        scoped = group.scopes[scope] = _ScopeSpans(
            scope_bytes(scope), schema_bytes(scope.schema_url if scope else None)
        )
        if len(group.scopes) == 1:
            groups.append(group)
    return scoped.spans


def _batches(groups: Sequence[_ResourceSpans], most_bytes: int, most_spans: int) -> Iterator[Batch]:
    """The spans of `groups` in their order, under their own resources and scopes."""
    made: list[_ResourceSpans] = []
    size = count = 0
    for group in groups:
        into: _ResourceSpans | None = None
        for scope, scoped in group.scopes.items():
            place: list[bytes] | None = None
            for span in scoped.spans:
                own = len(span) + _ENVELOPE
                if place is None:
                    own += scoped.head if into is not None else scoped.head + group.head
                if count and (count >= most_spans or size + own > most_bytes):
                    yield Batch(_request(made), count)
                    made, size, count, into, place = [], 0, 0, None, None
                    own = len(span) + _ENVELOPE + scoped.head + group.head
                if into is None:
                    into = _ResourceSpans(group.resource, group.schema)
                    made.append(into)
                if place is None:
                    into.scopes[scope] = _ScopeSpans(scoped.scope, scoped.schema)
                    place = into.scopes[scope].spans
                place.append(span)
                size += own
                count += 1
    if count:
        yield Batch(_request(made), count)


def _request(groups: Iterable[_ResourceSpans]) -> bytes:
    """One `ExportTraceServiceRequest`, put together in one go."""
    parts: list[bytes] = []
    for group in groups:
        inner = [group.resource]
        for scoped in group.scopes.values():
            fields = [scoped.scope]
            for span in scoped.spans:
                fields += b"\x12", varint(len(span)), span
            fields.append(scoped.schema)
            inner += b"\x12", varint(sum(map(len, fields)))
            inner += fields
        inner.append(group.schema)
        parts += b"\x0a", varint(sum(map(len, inner)))
        parts += inner
    return b"".join(parts)


def _parsed(batch: Batch) -> ExportTraceServiceRequest:
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest  # noqa: PLC0415

    message: ExportTraceServiceRequest = ExportTraceServiceRequest.FromString(batch.body)
    return message


def _groups_of(batch: Batch) -> list[_ResourceSpans]:
    """What a request was put together of; one from a spool may be another version's."""
    groups = []
    for resourced in _parsed(batch).resource_spans:
        group = _ResourceSpans(
            sized(b"\x0a", resourced.resource.SerializeToString()), schema_bytes(resourced.schema_url)
        )
        for n, scoped in enumerate(resourced.scope_spans):
            place = _ScopeSpans(sized(b"\x0a", scoped.scope.SerializeToString()), schema_bytes(scoped.schema_url))
            place.spans += [span.SerializeToString() for span in scoped.spans]
            group.scopes[n] = place
        groups.append(group)
    return groups


def _name(span: ReadableSpan) -> str:
    ids = span.context
    if ids is None:
        return repr(span.name)
    return f"{span.name!r} (trace {format_trace_id(ids.trace_id)}, span {format_span_id(ids.span_id)})"
