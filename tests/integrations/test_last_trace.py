"""`handler.last_trace_id` names the request that the asking task or thread made, and never somebody else's."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest
import spanloom
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import tool
from llama_index.core.llms import MockLLM
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from spanloom.testing import Memory, strict
from spanloom_langchain import SpanloomCallbackHandler
from spanloom_llama_index import SpanloomCallbackHandler as LlamaIndexHandler
from spanloom_llama_index import uninstrument


class Traced:
    def __init__(self):
        self.memory = Memory()
        self.loom = spanloom.configure(self.memory, tracer_provider=TracerProvider(shutdown_on_exit=False))
        self.handler = SpanloomCallbackHandler(self.loom)
        self.config = {"callbacks": [self.handler]}

    def trace_of(self, output):
        """The trace id of the request that answered `output`."""
        assert self.loom.flush()
        found = [s for s in self.memory.steps if s.content.output.resolve() == output]
        assert len(found) == 1
        return trace.format_trace_id(found[0].trace_id)


@pytest.fixture
def traced():
    with strict():
        traced = Traced()
        yield traced
        traced.loom.shutdown()


async def slowly(text):
    await asyncio.sleep(0.01)
    return text


echo = RunnableLambda(lambda text: text, afunc=slowly).with_config(run_name="echo")


def in_a_thread(act):
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(act).result()


def test_after_a_call_a_stream_and_an_awaited_call(traced):
    echo.invoke("called", traced.config)
    assert traced.handler.last_trace_id == traced.trace_of("called")
    list(echo.stream("streamed", traced.config))
    assert traced.handler.last_trace_id == traced.trace_of("streamed")

    async def awaited():
        await echo.ainvoke("awaited", traced.config)
        return traced.handler.last_trace_id

    assert asyncio.run(awaited()) == traced.trace_of("awaited")


def test_requests_at_once_each_see_their_own(traced):
    async def request(text):
        await echo.ainvoke(text, traced.config)
        await asyncio.sleep(0.01)
        return text, traced.handler.last_trace_id

    async def serve():
        return await asyncio.gather(*(request(f"r{n}") for n in range(8)))

    seen = asyncio.run(serve())
    assert {text: traced.trace_of(text) for text, _ in seen} == dict(seen)


def test_a_request_in_a_task_of_its_own_is_found_where_it_was_alone(traced):
    def outside():
        asyncio.run(echo.ainvoke("alone", traced.config))
        return traced.handler.last_trace_id

    assert in_a_thread(outside) == traced.trace_of("alone")


def test_of_several_at_once_in_tasks_of_their_own_none_is_the_last(traced):
    async def several():
        await asyncio.gather(*(echo.ainvoke(f"r{n}", traced.config) for n in range(3)))

    def outside():
        asyncio.run(several())
        return traced.handler.last_trace_id

    assert in_a_thread(outside) is None


def test_inner_runs_are_not_requests(traced):
    seen = []

    def outer(text):
        echo.invoke(text)
        seen.append(traced.handler.last_trace_id)
        return "outer"

    def fresh():
        RunnableLambda(outer).invoke("inner", traced.config)
        return traced.handler.last_trace_id

    last = in_a_thread(fresh)
    assert seen == [None]
    assert last == traced.trace_of("outer")


def test_a_failed_request_is_one_too(traced):
    def fails(_):
        raise ValueError("no")

    def fresh():
        with pytest.raises(ValueError, match="no"):
            RunnableLambda(fails).invoke("x", traced.config)
        return traced.handler.last_trace_id

    last = in_a_thread(fresh)
    assert traced.loom.flush()
    assert last == trace.format_trace_id(traced.memory.steps[0].trace_id)


def test_inside_a_tool_the_current_step_is_the_tool(traced):
    @tool
    def look(q: str) -> str:
        """Looks."""
        traced.loom.score("relevant", True)
        return spanloom.current_step().name

    assert look.invoke({"q": "x"}, traced.config) == "look"
    assert traced.loom.flush()
    (score,) = traced.memory.scores
    assert score.span_id == trace.format_span_id(traced.memory.step("look").span_id)


def test_llama_index_too(traced):
    handler = LlamaIndexHandler(traced.loom)
    try:
        MockLLM().complete("hello")
        last = handler.last_trace_id
    finally:
        uninstrument()
    assert traced.loom.flush()
    assert last == trace.format_trace_id(traced.memory.steps[0].trace_id)
