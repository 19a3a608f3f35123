"""Any OTLP backend, over HTTP or gRPC, in the GenAI semantic conventions or in OpenInference's."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeAlias, Unpack, cast, get_args
from urllib.parse import urlsplit

from opentelemetry.sdk.resources import Resource

from ..content import ContentPolicy
from ..content.visible import Visible
from ..dialects import genai, genai_content, openinference
from ..dialects.foreign import REPEATS
from ..dialects.rendered import Rendered
from ..ended import Ended
from ..errors import ConfigurationError
from ..step import Step
from .behind_collector import BothDialects
from .capture import policy_in_environment
from .delivery import Delivery
from .destination import copies, copy_of, rendered
from .endpoint import check_headers, check_url, traces_url, without_credentials
from .exporter import MakeWire
from .queued import Options, Queued
from .receipt import Receipt
from .seen import Seen, seen
from .span_copy import SpanCopy
from .wire import environment
from .wire.encoding import TRACES
from .wire.grpc import GrpcWire, credentials_of, target
from .wire.http import HttpWire, Tls

Protocol = Literal["http/protobuf", "grpc"]
Dialect = Literal["genai", "openinference"]
Render: TypeAlias = Callable[[Step, Visible], Rendered]

_DIALECTS: dict[str, Render] = {"genai": genai.render, "openinference": openinference.render}


class Otlp(Queued):
    """Send traces to an OTLP receiver: a Collector, Jaeger, Tempo, Honeycomb, Datadog, New Relic.

    What is left out is filled by the standard variables (`OTEL_EXPORTER_OTLP_ENDPOINT`, `…_TRACES_ENDPOINT`,
    `…_HEADERS`, `…_PROTOCOL`, `…_TIMEOUT`, `…_COMPRESSION`, `…_CERTIFICATE` and their `TRACES` forms), and then by
    OpenTelemetry's defaults (`http://localhost:4318`, for gRPC `http://localhost:4317`).

    `endpoint` is the receiver's base address, or the full one ending in `/v1/traces`; for gRPC it may be `host:port`,
    which is reached over TLS unless it is this machine, or `insecure=True`. `headers` are sent with every request, such
    as `{"api-key": "…"}`. `protocol` is "http/protobuf" (the default) or "grpc"; `compression` "gzip", "none" (the
    default) or, over HTTP, "deflate". `timeout` is seconds for one batch, its
    retries included. `content` decides what of prompts and answers goes out: by default their hashes only, or what
    `OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT` says. `dialect` is "genai" (OpenTelemetry's conventions) or
    "openinference" (Phoenix's and Arize's). `queue_spans` and `queue_bytes` bound what waits to be sent; beyond them,
    spans are dropped and counted. With `spool="path.db"` a batch is on the disk before it is sent: see
    docs/delivery.md.

    `behind_collector` is for a Collector that `spanloom collector-config` has configured: every span goes to it, with
    Langfuse's attributes beside the GenAI ones and by default with all content, and the Collector decides what to keep,
    what to hide and what each backend gets to see.

    Spans of other libraries go out with what the policy shows of them. One of a model call that is a step already, as
    instrumentations of openai or anthropic open them, has `spanloom.repeats_step`: leave it out of sums.
    """

    def __init__(
        self,
        endpoint: str | None = None,
        headers: Mapping[str, str] | None = None,
        protocol: Protocol | None = None,
        *,
        dialect: Dialect = "genai",
        behind_collector: bool = False,
        compression: Literal["gzip", "deflate", "none"] | None = None,
        insecure: bool | None = None,
        **options: Unpack[Options],
    ) -> None:
        content = ContentPolicy.full() if behind_collector else policy_in_environment()
        super().__init__(options, name="otlp", content=content)
        self.endpoint, self.headers = endpoint, headers
        self.dialect = dialect
        self.behind_collector = behind_collector
        self._both = BothDialects() if behind_collector else None
        self.compression, self.insecure = compression, insecure
        self.protocol: Protocol = protocol or cast(Protocol, environment.protocol())
        self._render = _DIALECTS.get(str(dialect), genai.render)
        self._resource = Resource.get_empty()

    def __repr__(self) -> str:  # headers hold keys
        return f"Otlp({without_credentials(self.endpoint)!r}, protocol={self.protocol!r})"

    def open(self, resource: Resource, tick: Callable[[], object]) -> Delivery:
        self._check()
        self._resource = resource
        self.exporter(self._wires(), self._timeout())
        return self.queue(self._export, tick)

    def _check(self) -> None:
        self.check_options()
        if self.protocol not in get_args(Protocol):
            if self.protocol == environment.protocol():
                environment.refuse_protocol()
            raise ConfigurationError(
                f'Otlp(protocol={self.protocol!r}) is not known: write protocol="http/protobuf" or protocol="grpc".'
            )
        if self.dialect not in get_args(Dialect):
            raise ConfigurationError(
                f'Otlp(dialect={self.dialect!r}) is not known: write dialect="genai" or dialect="openinference".'
            )
        for name, given in (("behind_collector", self.behind_collector), ("insecure", self.insecure)):
            if not (isinstance(given, bool) or (given is None and name == "insecure")):
                raise ConfigurationError(f"Otlp({name}={given!r}) is neither: write {name}=True or {name}=False.")
        if self._both is not None:
            if self.dialect != "genai":
                raise ConfigurationError(
                    f"Otlp(behind_collector=True, dialect={self.dialect!r}) cannot work: leave out dialect, since the "
                    "Collector is sent the GenAI conventions and Langfuse's attributes."
                )
            if self.sampling is not None:
                raise ConfigurationError(
                    "Otlp(behind_collector=True, sampling=…) cannot work: leave out sampling, since the Collector "
                    "decides; `spanloom collector-config --keep 0.05` writes the same policy for it."
                )
            self._both.check()
        check_headers(self.headers, "Otlp(headers=…)", grpc=self.protocol == "grpc")
        if self.protocol != "grpc" or not self.headers:
            check_headers(environment.headers(), environment.setting("HEADERS"), grpc=self.protocol == "grpc")
        endpoint, setting = self.endpoint, "Otlp(endpoint=…)"
        for variable in ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"):
            if endpoint is None and (url := os.environ.get(variable)):
                endpoint, setting = url, variable
        if endpoint is not None:
            bare = self.protocol == "grpc" and isinstance(endpoint, str) and "://" not in endpoint
            check_url(f"http://{endpoint}" if bare else endpoint, setting)
            if self.protocol == "grpc" and "@" in urlsplit(f"http://{endpoint}" if bare else endpoint).netloc:
                raise ConfigurationError(
                    f"{setting} has a user or a password in it, which gRPC does not send: write headers=… in its place."
                )
        for variable in _FILES:
            if (path := os.environ.get(variable)) and not os.access(path, os.R_OK):
                raise ConfigurationError(f"{variable} is {path!r}, which is no file that can be read.")
        choices = ("gzip", "none") if self.protocol == "grpc" else ("gzip", "deflate", "none")
        if self.compression is not None and self.compression not in choices:
            known_ones = " or ".join(f'compression="{choice}"' for choice in choices)
            raise ConfigurationError(
                f"Otlp(compression={self.compression!r}) does not go with {self.protocol}: write {known_ones}."
            )
        environment.credential_provider("GRPC" if self.protocol == "grpc" else "HTTP")
        if self.timeout is None:
            environment.timeout()
        if self.compression is None:
            environment.compression(*choices[:-1])
        if self.protocol == "grpc":
            try:
                import google.rpc  # noqa: F401, PLC0415
                import grpc  # noqa: F401, PLC0415  costs 100 ms: only where used
            except ImportError as error:
                raise ConfigurationError(
                    "Otlp(protocol=\"grpc\") needs grpcio: run `pip install 'spanloom[otlp-grpc]'`."
                ) from error

    # ---------------------------------------------------------------- the worker's side
    def _wires(self) -> dict[str, MakeWire]:
        return {TRACES: self._grpc_wire if self.protocol == "grpc" else self._http_wire}

    def _timeout(self) -> float:
        return self.timeout or environment.timeout()

    def _http_wire(self) -> HttpWire:
        return HttpWire(
            traces_url(self.endpoint) if self.endpoint else environment.http_endpoint(),
            {**environment.headers(), **{name.lower(): value for name, value in (self.headers or {}).items()}},
            compression=self.compression or environment.compression("gzip", "deflate"),
            tls=Tls(*environment.certificates()),
            make_session=environment.credential_provider("HTTP"),
        )

    def _grpc_wire(self) -> GrpcWire:
        insecure = self.insecure if self.insecure is not None else environment.insecure()
        if insecure is None and self.endpoint is not None and "://" not in self.endpoint:
            insecure = _is_local(self.endpoint)  # in plain text to this machine only: headers hold keys
        address, insecure = target(self.endpoint or environment.grpc_endpoint(), insecure=insecure)
        credentials = None
        if not insecure:
            provided = environment.credential_provider("GRPC")
            credentials = provided() if provided is not None else credentials_of(*environment.certificates())
        return GrpcWire(
            address,
            dict(self.headers) if self.headers else environment.headers(),
            compression=self.compression or environment.compression("gzip"),
            credentials=credentials,
        )

    def _export(self, batch: list[Ended]) -> Receipt:
        assert self._exporter is not None
        return self._exporter.export(len(batch), copies(batch, self.content, self._copy))

    def _copy(self, ended: Ended) -> SpanCopy:
        shown = seen(ended, self.content)
        made = self._stamped(ended, shown) if ended.step is None else self._rendered(ended, shown)
        own, kept = self._own(ended, shown), ended.kept_for(self.name)
        return copy_of(ended, shown, made, self._resource, ended.span.parent, own, kept)

    def _rendered(self, ended: Ended, shown: Seen) -> Rendered:
        return rendered(ended, shown, self._both.of(ended, shown) if self._both is not None else self._render)

    def _own(self, ended: Ended, shown: Seen) -> Mapping[str, Any]:
        """What goes out of the live span: others' attributes, and Spanloom's in the GenAI conventions."""
        if not shown.attributes or ended.step is None or self._render is not openinference.render:
            return shown.attributes
        return genai.less_own(shown.attributes)

    def _stamped(self, ended: Ended, shown: Seen) -> Rendered:
        """A span of another library, with the identity of the trace it belongs to.

        One that repeats the model call of a step says so, for those who add up; its tokens are its library's to tell.
        """
        stamp = genai_content.stamp(shown.content)
        if self._both is not None:
            stamp = {**self._both.beside(ended, shown), **stamp}
        if ended.repeats:
            stamp[REPEATS] = True
        return Rendered(shown.name, ended.span.kind, stamp)


_FILES = tuple(
    f"OTEL_EXPORTER_OTLP_{signal}{file}"
    for signal in ("TRACES_", "")
    for file in ("CERTIFICATE", "CLIENT_KEY", "CLIENT_CERTIFICATE")
)


def _is_local(endpoint: str) -> bool:
    return urlsplit(f"http://{endpoint}").hostname in ("localhost", "127.0.0.1", "::1")


def endpoint_in_environment() -> bool:
    """Whether the environment names an OTLP receiver for traces."""
    return any(os.environ.get(name) for name in ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"))


__all__: list[Any] = ["Otlp", "endpoint_in_environment"]
