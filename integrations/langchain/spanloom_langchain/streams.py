"""The models that stream: where each of their tokens finds its step."""

from __future__ import annotations

from collections.abc import Hashable

from spanloom.step import Step

_FEW = 16


class Streams(dict[Hashable, Step]):
    """The step of each stream that has brought a token, by its run. `begin` adds one, and its end pops it.

    A stream that was left may have no end that LangChain tells of, but its step has: those are let go of whenever there
    are twice as many streams as the last time, so that no more than that are held.
    """

    def __init__(self) -> None:
        super().__init__()
        self._enough = _FEW

    def begin(self, step: Step) -> None:
        self[step.run_id] = step
        if len(self) > self._enough:
            for run_id, other in tuple(self.items()):
                if other.closed:
                    self.pop(run_id, None)
            self._enough = max(_FEW, 2 * len(self))
