"""`configure()`: one provider, one recorder, the destinations; and the handle to them."""

from __future__ import annotations

import atexit
import os
import threading
import time
import warnings
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

from opentelemetry import trace
from opentelemetry.metrics import MeterProvider
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider

from . import evaluation, scores
from .content.plain import clean
from .destinations.delivery import Delivery
from .destinations.destination import Destination
from .destinations.langfuse import Langfuse, keys_in_environment
from .destinations.local import Local
from .destinations.otlp import Otlp, endpoint_in_environment
from .errors import ConfigurationError
from .guard import GUARD, log, warn_once
from .metrics import Metrics
from .prices import PriceList, Prices
from .recorder import MAX_OPEN_STEPS, MAX_STEP_SECONDS, Recorder
from .weave import SCOPE, Weave, weave_of

_lock = threading.RLock()
_current: Loom | None = None


class Loom:
    """The handle that `configure()` returns; also a context manager that shuts down at the end of its block."""

    def __init__(
        self,
        provider: TracerProvider,
        weave: Weave,
        recorder: Recorder,
        destinations: Sequence[tuple[Destination, Delivery]],
        prices: PriceList,
        meter_provider: MeterProvider | None = None,
    ) -> None:
        self._provider, self._weave, self._destinations = provider, weave, tuple(destinations)
        self.recorder, self.prices = recorder, prices
        self.metrics = Metrics(meter_provider, _version(), prices, self.stats)
        self._down = False

    @property
    def tracer_provider(self) -> TracerProvider:
        """The OpenTelemetry SDK provider that the spans are made by."""
        return self._provider

    def flush(self, timeout: float = 5.0) -> bool:
        """Send what has ended so far. True where all that ended since the last flush has arrived, in time."""
        deadline = time.monotonic() + timeout
        self.recorder.evict()
        self._wake()
        done = [delivery.flush(max(0.0, deadline - time.monotonic())) for _, delivery in self._destinations]
        self.metrics.delivery.flush(max(0.0, deadline - time.monotonic()))
        return all(done)

    def shutdown(self, timeout: float = 5.0) -> bool:
        """End open steps as `incomplete`, send what is queued, and stop; at most about `timeout` seconds.

        True where everything was delivered. A second call does nothing. The provider is left as it was; its own
        `shutdown()` does this too.
        """
        with _lock:
            if self._down:
                return True
            self._down = True
        self.recorder.end_all()
        if self._weave.sinks == self._sinks():
            self._weave.sinks, self._weave.flush, self._weave.stop, self._weave.beside = (), None, None, None
        deadline = time.monotonic() + timeout
        self._wake()
        done = []
        for destination, delivery in self._destinations:
            done.append(delivery.stop(max(0.0, deadline - time.monotonic())))
            with GUARD.watching(f"spanloom.destinations.{destination.name}.close"):
                destination.close()
        self.metrics.delivery.stop(max(0.0, deadline - time.monotonic()))
        return all(done)

    def _replaced(self) -> None:
        warnings.warn(
            "spanloom.configure() was called again: the first configuration is shut down and replaced.",
            RuntimeWarning,
            stacklevel=3,
        )
        self.shutdown()

    def _wake(self) -> None:
        """All destinations at once: one that hangs must not use up the time of the next."""
        for _, delivery in self._destinations:
            delivery.wake()
        self.metrics.delivery.wake()

    def stats(self) -> dict[str, Any]:
        """Counts since the start.

        `{"steps": {opened, open, evicted, repeated}, "destinations": {name: {offered, queued, exported, dropped,
        failed}}, "cost": {priced, unknown, without_usage}, "swallowed": {where: times}}`. `cost` counts the calls of
        models whose cost is known (an answer from a cache costs nothing), whose model has no price, and whose provider
        told no tokens. For each destination, offered = exported + dropped + failed + queued.
        """
        return {
            "steps": {
                "opened": self.recorder.opened,
                "open": len(self.recorder),
                "evicted": self.recorder.evicted,
                "repeated": self.recorder.repeated,
            },
            "destinations": {delivery.name: delivery.counts() for _, delivery in self._destinations},
            "cost": self.prices.counts(),
            "swallowed": dict(GUARD.swallowed),
        }

    def score(
        self,
        name: str,
        value: float | bool | str,
        *,
        step: Any = None,
        trace_id: str | None = None,
        span_id: str | None = None,
        comment: str | None = None,
        data_type: str | None = None,
        id: str | None = None,
    ) -> str | None:
        """Say how good a trace, or one step of it, was. Returns the score's id; None where nothing is sent.

        `value` is a number, a bool or a text; `data_type` (NUMERIC, BOOLEAN, CATEGORICAL) follows from it. `step` is
        what `spanloom.current_step()` gives, or a span; or give the ids in hexadecimal, `trace_id` alone for the whole
        trace; without any, the current step is meant. `comment` is content: each destination's policy decides on it.
        A score with the `id` of another replaces it.

        It goes through the queues of the destinations that take scores (Langfuse, Local, Phoenix), and out as the event
        `gen_ai.evaluation.result`. It never blocks and never raises: a score that cannot be is logged. Scores of a
        trace that is not sampled are not sent.
        """
        with GUARD.watching("spanloom.score"):
            try:
                return self._score(name, value, step, trace_id, span_id, comment, data_type, id)
            except scores.ScoreError as error:
                log.warning("spanloom: no score was sent: %s", error)
        return None

    def _score(
        self, name: Any, value: Any, step: Any, trace_id: Any, span_id: Any, comment: Any, data_type: Any, id: Any
    ) -> str | None:
        if step is None and trace_id is None:
            step = self.current_step()
        target = scores.target_of(step, trace_id, span_id)
        value = clean(value) if isinstance(value, str) else value
        comment = None if comment is None else clean(str(comment))
        score = scores.score_of(clean(name) if isinstance(name, str) else name, value, target, comment, data_type, id)
        if self._down or not getattr(step, "sampled", True) or not self.recorder.recent.is_sampled(int(target[0], 16)):
            return None
        for _, delivery in self._destinations:
            delivery.put_score(score)
        open_step = self._weave.enclosing(int(score.span_id, 16)) if score.span_id is not None else None
        evaluation.emit(score, open_step.step.span if open_step is not None else None)
        return score.id

    def current_step(self) -> scores.StepHandle | None:
        """The step that the caller is inside of; None outside of any."""
        ids = trace.get_current_span().get_span_context()
        if not ids.is_valid:
            return None
        trace_id, span_id = trace.format_trace_id(ids.trace_id), trace.format_span_id(ids.span_id)
        if not self.recorder.recent.is_sampled(ids.trace_id):
            return scores.StepHandle(trace_id, span_id, sampled=False)
        enclosing = self._weave.enclosing(ids.span_id)
        if enclosing is None:
            return None
        step = enclosing.step
        return scores.StepHandle(trace_id, trace.format_span_id(step.span_id), step.name)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.shutdown()

    def _beside(self, processors: Sequence[Any]) -> None:
        """Tell the destinations that ask which other processors see the same spans."""
        for destination, _ in self._destinations:
            if (told := getattr(destination, "beside", None)) is not None:
                with GUARD.watching(f"spanloom.destinations.{destination.name}.beside"):
                    told(processors)

    def _sinks(self) -> tuple[Delivery, ...]:
        return tuple(delivery for _, delivery in self._destinations)


def configure(
    *destinations: Destination,
    service_name: str | None = None,
    tracer_provider: TracerProvider | None = None,
    max_open_steps: int = MAX_OPEN_STEPS,
    max_step_seconds: float = MAX_STEP_SECONDS,
    prices: Prices | Sequence[Prices] = (),
    meter_provider: MeterProvider | None = None,
) -> Loom:
    """Send the traces of this process to `destinations`.

    Without destinations the environment names them: OTLP where an `OTEL_EXPORTER_OTLP_*ENDPOINT` is set, Langfuse
    where its keys are, both where both are, and else the file `spanloom.db` (`Local()`).

    It joins the SDK `TracerProvider` that the application has set (or that `tracer_provider` names); where there is
    none it makes one and sets it. `service_name` becomes the resource's `service.name`. A step that stays open for
    more than `max_step_seconds`, or beyond `max_open_steps`, is ended as `incomplete`. `prices` are your own, which
    go before the published ones; the first that match a call hold for it. Metrics go to `meter_provider`, or to the one
    that the application has set or sets later. A second call warns, shuts the
    first configuration down and takes its place. Raises `ConfigurationError` for settings that cannot work.
    """
    global _current
    for destination in destinations:
        methods = all(callable(getattr(destination, name, None)) for name in ("open", "close"))
        if not (methods and isinstance(getattr(destination, "name", None), str)):
            raise ConfigurationError(
                f"configure() got {destination!r}, which is no destination: pass Otlp(…), Langfuse(…) or Local(…)."
            )
    if max_open_steps < 1 or max_step_seconds <= 0:
        raise ConfigurationError("configure() needs max_open_steps and max_step_seconds above 0.")
    price_list = PriceList(prices)
    if not (meter_provider is None or isinstance(meter_provider, MeterProvider)):
        raise ConfigurationError(
            f"configure(meter_provider=…) got {meter_provider!r}: pass an opentelemetry.sdk.metrics.MeterProvider."
        )
    chosen = list(destinations) or destinations_in_environment()
    _check_names(chosen)
    with _lock:
        before = _current if _current is not None and not _current._down else None
        provider = _provider(tracer_provider, service_name)
        weave = weave_of(provider)
        recorder = Recorder(
            provider.get_tracer(SCOPE, _version()),
            weave,
            max_open_steps=max_open_steps,
            max_step_seconds=max_step_seconds,
        )
        resource = provider.resource
        if service_name is not None:
            resource = resource.merge(Resource({SERVICE_NAME: service_name}))
        opened: list[tuple[Destination, Delivery]] = []
        reused = before is not None and any(old in chosen for old, _ in before._destinations)
        if before is not None and reused:
            before._replaced()
        try:
            for destination in chosen:
                opened.append((destination, destination.open(resource, recorder.evict)))  # noqa: PERF401  half matters
            if before is not None and not reused:  # only now: where the new settings cannot work, the old ones stay
                before._replaced()
        except BaseException:
            for destination, delivery in opened:
                delivery.stop(0.0)
                destination.close()
            raise
        loom = _current = Loom(provider, weave, recorder, opened, price_list, meter_provider)
        recorder.on_ended, weave.prices = loom.metrics.put, price_list
        weave.sinks, weave.flush, weave.stop, weave.beside = loom._sinks(), loom.flush, loom.shutdown, loom._beside
        weave.look_again()
        return loom


def current_loom() -> Loom | None:
    """What the last `configure()` returned, while it is running. Warns once where nothing is configured."""
    loom = _current
    if loom is None:
        warn_once("unconfigured", "spanloom.configure() has not been called: nothing is traced")
    return loom


def current_step() -> scores.StepHandle | None:
    """The step that the caller is inside of (a tool's or node's body, a retriever): what to score. None outside of any.

    It never raises.
    """
    with GUARD.watching("spanloom.current_step"):
        loom = _current
        return loom.current_step() if loom is not None else None
    return None


def destinations_in_environment() -> list[Destination]:
    """What `configure()` takes where it is given no destination."""
    found: list[Destination] = []
    if endpoint_in_environment():
        found.append(Otlp())
    if keys_in_environment():
        found.append(Langfuse())
    return found or [Local()]


def _check_names(destinations: Sequence[Destination]) -> None:
    seen: set[str] = set()
    for destination in destinations:
        if destination.name in seen:
            raise ConfigurationError(
                f"Two destinations are named {destination.name!r}: give one of them a name=… of its own."
            )
        seen.add(destination.name)


def _provider(given: TracerProvider | None, service_name: str | None) -> TracerProvider:
    provider: Any = given if given is not None else trace.get_tracer_provider()
    if isinstance(provider, TracerProvider):
        return provider
    if given is not None or not isinstance(provider, trace.ProxyTracerProvider):
        raise ConfigurationError(
            f"The tracer provider is a {type(provider).__name__}, which takes no span processors: pass "
            "tracer_provider=opentelemetry.sdk.trace.TracerProvider()."
        )
    # Head samplers stay with the SDK's environment variables; shutting down is ours, bounded.
    resource = Resource.create({SERVICE_NAME: service_name} if service_name else None)
    made = TracerProvider(resource=resource, shutdown_on_exit=False)
    trace.set_tracer_provider(made)
    return made


def _version() -> str:
    from . import __version__  # noqa: PLC0415

    return __version__


@atexit.register
def _at_exit() -> None:
    if _current is not None and not _current._down and os.getpid() == _pid:
        _current.shutdown()


_pid = os.getpid()
if hasattr(os, "register_at_fork"):

    def _in_child() -> None:
        global _pid, _lock
        _pid, _lock = os.getpid(), threading.RLock()
        GUARD.after_fork()
        if _current is not None:
            _current.recorder.after_fork()
            _current.prices.after_fork()

    os.register_at_fork(after_in_child=_in_child)

__all__ = ["Loom", "configure", "current_loom", "log"]
