"""For tests: the guard switched off, and a destination in memory."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from opentelemetry.sdk.resources import Resource

from .content import ContentPolicy
from .content.visible import Visible
from .destinations.delivery import Delivery
from .destinations.destination import visible
from .ended import Ended
from .guard import GUARD
from .sampling import TailSampling
from .scores import Score
from .step import Step


@contextmanager
def strict() -> Iterator[None]:
    """Let Spanloom's own errors through: where they happen, and at the end, since frameworks swallow them too."""
    before, GUARD.strict = GUARD.strict, True
    GUARD.escaped.clear()
    try:
        yield
    finally:
        GUARD.strict = before
    if GUARD.escaped:
        escaped = [e for e in GUARD.escaped if isinstance(e, Exception)]
        GUARD.escaped.clear()
        raise ExceptionGroup("spanloom's own errors", escaped)


class Memory:
    """A destination that keeps what it receives: `spans` in the order they ended, `steps` by name; `scores`.

    It sees all content unless `content` is a narrower policy. With `sampling`, what a tail sampler lets through.
    """

    def __init__(
        self, name: str = "memory", content: ContentPolicy | None = None, sampling: TailSampling | None = None
    ) -> None:
        self.name, self.sampling = name, sampling
        self.content = content or ContentPolicy.full()
        self.spans: list[Ended] = []
        self.scores: list[Score] = []
        self._lock = threading.Lock()

    def open(self, resource: Resource, tick: Callable[[], object]) -> Delivery:  # noqa: ARG002
        return Delivery(self.name, self._keep, tick=tick, export_scores=self._keep_scores)

    def close(self) -> None:
        pass

    @property
    def steps(self) -> list[Step]:
        """The steps among `spans`, in the order they ended."""
        return [ended.step for ended in self.spans if ended.step is not None]

    def step(self, name: str) -> Step:
        """The one step of that name; `LookupError` where there is not exactly one."""
        found = [s for s in self.steps if s.name == name]
        if len(found) != 1:
            raise LookupError(f"{len(found)} steps named {name!r} among {sorted(s.name for s in self.steps)}")
        return found[0]

    def visible(self, name: str) -> Visible:
        """The content of the one step of that name, under this destination's policy."""
        step = self.step(name)
        return visible(next(e for e in self.spans if e.step is step), self.content)

    def tree(self) -> list[str]:
        """The steps as indented lines `kind:name`, siblings in the order they started."""
        steps = sorted(self.steps, key=lambda s: s.start_ns)
        ids = {s.span_id for s in steps}

        def above(step: Step) -> int | None:
            place = step.lineage
            while place is not None and place.span_id not in ids:
                place = place.parent
            return place.span_id if place is not None else None

        def lines(parent: int | None, depth: int) -> list[str]:
            return [
                line
                for s in steps
                if above(s) == parent
                for line in ["  " * depth + f"{s.kind}:{s.name}", *lines(s.span_id, depth + 1)]
            ]

        return lines(None, 0)

    def _keep(self, batch: list[Ended]) -> int:
        with self._lock:
            self.spans += batch
        return len(batch)

    def _keep_scores(self, scores: list[Score]) -> int:
        with self._lock:
            self.scores += scores
        return len(scores)
