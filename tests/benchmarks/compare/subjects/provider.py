"""The SDK as its documentation sets it up: one provider, a batch processor a destination, OTLP over HTTP."""

from __future__ import annotations

from typing import Any

SDK = ("opentelemetry.sdk.trace.export", "opentelemetry.exporter.otlp.proto.http.trace_exporter")
"""What is imported for it."""


def provider(*exporters: Any) -> Any:
    """A `TracerProvider`, set as the process's own, that sends to `exporters` in batches of the default size."""
    from opentelemetry import trace
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    made = TracerProvider(resource=Resource.create({"service.name": "benchmark"}))
    for exporter in exporters:
        made.add_span_processor(BatchSpanProcessor(exporter))
    trace.set_tracer_provider(made)
    return made


def otlp(url: str, name: str = "otlp") -> Any:
    """The SDK's own exporter, to `{url}/{name}/v1/traces`."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    return OTLPSpanExporter(endpoint=f"{url}/{name}/v1/traces")
