"""Which roots are slow: by a fixed number of seconds, or by a quantile of their own name's durations."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from ddsketch.ddsketch import BaseDDSketch

ACCURACY = 0.01
"""How far a quantile may be from the exact one, as a part of it."""

WINDOW_SECONDS = 1_800.0
LONGEST_WINDOW_SECONDS = 86_400.0
MOST_NAMES = 200
_LEAST_WARM_UP = 50
_BINS = 2048
_ROUNDING = 1 + 1e-9
_RECOMPUTE = 64  # after as many new values as this part of all


class Slow(Protocol):
    """Says of a root whether it is slow."""

    def learn(self, name: str, seconds: float) -> bool:
        """A root of `name` has ended: whether it was slow, by what was known before it."""
        ...

    def threshold(self, name: str) -> float | None:
        """Seconds, above which a root of `name` is slow; None where that is not known."""
        ...


class Never:
    """Nothing is slow."""

    def learn(self, name: str, seconds: float) -> bool:  # noqa: ARG002
        return False

    def threshold(self, name: str) -> float | None:  # noqa: ARG002
        return None


class Fixed:
    """Whatever takes more than `seconds`."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def learn(self, name: str, seconds: float) -> bool:  # noqa: ARG002
        return seconds > self._seconds

    def threshold(self, name: str) -> float | None:  # noqa: ARG002
        return self._seconds


class Quantile:
    """Whatever takes longer than `quantile` (0 to 1) of the roots of the same name lately did.

    Until `warm_up` roots of a name were seen nothing of that name is slow: twice as many as a quantile needs to have
    one value above it, and at least 50 (200 for p99). Values are kept for one to two windows of `WINDOW_SECONDS`; where
    fewer than `warm_up` came within one, for up to a day longer. Only the `MOST_NAMES` names that ended last are known.
    One thread at a time.
    """

    def __init__(self, quantile: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.quantile, self._clock = quantile, clock
        self.warm_up = max(_LEAST_WARM_UP, round(2 / (1 - quantile)))
        self._names: OrderedDict[str, _Durations] = OrderedDict()

    def learn(self, name: str, seconds: float) -> bool:
        durations = self._names.get(name)
        if durations is None:
            durations = self._names[name] = _Durations(self._clock())
            if len(self._names) > MOST_NAMES:
                self._names.popitem(last=False)
        else:
            self._names.move_to_end(name)
        durations.turn(self._clock(), self.warm_up)
        limit = self._limit(durations)
        durations.add(seconds)
        return limit is not None and seconds > limit

    def threshold(self, name: str) -> float | None:
        durations = self._names.get(name)
        return None if durations is None else self._limit(durations)

    def estimate(self, name: str) -> float | None:
        """The quantile itself, to `ACCURACY`; None for a name that was not seen."""
        durations = self._names.get(name)
        return None if durations is None else durations.value_at(self.quantile, fresh=True)

    def _limit(self, durations: _Durations) -> float | None:
        """The longest duration that the estimate may stand for: where all take the same time, none is slow."""
        value = durations.value_at(self.quantile) if durations.all.count >= self.warm_up else None
        return None if value is None else value / (1 - ACCURACY) * _ROUNDING


class _Durations:
    """One name's durations: `all` of the last whole window and this one, and those of this one alone, which take their
    place at its end."""

    def __init__(self, now: float) -> None:
        self.all, self._latest, self._since = _sketch(), _sketch(), now
        self._value: float | None = None
        self._recompute_at = 0.0

    def turn(self, now: float, enough: int) -> None:
        age = now - self._since
        if age >= LONGEST_WINDOW_SECONDS or (age >= WINDOW_SECONDS and self._latest.count >= enough):
            self.all, self._latest, self._since = self._latest, _sketch(), now
            self._recompute_at = 0.0

    def add(self, seconds: float) -> None:
        self.all.add(seconds)
        self._latest.add(seconds)

    def value_at(self, quantile: float, *, fresh: bool = False) -> float | None:
        count = self.all.count
        if fresh or count >= self._recompute_at:
            self._value = self.all.get_quantile_value(quantile)
            self._recompute_at = count + max(1, count // _RECOMPUTE)
        return self._value


def _sketch() -> BaseDDSketch:
    """Datadog's DDSketch; where it must give up bins, it gives up those of the shortest durations."""
    from ddsketch import LogCollapsingLowestDenseDDSketch  # noqa: PLC0415  costs 20 ms: only where used

    return LogCollapsingLowestDenseDDSketch(ACCURACY, bin_limit=_BINS)
