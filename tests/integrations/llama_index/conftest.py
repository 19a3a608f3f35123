from __future__ import annotations

import asyncio
import gc
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from llama_index.core import Settings
from opentelemetry import trace
from spanloom.testing import strict
from spanloom_llama_index import instrument, registration, uninstrument

from tests.integrations.llama_index.fakes import FakeLLM, embedding
from tests.integrations.traced import Traced

FRAMEWORK_WARNINGS = (  # of LlamaIndex's own making
    "ignore:is_running called from within a step",
    "ignore:Exception ignored in. <(function BaseEventLoop|function Connection|socket)",
    "ignore:The `(json|__fields__|__fields_set__|copy|dict)` (method|attribute) is deprecated",
    "ignore:Accessing the 'model_.*' attribute on the instance is deprecated",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "llama_index" in str(item.path):
            for warning in FRAMEWORK_WARNINGS:
                item.add_marker(pytest.mark.filterwarnings(warning))


class LlamaIndexTraced(Traced):
    def __init__(self) -> None:
        super().__init__()
        instrument()

    @property
    def still_open(self) -> list[str]:
        self.loom.recorder.evict()  # what was collected ends out of another call, as a flush is one
        return super().still_open

    async def opened(self, name: str) -> None:
        """Let the event loop run until a step of that name is open."""
        deadline = time.monotonic() + 5.0
        while name not in self.still_open:  # nothing tells it
            assert time.monotonic() < deadline, f"{name} never opened: {self.still_open}"
            await asyncio.sleep(0)

    def wait_until(self, holds: Callable[[], bool], seconds: float = 5.0) -> None:
        deadline = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < deadline, f"still open: {self.still_open}"
            threading.Event().wait(0.002)


@pytest.fixture
def traced() -> Iterator[LlamaIndexTraced]:
    before_model, before_embedding = Settings._llm, Settings._embed_model
    Settings.llm, Settings.embed_model = FakeLLM(), embedding()
    with strict():
        traced = LlamaIndexTraced()
        before = trace.get_current_span()
        try:
            yield traced
            if traced.still_open:
                gc.collect()  # a stream in a cycle
            assert trace.get_current_span() is before, "the caller's current span changed"
            assert not traced.still_open
            recording = registration._recording
            if recording is not None:
                assert not recording.frames.open, [f.id for f in recording.frames.open.values()]
                assert not recording._streaming
        finally:
            uninstrument()
            traced.loom.shutdown()
            Settings._llm, Settings._embed_model = before_model, before_embedding
