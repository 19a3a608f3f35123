"""One named backend over OTLP/HTTP: what its profile says of address, headers, dialect and limits, and nothing else."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Unpack

from opentelemetry.sdk.resources import Resource

from ..content import ContentPolicy
from ..dialects.rendered import Rendered
from ..ended import Ended
from ..errors import ConfigurationError
from .delivery import Delivery
from .endpoint import check_headers, check_url, traces_url, without_credentials
from .limits import Limits
from .otlp import Otlp, Render
from .queued import Options
from .seen import Seen, seen
from .wire.http import HttpWire

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics.export import MetricReader

TIMEOUT = 10.0  # seconds


@dataclass(frozen=True, slots=True)
class Setting:
    """An argument, the variable that fills it where it is left out, and what came of the two."""

    argument: str
    variable: str
    value: str | None

    def __repr__(self) -> str:  # without the value, which is a key more often than not
        return f"Setting({self.argument!r}, {self.variable!r})"


def setting(argument: str, given: str | None, *variables: str) -> Setting:
    """`given`, or the first of `variables` that is set."""
    found = given or next((value for name in variables if (value := os.environ.get(name))), None)
    return Setting(argument, variables[0], found)


def filled(name: str, options: Options, content: ContentPolicy) -> Options:
    """`options` with a profile's own name and content where they are left out."""
    out: Options = {"name": name, **options}
    if out.get("content") is None:
        out["content"] = content
    return out


class Backend(Otlp):
    """What the profiles are made of. `required` are the settings without which `configure()` refuses it.

    The `OTEL_EXPORTER_OTLP_*` variables, which speak of another receiver, change nothing here.
    """

    def __init__(
        self,
        endpoint: str,
        headers: Mapping[str, str],
        render: Render,
        *,
        required: Sequence[Setting] = (),
        limits: Limits | None = None,
        resource: Mapping[str, str] | None = None,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(endpoint, headers, "http/protobuf", compression="gzip", **options)
        self.required, self.limits = tuple(required), limits
        self._within = self.content
        self._render = render
        self._said = Resource(dict(resource or {}))

    def __repr__(self) -> str:  # headers hold keys
        return f"{type(self).__name__}({without_credentials(self.endpoint)!r})"

    def open(self, resource: Resource, tick: Callable[[], object]) -> Delivery:
        return super().open(resource.merge(self._said), tick)

    def _check(self) -> None:
        kind = type(self).__name__
        self.check_options()
        missing = [one for one in self.required if not one.value]
        if missing:
            what = " and ".join(f"{one.argument}=… (or set {one.variable})" for one in missing)
            half = "only half of its credentials" if len(missing) < len(self.required) else "no credentials"
            raise ConfigurationError(f"{kind} has {half}: give {what}.")
        check_headers(self.headers, f"{kind}'s credentials")
        check_url(str(self.endpoint), f"{kind}'s address")
        if self.limits is not None:
            self._within = self.limits.policy(self.content)

    # ---------------------------------------------------------------- the worker's side
    def _timeout(self) -> float:
        return TIMEOUT

    def _http_wire(self) -> HttpWire:
        return HttpWire(traces_url(str(self.endpoint)), dict(self.headers or {}), compression="gzip")

    def _rendered(self, ended: Ended, shown: Seen) -> Rendered:
        if self.limits is None:
            return super()._rendered(ended, shown)
        render = super()._rendered
        return self.limits.rendered(self._within, lambda policy: render(ended, seen(ended, policy)))

    def _own(self, ended: Ended, shown: Seen) -> Mapping[str, Any]:
        own = super()._own(ended, shown)
        return own if self.limits is None or not own else self.limits.within(own)


class MeasuringBackend(Backend):
    """A backend that takes metrics too. `delta` says that it wants each interval's own values, not running totals."""

    delta = False

    def metric_reader(self, interval_seconds: float = 60.0) -> MetricReader:
        """What sends the process's metrics there: `MeterProvider(metric_readers=[backend.metric_reader()])`.

        Every `interval_seconds`, with this profile's address, headers and temporality. Raises `ConfigurationError` for
        credentials that are not there.
        """
        self._check()
        from opentelemetry.exporter.otlp.proto.http import Compression  # noqa: PLC0415  costs 30 ms: only where used
        from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter  # noqa: PLC0415
        from opentelemetry.sdk import metrics as sdk  # noqa: PLC0415
        from opentelemetry.sdk.metrics.export import (  # noqa: PLC0415
            AggregationTemporality,
            PeriodicExportingMetricReader,
        )

        from .session import own_session  # noqa: PLC0415

        headers = dict(self.headers or {})
        temporality: dict[type, AggregationTemporality] = {}
        if self.delta:  # what only goes up or is distributed; what goes up and down stays as it is
            kinds = (sdk.Counter, sdk.Histogram, sdk.ObservableCounter)
            temporality = dict.fromkeys(kinds, AggregationTemporality.DELTA)
        exporter = OTLPMetricExporter(
            endpoint=traces_url(str(self.endpoint), "/v1/metrics"),
            headers=headers,
            timeout=self.timeout or TIMEOUT,
            compression=Compression.Gzip,
            session=own_session(headers),
            preferred_temporality=temporality,
        )
        return PeriodicExportingMetricReader(exporter, export_interval_millis=interval_seconds * 1000)
