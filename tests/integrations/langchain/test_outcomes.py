"""Every step ends, with the outcome that a person would give it."""

from __future__ import annotations

import asyncio
import gc
import warnings

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableGenerator, RunnableLambda
from langchain_core.tools import StructuredTool

from tests.integrations.langchain.fakes import Chat, Shelf

PROMPT = ChatPromptTemplate.from_messages([("human", "{q}")])


def chain(**kwargs):
    return PROMPT | Chat(**kwargs) | StrOutputParser()


def test_a_sync_stream_that_is_closed_is_abandoned_and_keeps_its_partial_answer(traced):
    stream = chain().stream({"q": "x"}, traced.config)
    next(stream)
    next(stream)
    stream.close()
    assert traced.outcomes() == {
        "RunnableSequence": "abandoned",
        "ChatPromptTemplate": "ok",
        "Chat": "ok",  # LangChain drains the model when the stream is closed
        "StrOutputParser": "abandoned",
    }
    assert traced.memory.visible("RunnableSequence").output


@pytest.mark.parametrize("how", ["close", "drop"])
def test_an_async_stream_that_is_left_is_abandoned(traced, how):
    async def main():
        stream = chain().astream({"q": "x"}, traced.config)
        async for _ in stream:
            break
        if how == "close":
            await stream.aclose()
        del stream
        gc.collect()
        await asyncio.sleep(0)

    asyncio.run(main())
    outcomes = traced.outcomes()
    assert outcomes.pop("ChatPromptTemplate") == "ok"
    assert set(outcomes.values()) == {"abandoned"}
    (answer,) = traced.memory.visible("Chat").output_messages[:1]
    assert answer.parts[0].content.startswith("one")


def test_a_generator_without_inner_steps_that_is_closed_is_abandoned(traced):
    def double(items):
        for item in items:
            yield item
            yield item

    stream = RunnableGenerator(double).stream("x", traced.config)
    next(stream)
    stream.close()
    list(RunnableGenerator(double).stream("x", traced.config))
    traced.flush()
    assert [str(s.outcome) for s in traced.memory.steps] == ["abandoned", "ok"]


@pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning")
def test_a_v3_stream_that_is_dropped_is_abandoned_though_langchain_never_ends_it(traced):
    stream = Chat().stream_events("x", version="v3", config=traced.config)
    next(iter(stream))
    del stream
    gc.collect()
    assert traced.outcomes() == {"Chat": "abandoned"}


@pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning")
def test_a_v3_stream_that_is_read_has_a_first_token_and_usage(traced):
    for _ in Chat().stream_events("x", version="v3", config=traced.config):
        pass
    traced.flush()
    step = traced.memory.step("Chat")
    assert step.first_token_ns
    assert step.start_ns <= step.first_token_ns <= step.end_ns
    assert step.usage.cache_read_tokens == 8


@pytest.mark.parametrize("leaf", ["model", "retriever", "tool"])
@pytest.mark.parametrize("inside", [True, False], ids=["in a chain", "alone"])
def test_what_is_cancelled_is_cancelled_with_all_below_it(traced, leaf, inside):
    async def main():
        gate = asyncio.Event()
        slow = StructuredTool.from_function(coroutine=lambda q: gate.wait(), name="slow", description="slow")
        step = {"model": Chat(gate=gate), "retriever": Shelf(gate=gate), "tool": slow}[leaf]
        given = {"q": "x"} if leaf == "tool" else "x"

        async def body(_):
            return await step.ainvoke(given)

        run = RunnableLambda(body, name="chain") if inside else step
        task = asyncio.create_task(run.ainvoke(given, traced.config))
        while not traced.loom.recorder._open or (inside and len(traced.loom.recorder) < 2):
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    gc.collect()
    outcomes = traced.outcomes()
    assert len(outcomes) == (2 if inside else 1)
    assert set(outcomes.values()) == {"cancelled"}


def test_a_model_that_times_out_is_cancelled_and_the_chain_that_copes_is_ok(traced):
    async def body(x):
        try:
            async with asyncio.timeout(0.01):
                await Chat(gate=asyncio.Event()).ainvoke(x)
        except TimeoutError:
            return (await Words.ainvoke(x)).upper()

    Words = RunnableLambda(lambda x: x, name="plan b")
    asyncio.run(RunnableLambda(body, name="chain").ainvoke("x", traced.config))
    assert traced.outcomes() == {"chain": "ok", "Chat": "cancelled", "plan b": "ok"}
    assert traced.tree() == ["chain:chain", "  llm:Chat", "  chain:plan b"]


def test_what_copes_with_a_timeout_inside_the_except_block_is_no_child_of_what_timed_out(traced):
    async def main():
        try:
            async with asyncio.timeout(0.01):
                await Chat(gate=asyncio.Event()).ainvoke("x", traced.config)
        except TimeoutError:
            await Shelf().ainvoke("x", traced.config)

    asyncio.run(main())
    assert traced.tree() == ["llm:Chat", "retriever:Shelf"]


def test_errors_are_errors_and_keep_the_partial_answer(traced):
    def failing(items):
        yield "part"
        raise ConnectionError("broken")

    with pytest.raises(ConnectionError):
        list(RunnableGenerator(failing).stream("x", traced.config))
    with pytest.raises(KeyError):
        RunnableLambda(lambda x: {}[x], name="lookup").invoke("x", traced.config)
    assert traced.outcomes() == {"failing": "error", "lookup": "error"}


def test_keyboard_interrupts_are_not_application_errors(traced):
    def body(x):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        RunnableLambda(body, name="body").invoke("x", traced.config)
    assert traced.outcomes() == {"body": "cancelled"}


def test_what_is_open_at_shutdown_is_incomplete_and_a_stream_half_read_is_abandoned(traced):
    stream = chain().stream({"q": "x"}, traced.config)
    next(stream)
    traced.loom.shutdown()
    outcomes = {s.name: str(s.outcome) for s in traced.memory.steps}
    assert outcomes["Chat"] == outcomes["RunnableSequence"] == "abandoned"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        stream.close()


def test_thousands_of_runs_a_third_of_them_failing_or_left_leave_no_open_step(traced):
    steps = chain()
    agent = create_agent(Chat(answers=[AIMessage("done")]), [])
    for n in range(300):
        if n % 3 == 0:
            stream = steps.stream({"q": "x"}, traced.config)
            next(stream)
            del stream
        elif n % 3 == 1:
            with pytest.raises(RuntimeError):
                Shelf(error=RuntimeError("x")).invoke("x", traced.config)
        else:
            agent.invoke({"messages": [("user", "x")]}, traced.config)
    gc.collect()
    traced.flush()
    assert traced.loom.stats()["steps"]["open"] == 0
    assert not traced.loom._weave._steps
    assert not traced.loom._weave._others
