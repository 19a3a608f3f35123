"""`TailSampling`: which traces one destination keeps, once they have ended."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from ..errors import ConfigurationError, is_number, is_whole
from ..scores import DataType, Score
from .slow import Fixed, Never, Quantile, Slow
from .view import TraceView

Predicate: TypeAlias = Callable[[TraceView], object]
Rule: TypeAlias = str | Predicate | Sequence[str | Predicate]
LowScore: TypeAlias = float | Mapping[str, float] | Callable[[Score], object]

_QUANTILE = re.compile(r"p(\d{1,2}(?:\.\d{1,3})?)")


@dataclass(frozen=True, slots=True)
class TailSampling:
    """Which traces a destination keeps: `Otlp(..., sampling=TailSampling(keep=0.05))`.

    A trace is decided when the last of its spans at the top of this process has ended. It is kept

    - with `errors`: where any of its steps or spans failed;
    - with `slower_than`: where its root took longer than so many seconds, or than a quantile of what roots of the same
      name lately took ("p99", "p95", "p99.9"; nothing is slow until enough were seen, 200 for p99);
    - with `low_score`: where `loom.score(...)` gave less than that (a number for every numeric or boolean score; a
      mapping from names to numbers; or a predicate over `Score`);
    - with `always`: where its root's name matches (`"checkout*"`), or a predicate over `TraceView` says so; or one of
      several in a list;
    - and, of all others, a share of `keep` (0 to 1) by trace id, which is the same in every service and destination.

    `never`, in the same forms as `always`, drops what it matches (health checks), unless it failed and `errors` is on.
    What is dropped is held for `hold_seconds`: an error or a low score that comes late still keeps it whole. A
    predicate runs on a worker; one that raises is counted and does not match.

    Traces wait in memory for their decision: at most `max_spans` spans, about `max_megabytes` of content, and
    `max_seconds` each. Beyond that the oldest ones are decided by what is known of them. Kept spans carry their
    probability (`spanloom.sampling.probability`). Destinations with equal policies decide as one.

    Raises `ConfigurationError` for a policy that cannot be.
    """

    errors: bool = True
    slower_than: str | float | None = "p99"
    keep: float = 0.05
    low_score: LowScore | None = None
    always: Rule | None = None
    never: Rule | None = None
    hold_seconds: float = 5.0
    max_spans: int = 50_000
    max_megabytes: float = 256.0
    max_seconds: float = 600.0

    def __post_init__(self) -> None:
        if not isinstance(self.errors, bool):
            raise ConfigurationError(f"TailSampling(errors={self.errors!r}) is neither: write errors=True or False.")
        if not (is_number(self.keep) and 0 <= self.keep <= 1):
            raise ConfigurationError(f"TailSampling(keep={self.keep!r}) is no share: write a number from 0 to 1.")
        if self.quantile is None and not (
            self.slower_than is None or (is_number(self.slower_than) and float(self.slower_than) > 0)
        ):
            raise ConfigurationError(
                f"TailSampling(slower_than={self.slower_than!r}) is no threshold: write seconds above 0, a quantile "
                'such as "p99", or None.'
            )
        for name, rule in (("always", self.always), ("never", self.never)):
            if not all(isinstance(one, str) or callable(one) for one in _each(rule)):
                raise ConfigurationError(
                    f"TailSampling({name}={rule!r}) is no rule: write a pattern of root names, a function of a "
                    "TraceView, or a list of these."
                )
        low = self.low_score
        numbers: Sequence[object] = tuple(low.values()) if isinstance(low, Mapping) else () if callable(low) else (low,)
        if not all(number is None or is_number(number) for number in numbers):
            raise ConfigurationError(
                f"TailSampling(low_score={low!r}) is no threshold: write a number, numbers by the scores' names, or a "
                "function of a Score."
            )
        if not (is_whole(self.max_spans) and self.max_spans > 0):
            raise ConfigurationError(
                f"TailSampling(max_spans={self.max_spans!r}) cannot work: write a whole number above 0."
            )
        for name, number in (("max_megabytes", self.max_megabytes), ("max_seconds", self.max_seconds)):
            if not (is_number(number) and number > 0):
                raise ConfigurationError(f"TailSampling({name}={number!r}) cannot work: write a number above 0.")
        if not (is_number(self.hold_seconds) and self.hold_seconds >= 0):
            raise ConfigurationError(
                f"TailSampling(hold_seconds={self.hold_seconds!r}) cannot work: write 0 or a number above it."
            )

    @property
    def quantile(self) -> float | None:
        """What `slower_than="p99"` says, as a part of 1; None where it is seconds, or nothing."""
        match = _QUANTILE.fullmatch(self.slower_than) if isinstance(self.slower_than, str) else None
        return float(match[1]) / 100 if match is not None and float(match[1]) > 0 else None

    @property
    def holds(self) -> bool:
        """Whether anything that comes after a trace's decision can change it."""
        return self.hold_seconds > 0 and (self.errors or self.low_score is not None)

    def slow(self) -> Slow:
        """What tells slow roots, with nothing learnt yet."""
        if self.quantile is not None:
            return Quantile(self.quantile)
        return Never() if self.slower_than is None else Fixed(float(self.slower_than))

    def is_low(self, score: Score) -> bool:
        """Whether `low_score` speaks of this score. Raises what a predicate raises."""
        low: Any = self.low_score
        if low is None:
            return False
        if callable(low):
            return bool(low(score))
        limit = low.get(score.name) if isinstance(low, Mapping) else low
        return limit is not None and score.data_type is not DataType.CATEGORICAL and float(score.value) < limit


def matches(rule: Rule, view: TraceView) -> bool:
    """Whether one of the patterns or predicates of `rule` matches. Raises what a predicate raises."""
    return any(fnmatch.fnmatchcase(view.name, one) if isinstance(one, str) else bool(one(view)) for one in _each(rule))


def _each(rule: Any) -> Sequence[Any]:
    if rule is None:
        return ()
    return tuple(rule) if isinstance(rule, (list, tuple, set, frozenset)) else (rule,)
