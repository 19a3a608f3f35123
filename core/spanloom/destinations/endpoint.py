"""Addresses: checked at `configure()`, completed the way OpenTelemetry does."""

from __future__ import annotations

from urllib.parse import urlsplit

from ..errors import ConfigurationError


def check_url(url: str, setting: str) -> str:
    """`url` as it is, or a `ConfigurationError` that names `setting`."""
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        good = False
    if not good:
        raise ConfigurationError(
            f"{setting} is {url!r}, which is no address: write it as http://host:port or https://host."
        )
    return url


def traces_url(url: str, path: str = "/v1/traces") -> str:
    """`url` with `path` at its end, unless it ends so already (a base address and a full one both work)."""
    url = url.rstrip("/")
    return url if url.endswith(path) else url + path
