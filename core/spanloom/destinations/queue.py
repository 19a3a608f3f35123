"""What waits to be sent, by trace; and which spans go where there is no room for all.

The rule, where it is full: spans with an error stay while others can go; among the others the traces that came last go
first, and whole, so that what is sent is in one piece.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import Any

from ..scores import Score

_MOST_CUT = 10_000


class Waiting:
    """A span or score in the queue: its trace, whether it holds an error, its weight in bytes, and the flush round."""

    __slots__ = ("error", "item", "round", "trace", "weight")

    def __init__(self, item: Any, trace: int, weight: int, round: int, *, error: bool) -> None:
        self.item, self.trace, self.weight, self.round, self.error = item, trace, weight, round, error


class _Trace:
    __slots__ = ("clean", "order", "spans")

    def __init__(self, order: int) -> None:
        self.order, self.clean = order, 0  # `clean`: how many of its spans hold no error
        self.spans: deque[Waiting] = deque()


class WaitingSpans:
    """Bounded in number and weight. Not safe between threads: `Delivery` holds its lock around it."""

    def __init__(self, most: int, most_bytes: int) -> None:
        self._most, self._most_bytes = most, most_bytes
        self._clean: OrderedDict[int, _Trace] = OrderedDict()  # in the order they came
        self._failed: OrderedDict[int, _Trace] = OrderedDict()  # with an error in them
        self._cut: OrderedDict[int, None] = OrderedDict()  # lost in whole or in part while it was full
        self._count = self._weight = self._order = self._expendable = 0

    def __len__(self) -> int:
        return self._count

    @property
    def weight(self) -> int:
        return self._weight

    def add(self, new: Waiting) -> list[Waiting]:
        """Take `new` in; what had to go for it, or `new` itself where it does not get in."""
        own = self._clean.get(new.trace) or self._failed.get(new.trace)
        gone: list[Waiting] = []
        if self._cut and not self._admits(new, own):
            return [new]
        while self._is_full(new.weight):
            victims = self._victims(new, own)
            gone += victims
            if victims[0] is new:
                if own is not None and not own.spans:
                    (self._clean if new.trace in self._clean else self._failed).pop(new.trace)
                return gone
        if own is None:
            own = _Trace(self._order)
            self._order += 1
            (self._failed if new.error else self._clean)[new.trace] = own
        elif new.error and new.trace in self._clean:
            self._failed[new.trace] = self._clean.pop(new.trace)
        own.spans.append(new)
        own.clean += not new.error
        self._expendable += not new.error
        self._count += 1
        self._weight += new.weight
        return gone

    def take(self, most: int, most_scores: int) -> list[Waiting]:
        """The next spans, of the trace that came first; at most `most`, and `most_scores` scores among them."""
        out: list[Waiting] = []
        scores = 0
        while self._count and len(out) < most and scores < most_scores:
            key, traces = self._oldest()
            trace = traces[key]
            while trace.spans and len(out) < most and scores < most_scores:
                one = trace.spans.popleft()
                self._leaves(one, trace)
                scores += isinstance(one.item, Score)
                out.append(one)
            if not trace.spans:
                del traces[key]
        return out

    def clear(self) -> list[Waiting]:
        return self.take(self._count, self._count)

    # ---------------------------------------------------------------- who goes
    def _is_full(self, weight: int) -> bool:
        return self._count >= self._most or (self._count > 0 and self._weight + weight > self._most_bytes)

    def _admits(self, new: Waiting, own: _Trace | None) -> bool:
        """False for the rest of a trace that was cut, while there is still no room to speak of."""
        if self._count * 2 < self._most and self._weight * 2 < self._most_bytes:
            self._cut.clear()
        return new.error or own is not None or new.trace not in self._cut

    def _victims(self, new: Waiting, own: _Trace | None) -> list[Waiting]:
        """The youngest trace without an error, or `new` where that is its own; then single spans without one."""
        last = next(reversed(self._clean), None)
        if last == new.trace and new.error:  # its own trace, which is about to hold an error
            last = next((key for key in reversed(self._clean) if key != new.trace), None)
        if not new.error and (last == new.trace or (own is None and last is not None)):
            last = None
        elif last is not None:
            self._remember_cut(last)
            trace = self._clean.pop(last)
            gone = list(trace.spans)
            for one in gone:
                self._leaves(one, trace)
            return gone
        if new.error and (spared := self._clean_span(new.trace)) is not None:
            return [spared]
        self._remember_cut(new.trace)
        return [new]

    def _clean_span(self, own: int) -> Waiting | None:
        """The last span without an error in the youngest trace that holds one."""
        if not self._expendable:
            return None
        for traces in (self._failed, self._clean):  # of the clean ones only its own can be left
            for key in reversed(traces):
                trace = traces[key]
                if not trace.clean:
                    continue
                found = next(one for one in reversed(trace.spans) if not one.error)
                trace.spans.remove(found)
                self._leaves(found, trace)
                if not trace.spans and key != own:
                    del traces[key]
                return found
        return None

    def _oldest(self) -> tuple[int, OrderedDict[int, _Trace]]:
        clean, failed = next(iter(self._clean), None), next(iter(self._failed), None)
        if failed is None or (clean is not None and self._clean[clean].order < self._failed[failed].order):
            assert clean is not None
            return clean, self._clean
        return failed, self._failed

    def _leaves(self, one: Waiting, trace: _Trace) -> None:
        trace.clean -= not one.error
        self._expendable -= not one.error
        self._count -= 1
        self._weight -= one.weight

    def _remember_cut(self, trace: int) -> None:
        self._cut[trace] = None
        if len(self._cut) > _MOST_CUT:
            self._cut.popitem(last=False)
