"""What was decided about a number before: asking numbering plans takes longer than reading a text."""

from __future__ import annotations

from collections.abc import Callable

from .known import Known

_MOST = 8_192


class Verdicts:
    """`decide`, which is asked about each writing once. It says how many characters of it are a number.

    Bounded, and threads may share it. It remembers a keyed hash of each writing, never the writing.
    """

    __slots__ = ("_decide", "_known")

    def __init__(self, decide: Callable[[str], int]) -> None:
        self._decide = decide
        self._known: Known[int] = Known(_MOST)

    def __call__(self, written: str) -> int:
        digest = self._known.digest(written)
        verdict = self._known.get(digest)
        if verdict is None:
            verdict = self._decide(written)
            self._known.put(digest, verdict)
        return verdict
