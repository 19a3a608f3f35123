"""What waits in a spool, as its owner knows it: where each batch is, and whose turn it is."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator

from ..spool import Place
from .receipt import Receipt


class Pending:
    """A batch that waits. `place` is None where it is in memory only, `body` where it is on the disk only, and
    `receipt` where another process made it. `born` and `next`, the moment of its turn, are monotonic."""

    __slots__ = ("body", "born", "failures", "items", "lane", "next", "place", "receipt")

    def __init__(
        self, lane: str, items: int, body: bytes | None, place: Place | None, receipt: Receipt | None, born: float
    ) -> None:
        self.lane, self.items, self.body, self.place = lane, items, body, place
        self.receipt, self.born = receipt, born
        self.failures, self.next = 0, 0.0


class PendingBatches:
    """By lane, oldest first. Not safe between threads: `SpooledBatches` holds its lock around it."""

    def __init__(self, lanes: Iterable[str]) -> None:
        self._lanes: dict[str, OrderedDict[Pending, None]] = {lane: OrderedDict() for lane in lanes}
        self.items = 0
        self.cached = 0  # bytes at hand of what is on the disk
        self.memory = 0  # bytes of what is in memory only

    def __iter__(self) -> Iterator[Pending]:
        for lane in self._lanes.values():
            yield from lane

    def __contains__(self, one: Pending) -> bool:
        return one in self._lanes[one.lane]

    def has(self, lane: str) -> bool:
        return lane in self._lanes

    def add(self, one: Pending, *, first: bool = False) -> None:
        lane = self._lanes[one.lane]
        lane[one] = None
        if first:
            lane.move_to_end(one, last=False)
        self.items += one.items
        self._weigh(one, 1)

    def remove(self, one: Pending) -> None:
        del self._lanes[one.lane][one]
        self.items -= one.items
        self._weigh(one, -1)

    def put(self, one: Pending, place: Place | None) -> None:
        """It is now at `place`."""
        self._weigh(one, -1)
        one.place = place
        self._weigh(one, 1)

    def due(self, lane: str, now: float) -> tuple[Pending | None, float | None]:
        """The oldest one whose turn has come; else when the next turn is, None where nothing waits."""
        soonest = None
        for one in self._lanes[lane]:
            if one.next <= now:
                return one, None
            soonest = one.next if soonest is None else min(soonest, one.next)
        return None, soonest

    def waits(self, lane: str) -> bool:
        return bool(self._lanes[lane])

    def _weigh(self, one: Pending, sign: int) -> None:
        if one.body is None:
            return
        if one.place is None:
            self.memory += sign * len(one.body)
        else:
            self.cached += sign * len(one.body)
