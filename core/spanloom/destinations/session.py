"""An HTTP session that keeps to its own receiver."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import requests
from opentelemetry.util.re import parse_env_headers

_VARIABLES = ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS")


def own_session(headers: Mapping[str, str]) -> requests.Session:
    """A session for OpenTelemetry's HTTP exporter that sends none of what `OTEL_EXPORTER_OTLP_*` say.

    The exporter adds the headers and certificates of those variables to every receiver it is made for; they hold the
    keys of another one. `headers` are this receiver's own.
    """
    return _OwnSession(headers)


class _OwnSession(requests.Session):
    def __init__(self, headers: Mapping[str, str]) -> None:
        self._own = {name.lower() for name in headers}
        super().__init__()

    @property
    def verify(self) -> bool:
        return True

    @verify.setter
    def verify(self, value: object) -> None:
        """Nothing: `REQUESTS_CA_BUNDLE` speaks for every receiver, `OTEL_EXPORTER_OTLP_CERTIFICATE` for one."""

    @property
    def cert(self) -> None:
        return None

    @cert.setter
    def cert(self, value: object) -> None:
        """Nothing, likewise."""

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        for variable in _VARIABLES:
            for name in parse_env_headers(os.environ.get(variable, ""), liberal=True):
                if name.lower() not in self._own and name.lower() not in _REQUIRED:
                    request.headers.pop(name, None)
        return super().send(request, **kwargs)


_REQUIRED = {"content-type", "content-encoding", "content-length", "user-agent", "host", "accept-encoding"}
