"""`configure()`: one provider, one recorder, the destinations."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from opentelemetry import trace
from opentelemetry.metrics import MeterProvider
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider

from . import scores
from .destinations.delivery import Delivery
from .errors import ConfigurationError, is_number, is_whole
from .guard import GUARD, warn_once
from .live import LiveSpans
from .loom import Loom, vaults_of
from .prices import PriceList, Prices
from .process import Ending
from .recorder import MAX_OPEN_STEPS, MAX_STEP_SECONDS, Recorder
from .routing import Routes
from .weave import SCOPE, weave_of

if TYPE_CHECKING:
    from .content.keeping import Keeper
    from .destinations.destination import Destination

_lock = threading.RLock()
_current: Loom | None = None


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
        if isinstance(destination, type) or not (methods and hasattr(destination, "name")):
            raise ConfigurationError(
                f"configure() got {destination!r}, which is no destination: pass Otlp(…), Langfuse(…) or Local(…)."
            )
    if not (is_whole(max_open_steps) and max_open_steps > 0):
        raise ConfigurationError(
            f"configure(max_open_steps={max_open_steps!r}) cannot work: write a whole number above 0."
        )
    if not (is_number(max_step_seconds) and max_step_seconds > 0):
        raise ConfigurationError(
            f"configure(max_step_seconds={max_step_seconds!r}) cannot work: write seconds above 0."
        )
    if not (service_name is None or isinstance(service_name, str)):
        raise ConfigurationError(
            f'configure(service_name={service_name!r}) is no text: write service_name="support-bot".'
        )
    service_name = service_name or None
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
            LiveSpans(provider, provider.get_tracer(SCOPE, _version()), weave),
            weave,
            max_open_steps=max_open_steps,
            max_step_seconds=max_step_seconds,
        )
        resource = provider.resource
        if service_name is not None:
            resource = resource.merge(Resource({SERVICE_NAME: service_name}))
        opened: list[tuple[Destination, Delivery]] = []
        vaults: list[Keeper] = []
        reused = before is not None and any(old in chosen for old, _ in before._destinations)
        if before is not None and reused:
            before._replaced()
        try:
            for vault in vaults_of(chosen):
                vault.open()
                vaults.append(vault)
            for destination in chosen:
                opened.append((destination, destination.open(resource, recorder.evict)))  # noqa: PERF401  half matters
            if before is not None and not reused:  # only now: where the new settings cannot work, the old ones stay
                before._replaced()
        except BaseException:
            for destination, delivery in opened:
                delivery.stop(0.0)
                destination.close()
            for vault in vaults:
                vault.close(0.0)
            raise
        loom = _current = Loom(provider, weave, recorder, opened, price_list, _version(), meter_provider)
        recorder.on_ended, weave.prices, weave.prompts = loom.metrics.put, price_list, loom.prompts
        weave.routes = Routes({d.name: takes for d in chosen if (takes := getattr(d, "route", None)) is not None})
        weave.sinks, weave.flush, weave.stop, weave.beside = loom._sinks(), loom.flush, loom.shutdown, loom._beside
        weave.look_again()
        if loom._tails:
            _warn_of_head_sampler(provider)
        return loom


def current_loom() -> Loom | None:
    """What the last `configure()` returned, while it is running. Warns once where nothing is configured."""
    loom = _current
    if loom is None:
        warn_once("unconfigured", "spanloom.configure() has not been called: nothing is traced")
    return loom


def checked_loom(loom: Loom | None, setting: str) -> Loom | None:
    """`loom` as it is, or a `ConfigurationError` that names `setting`."""
    if loom is None or isinstance(loom, Loom):
        return loom
    raise ConfigurationError(f"{setting} got {loom!r}: pass what spanloom.configure() returned, or leave it out.")


def running_loom() -> Loom | None:
    """What the last `configure()` returned, while it is running; None without a word where there is none."""
    return _current if _current is not None and not _current._down else None


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
    from .destinations.langfuse import Langfuse, keys_in_environment  # noqa: PLC0415  where none is given, alone
    from .destinations.local import Local  # noqa: PLC0415
    from .destinations.otlp import Otlp, endpoint_in_environment  # noqa: PLC0415

    found: list[Destination] = []
    if endpoint_in_environment():
        found.append(Otlp())
    if keys_in_environment():
        found.append(Langfuse())
    return found or [Local()]


def _warn_of_head_sampler(provider: TracerProvider) -> None:
    from .sampling import head  # noqa: PLC0415  most configurations have no tail sampling

    if (sampler := head.in_the_way(provider)) is not None:
        warn_once(
            f"head:{sampler}",
            "spanloom: the tracer provider samples at the start of traces (%s), so that errors in the others never "
            "reach sampling=TailSampling(…): set OTEL_TRACES_SAMPLER=parentbased_always_on, and leave the share to "
            "its keep=….",
            sampler,
        )


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
    try:
        resource = Resource.create({SERVICE_NAME: service_name} if service_name else None)
        made = TracerProvider(resource=resource, shutdown_on_exit=False)
    except ValueError as error:  # of the SDK's own variables, such as OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT
        raise ConfigurationError(f"OpenTelemetry's SDK refuses the environment: {error}.") from error
    trace.set_tracer_provider(made)
    return made


def _version() -> str:
    from . import __version__  # noqa: PLC0415

    return __version__


def _at_exit() -> None:
    if _current is not None and not _current._down and os.getpid() == _pid:
        _current.shutdown()


at_end = Ending(_at_exit)
_pid = os.getpid()
if hasattr(os, "register_at_fork"):

    def _in_child() -> None:
        global _pid, _lock
        _pid, _lock = os.getpid(), threading.RLock()
        GUARD.after_fork()
        if _current is not None:
            _current.after_fork()

    os.register_at_fork(after_in_child=_in_child)

__all__ = [
    "Loom",
    "at_end",
    "checked_loom",
    "configure",
    "current_loom",
    "current_step",
    "destinations_in_environment",
    "running_loom",
]
