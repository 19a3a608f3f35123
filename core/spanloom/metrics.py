"""Metrics through the OpenTelemetry API: of every step, also of traces that are not sampled, and of Spanloom itself.

The application's call only queues the ended step; a worker of its own records. Where the process has no MeterProvider
it does not even that.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from opentelemetry import metrics as api
from opentelemetry.metrics import CallbackOptions, Counter, Histogram, Meter, MeterProvider, Observation

from .destinations.delivery import Delivery
from .destinations.weight import SPAN_BYTES
from .dialects import metrics as dialect
from .ended import Ended
from .guard import GUARD
from .identity import NOBODY
from .prices import PriceList
from .step import Step
from .weave import SCOPE

Stats = Callable[[], Mapping[str, Any]]

_QUEUE_STEPS = 20_000
_FLUSH_SECONDS = 1.0


class Metrics:
    """Records ended steps with the instruments of one meter provider; `stats` gives Spanloom's own health."""

    def __init__(self, given: MeterProvider | None, version: str, prices: PriceList, stats: Stats) -> None:
        self._given, self._prices = given, prices
        self._instruments = _instruments_of(given, version)
        self._instruments.source = self
        self.stats = stats
        self.delivery = Delivery("metrics", self._record, queue_spans=_QUEUE_STEPS)

    def put(self, step: Step) -> None:
        """Take a step that has ended. Never blocks, never raises."""
        if dialect.measured(step.kind) and (self._given is not None or _is_set()):
            ended = Ended(step.held, step, step.lineage, NOBODY, prices=self._prices)
            ended.weight = SPAN_BYTES  # its content is not read here: a look at it would cost more than it tells
            self.delivery.put(ended)

    def repeated(self, step: Step) -> None:
        """Count a model call whose prompt was sent before. On a destination's worker, which alone knows."""
        with GUARD.watching("spanloom.metrics"):
            self._instruments.record(*dialect.repeated(step))

    def _record(self, batch: list[Ended]) -> int:
        for ended in batch:
            if ended.step is not None:
                with GUARD.watching("spanloom.metrics"):
                    for metric, value, attributes in dialect.measurements(ended.step):
                        self._instruments.record(metric, value, attributes)
        return len(batch)


def _is_set() -> bool:
    """Whether the process has a MeterProvider that does anything."""
    return not type(api.get_meter_provider()).__module__.startswith("opentelemetry.metrics")  # the API's stand-ins


class _Instruments:
    """One provider's instruments. They outlive a configuration, since a second one of the same name is an error."""

    def __init__(self, meter: Meter) -> None:
        self.source: Metrics | None = None
        self._made: dict[str, Histogram | Counter] = {}
        for metric in dialect.ALL:
            about = {"unit": metric.unit, "description": metric.description}
            self._made[metric.name] = (
                meter.create_histogram(metric.name, **about, explicit_bucket_boundaries_advisory=list(metric.buckets))
                if metric.buckets
                else meter.create_counter(metric.name, **about)
            )
        for name, unit, description, read in _HEALTH:
            make = meter.create_observable_up_down_counter if name in _UP_AND_DOWN else meter.create_observable_counter
            make(name, [self._observing(read)], unit=unit, description=description)

    def record(self, metric: dialect.Metric, value: float, attributes: dict[str, Any]) -> None:
        made = self._made[metric.name]
        if isinstance(made, Histogram):
            made.record(value, attributes)
        else:
            made.add(value, attributes)

    def _observing(self, read: _Read) -> Callable[[CallbackOptions], list[Observation]]:
        def observe(_: CallbackOptions) -> list[Observation]:
            with GUARD.watching("spanloom.metrics.health"):
                if self.source is not None:
                    if read is _HEALTH[0][3]:  # the first: a collection includes what has ended before it
                        self.source.delivery.flush(_FLUSH_SECONDS)
                    return list(read(self.source.stats()))
            return []

        return observe


_Read = Callable[[Mapping[str, Any]], Iterator[Observation]]


def _of_destinations(count: str) -> _Read:
    def read(stats: Mapping[str, Any]) -> Iterator[Observation]:
        for name, counts in stats["destinations"].items():
            if count in counts:
                yield Observation(counts[count], {"spanloom.destination": name})

    return read


def _lost(stats: Mapping[str, Any]) -> Iterator[Observation]:
    for name, counts in stats["destinations"].items():
        for reason, times in counts["reasons"].items():
            yield Observation(times, {"spanloom.destination": name, "spanloom.reason": reason})


def _of_steps(count: str) -> _Read:
    def read(stats: Mapping[str, Any]) -> Iterator[Observation]:
        yield Observation(stats["steps"][count])

    return read


def _swallowed(stats: Mapping[str, Any]) -> Iterator[Observation]:
    for where, times in stats["swallowed"].items():
        yield Observation(times, {"spanloom.where": where})


_HEALTH: tuple[tuple[str, str, str, _Read], ...] = (
    ("spanloom.spans.queued", "{span}", "Spans and scores that wait to be sent.", _of_destinations("queued")),
    ("spanloom.spans.exported", "{span}", "Spans and scores that a receiver took.", _of_destinations("exported")),
    ("spanloom.spans.dropped", "{span}", "Spans and scores dropped at a full queue.", _of_destinations("dropped")),
    ("spanloom.spans.failed", "{span}", "Spans and scores that a receiver did not take.", _of_destinations("failed")),
    ("spanloom.spans.lost", "{span}", "Spans and scores dropped or failed, by reason.", _lost),
    ("spanloom.spans.waiting", "{span}", "Spans and scores whose trace is undecided.", _of_destinations("waiting")),
    ("spanloom.spans.sampled_out", "{span}", "Spans and scores not kept.", _of_destinations("sampled_out")),
    ("spanloom.steps.open", "{step}", "Steps that are open.", _of_steps("open")),
    ("spanloom.steps.opened", "{step}", "Steps opened.", _of_steps("opened")),
    ("spanloom.steps.evicted", "{step}", "Steps ended for being open for too long.", _of_steps("evicted")),
    ("spanloom.errors.swallowed", "{error}", "Spanloom's own errors, caught.", _swallowed),
)
_UP_AND_DOWN = frozenset({"spanloom.spans.queued", "spanloom.spans.waiting", "spanloom.steps.open"})

_of_providers: weakref.WeakKeyDictionary[MeterProvider, _Instruments] = weakref.WeakKeyDictionary()
_of_global: _Instruments | None = None


def _instruments_of(given: MeterProvider | None, version: str) -> _Instruments:
    global _of_global
    if given is None:
        if _of_global is None:  # the API's meter turns to the provider that is set, also later
            _of_global = _Instruments(api.get_meter(SCOPE, version))
        return _of_global
    made = _of_providers.get(given)
    if made is None:
        made = _of_providers[given] = _Instruments(given.get_meter(SCOPE, version))
    return made
