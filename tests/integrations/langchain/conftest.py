from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest
from opentelemetry import trace
from spanloom.testing import strict
from spanloom_langchain import SpanloomCallbackHandler

from tests.integrations.traced import Traced


class LangChainTraced(Traced):
    def __init__(self) -> None:
        super().__init__()
        self.handler = SpanloomCallbackHandler()
        self.config = {"callbacks": [self.handler]}


@pytest.fixture
def traced() -> Iterator[LangChainTraced]:
    with strict():
        traced = LangChainTraced()
        before = trace.get_current_span()
        try:
            yield traced
            assert trace.get_current_span() is before, "the caller's current span changed"
            gc.collect()  # a failing test's traceback may hold on to a run that was cancelled
            traced.flush()
            assert traced.loom.stats()["steps"]["open"] == 0, traced.still_open
        finally:
            traced.loom.shutdown()
