"""Addresses: checked at `configure()`, completed the way OpenTelemetry does."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import urlsplit, urlunsplit

from ..errors import ConfigurationError


def check_url(url: str, setting: str) -> str:
    """`url` as it is, or a `ConfigurationError` that names `setting`."""
    good = isinstance(url, str) and not any(c.isspace() for c in url)
    try:
        parts = urlsplit(url)
        good = (
            good
            and parts.scheme in ("http", "https")
            and bool(parts.hostname)
            and (parts.port is None or parts.port > 0)
        )
    except (ValueError, AttributeError, TypeError):
        good = False
    if not good:
        raise ConfigurationError(
            f"{setting} is {without_credentials(url)!r}, which is no address: write it as http://host:port or "
            "https://host."
        )
    return url


def traces_url(url: str, path: str = "/v1/traces") -> str:
    """`url` with `path` at its end, unless it ends so already (a base address and a full one both work)."""
    parts = urlsplit(url)
    base = parts.path.rstrip("/")
    return urlunsplit(parts._replace(path=base if base.endswith(path) else base + path))


def without_credentials(url: object) -> object:
    """An address as people may see it."""
    return re.sub(r"(?<=//)[^/?#]*@", "", url) if isinstance(url, str) else url


def check_headers(headers: object, setting: str, *, grpc: bool = False) -> dict[str, str]:
    """`headers` as a dict of texts, or a `ConfigurationError` that names `setting`, and no value.

    Over gRPC they are its metadata, which is narrower.
    """
    if headers is None:
        return {}
    if not isinstance(headers, Mapping):
        raise ConfigurationError(
            f'{setting} is a {type(headers).__name__}: write a mapping such as {{"api-key": "…"}}.'
        )
    for key, value in headers.items():
        if not (_is_line(key) and key and _is_line(value)):
            raise ConfigurationError(f"{setting} has {key!r}, whose name or value is not one line of text.")
        name_form, value_form, known = _METADATA if grpc else _HEADER
        if not name_form.fullmatch(key.lower() if grpc else key) or (grpc and key.lower().endswith("-bin")):
            raise ConfigurationError(f"{setting} has {key!r}, which is no name for {known}.")
        if not value_form.fullmatch(value):
            raise ConfigurationError(
                f"{setting} has {key!r}, whose value {known} cannot carry: write ASCII, with no space at its start."
            )
    return dict(headers)


_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"), re.compile(r"(?![ \t])[\t\x20-\x7e\xa0-\xff]*"), "an HTTP header"
_METADATA = re.compile(r"[0-9a-z_.-]+"), re.compile(r"(?! )[\x20-\x7e]*"), "gRPC metadata"


def _is_line(text: object) -> bool:
    return isinstance(text, str) and not any(c in text for c in "\r\n\0")
