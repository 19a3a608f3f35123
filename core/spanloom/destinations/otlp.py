"""Any OTLP backend, over HTTP or gRPC, in the GenAI semantic conventions."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any, Literal, cast, get_args

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter

from ..content import ContentPolicy
from ..dialects import genai
from ..dialects.rendered import known
from ..errors import ConfigurationError
from ..weave import Ended
from .delivery import BATCH_SPANS, QUEUE_SPANS, Delivery
from .destination import copy_of, export_with, rendered_safely, visible
from .endpoint import check_url, traces_url

Protocol = Literal["http/protobuf", "grpc"]


class Otlp:
    """Send traces to an OTLP receiver: a Collector, Jaeger, Tempo, Honeycomb, Datadog, New Relic.

    What is left out is filled by the standard variables (`OTEL_EXPORTER_OTLP_ENDPOINT`, `…_TRACES_ENDPOINT`,
    `…_HEADERS`, `…_PROTOCOL`, `…_TIMEOUT`, `…_COMPRESSION`, `…_CERTIFICATE` and their `TRACES` forms), and then by
    OpenTelemetry's defaults (`http://localhost:4318`, for gRPC `http://localhost:4317`).

    `endpoint` is the receiver's base address, or the full one ending in `/v1/traces`. `timeout` is seconds for one
    batch, its retries included. `content` decides what of prompts and answers goes out: by default their hashes only.
    `queue_spans` bounds what waits to be sent; beyond it, spans are dropped and counted.
    """

    def __init__(
        self,
        endpoint: str | None = None,
        headers: Mapping[str, str] | None = None,
        protocol: Protocol | None = None,
        *,
        content: ContentPolicy | None = None,
        timeout: float | None = None,
        compression: Literal["gzip", "deflate", "none"] | None = None,
        insecure: bool | None = None,
        queue_spans: int = QUEUE_SPANS,
        batch_spans: int = BATCH_SPANS,
        name: str = "otlp",
    ) -> None:
        self.name = name
        self.endpoint, self.headers, self.content = endpoint, dict(headers or {}), content or ContentPolicy.hashed()
        self.timeout, self.compression, self.insecure = timeout, compression, insecure
        self.queue_spans, self.batch_spans = queue_spans, batch_spans
        self.protocol: Protocol = protocol or cast(
            Protocol,
            os.environ.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL")
            or os.environ.get("OTEL_EXPORTER_OTLP_PROTOCOL")
            or "http/protobuf",
        )
        self._exporter: SpanExporter | None = None
        self._resource = Resource.get_empty()

    def __repr__(self) -> str:  # headers hold keys
        return f"Otlp({self.endpoint!r}, protocol={self.protocol!r})"

    def open(self, resource: Resource, tick: Callable[[], object]) -> Delivery:
        self._resource = resource
        self._exporter = self._make_exporter()
        return Delivery(self.name, self._export, queue_spans=self.queue_spans, batch_spans=self.batch_spans, tick=tick)

    def close(self) -> None:
        if self._exporter is not None:
            self._exporter.shutdown()

    def _make_exporter(self) -> SpanExporter:
        if self.protocol not in get_args(Protocol):
            raise ConfigurationError(
                f'Otlp(protocol={self.protocol!r}) is not known: write protocol="http/protobuf" or protocol="grpc".'
            )
        for variable in ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"):
            if self.endpoint is None and (url := os.environ.get(variable)):
                check_url(url if "://" in url or self.protocol != "grpc" else f"http://{url}", variable)
                break
        if self.protocol == "grpc":
            return self._grpc_exporter()
        from opentelemetry.exporter.otlp.proto.http import Compression  # noqa: PLC0415  costs 30 ms: only where used
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415

        return OTLPSpanExporter(
            endpoint=traces_url(check_url(self.endpoint, "Otlp(endpoint=…)")) if self.endpoint else None,
            headers=self.headers or None,
            timeout=self.timeout,
            compression=Compression(self.compression) if self.compression else None,
        )

    def _grpc_exporter(self) -> SpanExporter:
        try:
            from grpc import Compression  # noqa: PLC0415
            from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
        except ImportError as error:
            raise ConfigurationError(
                "Otlp(protocol=\"grpc\") needs the gRPC exporter: run `pip install 'spanloom[otlp-grpc]'`."
            ) from error
        if self.compression == "deflate":
            raise ConfigurationError('Otlp(protocol="grpc") takes compression="gzip" or compression="none".')
        insecure = self.insecure
        endpoint = self.endpoint
        if endpoint is not None:
            check_url(endpoint if "://" in endpoint else f"http://{endpoint}", "Otlp(endpoint=…)")
            if insecure is None and "://" not in endpoint:
                insecure = True
        compression = {"gzip": Compression.Gzip, "none": Compression.NoCompression}.get(self.compression or "")
        return OTLPSpanExporter(
            endpoint=endpoint,
            insecure=insecure,
            headers={k.lower(): v for k, v in self.headers.items()} or None,  # gRPC metadata keys are lower case
            timeout=self.timeout,
            compression=compression,
        )

    def _export(self, batch: list[Ended]) -> int:
        assert self._exporter is not None
        return export_with(self._exporter, [self._copy(ended) for ended in batch])

    def _copy(self, ended: Ended) -> ReadableSpan:
        span, step = ended.span, ended.step
        if step is None:
            return self._stamped(ended)
        rendered = rendered_safely(step, visible(ended, self.content), lambda seen: genai.render(step, seen))
        return copy_of(span, rendered, self._resource_of(span), span.parent, dict(span.attributes or {}))

    def _stamped(self, ended: Ended) -> ReadableSpan:
        """A span of another library: as it is, with the identity of the trace it belongs to."""
        span = ended.span
        who = known({"user.id": ended.identity.user_id, "session.id": ended.identity.session_id})
        return ReadableSpan(
            name=span.name,
            context=span.context,
            parent=span.parent,
            resource=self._resource_of(span),
            attributes={**who, **(span.attributes or {})},
            events=span.events,
            links=span.links,
            kind=span.kind,
            status=span.status,
            start_time=span.start_time,
            end_time=span.end_time,
            instrumentation_scope=span.instrumentation_scope,
        )

    def _resource_of(self, span: ReadableSpan) -> Resource:
        return self._resource or span.resource


def endpoint_in_environment() -> bool:
    """Whether the environment names an OTLP receiver for traces."""
    return any(os.environ.get(name) for name in ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"))


__all__: list[Any] = ["Otlp", "endpoint_in_environment"]
