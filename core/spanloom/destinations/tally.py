"""What came to a queue, and what became of each: nothing is lost without being counted."""

from __future__ import annotations

from collections import Counter
from typing import Any

from .queue import Gone


class Tally:
    """Counts of spans and scores: each that was offered is exported, dropped, failed, under way or still queued.

    Each comes in a round. A flush ends one, and waits until nothing of it is open. Not safe between threads: `Delivery`
    holds its lock around it.
    """

    __slots__ = ("_answered", "_exported", "_failed", "_offered", "_open", "dropped", "round", "under_way")

    def __init__(self) -> None:
        self._offered = self._exported = 0
        self.dropped, self._failed = Counter[str](), Counter[str]()
        self.under_way = 0  # taken from the queue, and not yet heard of
        self.round = 0
        self._open = Counter[int]()  # how many of each round are neither delivered nor lost
        self._answered = 0  # how many losses a flush has told of

    def counts(self, waiting: int) -> dict[str, Any]:
        """`{offered, queued, exported, dropped, failed, reasons}`: `queued` are those that wait or are under way."""
        return {
            "offered": self._offered,
            "queued": waiting + self.under_way,
            "exported": self._exported,
            "dropped": self.dropped.total(),
            "failed": self._failed.total(),
            "reasons": dict(self.dropped + self._failed),
        }

    def came(self) -> None:
        """One more was offered."""
        self._offered += 1
        self._open[self.round] += 1

    def refused(self, reason: str) -> None:
        """One more was offered, and is dropped at once."""
        self._offered += 1
        self.dropped[reason] += 1

    def drop(self, gone: Gone, reason: str) -> None:
        """These were queued, and will not be sent."""
        self.dropped[reason] += len(gone)
        self.close(Counter(round for _, round in gone))

    def heard(self, exported: int, failed: Counter[str]) -> None:
        """Of what is under way so many have arrived, and so many are lost, by reason."""
        self.under_way -= exported + failed.total()
        self._exported += exported
        self._failed += failed

    def close(self, rounds: Counter[int]) -> None:
        """Of each round so many are open no longer."""
        self._open.subtract(rounds)
        for round in rounds:
            if self._open[round] <= 0:
                del self._open[round]

    def end_round(self) -> int:
        """The round that ends; what comes from now on is of the next one."""
        ended = self.round
        self.round += 1
        return ended

    def is_open(self, until: int) -> bool:
        """Whether anything is open of the rounds up to that one."""
        return any(round <= until for round in self._open)

    def lost_none(self) -> bool:
        """Whether nothing was lost since this was asked last."""
        lost = self._failed.total() + self.dropped.total()
        before, self._answered = self._answered, lost
        return lost == before
