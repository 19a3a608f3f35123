"""OTLP receivers: one synthetic trace is sent, and the answer read."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from ..destinations.backend import Backend
from ..destinations.destination import copies
from ..destinations.endpoint import traces_url
from ..destinations.otlp import Otlp
from ..destinations.wire import encoding, environment
from ..destinations.wire.http import credentials_in
from .asking import ask, is_open, place
from .finding import Finding, TroubleError
from .sample import RESOURCE, Sample

_PATH = "/v1/traces"
_LANGFUSE_PATH = "/api/public/otel"


def examine(destination: Otlp, sample: Sample, timeout: float) -> Iterator[Finding]:
    """Send the sample over the destination's own protocol."""
    destination._resource = RESOURCE.merge(getattr(destination, "_said", RESOURCE))
    if destination.protocol == "grpc":
        yield _over_grpc(destination, sample, timeout)
        return
    url, headers = address_of(destination), headers_of(destination)
    tls = {} if isinstance(destination, Backend) else _tls_of_environment()
    send(url, headers, encoded(destination, sample), timeout, **tls)
    yield Finding(True, f"{place(url)} took one synthetic trace ({urlsplit(url).path}).")


def encoded(destination: Any, sample: Sample) -> bytes:
    """The sample as this destination sends it."""
    (batch,), _ = encoding.encoded(copies(sample.spans, destination.content, destination._copy), sys.maxsize)
    return batch.body


def address_of(destination: Otlp) -> str:
    """Where the destination's exporter sends traces over HTTP."""
    if destination.endpoint:
        return traces_url(destination.endpoint)
    return environment.http_endpoint()


def headers_of(destination: Otlp) -> dict[str, str]:
    said = {} if isinstance(destination, Backend) else environment.headers()
    return {**credentials_in(address_of(destination)), **said, **(destination.headers or {})}


def send(url: str, headers: Mapping[str, str], body: bytes, timeout: float, **tls: Any) -> None:
    """`TroubleError` unless the receiver takes the trace."""
    headers = {**headers, "Content-Type": "application/x-protobuf"}
    answer = ask("POST", url, headers=headers, body=body, timeout=timeout, **tls)
    if answer.status_code in (404, 405):
        for other in _other_paths(url):
            if ask("POST", other, headers=headers, body=body, timeout=timeout, **tls).status_code not in (404, 405):
                raise TroubleError(f"{place(url)} takes no traces at {urlsplit(url).path or '/'}: write {other}.")
    if (sentence := refusal(answer.status_code, url)) is not None:
        raise TroubleError(sentence)
    if answer.headers.get("Content-Type", "").startswith("text/html"):
        raise TroubleError(
            f"{url} is a web page, not an OTLP receiver: correct the host, the port (4318 by custom) or the path."
        )
    if rejected := _rejected(answer.content):
        raise TroubleError(
            f"{place(url)} took the request and rejected {rejected} of its spans: see the receiver's own log."
        )


def refusal(status: int, url: str) -> str | None:
    """What a status other than success says, and the fix; None for success."""
    where, path = place(url), urlsplit(url).path or "/"
    if 200 <= status < 300:  # noqa: PLR2004
        return None
    said = {
        400: f"{where} cannot read the trace (400): is {path} its OTLP path for traces?",
        401: f"{where} refuses the credentials (401): check the key and the header it goes in.",
        403: f"{where} knows the credentials but forbids writing traces (403): give the key that permission.",
        404: f"{where} has no {path} (404): correct the path, which ends in /v1/traces by custom.",
        405: f"{where} takes no POST at {path} (405): correct the path, which ends in /v1/traces by custom.",
        407: f"The proxy before {where} wants credentials (407): set them in HTTPS_PROXY.",
        413: f"{where} finds one small trace too large (413): raise its limit for bodies, or the proxy's before it.",
        415: f"{where} takes no binary protobuf (415): is {path} its OTLP path for traces?",
        422: f"{where} cannot process the trace (422): a header is missing, such as MLflow's x-mlflow-experiment-id.",
        429: f"{where} limits the rate (429): wait, or raise the quota.",
    }  # fmt: skip
    if status in said:
        return said[status]
    if 300 <= status < 400:  # noqa: PLR2004
        return (
            f"{where} redirects elsewhere ({status}): give the address that it leads to (https:// instead of http://?)."
        )
    if status >= 500:  # noqa: PLR2004
        return f"{where} fails ({status}): look at its log; the address and the request reached it."
    return f"{where} refuses the trace ({status})."


def _other_paths(url: str) -> list[str]:
    """What may have been meant: the path once instead of twice, the path where it is missing, Langfuse's own."""
    bare = url.rstrip("/")
    once = bare
    while once.endswith(_PATH * 2):
        once = once.removesuffix(_PATH)
    base = once.removesuffix(_PATH)
    parts = urlsplit(url)
    found = [once, base + _PATH, f"{parts.scheme}://{parts.netloc}{_PATH}", base + _LANGFUSE_PATH + _PATH]
    return [other for other in dict.fromkeys(found) if other != url]


def _rejected(body: bytes) -> int:
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse  # noqa: PLC0415

    try:
        return int(ExportTraceServiceResponse.FromString(body).partial_success.rejected_spans)
    except Exception:  # an answer in JSON, or none
        return 0


def _tls_of_environment() -> dict[str, Any]:
    trusted, client, key = environment.certificates()
    return {"verify": trusted or True, "cert": (client, key) if client and key else client}


# ---------------------------------------------------------------- gRPC
def _over_grpc(destination: Otlp, sample: Sample, timeout: float) -> Finding:
    import grpc  # noqa: PLC0415

    endpoint = destination.endpoint or environment.grpc_endpoint()
    url = endpoint if "://" in endpoint else f"http://{endpoint}"
    if _LANGFUSE_PATH in url or "langfuse" in (urlsplit(url).hostname or ""):
        raise TroubleError('Langfuse takes no gRPC: use Langfuse(…), or protocol="http/protobuf".')
    where = place(url)
    wire = destination._grpc_wire()
    try:
        wire.call(encoded(destination, sample), timeout)
    except grpc.RpcError as error:
        raise TroubleError(_grpc_refusal(error, where, url, timeout)) from error
    finally:
        wire.close()
    return Finding(True, f"{where} took one synthetic trace over gRPC.")


def _grpc_refusal(error: Any, where: str, url: str, timeout: float) -> str:
    code = error.code().name
    if code in ("UNAVAILABLE", "DEADLINE_EXCEEDED", "INTERNAL", "UNKNOWN"):
        match is_open(url, 2.0):
            case None:
                return f"There is no host {urlsplit(url).hostname}: correct the address."
            case False:
                return f"Nobody listens at {where}: start the receiver, or correct the address (port 4317 by custom)."
        if _speaks_http(url, timeout):
            return (
                f'{where} speaks HTTP, not gRPC: use protocol="http/protobuf" (OTEL_EXPORTER_OTLP_PROTOCOL), or the '
                "gRPC port, 4317 by custom."
            )
        if code == "DEADLINE_EXCEEDED":
            return f"{where} takes the request but does not answer within {timeout:g} s: is it overloaded?"
        return f"gRPC with {where} fails: check whether it wants TLS (https://) or plain text (http://, insecure=True)."
    return {
        "UNAUTHENTICATED": f"{where} refuses the credentials: check the key and the header it goes in.",
        "PERMISSION_DENIED": f"{where} knows the credentials but forbids writing traces: give the key that permission.",
        "UNIMPLEMENTED": f'{where} takes no traces over gRPC: use protocol="http/protobuf", or its OTLP port.',
        "RESOURCE_EXHAUSTED": f"{where} limits size or rate: raise its limits, or the quota.",
    }.get(code, f"{where} refuses the trace ({code}): look at its log.")


def _speaks_http(url: str, timeout: float) -> bool:
    try:
        parts = urlsplit(url)
        scheme = parts.scheme if parts.scheme in ("http", "https") else "http"
        ask("GET", f"{scheme}://{parts.netloc}/", timeout=min(timeout, 3.0))
    except TroubleError:
        return False
    return True
