"""Spans of other libraries lie in the step whose body opened them; the caller's own current span never changes."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, convert_to_messages
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableLambda, RunnableParallel
from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.baggage import get_baggage, set_baggage
from opentelemetry.sdk.trace import TracerProvider
from spanloom import configure
from spanloom.testing import Memory
from spanloom_langchain import SpanloomCallbackHandler

from tests.integrations.langchain.fakes import Chat, Shelf, Words, call, probe, search, weather

PROMPT = ChatPromptTemplate.from_messages([("human", "{q}")])


@pytest.fixture
def outer():
    """A span of the application around everything, as a web framework would open one."""
    with trace.get_tracer("app").start_as_current_span("request") as span:
        yield span


def test_each_body_is_the_parent_of_the_spans_it_opens(traced):
    def body(x):
        with probe():
            Shelf().invoke(x)
        search.invoke({"q": x})
        Words(probe_name="probe").invoke(x)
        return Chat(probe_name="probe").invoke(x)

    RunnableLambda(body, name="root").invoke("q", traced.config)
    assert traced.probes("probe") == ["Chat", "Words", "root"]
    assert traced.probes("redis") == ["Shelf", "search"]


def test_async_bodies_too(traced):
    async def body(x):
        await asyncio.gather(Shelf().ainvoke(x), weather.ainvoke({"city": x}), search.ainvoke({"q": x}))
        with probe("after"):
            return await Chat(probe_name="probe").ainvoke(x)

    asyncio.run(RunnableLambda(body, name="root").ainvoke("q", traced.config))
    assert traced.probes("probe") == ["Chat"]
    assert traced.probes("redis") == ["Shelf", "search"]
    assert traced.probes("http") == ["weather"]
    assert traced.probes("after") == ["root"]


def test_a_prompt_function_and_a_thread_with_a_copied_context_too(traced):
    def body(x):
        with ThreadPoolExecutor(1) as pool:
            pool.submit(copy_context().run, lambda: probe("thread").__enter__().end()).result()
        return x

    RunnableLambda(body, name="root").invoke("q", traced.config)
    assert traced.probes("thread") == ["root"]


def test_a_model_that_streams_has_its_request_inside_and_its_consumer_outside(traced, outer):
    model = Chat(probe_name="request")
    for _ in model.stream("q", traced.config):
        assert trace.get_current_span() is outer
        with probe("consumer"):
            pass
    assert traced.probes("request") == ["Chat"]
    assert set(traced.probes("consumer")) == {None}  # the request span is still open, so it is not exported


@pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning")
@pytest.mark.parametrize("in_task", [False, True])
def test_a_v3_stream_has_its_request_inside_and_its_consumer_outside(traced, in_task):
    def consume():
        for _ in Chat(probe_name="probe").stream_events("x", version="v3", config=traced.config):
            with probe("consumer"):
                pass

    async def main():  # a notebook runs its cells in one
        consume()

    asyncio.run(main()) if in_task else consume()
    assert traced.probes() == ["Chat"]
    assert set(traced.probes("consumer")) == {None}


@pytest.mark.parametrize("asynchronous", [False, True])
def test_the_current_span_is_the_same_object_after_every_call(traced, outer, asynchronous):
    chain = PROMPT | Chat() | StrOutputParser()
    agent = create_agent(Chat(answers=[call("search", q="a"), AIMessage("done")]), [search])
    state = {"messages": [("user", "x")]}

    def unchanged():
        assert trace.get_current_span() is outer

    async def main():
        await chain.ainvoke({"q": "x"}, traced.config)
        unchanged()
        await agent.ainvoke(state, traced.config)
        unchanged()
        await chain.abatch([{"q": "x"}, {"q": "y"}], traced.config)
        unchanged()
        async for _ in chain.astream({"q": "x"}, traced.config):
            unchanged()
        stream = chain.astream({"q": "x"}, traced.config)
        async for _ in stream:
            break
        unchanged()
        await stream.aclose()
        unchanged()
        async for _ in agent.astream(state, traced.config):
            unchanged()
        for step in (Shelf(error=RuntimeError("x")), Chat(error=RuntimeError("x"))):
            with pytest.raises(RuntimeError):
                await step.ainvoke("x", traced.config)
            unchanged()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await Chat(gate=asyncio.Event()).ainvoke("x", traced.config)
        unchanged()

    if asynchronous:
        asyncio.run(main())
        return
    chain.invoke({"q": "x"}, traced.config)
    unchanged()
    agent.invoke(state, traced.config)
    unchanged()
    chain.batch([{"q": "x"}, {"q": "y"}], traced.config)
    unchanged()
    for _ in chain.stream({"q": "x"}, traced.config):
        unchanged()
    stream = chain.stream({"q": "x"}, traced.config)
    next(stream)
    unchanged()
    stream.close()
    unchanged()
    for _ in agent.stream(state, traced.config):
        unchanged()
    for step in (Shelf(error=RuntimeError("x")), Chat(error=RuntimeError("x"))):
        with pytest.raises(RuntimeError):
            step.invoke("x", traced.config)
        unchanged()


def test_a_span_that_the_application_opens_in_a_body_stays_current_around_nested_steps(traced):
    seen = []

    async def body(x):
        with trace.get_tracer("app").start_as_current_span("mine") as mine:
            await weather.ainvoke({"city": x})
            seen.append(trace.get_current_span() is mine)
            search.invoke({"q": x})
            seen.append(trace.get_current_span() is mine)
            await Chat().ainvoke(x)
            seen.append(trace.get_current_span() is mine)
        return x

    asyncio.run(RunnableLambda(body, name="root").ainvoke("q", traced.config))
    assert seen == [True, True, True]
    assert traced.probes("mine") == ["root"]


def test_a_root_under_a_span_of_the_application_joins_its_trace(traced, outer):
    Chat().invoke("x", traced.config)
    traced.flush()
    assert traced.memory.step("Chat").trace_id == outer.get_span_context().trace_id


def test_the_live_span_is_current_so_that_the_application_can_write_on_it(traced):
    def body(x):
        trace.get_current_span().set_attribute("app.key", "value")
        return x

    RunnableLambda(body, name="root").invoke("q", traced.config)
    traced.flush()
    (ended,) = traced.memory.spans
    assert ended.span.attributes["app.key"] == "value"


def test_baggage_passes_through_bodies(traced):
    token = otel_context.attach(set_baggage("k", "v"))
    try:
        found = RunnableLambda(lambda _: get_baggage("k")).invoke("q", traced.config)
    finally:
        otel_context.detach(token)
    assert found == "v"


def depth():
    """How many of our contexts lie upon one another."""
    found, context = 0, otel_context.get_current()
    while hasattr(context, "outer"):
        found, context = found + 1, context.outer
    return found


def test_the_context_does_not_grow_deeper_with_every_run(traced):
    async def main():
        before = depth()  # of what other tests, with handlers of their own, have left in this thread
        for _ in range(50):
            await Chat().ainvoke("x", traced.config)
            await Shelf().ainvoke("x", traced.config)
        return depth() - before

    assert asyncio.run(main()) <= 1


def test_what_left_streams_keep_attached_goes_with_their_loom():
    def main():
        for _ in range(5):
            with configure(Memory(), tracer_provider=TracerProvider(shutdown_on_exit=False)) as loom:
                left = Chat().stream("x", {"callbacks": [SpanloomCallbackHandler(loom)]})
                next(left)
                yield depth()

    assert copy_context().run(list, main()) == [1] * 5


def test_fifty_requests_on_one_loop_and_ten_threads_do_not_mix(traced):
    def body(x):
        search.invoke({"q": x})
        return Chat(probe_name="probe").invoke(x)

    app = RunnableParallel(a=RunnableLambda(body, name="a"), b=RunnableLambda(body, name="b"))

    async def main():
        await asyncio.gather(*(app.ainvoke(str(n), traced.config) for n in range(50)))

    threads = [threading.Thread(target=app.invoke, args=(str(n), traced.config)) for n in range(10)]
    for t in threads:
        t.start()
    asyncio.run(main())
    for t in threads:
        t.join()
    traced.flush()
    names = {s.span_id: (s.name, s.trace_id) for s in traced.memory.steps}
    probes = [e.span for e in traced.memory.spans if e.step is None]
    assert len(probes) == 240
    for span in probes:
        name, trace_id = names[span.parent.span_id]
        assert trace_id == span.context.trace_id
        assert name == ("Chat" if span.name == "probe" else "search")


@pytest.mark.parametrize("asynchronous", [False, True])
def test_each_prompt_of_a_batch_has_the_spans_of_its_own_body(traced, outer, asynchronous):
    model = Chat(probe_name="probe")
    prompts = [[("user", "a")], [("user", "b")], [("user", "c")]]
    prompts = [convert_to_messages(p) for p in prompts]
    if asynchronous:
        asyncio.run(model.agenerate(prompts, callbacks=[traced.handler]))
    else:
        model.generate(prompts, callbacks=[traced.handler])
    assert trace.get_current_span() is outer
    traced.flush()
    models = {s.span_id for s in traced.memory.steps}
    assert len(models) == 3
    assert {e.span.parent.span_id for e in traced.memory.spans if e.step is None} == models


def test_string_models_answer_a_batch_in_one_body_so_its_spans_lie_around_it(traced):
    RunnableLambda(lambda _: Words(probe_name="probe").generate(["a", "b"]), name="root").invoke("q", traced.config)
    assert traced.probes() == ["root", "root"]
