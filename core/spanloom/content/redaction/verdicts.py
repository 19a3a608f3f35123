"""What was decided about a number before: asking numbering plans takes longer than reading a text."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable

_MOST = 8_192
_DIGEST_BYTES = 16


class Verdicts:
    """`decide`, which is asked about each writing once. It says how many characters of it are a number.

    Bounded, and threads may share it. It remembers a keyed hash of each writing (BLAKE2b, a random key that dies with
    the process), never the writing.
    """

    __slots__ = ("_decide", "_key", "_known")

    def __init__(self, decide: Callable[[str], int]) -> None:
        self._decide = decide
        self._key = secrets.token_bytes(_DIGEST_BYTES)
        self._known: dict[bytes, int] = {}

    def __call__(self, written: str) -> int:
        digest = hashlib.blake2b(written.encode(), key=self._key, digest_size=_DIGEST_BYTES).digest()
        verdict = self._known.get(digest)
        if verdict is None:
            if len(self._known) >= _MOST:
                self._known.clear()  # whole, so that no lock is needed
            verdict = self._known[digest] = self._decide(written)
        return verdict
