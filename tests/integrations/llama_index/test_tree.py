"""One tree a query, chat turn, agent run, workflow run or ingestion."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from llama_index.core import Document, Settings, SummaryIndex, VectorStoreIndex
from llama_index.core.async_utils import asyncio_run
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.bridge.pydantic import BaseModel
from llama_index.core.chat_engine import ContextChatEngine, SimpleChatEngine
from llama_index.core.ingestion import IngestionPipeline
from llama_index.core.llms.callbacks import llm_completion_callback
from llama_index.core.node_parser import SentenceSplitter
from llama_index.core.program import FunctionCallingProgram
from llama_index.core.prompts import PromptTemplate
from llama_index.core.query_engine import RetrieverQueryEngine, RouterQueryEngine, SubQuestionQueryEngine
from llama_index.core.retrievers import QueryFusionRetriever
from llama_index.core.schema import TextNode
from llama_index.core.selectors import LLMSingleSelector
from llama_index.core.tools import FunctionTool, QueryEngineTool, ToolMetadata, ToolOutput
from llama_index.core.tools.types import AsyncBaseTool

from tests.integrations.llama_index.fakes import Completing, FakeLLM, Shelf, add, embedding, probe, says


class Song(BaseModel):
    """A song."""

    title: str


def nodes() -> list[TextNode]:
    return [TextNode(text=f"text {i}", id_=f"v{i}", embedding=[0.1, 0.2, 0.3, 0.4]) for i in range(3)]


@pytest.mark.parametrize("a", ["", "a"])
def test_a_query_is_one_tree_of_its_public_calls(traced: Any, a: str) -> None:
    engine = VectorStoreIndex(nodes=nodes(), embed_model=embedding()).as_query_engine(llm=FakeLLM())
    traced.flush()  # building the index embeds
    traced.memory.spans.clear()
    answer = asyncio.run(engine.aquery("what?")) if a else engine.query("what?")
    assert str(answer) == "one two three"
    assert traced.tree() == [
        f"chain:RetrieverQueryEngine.{a}query",
        f"  retriever:VectorIndexRetriever.{a}retrieve",
        f"    embedding:MockEmbedding.{a}get_query_embedding",
        f"  chain:CompactAndRefine.{a}synthesize",
        f"    llm:FakeLLM.{a}chat",
    ]


@pytest.mark.parametrize(
    "mode", ["refine", "compact", "simple_summarize", "tree_summarize", "accumulate", "generation"]
)
def test_every_synthesizer_puts_its_model_calls_below_itself(traced: Any, mode: str) -> None:
    RetrieverQueryEngine.from_args(Shelf(), llm=FakeLLM(), response_mode=mode).query("what?")
    tree = traced.tree()
    assert [line.strip().partition(":")[0] for line in tree[:3]] == ["chain", "retriever", "chain"]
    assert tree[2].startswith("  chain:")
    assert all(line == "    llm:FakeLLM.chat" for line in tree[3:])
    assert len(tree) > 3


def test_a_custom_model_is_one_model_call_however_it_delegates(traced: Any) -> None:
    model = Completing()
    question = [ChatMessage("hi")]
    model.chat(question)
    list(model.stream_chat(question))

    async def both() -> None:
        await model.achat(question)
        async for _ in await model.astream_chat(question):
            pass
        await model.acomplete("hi")

    asyncio.run(both())
    assert traced.tree() == [
        "llm:Completing.chat",
        "llm:Completing.stream_chat",
        "llm:Completing.achat",
        "llm:Completing.astream_chat",
        "llm:Completing.acomplete",
    ]
    assert {s.usage.total_tokens for s in traced.memory.steps} == {120}
    assert set(traced.outcomes().values()) == {"ok"}


def test_another_call_while_a_stream_is_half_read_is_a_call_of_its_own(traced: Any) -> None:
    model = Completing()
    stream = model.stream_chat([ChatMessage("hi")])
    next(stream)
    model.complete("something else")
    list(stream)
    assert traced.tree() == ["llm:Completing.stream_chat", "llm:Completing.complete"]


def test_a_model_around_another_model_is_a_chain_of_the_one_that_is_called(traced: Any) -> None:
    inner = FakeLLM()

    class Router(Completing):
        def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> Any:
            return inner.complete(prompt)

        @llm_completion_callback()
        def stream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> Any:
            yield from inner.stream_complete(prompt)  # begins only when it is read

    Router().complete("hi")
    list(Router().stream_complete("hi"))
    assert traced.tree() == [
        "chain:Router.complete",
        "  llm:FakeLLM.complete",
        "chain:Router.stream_complete",
        "  llm:FakeLLM.stream_complete",
    ]


@pytest.mark.parametrize("mode", ["output_cls", "structured model"])
def test_an_engine_with_structured_output_is_one_model_call(traced: Any, mode: str) -> None:
    model = FakeLLM(answers=[says("", Song={"title": "la"})])
    given = {"llm": model, "output_cls": Song} if mode == "output_cls" else {"llm": model.as_structured_llm(Song)}
    assert RetrieverQueryEngine.from_args(Shelf(), **given).query("what?").response == Song(title="la")
    assert traced.tree()[2:] == ["  chain:CompactAndRefine.synthesize", "    llm:FakeLLM.chat"]


@pytest.mark.parametrize("a", ["", "a"])
def test_structured_wrappers_show_the_model_that_is_called_and_no_tool(traced: Any, a: str) -> None:
    model = FakeLLM(answers=[says("", Song={"title": "la"})])
    wrapped, prompt = model.as_structured_llm(Song), PromptTemplate("sing")
    if a:

        async def run() -> None:
            await wrapped.achat([ChatMessage("sing")])
            await model.astructured_predict(Song, prompt)
            await FunctionCallingProgram.from_defaults(Song, prompt=prompt, llm=model).acall()

        asyncio.run(run())
    else:
        wrapped.chat([ChatMessage("sing")])
        model.structured_predict(Song, prompt)
        FunctionCallingProgram.from_defaults(Song, prompt=prompt, llm=model)()
    assert traced.tree() == [f"llm:FakeLLM.{a}chat"] * 3


def test_streamed_structured_output_is_one_model_call(traced: Any) -> None:
    model = FakeLLM(answers=[says("", Song={"title": "la"})])
    assert list(model.stream_structured_predict(Song, PromptTemplate("sing")))
    list(model.as_structured_llm(Song).stream_chat([ChatMessage("sing")]))
    assert traced.tree() == ["llm:FakeLLM.stream_chat"] * 2


def test_predict_and_stream_fold_into_the_model_call(traced: Any) -> None:
    prompt = PromptTemplate("hi")

    async def run() -> None:
        await FakeLLM().apredict(prompt)
        async for _ in await FakeLLM().astream(prompt):
            pass

    FakeLLM().predict(prompt)
    list(FakeLLM().stream(prompt))
    asyncio.run(run())
    assert traced.tree() == [f"llm:FakeLLM.{m}" for m in ("chat", "stream_chat", "achat", "astream_chat")]


def test_tools_that_a_model_chooses_are_steps_once(traced: Any) -> None:
    FakeLLM(answers=[says("", add={"a": 1, "b": 2})]).predict_and_call([FunctionTool.from_defaults(add)], "1 + 2")
    assert traced.tree() == ["llm:FakeLLM.chat", "tool:FunctionTool.__call__"]
    assert traced.probes() == ["FunctionTool.__call__"]


class Logged(FunctionTool):
    def call(self, *args: Any, **kwargs: Any) -> Any:
        return super().call(*args, **kwargs)

    async def acall(self, *args: Any, **kwargs: Any) -> Any:
        return await super().acall(*args, **kwargs)


@pytest.mark.parametrize("kind", [FunctionTool, Logged])
@pytest.mark.parametrize("method", ["__call__", "call", "acall"])
def test_each_call_of_a_tool_that_calls_itself_is_a_step(traced: Any, kind: type[FunctionTool], method: str) -> None:
    def down(n: int) -> int:
        """Counts down."""
        with probe(f"at {n}"):
            return int(getattr(tool, method)(n=n - 1).raw_output) if n else 0

    async def adown(n: int) -> int:
        """Counts down."""
        with probe(f"at {n}"):
            return int((await tool.acall(n=n - 1)).raw_output) if n else 0

    tool = kind.from_defaults(down, async_fn=adown)
    if method == "acall":
        asyncio.run(tool.acall(n=2))
    else:
        getattr(tool, method)(n=2)
    assert traced.tree() == [f"{'  ' * n}tool:{kind.__name__}.{method}" for n in range(3)]
    steps = sorted(traced.memory.steps, key=lambda s: s.start_ns)
    around = {e.span.name: e.span.parent.span_id for e in traced.memory.spans if e.step is None}
    assert [around[f"at {n}"] for n in (2, 1, 0)] == [s.span_id for s in steps]


class AsyncFirst(AsyncBaseTool):
    """Its sync calls run its async one."""

    metadata = ToolMetadata("d", name="async_first")

    def call(self, *args: Any, **kwargs: Any) -> ToolOutput:
        return asyncio_run(self.acall(*args, **kwargs))

    async def acall(self, *args: Any, **kwargs: Any) -> ToolOutput:
        with probe():
            return ToolOutput(content="x", tool_name="async_first", raw_input=kwargs, raw_output="x")


@pytest.mark.parametrize("method", ["__call__", "call", "acall"])
@pytest.mark.parametrize("in_a_loop", [False, True])
def test_a_tool_whose_methods_hand_on_to_one_another_is_one_step(traced: Any, method: str, in_a_loop: bool) -> None:
    async def run() -> None:
        called = getattr(AsyncFirst(), method)(n=1)
        await called if method == "acall" else called

    if in_a_loop or method == "acall":
        asyncio.run(run())
    else:
        getattr(AsyncFirst(), method)(n=1)
    assert traced.tree() == [f"tool:AsyncFirst.{method}"]
    assert traced.probes() == [f"AsyncFirst.{method}"]


def test_a_query_engine_as_a_tool_nests(traced: Any) -> None:
    engine = RetrieverQueryEngine.from_args(Shelf(), llm=FakeLLM())
    tool = QueryEngineTool.from_defaults(engine, name="library", description="all books")
    tool("what?")
    assert traced.tree() == [
        "tool:QueryEngineTool.__call__",
        "  chain:RetrieverQueryEngine.query",
        "    retriever:Shelf.retrieve",
        "    chain:CompactAndRefine.synthesize",
        "      llm:FakeLLM.chat",
    ]
    step = traced.memory.step("QueryEngineTool.__call__")
    assert (step.tool_name, step.tool_description) == ("library", "all books")


def test_a_router_and_its_engines_nest(traced: Any) -> None:
    chooser = FakeLLM(answers=[says('[{"choice": 1, "reason": "because"}]')])
    tool = QueryEngineTool.from_defaults(
        RetrieverQueryEngine.from_args(Shelf(), llm=FakeLLM()), name="library", description="all books"
    )
    RouterQueryEngine(selector=LLMSingleSelector.from_defaults(llm=chooser), query_engine_tools=[tool]).query("what?")
    assert traced.tree() == [
        "chain:RouterQueryEngine.query",
        "  llm:FakeLLM.chat",
        "  chain:RetrieverQueryEngine.query",
        "    retriever:Shelf.retrieve",
        "    chain:CompactAndRefine.synthesize",
        "      llm:FakeLLM.chat",
    ]


@pytest.mark.parametrize("use_async", [False, True])
def test_sub_questions_nest_also_when_they_are_asked_at_once(traced: Any, use_async: bool) -> None:
    asks = FakeLLM(
        answers=[
            says(
                '```json\n{"items": [{"sub_question": "a?", "tool_name": "library"},'
                ' {"sub_question": "b?", "tool_name": "library"}]}\n```'
            ),
            says("all in all"),
        ]
    )
    Settings.llm = asks
    tool = QueryEngineTool.from_defaults(
        RetrieverQueryEngine.from_args(Shelf(), llm=FakeLLM()), name="library", description="all books"
    )
    from llama_index.core.question_gen import LLMQuestionGenerator

    SubQuestionQueryEngine.from_defaults(
        [tool], llm=asks, question_gen=LLMQuestionGenerator.from_defaults(llm=asks), use_async=use_async, verbose=False
    ).query("what?")
    tree, a = traced.tree(), "a" if use_async else ""
    assert tree[:2] == ["chain:SubQuestionQueryEngine.query", "  llm:FakeLLM.chat"]
    assert tree.count(f"  chain:RetrieverQueryEngine.{a}query") == 2
    assert tree.count(f"    retriever:Shelf.{a}retrieve") == 2
    assert sum(not line.startswith(" ") for line in tree) == 1


def test_fused_retrievers_nest_in_the_one_that_fuses(traced: Any) -> None:
    QueryFusionRetriever([Shelf(), Shelf()], llm=FakeLLM(), num_queries=2).retrieve("what?")
    tree = traced.tree()
    assert tree[0] == "retriever:QueryFusionRetriever.retrieve"
    assert "  llm:FakeLLM.complete" in tree
    assert tree.count("  retriever:Shelf.aretrieve") + tree.count("  retriever:Shelf.retrieve") == 4


@pytest.mark.parametrize("a", ["", "a"])
def test_chat_engines_are_one_tree_a_turn(traced: Any, a: str) -> None:
    simple, context = SimpleChatEngine.from_defaults(llm=FakeLLM()), ContextChatEngine.from_defaults(Shelf())
    if a:
        asyncio.run(simple.achat("hi"))
        asyncio.run(context.achat("hi"))
    else:
        simple.chat("hi")
        context.chat("hi")
    assert traced.tree() == [
        f"chain:SimpleChatEngine.{a}chat",
        f"  llm:FakeLLM.{a}chat",
        f"chain:ContextChatEngine.{a}chat",
        f"  retriever:Shelf.{a}retrieve",
        f"  chain:CompactAndRefine.{a}synthesize",
        f"    llm:FakeLLM.{a}chat",
    ]


def test_ingestion_names_its_transformations_and_embeds_in_one_step(traced: Any) -> None:
    pipeline = IngestionPipeline(
        transformations=[SentenceSplitter(chunk_size=64, chunk_overlap=0), embedding(embed_batch_size=2)],
        disable_cache=True,
    )
    pipeline.run(documents=[Document(text=f"text {i}") for i in range(5)])
    assert traced.tree() == ["chain:IngestionPipeline.run", "  embedding:MockEmbedding.get_text_embedding_batch"]
    step = traced.memory.step("MockEmbedding.get_text_embedding_batch")
    assert (step.embedding_count, step.embedding_dimension) == (5, 4)
    assert traced.memory.visible("IngestionPipeline.run").input == {
        "documents": 5,
        "nodes": None,
        "transformations": ["SentenceSplitter", "MockEmbedding"],
    }
    assert traced.memory.visible("IngestionPipeline.run").output == {"nodes": 5}


def test_an_extractor_in_an_ingestion_calls_its_model_below_it(traced: Any) -> None:
    from llama_index.core.extractors import TitleExtractor

    pipeline = IngestionPipeline(transformations=[TitleExtractor(nodes=1, llm=FakeLLM())], disable_cache=True)
    pipeline.run(nodes=[TextNode(text="text", id_="n")])
    tree = traced.tree()
    assert tree[0] == "chain:IngestionPipeline.run"
    assert set(tree[1:]) == {"  llm:FakeLLM.achat"}


def test_concurrent_and_threaded_queries_are_trees_of_their_own(traced: Any) -> None:
    engine = RetrieverQueryEngine.from_args(Shelf(), llm=FakeLLM())

    async def many() -> None:
        await asyncio.gather(*(engine.aquery(f"{i}?") for i in range(5)))

    asyncio.run(many())
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(engine.query, [f"{i}?" for i in range(5)]))
    tree = traced.tree()
    assert tree.count("chain:RetrieverQueryEngine.aquery") == tree.count("chain:RetrieverQueryEngine.query") == 5
    assert len(tree) == 40
    assert len({s.trace_id for s in traced.memory.steps}) == 10
    assert traced.probes() == ["Shelf.aretrieve"] * 5 + ["Shelf.retrieve"] * 5


def test_a_query_inside_the_apps_own_span_is_part_of_its_trace(traced: Any) -> None:
    engine = RetrieverQueryEngine.from_args(Shelf(), llm=FakeLLM())
    with probe("request") as request:
        engine.query("what?")
        with probe("after"):
            pass
    traced.flush()
    root = traced.memory.step("RetrieverQueryEngine.query")
    assert root.trace_id == request.get_span_context().trace_id
    assert root.lineage.span_id == request.get_span_context().span_id
    assert traced.probes("after") == ["request"]


def test_an_index_without_a_model_call_is_still_a_query(traced: Any) -> None:
    SummaryIndex(nodes=nodes()).as_query_engine(llm=FakeLLM(), response_mode="no_text").query("what?")
    assert traced.tree()[:2] == ["chain:RetrieverQueryEngine.query", "  retriever:SummaryIndexRetriever.retrieve"]
