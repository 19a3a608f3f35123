"""One configuration in memory, and what a test asks of it."""

from __future__ import annotations

import spanloom
from spanloom.testing import Memory


class Traced:
    def __init__(self) -> None:
        self.memory = Memory()
        self.loom = spanloom.configure(self.memory, service_name="tests")

    def tree(self) -> list[str]:
        self.flush()
        return self.memory.tree()

    def flush(self) -> None:
        assert self.loom.flush(5.0)

    def outcomes(self) -> dict[str, str]:
        self.flush()
        return {s.name: str(s.outcome) for s in self.memory.steps}

    def probes(self, name: str = "probe") -> list[str | None]:
        """The names of the spans right above each span of "another library"."""
        self.flush()
        by_id = {e.span.context.span_id: e for e in self.memory.spans}
        parents = []
        for ended in self.memory.spans:
            if ended.step is None and ended.span.name == name:
                parent = by_id.get(ended.span.parent.span_id) if ended.span.parent else None
                parents.append(parent.step.name if parent and parent.step else parent.span.name if parent else None)
        return sorted(parents, key=str)

    @property
    def still_open(self) -> list[str]:
        return [s.name for s in self.loom.recorder._open.values()]
