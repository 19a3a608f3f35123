"""What every destination takes, whatever it speaks: a name, a content policy, and the bounds of its queue."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import partial
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from ..content import ContentPolicy
from ..ended import Ended
from ..errors import ConfigurationError, is_number, is_whole
from ..identity import Identity
from .delivery import BATCH_SPANS, DELAY_SECONDS, QUEUE_BYTES, QUEUE_SPANS, Delivery
from .exporter import BATCH_BYTES, Exporter, MakeWire

if TYPE_CHECKING:
    from ..sampling import TailSampling

SPOOL_BYTES = 1024 * 1024 * 1024
SPOOL_SECONDS = 24 * 3600.0
_SPOOLING_SECONDS = 0.05  # how long a span waits for others before it is written down


class QueueOptions(TypedDict, total=False):
    """`content` decides what of prompts and answers goes out; `queue_spans` and `queue_bytes` (an estimate of what they
    hold) bound what waits, beyond it spans are dropped and counted; `batch_spans` is how many go out at once; `name` is
    the destination's in `loom.stats()`; `sampling` says which traces are kept: by default all that the provider's
    sampler lets through; `route` says yes to the identity of each trace that goes there (see `docs/privacy.md`): by
    default all do."""

    content: ContentPolicy | None
    queue_spans: int
    queue_bytes: int
    batch_spans: int
    name: str
    route: Callable[[Identity], bool] | None
    sampling: TailSampling | None


class Options(QueueOptions, total=False):
    """What destinations over the network take beside.

    `timeout` is seconds for one batch, its retries included; `batch_bytes` is the most of one request, before
    compression. `spool` is a file that every batch is written to before it is sent, and removed from when the receiver
    has it: what an outage or the end of the process leaves there is sent later, also by the next process that names the
    file. It holds at most `spool_bytes` (1 GiB), for at most `spool_seconds` (a day).
    """

    timeout: float | None
    batch_bytes: int
    spool: str | os.PathLike[str] | None
    spool_bytes: int
    spool_seconds: float


class Queued:
    """A named destination behind a queue of its own. `takes` are the options that its class has."""

    takes: type[QueueOptions] = Options

    def __init__(self, options: QueueOptions | Options, *, name: str, content: ContentPolicy) -> None:
        for option in sorted(options.keys() - self.takes.__annotations__.keys()):
            own = [name for name, one in signature(type(self)).parameters.items() if one.kind is not one.VAR_KEYWORD]
            raise TypeError(
                f"{type(self).__name__}() got an unexpected keyword argument {option!r}: it takes "
                f"{', '.join([*own, *self.takes.__annotations__])}."
            )
        given = options.get("content")
        self.name = options.get("name", name)
        self.content = content if given is None else given
        self.timeout: float | None = options.get("timeout")  # type: ignore[assignment]
        self.queue_spans = options.get("queue_spans", QUEUE_SPANS)
        self.queue_bytes = options.get("queue_bytes", QUEUE_BYTES)
        self.batch_spans = options.get("batch_spans", BATCH_SPANS)
        self.batch_bytes: int = options.get("batch_bytes", BATCH_BYTES)  # type: ignore[assignment]
        self.route = options.get("route")
        self.sampling = options.get("sampling")
        spool: Any = options.get("spool")
        # the application may change its working directory
        self.spool = Path(spool).expanduser().absolute() if isinstance(spool, (str, os.PathLike)) and spool else spool
        self.spool_bytes: int = options.get("spool_bytes", SPOOL_BYTES)  # type: ignore[assignment]
        self.spool_seconds: float = options.get("spool_seconds", SPOOL_SECONDS)  # type: ignore[assignment]
        self._exporter: Exporter | None = None

    def check_options(self) -> None:
        """Raise a `ConfigurationError` for what no destination can work with."""
        kind = type(self).__name__
        if not (isinstance(self.name, str) and self.name):
            raise ConfigurationError(f'{kind}(name={self.name!r}) is no name: write a text such as name="eu".')
        if not isinstance(self.content, ContentPolicy):
            raise ConfigurationError(
                f"{kind}(content={self.content!r}) is no policy: write content=ContentPolicy.full()."
            )
        if not (self.sampling is None or _is_tail_sampling(self.sampling)):
            raise ConfigurationError(
                f"{kind}(sampling={self.sampling!r}) is no policy: write sampling=TailSampling(keep=0.05)."
            )
        if not (self.route is None or callable(self.route)):
            raise ConfigurationError(
                f'{kind}(route={self.route!r}) is no predicate: write route=lambda who: who.tenant == "acme".'
            )
        for name, seconds in (("timeout", self.timeout), ("spool_seconds", self.spool_seconds)):
            if seconds is not None and not (is_number(seconds) and seconds > 0):
                raise ConfigurationError(f"{kind}({name}={seconds!r}) cannot work: write seconds above 0.")
        for name in ("queue_spans", "queue_bytes", "batch_spans", "batch_bytes", "spool_bytes"):
            value = getattr(self, name)
            if not (is_whole(value) and value > 0):
                raise ConfigurationError(f"{kind}({name}={value!r}) cannot work: write a whole number above 0.")
        if self.spool is not None and not isinstance(self.spool, Path):
            raise ConfigurationError(f'{kind}(spool={self.spool!r}) is no path: write spool="spanloom-spool.db".')
        if self.spool is not None:
            from ..spool import can_lock  # noqa: PLC0415  brings SQLite: only where used

            if not can_lock():
                raise ConfigurationError(f"{kind}(spool=…) needs file locks, which this system has not: leave it out.")

    def exporter(self, wires: Mapping[str, MakeWire], timeout: float) -> Exporter:
        """What sends over `wires`, by this destination's options. `ConfigurationError` where its spool cannot be."""
        make = partial(Exporter, self.name, wires, timeout=self.timeout or timeout, batch_bytes=self.batch_bytes)
        self._exporter = made = self._spooling(make) if isinstance(self.spool, Path) else make()
        return made

    def _spooling(self, make: Callable[..., Exporter]) -> Exporter:
        from ..store.file import StoreError  # noqa: PLC0415  brings SQLite: only where used
        from .spooled import SpoolSettings  # noqa: PLC0415

        try:
            return make(spool=SpoolSettings(Path(self.spool), self.spool_bytes, self.spool_seconds))
        except StoreError as error:
            raise ConfigurationError(f"{type(self).__name__}(spool=…): {error}") from error

    def queue(
        self,
        export: Callable[[list[Any]], Any],
        tick: Callable[[], object],
        accepts: Callable[[Ended], bool] | None = None,
        **more: Any,
    ) -> Delivery:
        """The running queue, by this destination's options."""
        if self._exporter is not None:
            more = {
                "hurry": self._exporter.hurry,
                "about": self._exporter.about,
                "parked": self._exporter.has_parked,
                **more,
            }
        return Delivery(
            self.name,
            export,
            queue_spans=self.queue_spans,
            queue_bytes=self.queue_bytes,
            batch_spans=self.batch_spans,
            delay_seconds=DELAY_SECONDS if self.spool is None else _SPOOLING_SECONDS,
            prompt=self.spool is not None,
            tick=tick,
            accepts=self._on_its_way(accepts),
            routed=self.route is not None,
            **more,
        )

    def _on_its_way(self, accepts: Callable[[Ended], bool] | None) -> Callable[[Ended], bool] | None:
        """`accepts`, of the spans that come this way."""
        if self.route is None:
            return accepts
        name = self.name
        return lambda ended: name in ended.route and (accepts is None or accepts(ended))

    def close(self) -> None:
        """Let go of connections. Called once, after the queue has stopped."""
        if self._exporter is not None:
            self._exporter.close()


def _is_tail_sampling(value: object) -> bool:
    from ..sampling import TailSampling  # noqa: PLC0415  most destinations have none

    return isinstance(value, TailSampling)
