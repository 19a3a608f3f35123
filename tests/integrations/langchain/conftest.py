from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest
import spanloom
from opentelemetry import trace
from spanloom.testing import Memory, strict
from spanloom_langchain import SpanloomCallbackHandler


class Traced:
    """One configuration in memory, and the handler of it."""

    def __init__(self) -> None:
        self.memory = Memory()
        self.loom = spanloom.configure(self.memory, service_name="tests")
        self.handler = SpanloomCallbackHandler()
        self.config = {"callbacks": [self.handler]}

    def tree(self) -> list[str]:
        self.flush()
        return self.memory.tree()

    def flush(self) -> None:
        assert self.loom.flush(5.0)

    def outcomes(self) -> dict[str, str]:
        self.flush()
        return {s.name: str(s.outcome) for s in self.memory.steps}

    def parent_of_probe(self, name: str = "probe") -> list[str | None]:
        """The names of the spans above each span of "another library"."""
        self.flush()
        by_id = {e.span.context.span_id: e for e in self.memory.spans}
        parents = []
        for ended in self.memory.spans:
            if ended.step is None and ended.span.name == name:
                parent = by_id.get(ended.span.parent.span_id) if ended.span.parent else None
                parents.append(parent.step.name if parent and parent.step else parent.span.name if parent else None)
        return sorted(parents, key=str)


@pytest.fixture
def traced() -> Iterator[Traced]:
    with strict():
        traced = Traced()
        before = trace.get_current_span()
        try:
            yield traced
            assert trace.get_current_span() is before, "the caller's current span changed"
            gc.collect()  # a failing test's traceback may hold on to a run that was cancelled
            traced.flush()
            assert traced.loom.stats()["steps"]["open"] == 0, [s.name for s in traced.loom.recorder._open.values()]
        finally:
            traced.loom.shutdown()
