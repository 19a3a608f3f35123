"""What every destination takes, whatever it speaks: a name, a content policy, and the bounds of its queue."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypedDict, get_type_hints

from ..content import ContentPolicy
from ..errors import ConfigurationError
from ..identity import Identity
from ..sampling import TailSampling
from ..weave import Ended
from .delivery import BATCH_SPANS, QUEUE_SPANS, Delivery


class QueueOptions(TypedDict, total=False):
    """`content` decides what of prompts and answers goes out; `queue_spans` bounds what waits, beyond it spans are
    dropped and counted; `batch_spans` is how many go out at once; `name` is the destination's in `loom.stats()`;
    `sampling` says which traces are kept: by default all that the provider's sampler lets through; `route` says yes to
    the identity of each trace that goes there (see `docs/privacy.md`): by default all do."""

    content: ContentPolicy | None
    queue_spans: int
    batch_spans: int
    name: str
    route: Callable[[Identity], bool] | None
    sampling: TailSampling | None


class Options(QueueOptions, total=False):
    """What destinations over the network take beside: `timeout` is seconds for one batch, its retries included."""

    timeout: float | None


class Queued:
    """A named destination behind a queue of its own. `takes` are the options that its class has."""

    takes: type[QueueOptions] = Options

    def __init__(self, options: QueueOptions | Options, *, name: str, content: ContentPolicy) -> None:
        for option in options.keys() - get_type_hints(self.takes).keys():
            raise TypeError(f"{type(self).__name__}() got an unexpected keyword argument {option!r}")
        given = options.get("content")
        self.name = options.get("name", name)
        self.content = content if given is None else given
        self.timeout: float | None = options.get("timeout")  # type: ignore[assignment]
        self.queue_spans = options.get("queue_spans", QUEUE_SPANS)
        self.batch_spans = options.get("batch_spans", BATCH_SPANS)
        self.route = options.get("route")
        self.sampling = options.get("sampling")

    def check_options(self) -> None:
        """Raise a `ConfigurationError` for what no destination can work with."""
        kind = type(self).__name__
        if not isinstance(self.content, ContentPolicy):
            raise ConfigurationError(
                f"{kind}(content={self.content!r}) is no policy: write content=ContentPolicy.full()."
            )
        if not (self.sampling is None or isinstance(self.sampling, TailSampling)):
            raise ConfigurationError(
                f"{kind}(sampling={self.sampling!r}) is no policy: write sampling=TailSampling(keep=0.05)."
            )
        if not (self.route is None or callable(self.route)):
            raise ConfigurationError(
                f'{kind}(route={self.route!r}) is no predicate: write route=lambda who: who.tenant == "acme".'
            )
        if self.timeout is not None and not (_is_number(self.timeout) and self.timeout > 0):
            raise ConfigurationError(f"{kind}(timeout={self.timeout!r}) cannot work: write seconds above 0.")
        for name, value in (("queue_spans", self.queue_spans), ("batch_spans", self.batch_spans)):
            if not (isinstance(value, int) and value > 0):
                raise ConfigurationError(f"{kind}({name}={value!r}) cannot work: write a whole number above 0.")

    def queue(
        self,
        export: Callable[[list[Any]], int],
        tick: Callable[[], object],
        accepts: Callable[[Ended], bool] | None = None,
        **more: Any,
    ) -> Delivery:
        """The running queue, by this destination's options."""
        return Delivery(
            self.name,
            export,
            queue_spans=self.queue_spans,
            batch_spans=self.batch_spans,
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


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
