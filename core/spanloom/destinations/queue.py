"""What waits to be sent, by trace; and which spans go where there is no room for all.

The rule, where it is full: spans with an error stay while others can go; among the others the traces that came last go
first, and whole, so that what is sent is in one piece.
"""

from __future__ import annotations

from collections import OrderedDict

from .waiting import Waiting

_MOST_CUT = 10_000


class _Trace:
    """`rounds` stands beside `spans`; `clean` is how many of them hold no error."""

    __slots__ = ("clean", "order", "rounds", "spans")

    def __init__(self, order: int) -> None:
        self.order, self.clean = order, 0
        self.spans: list[Waiting] = []
        self.rounds: list[int] = []


Gone = list[tuple[Waiting, int]]
"""Spans, each with the round it came in."""


class WaitingSpans:
    """Bounded in number and weight. Not safe between threads: `Delivery` holds its lock around it.

    It runs in the application's call, so it makes no object for a span. Each span comes in a `round`, a number that
    goes with it.
    """

    def __init__(self, most: int, most_bytes: int) -> None:
        self._most, self._most_bytes = most, most_bytes
        self._clean: OrderedDict[int, _Trace] = OrderedDict()  # in the order they came
        self._failed: OrderedDict[int, _Trace] = OrderedDict()  # with an error in them
        self._cut: OrderedDict[int, None] = OrderedDict()  # lost in whole or in part while it was full
        self.count = self.weight = 0
        self._order = self._expendable = 0

    def add(self, new: Waiting, round: int) -> Gone:
        """Take `new` in; what had to go for it, or `new` itself where it does not get in."""
        trace, weight, error = new.trace, new.weight, new.error
        own = self._clean.get(trace) or self._failed.get(trace)
        gone: Gone = []
        if self._cut and not self._admits(new, own):
            return [(new, round)]
        while self.count >= self._most or (self.count > 0 and self.weight + weight > self._most_bytes):
            victims = self._victims(new, own)
            gone += victims
            if not victims:
                if own is not None and not own.spans:
                    (self._clean if trace in self._clean else self._failed).pop(trace)
                return [*gone, (new, round)]
        if own is None:
            own = _Trace(self._order)
            self._order += 1
            (self._failed if error else self._clean)[trace] = own
        elif error and trace in self._clean:
            self._failed[trace] = self._clean.pop(trace)
        own.spans.append(new)
        own.rounds.append(round)
        if not error:
            own.clean += 1
            self._expendable += 1
        self.count += 1
        self.weight += weight
        return gone

    def take(self, most: int) -> Gone:
        """The next spans, at most `most`: all of the trace that came first, then of the one after it."""
        out: Gone = []
        while self.count and len(out) < most:
            key, traces = self._oldest()
            trace = traces[key]
            n = min(most - len(out), len(trace.spans))
            out += self._leave(trace, 0, n)
            if not trace.spans:
                del traces[key]
        return out

    def clear(self) -> Gone:
        return self.take(self.count)

    # ---------------------------------------------------------------- who goes
    def _admits(self, new: Waiting, own: _Trace | None) -> bool:
        """False for the rest of a trace that was cut, while there is still no room to speak of."""
        if self.count * 2 < self._most and self.weight * 2 < self._most_bytes:
            self._cut.clear()
        return new.error or own is not None or new.trace not in self._cut

    def _victims(self, new: Waiting, own: _Trace | None) -> Gone:
        """The youngest trace without an error; where there is none, a single span without one; none where `new` is it.

        `new` itself is what has to go where its own trace is the youngest, and it holds no error.
        """
        last = next(reversed(self._clean), None)
        if last == new.trace and new.error:  # its own trace, which is about to hold an error
            last = next((key for key in reversed(self._clean) if key != new.trace), None)
        if last is not None and (new.error or (own is not None and last != new.trace)):
            self._remember_cut(last)
            trace = self._clean.pop(last)
            return self._leave(trace, 0, len(trace.spans))
        if new.error and self._expendable:
            return self._one_without_error(new.trace)
        self._remember_cut(new.trace)
        return []

    def _one_without_error(self, own: int) -> Gone:
        """The last of the youngest trace that holds one."""
        for traces in (self._failed, self._clean):  # of the clean ones only its own can be left
            for key in reversed(traces):
                trace = traces[key]
                if not trace.clean:
                    continue
                n = next(n for n in reversed(range(len(trace.spans))) if not trace.spans[n].error)
                gone = self._leave(trace, n, n + 1)
                if not trace.spans and key != own:
                    del traces[key]
                return gone
        return []

    def _oldest(self) -> tuple[int, OrderedDict[int, _Trace]]:
        clean, failed = next(iter(self._clean), None), next(iter(self._failed), None)
        if failed is None or (clean is not None and self._clean[clean].order < self._failed[failed].order):
            assert clean is not None
            return clean, self._clean
        return failed, self._failed

    def _leave(self, trace: _Trace, first: int, last: int) -> Gone:
        gone = list(zip(trace.spans[first:last], trace.rounds[first:last], strict=True))
        del trace.spans[first:last], trace.rounds[first:last]
        for one, _ in gone:
            self.weight -= one.weight
            if not one.error:
                trace.clean -= 1
                self._expendable -= 1
        self.count -= len(gone)
        return gone

    def _remember_cut(self, trace: int) -> None:
        self._cut[trace] = None
        if len(self._cut) > _MOST_CUT:
            self._cut.popitem(last=False)
