"""What a configuration says, checked."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlsplit

from ..errors import ConfigurationError

Tier = Literal["gateway", "sampler", "single"]
Content = Literal["none", "hashed", "redacted", "full"]
Balance = Literal["loadbalancing", "routing"]
Spans = Literal["steps", "all"]

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a Collector listens, and what it may use. `queue` is the folder of its file-backed queues."""

    listen: str = "0.0.0.0"  # noqa: S104  applications and gateways are on other machines
    http_port: int = 4318
    grpc_port: int = 4317
    health_port: int = 13133
    metrics_port: int = 8888
    queue: str = "/var/lib/otelcol/spanloom"
    queue_mib: int = 1024
    memory_mib: int = 1024

    def __post_init__(self) -> None:
        if not self.queue:
            raise ConfigurationError("The queue needs a folder: write --queue /var/lib/otelcol/spanloom.")
        for option, value in (("queue-mib", self.queue_mib), ("memory-mib", self.memory_mib)):
            if value < 1:
                raise ConfigurationError(f"--{option} {value} cannot work: write a whole number above 0.")


@dataclass(frozen=True, slots=True)
class Sampling:
    """Which traces are kept: those with an error, those slower than `slower_than` seconds, those with an attribute of
    `always`, and the share `keep` of the rest. One with an attribute of `never` is kept for an error alone.

    A trace is decided `wait` seconds after its first span came, or `after_root` seconds after its top span, whichever
    is sooner. `traces` bounds how many wait at once.
    """

    errors: bool = True
    slower_than: float | None = None
    keep: float = 0.05
    always: tuple[tuple[str, str], ...] = ()
    never: tuple[tuple[str, str], ...] = ()
    wait: float = 60.0
    after_root: float = 5.0
    traces: int = 50_000

    def __post_init__(self) -> None:
        if not 0 <= self.keep <= 1:
            raise ConfigurationError(f"--keep {self.keep} is no share: write a number from 0 to 1, such as 0.05.")
        if self.slower_than is not None and not 0 < self.slower_than < math.inf:
            raise ConfigurationError(f"--slower-than {self.slower_than} cannot work: write seconds above 0.")
        if not 0 < self.after_root <= self.wait:
            raise ConfigurationError(
                "The wait after a trace's top span is part of the whole wait: write --after-root above 0 and no more "
                f"than --decision-wait, which is {self.wait:g}."
            )
        if not (self.keep or self.errors or self.slower_than is not None or self.always):
            raise ConfigurationError("No trace would be kept: write --keep above 0, or --errors.")
        if self.traces < 1:
            raise ConfigurationError(f"--max-traces {self.traces} cannot work: write a whole number above 0.")

    @property
    def keeps_all(self) -> bool:
        """Whether there is nothing to decide."""
        return self.keep == 1 and not self.never


@dataclass(frozen=True, slots=True)
class Samplers:
    """The second tier, as a gateway finds it: a fixed list of `host:port`, a host name, or a Kubernetes service.

    "loadbalancing" is the Collector's load-balancing exporter; "routing" shares out to a fixed list with the routing
    connector, for a Collector that was built without that exporter.
    """

    addresses: tuple[str, ...] = ()
    dns: str | None = None
    kubernetes: str | None = None
    balance: Balance = "loadbalancing"
    insecure: bool = False

    def __post_init__(self) -> None:
        ways = [bool(self.addresses), self.dns is not None, self.kubernetes is not None]
        if sum(ways) != 1:
            raise ConfigurationError(
                "A gateway finds its samplers in one way: write --sampler host:4317 for each, or --sampler-dns NAME, "
                "or --sampler-k8s SERVICE.NAMESPACE."
            )
        if self.balance == "routing" and not self.addresses:
            raise ConfigurationError(
                "--balance routing shares out to a fixed list: write --sampler host:4317 for each sampler."
            )
        for address in self.addresses:
            if not re.fullmatch(r"(\[[0-9a-fA-F:.]+\]|[^\s:/\[\]]+):\d{1,5}", address):
                raise ConfigurationError(f"--sampler {address} is no address: write host:port, such as sampler-0:4317.")
        if len(set(self.addresses)) < len(self.addresses):
            raise ConfigurationError("Two samplers have one address: write each --sampler once.")


@dataclass(frozen=True, slots=True)
class OtlpBackend:
    """A backend in the GenAI conventions. `headers` name the environment variables that hold their values."""

    endpoint: str
    grpc: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)
    content: Content = "hashed"

    def __post_init__(self) -> None:
        _check_url(self.endpoint, "--otlp-endpoint")
        for header, variable in self.headers.items():
            if not header or not _VARIABLE.fullmatch(variable):
                raise ConfigurationError(
                    f"--otlp-header {header}=… takes the name of a variable, since keys stay out of the file: write "
                    "--otlp-header api-key=OTLP_API_KEY and set OTLP_API_KEY for the Collector."
                )


@dataclass(frozen=True, slots=True)
class LangfuseBackend:
    """Langfuse. Its keys and, where `base_url` is left out, its address come from the Collector's environment.

    `spans` is "steps", as with the destination `Langfuse`, or "all": also those of other libraries, as plain spans.
    """

    base_url: str | None = None
    content: Content = "redacted"
    spans: Spans = "steps"

    def __post_init__(self) -> None:
        if self.base_url is not None:
            _check_url(self.base_url, "--langfuse-url")


def _check_url(url: str, option: str) -> None:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigurationError(
            f"{option} {url} is no address: write it whole, such as https://otel.example.com:4318."
        )
    if parts.username is not None or parts.password is not None:
        raise ConfigurationError(
            f"{option} holds a password: keys stay out of the file, so put it in a header's variable."
        )
