"""Tail sampling of real runs of both frameworks: errors are kept whole, and nothing that only looks like one."""

from __future__ import annotations

import asyncio
import gc
import operator
import threading
from collections.abc import Iterator
from typing import Annotated, Any, TypedDict

import httpx
import pytest
import spanloom
from fastapi import FastAPI
from langchain.agents import create_agent
from langchain_core.messages import AIMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import Command, interrupt
from llama_index.core.llms import ChatMessage
from llama_index.core.query_engine import RetrieverQueryEngine
from opentelemetry import trace
from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags
from spanloom import TailSampling
from spanloom.testing import Memory, strict
from spanloom_langchain import SpanloomCallbackHandler
from spanloom_llama_index import instrument, uninstrument

from tests.integrations.langchain.fakes import Chat, broken, call, probe, search
from tests.integrations.langchain.fakes import Shelf as LangChainShelf
from tests.integrations.llama_index.fakes import FakeLLM, Shelf

PROMPT = ChatPromptTemplate.from_messages([("human", "{q}")])
ERRORS_ONLY = TailSampling(keep=0, slower_than=None, hold_seconds=0)
FOUND = {"q": "x"}


class Run:
    def __init__(self) -> None:
        self.everything, self.kept = Memory("everything"), Memory("kept", sampling=ERRORS_ONLY)
        self.loom = spanloom.configure(self.everything, self.kept)
        self.config: Any = {"callbacks": [SpanloomCallbackHandler()]}

    def trees(self) -> tuple[list[str], list[str]]:
        """What the one destination has kept, and all that there was."""
        gc.collect()
        assert self.loom.flush()
        counts = self.loom.stats()["destinations"]["kept"]
        assert counts["waiting"] == 0
        assert counts["offered"] == counts["exported"] + counts["sampled_out"]
        return self.kept.tree(), self.everything.tree()


@pytest.fixture
def run() -> Iterator[Run]:
    with strict():
        run = Run()
        instrument()
        yield run
        uninstrument()
        run.loom.shutdown()


def chain(**model: Any) -> Any:
    return PROMPT | Chat(**model) | StrOutputParser()


def agent(*tools: Any, **calls: Any) -> Any:
    (name,) = calls
    return create_agent(Chat(answers=[call(name, **calls[name]), AIMessage("done")]), list(tools))


ASK = {"messages": [("user", "x")]}


# -------------------------------------------------------------------- LangChain and LangGraph
def test_a_failing_chain_is_kept_whole_and_a_good_one_is_not(run: Run) -> None:
    chain().invoke(FOUND, run.config)
    with pytest.raises(ConnectionError):
        chain(error=ConnectionError("503")).invoke(FOUND, run.config)
    kept, everything = run.trees()
    assert kept == ["chain:RunnableSequence", "  prompt:ChatPromptTemplate", "  llm:Chat"]
    assert len(everything) == 7
    assert {e.kept_for("kept").reason for e in run.kept.spans} == {"error"}


def test_an_error_that_the_agent_copes_with_keeps_its_trace_with_the_spans_inside(run: Run) -> None:
    agent(search, search={"q": "x"}).invoke(ASK, run.config)

    def answer(_: Any) -> str:
        with probe("redis"):
            try:
                return str(LangChainShelf(error=TimeoutError()).invoke("x"))
            except TimeoutError:
                return "plan b"

    assert RunnableLambda(answer, name="answer").invoke("x", run.config) == "plan b"
    kept, _ = run.trees()
    assert kept == ["chain:answer", "  retriever:Shelf"]
    assert sorted(e.span.name for e in run.kept.spans if e.step is None) == ["redis", "redis"]


def test_each_item_of_a_batch_is_a_trace_of_its_own(run: Run) -> None:
    def half(x: int) -> int:
        if x % 4 == 0:
            raise ValueError
        return x

    RunnableLambda(half, name="half").batch(list(range(8)), run.config, return_exceptions=True)
    kept, everything = run.trees()
    assert (len(kept), len(everything)) == (2, 8)


def test_roots_of_a_batch_in_one_request_from_elsewhere_are_decided_together(run: Run) -> None:
    together = threading.Barrier(2, timeout=10)

    def half(x: int) -> int:
        together.wait()
        if x == 1:
            raise ValueError
        return x

    parent = SpanContext(0xABC0DEF, 0xABC, True, TraceFlags(TraceFlags.SAMPLED))
    with trace.use_span(NonRecordingSpan(parent)):
        RunnableLambda(half, name="half").batch([0, 1], run.config, return_exceptions=True)
    run.trees()
    assert sorted(s.outcome for s in run.kept.steps) == ["error", "ok"]


def test_an_interrupt_is_no_error_nor_is_the_span_that_it_passes(run: Run) -> None:
    class State(TypedDict):
        seen: Annotated[list[Any], operator.add]

    def ask(state: Any) -> Any:
        with probe("redis"):  # whose status OpenTelemetry sets to ERROR, for the interrupt passes it
            return {"seen": [interrupt("sure?")]}

    graph = StateGraph(State)
    graph.add_node("ask", ask)
    graph.add_edge(START, "ask")
    hitl = graph.compile(checkpointer=InMemorySaver(), name="hitl")
    config = {**run.config, "configurable": {"thread_id": "t1"}}
    hitl.invoke({"seen": []}, config)
    hitl.invoke(Command(resume="yes"), config)
    kept, everything = run.trees()
    assert "interrupted" in {s.outcome for s in run.everything.steps}
    failed = [e for e in run.everything.spans if e.step is None and not e.span.status.is_ok]
    assert len(failed) == 1, "the span that the interrupt passed"
    assert kept == []
    assert everything.count("agent:hitl") + everything.count("chain:hitl") == 2


def test_a_handoff_is_no_error(run: Run) -> None:
    @tool
    def transfer() -> Command[Any]:
        """Hand over to billing."""
        return Command(goto="billing", graph=Command.PARENT, update={"messages": []})

    graph = StateGraph(MessagesState)
    support = create_agent(Chat(answers=[call("transfer")]), [transfer], name="support")
    graph.add_node("support", support, destinations=("billing",))
    graph.add_node("billing", lambda state: {"messages": [AIMessage("paid")]})
    graph.add_edge(START, "support")
    graph.compile(name="desk").invoke(ASK, run.config)
    kept, _ = run.trees()
    assert "handoff" in {s.outcome for s in run.everything.steps}
    assert kept == []


def test_an_abandoned_stream_and_a_cancelled_run_are_no_errors(run: Run) -> None:
    stream = chain().stream(FOUND, run.config)
    next(stream)
    stream.close()
    del stream

    async def cancelled() -> None:
        task = asyncio.create_task(chain(gate=asyncio.Event()).ainvoke(FOUND, run.config))
        while len(run.loom.recorder) < 2:
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancelled())
    kept, _ = run.trees()
    assert {"abandoned", "cancelled"} <= {s.outcome for s in run.everything.steps}
    assert kept == []


def test_a_tool_that_fails_in_an_agent(run: Run) -> None:
    with pytest.raises(ValueError, match="no x"):
        agent(broken, broken={"q": "x"}).invoke(ASK, run.config)
    agent(search, search={"q": "x"}).invoke(ASK, run.config)
    kept, everything = run.trees()
    assert kept
    assert len(kept) < len(everything)
    assert "tool:broken" in [line.strip() for line in kept]
    assert "tool:search" not in [line.strip() for line in kept]


# -------------------------------------------------------------------- LlamaIndex
def engine(**settings: Any) -> RetrieverQueryEngine:
    streaming = settings.pop("streaming", False)
    return RetrieverQueryEngine.from_args(Shelf(), llm=FakeLLM(**settings), streaming=streaming)


def test_a_failing_query_is_kept_whole_and_a_good_one_is_not(run: Run) -> None:
    engine().query("what?")
    with pytest.raises(ConnectionError):
        engine(error=ConnectionError("503")).query("what?")
    kept, everything = run.trees()
    assert kept == [
        "chain:RetrieverQueryEngine.query",
        "  retriever:Shelf.retrieve",
        "  chain:CompactAndRefine.synthesize",
        "    llm:FakeLLM.chat",
    ]
    assert len(everything) == 8


def test_a_stream_that_breaks_keeps_its_query_and_one_that_is_left_does_not(run: Run) -> None:
    left = engine(streaming=True).query("what?").response_gen
    next(left)
    left.close()
    with pytest.raises(ConnectionError):
        list(engine(streaming=True, breaks_after=1).query("what?").response_gen)
    kept, everything = run.trees()
    assert len(kept) == 4
    assert len(everything) == 8
    assert "abandoned" in {s.outcome for s in run.everything.steps}


def test_a_stream_that_outlives_the_span_around_it_and_breaks_keeps_what_is_held(run: Run) -> None:
    """The request's span ends when the answer begins; the stream is read after that."""
    run.loom.shutdown()
    run.kept.sampling = TailSampling(keep=0, slower_than=None, hold_seconds=60)
    run.loom = spanloom.configure(run.everything, run.kept)
    with probe("GET /chat"):
        stream = FakeLLM(breaks_after=1).stream_chat([ChatMessage("hi")])
    assert run.loom.flush()
    assert run.kept.spans == []
    with pytest.raises(ConnectionError):
        list(stream)
    assert run.loom.flush()
    assert sorted(e.span.name for e in run.kept.spans) == ["GET /chat", "chat fake-1"]


# -------------------------------------------------------------------- behind a web framework
def test_a_trace_is_decided_when_the_request_of_fastapi_ends(run: Run) -> None:
    application = FastAPI()

    @application.get("/chat/{kind}")
    async def answer(kind: str) -> str:
        error = ConnectionError("503") if kind == "failing" else None
        try:
            with spanloom.using(user_id=kind):
                return str(await chain(error=error).ainvoke(FOUND, run.config))
        except ConnectionError:
            return "sorry"  # a 200: the request itself is fine

    traced = OpenTelemetryMiddleware(application, tracer_provider=run.loom.tracer_provider)

    async def ask() -> None:
        transport = httpx.ASGITransport(traced)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            for kind in ("fine", "failing", "fine"):
                assert (await client.get(f"/chat/{kind}")).status_code == 200

    asyncio.run(ask())
    kept, everything = run.trees()
    names = [e.span.name for e in run.kept.spans]
    assert kept == ["chain:RunnableSequence", "  prompt:ChatPromptTemplate", "  llm:Chat"]
    assert len(everything) == 3 + 2 * 4
    assert sum(name.startswith("GET") for name in names) >= 1
    assert {e.identity.user_id for e in run.kept.spans if e.step is not None} == {"failing"}
    assert len({e.span.context.trace_id for e in run.kept.spans}) == 1
