"""Odd input, errors and cancellation: every step ends, and nothing reaches the application."""

from __future__ import annotations

import asyncio
import gc
import types
from contextvars import copy_context
from typing import Any

import pytest
from llama_index.core.base.llms.types import ChatMessage, ChatResponse, CompletionResponse
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.events.rerank import ReRankEndEvent, ReRankStartEvent
from llama_index.core.postprocessor import LLMRerank, SimilarityPostprocessor
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.tools import BaseTool, FunctionTool, ToolMetadata, ToolOutput, adapt_to_async_tool
from llama_index.core.workflow import StartEvent, StopEvent, Workflow, step

from tests.integrations.llama_index.fakes import FakeLLM, Shelf, embedding, probe, says

dispatcher = get_dispatcher(__name__)


class Unprintable:
    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


class Echo(BaseTool):
    """Returns what it is told to."""

    def __init__(self, result: Any) -> None:
        self.result = result

    @property
    def metadata(self) -> ToolMetadata:
        return ToolMetadata(name="echo", description="an echo")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.result


def circular() -> dict[str, Any]:
    out: dict[str, Any] = {}
    out["self"] = out
    return out


@pytest.mark.parametrize(
    "value",
    [None, Unprintable(), circular(), {1: 2, None: 3}, b"\x00" * 10, "x" * 5_000_000, "\ud800", float("nan"), object()],
    ids=["none", "unprintable", "circular", "keys", "bytes", "long", "surrogate", "nan", "object"],
)
def test_odd_values_in_and_out_of_tools_models_and_workflows(traced: Any, value: Any) -> None:
    class Odd(Workflow):
        @step
        async def only(self, ev: StartEvent) -> StopEvent:
            return StopEvent(result=ev.value)

    class OddLLM(FakeLLM):
        def complete(self, prompt: Any, formatted: bool = False, **kwargs: Any) -> Any:
            return value

    Echo(value)(value, key=value)
    OddLLM().complete(value)

    async def run() -> None:
        assert await Odd().run(value=value) is value

    asyncio.run(run())
    assert traced.tree() == ["tool:Echo.__call__", "llm:OddLLM.complete", "workflow:Odd.run", "  chain:Odd.only"]
    assert set(traced.outcomes().values()) == {"ok"}
    for name in traced.outcomes():
        traced.memory.visible(name)


@pytest.mark.parametrize("raw", [None, 3, "text", [], {"usage": 5}, {"choices": 3, "usage": {"prompt_tokens": "x"}}])
def test_odd_raw_responses(traced: Any, raw: Any) -> None:
    class OddLLM(FakeLLM):
        def chat(self, messages: Any, **kwargs: Any) -> Any:
            return ChatResponse(message=ChatMessage("x"), raw=raw)

        def complete(self, prompt: Any, formatted: bool = False, **kwargs: Any) -> Any:
            return CompletionResponse(text="x", raw=raw)

    OddLLM().chat([ChatMessage("x")])
    OddLLM().complete("x")
    assert set(traced.outcomes().values()) == {"ok"}
    assert not any(s.usage for s in traced.memory.steps)


@pytest.mark.parametrize("a", ["", "a"])
def test_a_failing_retriever_fails_its_query_and_the_caller_sees_its_error(traced: Any, a: str) -> None:
    engine = RetrieverQueryEngine.from_args(Shelf(error=RuntimeError("index offline")), llm=FakeLLM())
    with pytest.raises(RuntimeError, match="index offline"):
        asyncio.run(engine.aquery("what?")) if a else engine.query("what?")
    assert traced.outcomes() == {f"RetrieverQueryEngine.{a}query": "error", f"Shelf.{a}retrieve": "error"}
    assert traced.memory.visible(f"Shelf.{a}retrieve").error_message == "index offline"


def test_a_failing_model_or_tool_is_an_error(traced: Any) -> None:
    with pytest.raises(ConnectionError):
        FakeLLM(error=ConnectionError("offline")).chat([ChatMessage("hi")])
    with pytest.raises(ZeroDivisionError):
        FunctionTool.from_defaults(lambda: 1 / 0, name="divide", description="x")()
    Echo(ToolOutput("echo", "no such book", raw_input={}, is_error=True))()
    assert set(traced.outcomes().values()) == {"error"}
    assert len(traced.memory.steps) == 3


def test_a_cancelled_query_is_cancelled_with_what_was_at_work(traced: Any) -> None:
    async def run() -> None:
        engine = RetrieverQueryEngine.from_args(Shelf(), llm=FakeLLM(wait=asyncio.Event()))
        task = asyncio.create_task(engine.aquery("what?"))
        await traced.opened("FakeLLM.achat")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(run())
    outcomes = traced.outcomes()
    assert outcomes.pop("Shelf.aretrieve") == "ok"
    assert set(outcomes.values()) == {"cancelled"}


class Suspended(Shelf):
    """Waits for ever, without an event loop."""

    async def _aretrieve(self, query_bundle: Any) -> Any:
        await suspension()


@types.coroutine
def suspension() -> Any:
    yield


def test_a_query_thrown_away_in_another_context_is_abandoned_and_no_error(traced: Any) -> None:
    query = RetrieverQueryEngine.from_args(Suspended(), llm=FakeLLM()).aquery("q")
    copy_context().run(query.send, None)
    with pytest.raises(ValueError, match="different Context"):  # LlamaIndex's own; garbage raises it where nobody sees
        query.close()
    assert traced.outcomes() == {"RetrieverQueryEngine.aquery": "abandoned", "Suspended.aretrieve": "abandoned"}


def test_an_adapted_tool_is_one_step(traced: Any) -> None:
    async def run() -> None:
        await adapt_to_async_tool(Echo(ToolOutput("echo", "x", raw_input={}))).acall("in")

    asyncio.run(run())
    assert traced.tree() == ["tool:BaseToolAsyncAdapter.acall"]


def test_documents_keep_the_scores_that_the_retriever_gave(traced: Any) -> None:
    class Worst(BaseNodePostprocessor):
        def _postprocess_nodes(self, nodes: Any, query_bundle: Any = None) -> Any:
            for found in nodes:
                found.score = 0.0
                found.node.metadata["seen"] = True
                found.node.set_content("rewritten")
            return nodes

    RetrieverQueryEngine.from_args(Shelf(), llm=FakeLLM(), node_postprocessors=[Worst()]).query("what?")
    traced.flush()
    assert traced.memory.step("Shelf.retrieve").document_count == 2
    shown = traced.memory.visible("Shelf.retrieve")
    assert shown.query == "what?"
    assert [(d.id, d.content, d.score, d.metadata) for d in shown.documents] == [
        ("n0", "text 0", 0.9, {"page": 0}),
        ("n1", "text 1", 0.8, {"page": 1}),
    ]


@pytest.mark.parametrize("a", ["", "a"])
def test_rerankers_are_known_by_their_class_or_their_event(traced: Any, a: str) -> None:
    class ByEvent(BaseNodePostprocessor):
        def _postprocess_nodes(self, nodes: Any, query_bundle: Any = None) -> Any:
            dispatcher.event(ReRankStartEvent(query=query_bundle, nodes=nodes, top_n=1, model_name="score-1"))
            with probe("rerank"):
                out = nodes[:1]
            dispatcher.event(ReRankEndEvent(nodes=out))
            return out

    picks = LLMRerank(llm=FakeLLM(answers=[says("Doc: 2, Relevance: 9")]), top_n=1)
    picks_too = [] if a else [picks]  # LlamaIndex reports nothing of LLMRerank's own async way
    engine = RetrieverQueryEngine.from_args(
        Shelf(), llm=FakeLLM(), node_postprocessors=[SimilarityPostprocessor(), *picks_too, ByEvent()]
    )
    asyncio.run(engine.aquery("what?")) if a else engine.query("what?")
    by_class = ["  reranker:LLMRerank._postprocess_nodes", "    llm:FakeLLM.chat"]
    assert traced.tree()[2:-2] == [*([] if a else by_class), "  reranker:ByEvent._postprocess_nodes"]
    assert traced.probes("rerank") == ["ByEvent._postprocess_nodes"]
    step_ = traced.memory.step("ByEvent._postprocess_nodes")
    assert (step_.request_model, step_.top_k, step_.document_count) == ("score-1", 1, 1)
    assert traced.memory.visible("ByEvent._postprocess_nodes").query == "what?"


def test_embeddings_tell_count_dimension_and_model_but_no_vector(traced: Any) -> None:
    model = embedding(model_name="mock-embed", embed_batch_size=2, num_workers=2)
    model.get_text_embedding("a")
    model.get_text_embedding_batch(["a", "b", "c"])
    model.get_agg_embedding_from_queries(["a", "b"])
    asyncio.run(model.aget_text_embedding_batch(["a", "b", "c"]))
    traced.flush()
    found = [(s.name.partition(".")[2], s.embedding_count, s.embedding_dimension) for s in traced.memory.steps]
    assert found == [
        ("get_text_embedding", 1, 4),
        ("get_text_embedding_batch", 3, 4),
        ("get_query_embedding", 1, 4),
        ("get_query_embedding", 1, 4),
        ("aget_text_embedding_batch", 3, 4),
    ]
    assert {s.request_model for s in traced.memory.steps} == {"mock-embed"}
    assert "0.5" not in str([traced.memory.visible(n) for n in ("MockEmbedding.get_text_embedding",)])


def test_state_does_not_grow(traced: Any) -> None:
    from spanloom_llama_index.registration import _recording
    from spanloom_llama_index.streams import _streams

    assert _recording is not None
    gc.collect()
    before = len(_streams)  # of streams that other tests have left
    good = RetrieverQueryEngine.from_args(Shelf(), llm=FakeLLM(), streaming=True)
    bad = RetrieverQueryEngine.from_args(Shelf(error=RuntimeError("offline")), llm=FakeLLM())
    for i in range(150):
        if i % 3 == 0:
            with pytest.raises(RuntimeError):
                bad.query("what?")
        else:
            stream = good.query("what?").response_gen
            next(stream)
            if i % 3 == 1:
                list(stream)
            del stream
    gc.collect()
    assert not _recording.frames.open
    assert not _recording._streaming
    assert not traced.still_open
    assert len(_streams) <= before
    outcomes = [str(s.outcome) for s in (traced.flush(), traced.memory.steps)[1] if s.kind == "llm"]
    assert outcomes.count("ok") == outcomes.count("abandoned") == 50
