"""A span on its way from the application to the destinations."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan

from .content.visible import Visible
from .dialects.sampling import Kept
from .identity import Identity
from .live import StepSpan
from .prices import PriceList
from .repeats import SentPrompts
from .routing import NOWHERE, Route
from .step import Lineage, Step


class Ended:
    """A span on its way to the destinations: the live span, and what is known beside it.

    `step` is None for a span of another library; `lineage` is the place of its parent. `closes` marks the last one to
    end of the spans that were open at the top of its trace in this process. `route` are the routed destinations that
    take it; `repeats` says of a span of another library that it tells of a model call that is a step already.
    """

    __slots__ = (
        "_held", "_seen", "_shelves", "_touched", "closes", "content", "error", "identity", "kept", "lineage", "prices",
        "prompts", "repeats", "root_name", "route", "step", "trace", "weight",
    )  # fmt: skip

    def __init__(
        self,
        span: Any,
        step: Step | None,
        lineage: Lineage | None,
        identity: Identity,
        root_name: str = "",
        *,
        prices: PriceList | None = None,
        prompts: SentPrompts | None = None,
        route: Route = NOWHERE,
        repeats: bool = False,
        closes: bool = False,
    ) -> None:
        """Without a `span`, where nobody has looked at that of `step` yet."""
        self._held, self.step, self.lineage, self.identity, self.root_name = span, step, lineage, identity, root_name
        self.prices, self.prompts, self.route, self.repeats, self.closes = prices, prompts, route, repeats, closes
        self._touched = span is not None
        self.content: Visible | None = None  # read by the first destination that needs it
        self._seen: dict[Any, Any] | None = None
        self._shelves: dict[Any, Any] | None = None
        # told by the first queue that it enters
        self.trace = 0
        self.weight = 0  # about how many bytes it keeps alive
        self.error = False
        self.kept: Mapping[str, Kept] | None = None  # by the destinations that sample, once they have decided

    @property
    def span(self) -> ReadableSpan:
        if self._held is None and self.step is not None:
            self._held = self.step.live.span_of(self.step)
        return self._held  # type: ignore[no-any-return]

    @property
    def is_touched(self) -> bool:
        """Whether anybody has looked at the live span of a step, and so may have written on it."""
        return self._touched

    @property
    def is_light(self) -> bool:
        """Whether the live span is a `StepSpan`: what else it tells is the step's own."""
        return isinstance(self.span, StepSpan)

    # Most of what is on its way is looked at by no two workers at a time: these are made when they are needed.
    @property
    def reading(self) -> threading.Lock:
        """Held by whoever reads its content, or decides on it."""
        return _READING[id(self) // 64 % len(_READING)]

    @property
    def seen(self) -> dict[Any, Any]:
        """By policy: `destinations.seen.Seen`. Under `reading`."""
        if self._seen is None:
            self._seen = {}
        return self._seen

    @property
    def shelves(self) -> dict[Any, Any]:
        """By vault: `content.acting.Shelf`. Under `reading`."""
        if self._shelves is None:
            self._shelves = {}
        return self._shelves

    def kept_for(self, destination: str) -> Kept | None:
        """How the span's trace was kept for the destination of that name; None where it keeps everything."""
        return self.kept.get(destination) if self.kept is not None else None

    def settle(self) -> None:
        """On a worker: work out what the step cost, unless another one has."""
        if self.step is not None and self.prices is not None:
            self.prices.settle(self.step)


_READING = [threading.Lock() for _ in range(64)]  # shared: a lock for each span would be as large as its ids
