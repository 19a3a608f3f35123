"""What the standard variables say of the OTLP receiver for traces: `OTEL_EXPORTER_OTLP_TRACES_…` before
`OTEL_EXPORTER_OTLP_…`, with OpenTelemetry's defaults. Backends with a profile of their own never ask here."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from opentelemetry.util.re import parse_env_headers

from ...errors import ConfigurationError

_TRACES, _ALL = "OTEL_EXPORTER_OTLP_TRACES_", "OTEL_EXPORTER_OTLP_"
_PATH = "/v1/traces"
TIMEOUT = 10.0  # seconds, the conventions' default


def value(name: str) -> str | None:
    return os.environ.get(_TRACES + name) or os.environ.get(_ALL + name) or None


def protocol() -> str:
    return (value("PROTOCOL") or "http/protobuf").strip().lower()


def refuse_protocol() -> None:
    """Raise a `ConfigurationError` for the protocol that the environment names."""
    raise ConfigurationError(
        f"{setting('PROTOCOL')} is {protocol()!r}, which is not spoken here: write http/protobuf or grpc."
    )


def http_endpoint() -> str:
    """The full address. The variable for traces is taken as it stands, the general one is a base."""
    if exact := os.environ.get(_TRACES + "ENDPOINT"):
        return exact
    base = os.environ.get(_ALL + "ENDPOINT") or "http://localhost:4318"
    return base.removesuffix("/") + _PATH


def grpc_endpoint() -> str:
    return value("ENDPOINT") or "http://localhost:4317"


def headers() -> dict[str, str]:
    """Names in lower case. `ConfigurationError` for what has no name: OpenTelemetry would log it, key and all."""
    said = value("HEADERS") or ""
    if any(one.strip() and not one.partition("=")[1] for one in said.split(",")):
        raise ConfigurationError(f"{setting('HEADERS')} has a header without a name: write name=value,name=value.")
    return dict(parse_env_headers(said, liberal=True))


def timeout() -> float:
    """Seconds, as OpenTelemetry for Python reads it."""
    said = value("TIMEOUT")
    if said is None:
        return TIMEOUT
    try:
        seconds = float(said)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise ConfigurationError(f"{setting('TIMEOUT')} is {said!r}, which is no time: write seconds, such as 10.")
    return seconds


def compression(*choices: str) -> str:
    """One of `choices` or "none"."""
    said = (value("COMPRESSION") or "none").strip().lower()
    if said not in (*choices, "none"):
        known = " or ".join((*choices, "none"))
        raise ConfigurationError(
            f"{setting('COMPRESSION')} is {said!r}, which does not go with this protocol: {known}."
        )
    return said


def insecure() -> bool | None:
    said = value("INSECURE")
    return None if said is None else said.strip().lower() == "true"


def certificates() -> tuple[str | None, str | None, str | None]:
    """Files: the certificate to trust, the client's own, and its key."""
    return value("CERTIFICATE"), value("CLIENT_CERTIFICATE"), value("CLIENT_KEY")


def credential_provider(protocol: str) -> Callable[[], Any] | None:
    """What makes the credentials that `OTEL_PYTHON_EXPORTER_OTLP_{HTTP,GRPC}_CREDENTIAL_PROVIDER` names (its form for
    traces likewise): a `requests.Session`, or gRPC's own; None where neither is set."""
    start = f"OTEL_PYTHON_EXPORTER_OTLP_{protocol}_"
    name = os.environ.get(f"{start}CREDENTIAL_PROVIDER") or os.environ.get(f"{start}TRACES_CREDENTIAL_PROVIDER")
    if not name:
        return None
    from importlib.metadata import entry_points  # noqa: PLC0415

    for found in entry_points(group="opentelemetry_otlp_credential_provider", name=name):
        made: Callable[[], Any] = found.load()
        return made
    raise ConfigurationError(
        f"{start}CREDENTIAL_PROVIDER names {name!r}, which no installed package provides: install it, or unset it."
    )


def setting(name: str) -> str:
    """The variable that is set, for messages."""
    return _TRACES + name if os.environ.get(_TRACES + name) else _ALL + name
