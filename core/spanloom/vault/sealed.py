"""An object as it is stored: a header, and the content under AES-256-GCM. Pure.

    "SPLV" · version 1 (1 byte) · length of the key's id (1 byte) · the key's id · nonce (12 bytes) · ciphertext and tag

The header and the object's path, which begins with its subject, are authenticated: an object that is moved, swapped or
altered cannot be read. Nonces are random, so a key must seal far fewer than 2**32 objects (NIST SP 800-38D, 8.3).
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from .errors import Unreadable
from .keys import DataKey

_MAGIC, _NONCE, _TAG = b"SPLV\x01", 12, 16


@dataclass(frozen=True, slots=True)
class Sealed:
    """An object, taken apart."""

    key_id: str
    header: bytes
    nonce: bytes
    ciphertext: bytes


def seal(plain: bytes, key: DataKey, path: str) -> bytes:
    """`plain`, encrypted under `key`, for the object `path`."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415  an extra, and 20 ms

    id, nonce = key.id.encode(), os.urandom(_NONCE)
    header = _MAGIC + bytes([len(id)]) + id + nonce
    return header + AESGCM(key.key).encrypt(nonce, plain, header + path.encode())


def taken_apart(data: bytes) -> Sealed:
    """Raises `Unreadable` for what is no such object."""
    start = len(_MAGIC) + 1
    if data.startswith(_MAGIC) and len(data) >= start:
        end = start + data[start - 1]
        if len(data) >= end + _NONCE + _TAG:
            try:
                id = data[start:end].decode("ascii")
            except UnicodeDecodeError:
                raise Unreadable("The stored object was damaged or altered.") from None
            return Sealed(id, data[: end + _NONCE], data[end : end + _NONCE], data[end + _NONCE :])
    raise Unreadable("The stored object was damaged or altered, or another version of Spanloom wrote it.")


def opened(sealed: Sealed, key: bytes, path: str) -> bytes:
    """The content. Raises `Unreadable` where key, path or bytes are not those it was sealed with."""
    from cryptography.exceptions import InvalidTag  # noqa: PLC0415
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415

    try:
        return AESGCM(key).decrypt(sealed.nonce, sealed.ciphertext, sealed.header + path.encode())
    except (InvalidTag, ValueError):
        raise Unreadable("The stored object was damaged, altered or moved.") from None
