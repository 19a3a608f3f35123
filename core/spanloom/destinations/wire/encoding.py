"""Spans as OTLP's bytes, in requests of a bounded size, and such requests cut in two."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import format_span_id, format_trace_id

if TYPE_CHECKING:
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

TRACES = "traces"
_ENVELOPE = 8  # bytes around one span in a request, at most


@dataclass(frozen=True, slots=True)
class Batch:
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
    from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans  # noqa: PLC0415  30 ms: late

    unfit: list[str] = []
    try:
        message = encode_spans(spans)
    except Exception:
        fit = []
        for span in spans:
            try:
                encode_spans([span]).SerializeToString()
                fit.append(span)
            except Exception:
                unfit.append(_name(span))
        message = encode_spans(fit)
    batches = []
    if message.resource_spans:
        body = message.SerializeToString()
        if len(body) <= most_bytes:
            batches = [Batch(body, len(spans) - len(unfit))]
        else:
            batches = list(_groups(message, most_bytes, len(spans)))
    return batches, unfit


def halves(batch: Batch) -> list[Batch]:
    """Its spans in two requests. The batch holds at least two."""
    return list(_groups(_parsed(batch), len(batch.body), (batch.items + 1) // 2))


def in_pieces(batch: Batch, most_bytes: int) -> list[Batch]:
    if len(batch.body) <= most_bytes or not batch.is_divisible:
        return [batch]
    return list(_groups(_parsed(batch), most_bytes, batch.items))


def name_of(batch: Batch) -> str:
    """The one span of a request, by its name and ids."""
    for resourced in _parsed(batch).resource_spans:
        for scoped in resourced.scope_spans:
            for span in scoped.spans:
                return f"{span.name!r} (trace {span.trace_id.hex()}, span {span.span_id.hex()})"
    return "a span"


def _parsed(batch: Batch) -> ExportTraceServiceRequest:
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest  # noqa: PLC0415

    message: ExportTraceServiceRequest = ExportTraceServiceRequest.FromString(batch.body)
    return message


def _groups(message: ExportTraceServiceRequest, most_bytes: int, most_spans: int) -> Iterator[Batch]:
    """The spans of `message` in their order, under their own resources and scopes."""
    made, size, count = type(message)(), 0, 0
    for resourced in message.resource_spans:
        head = resourced.resource.ByteSize() + _ENVELOPE
        into = None
        for scoped in resourced.scope_spans:
            scope, place = scoped.scope.ByteSize() + _ENVELOPE, None
            for span in scoped.spans:
                own = span.ByteSize() + _ENVELOPE
                if count and (count >= most_spans or size + own + (scope if place is None else 0) > most_bytes):
                    yield Batch(made.SerializeToString(), count)
                    made, size, count, into, place = type(message)(), 0, 0, None, None
                if into is None:
                    into = made.resource_spans.add(resource=resourced.resource, schema_url=resourced.schema_url)
                    size, place = size + head, None
                if place is None:
                    place = into.scope_spans.add(scope=scoped.scope, schema_url=scoped.schema_url)
                    size += scope
                place.spans.append(span)
                size, count = size + own, count + 1
    if count:
        yield Batch(made.SerializeToString(), count)


def _name(span: ReadableSpan) -> str:
    ids = span.context
    if ids is None:
        return repr(span.name)
    return f"{span.name!r} (trace {format_trace_id(ids.trace_id)}, span {format_span_id(ids.span_id)})"
