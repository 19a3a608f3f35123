"""OTLP over gRPC: one call, its status read by OTLP's own table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from .answer import Answer, Verdict, user_agent

_METHOD = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
_LATER = frozenset({"CANCELLED", "DEADLINE_EXCEEDED", "ABORTED", "OUT_OF_RANGE", "UNAVAILABLE", "DATA_LOSS"})
_TROUBLE = frozenset({"UNKNOWN", "INTERNAL", "RESOURCE_EXHAUSTED"})
_SIZE = ("larger than max", "message size", "message too large", "too large", "max size", "exceeds the limit")
_HINTS = {
    "UNAUTHENTICATED": "it refuses the credentials: check the key and the header it goes in",
    "PERMISSION_DENIED": "it forbids writing: give the key that permission",
    "UNIMPLEMENTED": 'it takes no traces over gRPC: use protocol="http/protobuf", or its OTLP port',
    "RESOURCE_EXHAUSTED": "it limits size or rate",
    "UNAVAILABLE": "it cannot be reached, or TLS fails",
    "DEADLINE_EXCEEDED": "it does not answer in time",
}
_DETAILS, _RETRY_INFO = "grpc-status-details-bin", "google.rpc.retryinfo-bin"


class GrpcWire:
    """Calls the trace service at `endpoint` (`host:port`). `credentials` are gRPC's, or None for plain text."""

    def __init__(
        self, endpoint: str, headers: Mapping[str, str], *, compression: str = "none", credentials: Any = None
    ) -> None:
        import grpc  # noqa: PLC0415  costs 100 ms: only where used

        options = [
            ("grpc.primary_user_agent", user_agent()),
            ("grpc.initial_reconnect_backoff_ms", 200),  # our own waiting is longer than its own
            ("grpc.min_reconnect_backoff_ms", 200),
            ("grpc.max_reconnect_backoff_ms", 2_000),
            ("grpc.max_send_message_length", -1),
        ]
        self._compression = grpc.Compression.Gzip if compression == "gzip" else grpc.Compression.NoCompression
        self._metadata = tuple((name.lower(), value) for name, value in headers.items())
        if credentials is None:
            self._channel = grpc.insecure_channel(endpoint, options, self._compression)
        else:
            self._channel = grpc.secure_channel(endpoint, credentials, options, self._compression)
        self._export = self._channel.unary_unary(_METHOD)  # bytes as they are, both ways
        self._call: Any = None

    def send(self, body: bytes, seconds: float) -> Answer:
        import grpc  # noqa: PLC0415

        try:
            self._call = self._export.future(body, timeout=max(seconds, 0.01), metadata=self._metadata)
            return _taken(self._call.result())
        except grpc.FutureCancelledError:
            return Answer(Verdict.LATER, "grpc_cancelled", "was not waited for")
        except (grpc.RpcError, ValueError) as error:  # ValueError: of a channel that is closed
            return answer_to(error)
        finally:
            self._call = None

    def call(self, body: bytes, seconds: float) -> None:
        """One call as it is; raises `grpc.RpcError`."""
        self._export(body, timeout=seconds, metadata=self._metadata)

    def abandon(self) -> None:
        if (call := self._call) is not None:
            call.cancel()

    def close(self) -> None:
        self._channel.close()


def answer_to(error: Any) -> Answer:
    """What a failed call means."""
    code = error.code().name if callable(getattr(error, "code", None)) else "CANCELLED"
    hint = _HINTS.get(code)
    reason, said = f"grpc_{code.lower()}", f"answers {code}" + (f": {hint}" if hint else "")
    details = str(error.details() or "").lower() if callable(getattr(error, "details", None)) else ""
    if code in ("RESOURCE_EXHAUSTED", "OUT_OF_RANGE") and any(word in details for word in _SIZE):
        return Answer(Verdict.TOO_LARGE, "too_large", said)
    asked = _retry_after(error)
    if code in _LATER or (code == "RESOURCE_EXHAUSTED" and asked is not None):
        return Answer(Verdict.LATER, reason, said, asked)
    return Answer(Verdict.TROUBLE if code in _TROUBLE else Verdict.REFUSED, reason, said)


def _taken(text: bytes) -> Answer:
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse  # noqa: PLC0415

    try:
        said = ExportTraceServiceResponse.FromString(text).partial_success
    except Exception:  # an answer of another form
        return Answer(Verdict.TAKEN)
    return Answer(Verdict.TAKEN, rejected=max(0, said.rejected_spans), remark=said.error_message)


def _retry_after(error: Any) -> float | None:
    """Seconds of a `RetryInfo`, among the status's details or by itself."""
    from google.rpc import error_details_pb2, status_pb2  # noqa: PLC0415

    found = error_details_pb2.RetryInfo()
    try:
        trailing = dict(error.trailing_metadata() or ())
        if _RETRY_INFO in trailing:
            found.ParseFromString(trailing[_RETRY_INFO])
            return float(found.retry_delay.seconds + found.retry_delay.nanos / 1e9)
        for detail in status_pb2.Status.FromString(trailing.get(_DETAILS, b"")).details:
            if detail.Unpack(found):
                return float(found.retry_delay.seconds + found.retry_delay.nanos / 1e9)
    except Exception:  # details of another form
        return None
    return None


def target(endpoint: str, *, insecure: bool | None) -> tuple[str, bool]:
    """`host:port`, and whether in plain text: as a scheme says, else as `insecure` does, else over TLS."""
    parts = urlsplit(endpoint)
    if parts.scheme == "https":
        insecure = False
    elif insecure is None:
        insecure = parts.scheme == "http"
    return parts.netloc or endpoint, insecure


def credentials_of(certificate: str | None, client_certificate: str | None, client_key: str | None) -> Any:
    """TLS by these files, or by gRPC's own roots."""
    import grpc  # noqa: PLC0415

    return grpc.ssl_channel_credentials(_bytes(certificate), _bytes(client_key), _bytes(client_certificate))


def _bytes(path: str | None) -> bytes | None:
    if path is None:
        return None
    with open(path, "rb") as file:  # noqa: PTH123
        return file.read()
