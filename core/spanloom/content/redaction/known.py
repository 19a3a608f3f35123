"""What came of texts that were read before, without the texts."""

from __future__ import annotations

import secrets
from collections import OrderedDict
from contextlib import suppress
from hashlib import blake2b
from typing import Generic, TypeVar

Value = TypeVar("Value")

_DIGEST_BYTES = 16


class Known(Generic[Value]):
    """A value for each of the last `most` texts, by a keyed hash of the text (BLAKE2b, a random key that dies with the
    process). Threads may share it."""

    __slots__ = ("_keyed", "_most", "_values")

    def __init__(self, most: int) -> None:
        self._most = most
        self._keyed = blake2b(key=secrets.token_bytes(_DIGEST_BYTES), digest_size=_DIGEST_BYTES)
        # No lock: each of its methods is done at once, and two threads that look at one text find the same.
        self._values: OrderedDict[bytes, Value] = OrderedDict()

    def __len__(self) -> int:
        return len(self._values)

    def digest(self, text: str) -> bytes:
        """What `get` and `put` know a text by."""
        made = self._keyed.copy()  # a third faster than a new one with the key
        made.update(text.encode("utf-8", "surrogatepass"))
        return made.digest()

    def get(self, digest: bytes) -> Value | None:
        value = self._values.get(digest)
        if value is not None:
            try:  # noqa: SIM105 - `suppress` costs as much as all of the rest
                self._values.move_to_end(digest)
            except KeyError:  # another thread has just let go of it
                pass
        return value

    def put(self, digest: bytes, value: Value) -> None:
        self._values[digest] = value
        if len(self._values) > self._most:
            with suppress(KeyError):
                self._values.popitem(last=False)
