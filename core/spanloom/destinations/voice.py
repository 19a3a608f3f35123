"""What the log says of a receiver: each trouble once, and nothing that may hold content."""

from __future__ import annotations

import threading

from ..guard import log
from .wire import Answer, Verdict
from .wire.encoding import TRACES, Batch, name_of

_MOST_NAMED = 10


class Voice:
    """Speaks for one destination."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._said: set[str] = set()
        self._named = 0
        self._lock = threading.Lock()

    def once(self, key: str, text: str, *args: object) -> None:
        """A warning, the first time that `key` comes."""
        with self._lock:
            first = key not in self._said
            self._said.add(key)
        if first:
            log.warning("spanloom: %s " + text, self._name, *args)

    def again(self, key: str) -> None:
        """`key` may be said anew."""
        with self._lock:
            self._said.discard(key)

    def taken(self, batch: Batch, answer: Answer) -> None:
        if answer.rejected:
            self.once(
                "rejected",
                "took a batch but rejected %d of its %d %s: they are lost, and counted as failed. See the receiver's "
                "own log.",
                answer.rejected,
                batch.items,
                _things(batch),
            )
        elif answer.remark:
            self.once("remark", "took a batch and had a remark on it, which is logged at DEBUG level.")
        if answer.remark:  # the receiver's words, which may quote what it was sent
            log.debug("spanloom: %s remarks: %s", self._name, answer.remark[:1_000])

    def lost(self, batch: Batch, answer: Answer) -> None:
        """A batch that is given up."""
        if answer.verdict is Verdict.TOO_LARGE:
            self.lost_one(f"{name_of(batch) if batch.lane == TRACES else 'a score'} is too large for it")
            return
        self.once(
            f"lost:{answer.reason}",
            "%s. Its %s are lost, and counted as failed; `spanloom doctor` tries it out.",
            answer.said,
            _things(batch),
        )

    def lost_one(self, text: str) -> None:
        """A single span, by its name and ids; the first few are named."""
        with self._lock:
            self._named += 1
            named = self._named
        if named <= _MOST_NAMED:
            log.warning("spanloom: %s: %s. It is lost, and counted as failed.", self._name, text)


def _things(batch: Batch) -> str:
    return "spans" if batch.lane == TRACES else "scores"
