"""The same question through LangChain and LlamaIndex: the same shape, kinds and attribute names in every dialect.

Both frameworks' real OpenAI clients talk to the demo's model server. Steps that only one framework has (LangGraph's
nodes, LlamaIndex's workflow steps) are folded: what is compared are agents, models, tools and retrievers.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import spanloom
from langchain.agents import create_agent
from langchain_core.documents import Document
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.retrievers import BaseRetriever as LangChainRetriever
from langchain_core.runnables import RunnableLambda, RunnablePassthrough
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.retrievers import BaseRetriever as LlamaIndexRetriever
from llama_index.core.schema import NodeWithScore, TextNode
from llama_index.llms.openai import OpenAI
from spanloom.destinations.destination import visible
from spanloom.dialects import genai, langfuse
from spanloom.testing import Memory, strict
from spanloom_langchain import SpanloomCallbackHandler
from spanloom_llama_index import instrument, uninstrument

sys.path.insert(0, str(Path(__file__).parents[2] / "examples" / "demo"))
from model_server import serving

# LlamaIndex looks at every attribute of an agent, the deprecated ones of pydantic too.
pytestmark = pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecationWarning")

TEXT = "The cache under the retriever was slow. The model was quick."
QUESTION = "What was slow?"
MODEL = "gpt-4o-mini"
ONLY_ONE = (
    "langgraph.",
    "langfuse.observation.metadata.langgraph_",
    "gen_ai.response.id",  # langchain-openai drops it from streams
    "langfuse.observation.metadata.response_id",
    "gen_ai.agent.name",  # LlamaIndex does not say which of a workflow's agents calls a tool
)

COMPARED = ("agent", "llm", "tool", "retriever", "embedding")


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("OPENAI_API_KEY", "none")
        with serving() as url:
            yield url


class Pages(LangChainRetriever):
    def _get_relevant_documents(self, query, *, run_manager):
        return [Document(TEXT, id="p1", metadata={"source": "page", "score": 0.9})]


class Nodes(LlamaIndexRetriever):
    def _retrieve(self, query_bundle):
        return [NodeWithScore(node=TextNode(text=TEXT, id_="p1", metadata={"source": "page"}), score=0.9)]


def traced(run) -> Memory:
    memory = Memory()
    with strict(), spanloom.configure(memory) as loom:
        instrument()
        with spanloom.using(user_id="u1", session_id="s1", tags=["t"], metadata={"k": "v"}):
            run()
        assert loom.flush(10)
    uninstrument()
    return memory


def langchain_rag(url):
    prompt = ChatPromptTemplate.from_messages([("system", "Answer from the context."), ("human", "{context}\n{q}")])
    model = ChatOpenAI(model=MODEL, base_url=url, temperature=0.1)
    context = Pages() | RunnableLambda(lambda docs: docs[0].page_content)
    chain = {"context": context, "q": RunnablePassthrough()} | prompt | model | StrOutputParser()
    return lambda: chain.invoke(QUESTION, {"callbacks": [SpanloomCallbackHandler()]})


def llama_index_rag(url):
    engine = RetrieverQueryEngine.from_args(Nodes(), llm=OpenAI(model=MODEL, api_base=url, temperature=0.1))
    return lambda: engine.query(QUESTION)


def langchain_agent(url):
    @tool
    def search_docs(query: str) -> str:
        """Search the documentation."""
        return TEXT

    model = ChatOpenAI(model=MODEL, base_url=url, temperature=0.1, stream_usage=True)
    agent = create_agent(model, [search_docs], system_prompt="Use the tool.", name="docs_agent")
    state = {"messages": [("user", QUESTION)]}
    config = {"callbacks": [SpanloomCallbackHandler()]}
    return lambda: list(agent.stream(state, config, stream_mode="messages"))


def llama_index_agent(url):
    def search_docs(query: str) -> str:
        """Search the documentation."""
        return TEXT

    usage = {"stream_options": {"include_usage": True}}
    model = OpenAI(model=MODEL, api_base=url, temperature=0.1, additional_kwargs=usage)
    agent = FunctionAgent(name="docs_agent", tools=[search_docs], llm=model, system_prompt="Use the tool.")

    async def run():
        return str(await agent.run(user_msg=QUESTION))

    return lambda: asyncio.run(run())


def shape(memory: Memory) -> list[str]:
    """The compared kinds as an indented tree, the rest folded away."""
    steps = sorted((s for s in memory.steps if s.kind in COMPARED), key=lambda s: s.start_ns)
    ids = {s.span_id for s in steps}
    depth: dict[int, int] = {}
    lines = []
    for step in steps:
        above = step.lineage
        while above is not None and above.span_id not in ids:
            above = above.parent
        depth[step.span_id] = depth[above.span_id] + 1 if above is not None else 0
        lines.append("  " * depth[step.span_id] + f"{step.kind} {step.outcome}")
    return lines


def attribute_names(memory: Memory, dialect: str) -> list[tuple[str, list[str]]]:
    """The kind and the attribute names of each compared step, in the order they started."""
    out = []
    for ended in sorted(memory.spans, key=lambda e: e.span.start_time):
        if ended.step is None or ended.step.kind not in COMPARED:
            continue
        seen = visible(ended, memory.content)
        if dialect == "genai":
            rendered = genai.render(ended.step, seen)
        else:
            rendered = langfuse.render(ended.step, seen, langfuse.TraceFacts(ended.root_name))
        names = {name for name in rendered.attributes if not name.startswith(ONLY_ONE)}
        out.append((str(ended.step.kind), sorted(names)))
    return out


RUNS = {"rag": (langchain_rag, llama_index_rag), "agent": (langchain_agent, llama_index_agent)}


@pytest.mark.parametrize("run", RUNS)
def test_both_frameworks_give_the_same_shape_and_the_same_attribute_names(server, run):
    langchain, llama_index = (traced(make(server)) for make in RUNS[run])
    assert shape(langchain) == shape(llama_index)
    assert len(shape(langchain)) >= 2
    for dialect in ("genai", "langfuse"):
        assert attribute_names(langchain, dialect) == attribute_names(llama_index, dialect)


def test_both_frameworks_tell_the_same_of_a_model_call(server):
    langchain, llama_index = (traced(make(server)) for make in RUNS["agent"])
    for one, other in zip(
        (s for s in langchain.steps if s.kind == "llm"), (s for s in llama_index.steps if s.kind == "llm"), strict=True
    ):
        for name in ("provider", "request_model", "response_model", "finish_reasons", "streaming"):
            assert getattr(one, name) == getattr(other, name), name
        assert one.usage.output_tokens == other.usage.output_tokens
        assert [e.name for e in one.events] == [e.name for e in other.events]
