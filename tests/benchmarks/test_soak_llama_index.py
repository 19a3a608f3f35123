"""A long life: after ten thousand queries, a third failing and a third left, nothing is open and memory is flat."""

from __future__ import annotations

import pytest
import spanloom
from llama_index.core.query_engine import RetrieverQueryEngine
from spanloom_llama_index import instrument, uninstrument

from tests.benchmarks.memory import Nothing, growth
from tests.integrations.llama_index.fakes import FakeLLM, Shelf

RUNS, UNTRACED = 10_000, 2_500


class Offline(Shelf):
    def _found(self):
        raise RuntimeError("a new one each time: an exception raised again keeps all its earlier tracebacks")


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_ten_thousand_queries_a_third_failing_and_a_third_left_leave_memory_flat():
    engine = RetrieverQueryEngine.from_args(Shelf(), llm=FakeLLM(), streaming=True)
    failing = RetrieverQueryEngine.from_args(Offline(), llm=FakeLLM())

    def run(n):
        if n % 3 == 0:
            with pytest.raises(RuntimeError):
                failing.query("what?")
        elif n % 3 == 1:
            list(engine.query("what?").response_gen)
        else:
            next(engine.query("what?").response_gen)

    untraced, _ = growth(run, lambda: None, warm_up=500, runs=UNTRACED)  # LlamaIndex's own: a callback's trace map
    with spanloom.configure(Nothing()) as loom:
        instrument(loom)
        grown, before = growth(run, lambda: loom.flush(60), warm_up=5_000, runs=RUNS)
        assert loom.stats()["steps"]["open"] == 0
        uninstrument()
    own = grown - untraced * RUNS / UNTRACED
    assert own < before * 0.03 + 100_000, f"{before} bytes and then {grown} more, {own:.0f} of them ours"
