"""Cost and metrics of real runs of both frameworks: each model call counts once, whatever stands around it."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

import pytest
import spanloom
from langchain.agents import create_agent
from langchain_core.caches import InMemoryCache
from langchain_core.messages import AIMessage
from llama_index.core.query_engine import RetrieverQueryEngine
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from spanloom.step import Kind
from spanloom.testing import Memory, strict
from spanloom_langchain import SpanloomCallbackHandler
from spanloom_llama_index import instrument, uninstrument

from tests.integrations.langchain.fakes import Chat, call, search
from tests.integrations.llama_index.fakes import FakeLLM, Shelf

DOLLAR = spanloom.Prices("fake*", input="10000", output="10000")  # a cent for each token
CHUNKS = "gen_ai.client.operation.time_per_output_chunk"


class Run:
    """One configuration with a price for the fakes, and what it recorded."""

    def __init__(self) -> None:
        self.memory = Memory()
        self.reader = InMemoryMetricReader()
        self.provider = MeterProvider([self.reader], shutdown_on_exit=False)
        self.loom = spanloom.configure(self.memory, prices=DOLLAR, meter_provider=self.provider)
        self.config = {"callbacks": [SpanloomCallbackHandler()]}

    def costs(self) -> dict[str, list[Decimal]]:
        assert self.loom.flush()
        found: dict[str, list[Decimal]] = {}
        for step in self.memory.steps:
            if step.cost is not None:
                found.setdefault(step.name, []).append(step.cost.total)
        return found

    def counts(self) -> dict[str, int]:
        """How often each metric was recorded; of a counter, its sum."""
        (resource,) = self.reader.get_metrics_data().resource_metrics
        metrics = [m for scope in resource.scope_metrics for m in scope.metrics]
        return {m.name: sum(getattr(p, "count", None) or p.value for p in m.data.data_points) for m in metrics}


@pytest.fixture
def run() -> Iterator[Run]:
    with strict():
        run = Run()
        instrument()
        yield run
        uninstrument()
        run.loom.shutdown()
        run.provider.shutdown()


def test_an_agents_cost_is_its_models_and_counts_once(run):
    agent = create_agent(Chat(answers=[call("search", q="x"), call("search", q="y"), AIMessage("done")]), [search])
    agent.invoke({"messages": [("user", "hi")]}, run.config)
    assert run.costs() == {"Chat": [Decimal("0.25")] * 3}  # 20 tokens read and 5 written, in each call
    assert {s.kind for s in run.memory.steps if s.cost is not None} == {Kind.LLM}
    counts = run.counts()
    assert counts["gen_ai.client.operation.duration"] == 3
    assert counts["gen_ai.client.token.usage"] == 6
    assert counts["gen_ai.execute_tool.duration"] == 2
    assert counts["gen_ai.invoke_agent.duration"] == 1
    assert counts["spanloom.cost"] == pytest.approx(0.75)


def test_a_query_of_llama_index_counts_its_models_once(run):
    RetrieverQueryEngine.from_args(Shelf(), llm=FakeLLM()).query("what?")
    (cost,) = run.costs()["FakeLLM.chat"]
    assert cost == Decimal("1.20")
    assert run.counts()["spanloom.cost"] == pytest.approx(1.2)


def test_an_answer_from_langchains_cache_costs_nothing_and_is_no_call(run):
    model = Chat(cache=InMemoryCache())
    for _ in range(2):
        model.invoke("hi", run.config)
    assert run.costs() == {"Chat": [Decimal("0.25"), Decimal(0)]}
    assert run.counts()["gen_ai.client.operation.duration"] == 1


def test_the_chunks_of_a_stream_are_counted_in_langchain(run):
    list(Chat().stream("hi", run.config))
    assert run.loom.flush()
    assert run.memory.step("Chat").chunks >= 4  # three words and the usage
    counts = run.counts()
    assert (counts[CHUNKS], counts["gen_ai.client.operation.time_to_first_chunk"]) == (1, 1)


def test_the_chunks_of_a_stream_are_counted_in_llama_index(run):
    response = RetrieverQueryEngine.from_args(Shelf(), llm=FakeLLM(), streaming=True).query("what?")
    assert "".join(response.response_gen) == "one two three"
    assert run.loom.flush()
    assert run.memory.step("FakeLLM.stream_chat").chunks == 3
    assert run.counts()[CHUNKS] == 1


def test_a_call_in_one_piece_has_no_chunks(run):
    Chat().invoke("hi", run.config)
    FakeLLM().complete("hi")
    assert run.loom.flush()
    assert [s.chunks for s in run.memory.steps] == [0, 0]
    assert CHUNKS not in run.counts()
