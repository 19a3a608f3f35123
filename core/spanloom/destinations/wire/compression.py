"""Request bodies, compressed: by Intel's ISA-L where it is installed, else by zlib, in the same formats."""

from __future__ import annotations

import zlib
from contextlib import suppress
from typing import Any

_GZIP = 16 + zlib.MAX_WBITS
_LEVEL = 1  # of zlib: a third of the time of the default, for a tenth more bytes; ISA-L's is smaller, in a fifth


def compressed(body: bytes, compression: str) -> bytes:
    """`body` as `compression` ("gzip" or "deflate") says; as it is for any other word."""
    if compression not in ("gzip", "deflate"):
        return body
    deflating: Any = zlib
    with suppress(ImportError):  # no wheel for this machine
        from isal import isal_zlib as deflating  # noqa: PLC0415  only where something is sent
    if compression == "deflate":
        return deflating.compress(body, _LEVEL)  # type: ignore[no-any-return]
    work = deflating.compressobj(_LEVEL, zlib.DEFLATED, _GZIP)
    return work.compress(body) + work.flush()  # type: ignore[no-any-return]
