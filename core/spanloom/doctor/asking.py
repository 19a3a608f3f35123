"""HTTP requests whose failures are sentences."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import requests

from .finding import TroubleError


def ask(
    method: str,
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
    timeout: float,
    verify: str | bool = True,
    cert: Any = None,
) -> requests.Response:
    """The answer, whatever its status; `TroubleError` where none came."""
    where = place(url)
    try:
        return requests.request(
            method, url, headers=dict(headers or {}), data=body, timeout=timeout, verify=verify, cert=cert,
            allow_redirects=False, auth=lambda request: request,
        )  # fmt: skip
    except requests.exceptions.SSLError as error:
        raise TroubleError(_tls(where, url, str(error))) from error
    except requests.exceptions.ConnectTimeout as error:
        raise TroubleError(
            f"{where} cannot be reached within {timeout:g} s: check the host, the firewall and the proxy."
        ) from error
    except requests.exceptions.Timeout as error:
        raise TroubleError(
            f"{where} takes the request but does not answer within {timeout:g} s: is it overloaded?"
        ) from error
    except requests.exceptions.ProxyError as error:
        raise TroubleError(
            f"The proxy on the way to {where} fails: check HTTP_PROXY, HTTPS_PROXY and NO_PROXY."
        ) from error
    except (requests.exceptions.ConnectionError, requests.exceptions.ChunkedEncodingError) as error:
        raise TroubleError(_unreached(where, url)) from error
    except requests.RequestException as error:
        raise TroubleError(f"{where} cannot be asked ({type(error).__name__}): check the address.") from error


def place(url: str) -> str:
    """`host:port` of an address."""
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return f"{parts.hostname}:{port}"


def is_open(url: str, timeout: float) -> bool | None:
    """Whether somebody listens at the address; None where its host is not known."""
    parts = urlsplit(url)
    at = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    try:
        socket.getaddrinfo(*at)
    except OSError:
        return None
    try:
        with socket.create_connection(at, timeout):
            return True
    except OSError:
        return False


def _unreached(where: str, url: str) -> str:
    match is_open(url, 2.0):
        case None:
            return f"There is no host {urlsplit(url).hostname}: correct the address."
        case False:
            return f"Nobody listens at {where}: start the receiver, or correct the address."
    return (
        f'{where} answers, but not in HTTP: that looks like a gRPC port: use protocol="grpc" '
        "(OTEL_EXPORTER_OTLP_PROTOCOL=grpc), or the HTTP port, 4318 by custom."
    )


def _tls(where: str, url: str, said: str) -> str:
    if "WRONG_VERSION_NUMBER" in said or "record layer" in said.lower():
        return f"{where} speaks no TLS: write http:// in place of https://."
    if "CERTIFICATE_VERIFY_FAILED" in said:
        return (
            f"The certificate of {where} is not trusted: name its CA in OTEL_EXPORTER_OTLP_CERTIFICATE (for Langfuse: "
            "in the system's store or REQUESTS_CA_BUNDLE)."
        )
    return f"TLS with {where} fails: check that {urlsplit(url).scheme}:// and the port belong together."
