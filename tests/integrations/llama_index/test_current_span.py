"""Spans of other libraries nest under the step that opened them; the caller's current span never changes."""

from __future__ import annotations

import asyncio
import threading
from contextvars import copy_context
from typing import Any

import pytest
from llama_index.core import VectorStoreIndex
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.embeddings import MockEmbedding
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.llms.callbacks import llm_chat_callback
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.query_engine import CustomQueryEngine, RetrieverQueryEngine
from llama_index.core.schema import TextNode
from llama_index.core.tools import FunctionTool
from opentelemetry import trace

from tests.integrations.llama_index.fakes import FakeLLM, Shelf, add, embedding, probe

dispatcher = get_dispatcher(__name__)


class ProbedEmbedding(MockEmbedding):
    def _get_query_embedding(self, query: str) -> list[float]:
        with probe("embedding"):
            return super()._get_query_embedding(query)

    async def _aget_query_embedding(self, query: str) -> list[float]:
        with probe("embedding"):
            await asyncio.sleep(0)
            return await super()._aget_query_embedding(query)

    async def _aget_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        with probe("batch"):
            await asyncio.sleep(0)
            return [[0.1] * 4 for _ in texts]


class ProbedLLM(FakeLLM):
    @llm_chat_callback()
    def chat(self, messages: Any, **kwargs: Any) -> Any:
        with probe("model"):
            return self._whole(self._next())

    @llm_chat_callback()
    async def achat(self, messages: Any, **kwargs: Any) -> Any:
        with probe("model"):
            await asyncio.sleep(0)
            return self._whole(self._next())


class Probed(BaseNodePostprocessor):
    def _postprocess_nodes(self, nodes: Any, query_bundle: Any = None) -> Any:
        with probe("postprocessor"):
            return nodes


@pytest.mark.parametrize("a", ["", "a"])
def test_spans_nest_in_the_body_that_opened_them(traced: Any, a: str) -> None:
    nodes = [TextNode(text="x", id_="v", embedding=[0.1] * 4)]
    index = VectorStoreIndex(nodes=nodes, embed_model=ProbedEmbedding(embed_dim=4))
    engine = index.as_query_engine(llm=ProbedLLM(), node_postprocessors=[Probed()])

    async def run() -> None:
        await engine.aquery("what?")

    asyncio.run(run()) if a else engine.query("what?")
    assert traced.probes("embedding") == [f"ProbedEmbedding.{a}get_query_embedding"]
    assert traced.probes("model") == [f"ProbedLLM.{a}chat"]
    assert traced.probes("postprocessor") == [f"RetrieverQueryEngine.{a}query"]


def test_batches_at_work_at_once_nest_in_their_one_step(traced: Any) -> None:
    model = ProbedEmbedding(embed_dim=4, embed_batch_size=2, num_workers=3)
    asyncio.run(model.aget_text_embedding_batch([f"t{i}" for i in range(6)]))
    assert traced.probes("batch") == ["ProbedEmbedding.aget_text_embedding_batch"] * 3


def test_a_custom_engine_calls_what_it_likes_and_everything_nests(traced: Any) -> None:
    class Mine(CustomQueryEngine):
        def custom_query(self, query_str: str) -> str:
            with probe("before"):
                Shelf().retrieve(query_str)
                with probe("inner"):
                    pass
            FunctionTool.from_defaults(add)(1, 2)
            with probe("after"):
                pass
            return str(FakeLLM().complete(query_str))

    Mine().query("what?")
    assert traced.tree() == [
        "chain:Mine.query",
        "  retriever:Shelf.retrieve",
        "  tool:FunctionTool.__call__",
        "  llm:FakeLLM.complete",
    ]
    assert traced.probes("before") == traced.probes("after") == ["Mine.query"]
    assert traced.probes("inner") == ["before"]


def test_threads_that_copy_their_context_nest(traced: Any) -> None:
    class Threaded(CustomQueryEngine):
        def custom_query(self, query_str: str) -> str:
            threads = [
                threading.Thread(target=copy_context().run, args=(Shelf().retrieve, query_str)) for _ in range(3)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            return "done"

    Threaded().query("what?")
    assert traced.tree() == ["chain:Threaded.query", *["  retriever:Shelf.retrieve"] * 3]
    assert traced.probes() == ["Shelf.retrieve"] * 3


def test_the_callers_span_is_the_same_object_around_every_call(traced: Any) -> None:
    engine = RetrieverQueryEngine.from_args(Shelf(), llm=FakeLLM())
    failing = RetrieverQueryEngine.from_args(Shelf(error=RuntimeError("x")), llm=FakeLLM())

    async def run() -> None:
        for enclosing in (None, probe("request")):
            if enclosing is not None:
                enclosing.__enter__()
            mine = trace.get_current_span()
            engine.query("what?")
            await engine.aquery("what?")
            with pytest.raises(RuntimeError):
                await failing.aquery("what?")
            await asyncio.gather(engine.aquery("a"), engine.aquery("b"))
            stream = FakeLLM().stream_chat([ChatMessage("hi")])
            for _ in stream:
                assert trace.get_current_span() is mine
            astream = await FakeLLM().astream_chat([ChatMessage("hi")])
            async for _ in astream:
                assert trace.get_current_span() is mine
            embedding().get_text_embedding("x")
            assert trace.get_current_span() is mine
            if enclosing is not None:
                enclosing.__exit__(None, None, None)

    asyncio.run(run())
    traced.flush()


def test_a_function_that_returns_a_future_leaves_nothing_behind(traced: Any) -> None:
    engine = RetrieverQueryEngine.from_args(Shelf(), llm=FakeLLM())

    class Office:
        @dispatcher.span
        def submit(self, question: str) -> Any:
            return asyncio.ensure_future(engine.aquery(question))

    async def run() -> None:
        before = trace.get_current_span()
        first = Office().submit("a?")
        assert trace.get_current_span() is before
        with probe("caller"):
            pass
        FakeLLM().complete("in between")
        await first
        await Office().submit("b?")
        assert trace.get_current_span() is before

    asyncio.run(run())
    tree = traced.tree()
    assert tree.count("chain:RetrieverQueryEngine.aquery") == 2
    assert tree.count("llm:FakeLLM.complete") == 1
    assert len({s.trace_id for s in traced.memory.steps}) == 3
    assert traced.probes("caller") == [None]
