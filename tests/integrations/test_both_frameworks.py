"""LangChain inside LlamaIndex and the other way round: one trace, each step in its place, spans in the right body."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import nullcontext

import pytest
import spanloom
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import tool
from llama_index.core.llms.llm import ToolSelection
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.tools import FunctionTool
from llama_index.core.tools.calling import call_tool_with_selection
from opentelemetry import trace
from spanloom.testing import Memory, strict
from spanloom_langchain import SpanloomCallbackHandler
from spanloom_llama_index import instrument, uninstrument

from tests.integrations.langchain.fakes import Chat, Shelf, probe
from tests.integrations.llama_index.fakes import FakeLLM
from tests.integrations.llama_index.fakes import Shelf as Nodes


@pytest.fixture
def memory() -> Iterator[Memory]:
    with strict():
        memory = Memory()
        with spanloom.configure(memory, service_name="tests"):
            instrument()
            before = trace.get_current_span()
            yield memory
            assert trace.get_current_span() is before
        uninstrument()


def engine():
    return RetrieverQueryEngine.from_args(Nodes(), llm=FakeLLM())


QUERY = [
    "chain:RetrieverQueryEngine.query",
    "  retriever:Shelf.retrieve",
    "  chain:CompactAndRefine.synthesize",
    "    llm:FakeLLM.chat",
]


def parents_of_probes(memory):
    names = {s.span_id: s.name for s in memory.steps}
    return sorted(names.get(e.span.parent.span_id, "?") for e in memory.spans if e.step is None)


def test_a_langchain_tool_that_asks_a_llama_index_query_engine_is_one_trace(memory):
    @tool
    def ask(q: str) -> str:
        """Ask the index."""
        with probe():
            return str(engine().query(q))

    with spanloom.using(user_id="u1"):
        RunnableLambda(lambda q: ask.invoke({"q": q}), name="app").invoke(
            "q", {"callbacks": [SpanloomCallbackHandler()]}
        )
    assert spanloom_flush()
    assert memory.tree() == ["chain:app", "  tool:ask", *("    " + line for line in QUERY)]
    assert len({s.trace_id for s in memory.steps}) == 1
    assert {s.identity.user_id for s in memory.steps} == {"u1"}
    assert {s.root_name for s in memory.steps} == {"app"}
    assert "ask" in parents_of_probes(memory)
    assert "Shelf.retrieve" in parents_of_probes(memory)


def test_a_langchain_tool_that_awaits_one_too(memory):
    @tool
    async def ask(q: str) -> str:
        """Ask the index."""
        return str(await engine().aquery(q))

    asyncio.run(ask.ainvoke({"q": "q"}, {"callbacks": [SpanloomCallbackHandler()]}))
    assert spanloom_flush()
    assert memory.tree()[:3] == ["tool:ask", "  chain:RetrieverQueryEngine.aquery", "    retriever:Shelf.aretrieve"]
    assert len({s.trace_id for s in memory.steps}) == 1


def test_a_llama_index_tool_that_runs_a_langchain_chain_is_one_trace(memory):
    handler = SpanloomCallbackHandler()

    def look_up(q: str) -> str:
        """Look it up with LangChain."""
        chain = Shelf() | RunnableLambda(lambda docs: docs[0].page_content, name="first") | Chat(probe_name="probe")
        answer = chain.invoke(q, {"callbacks": [handler]})
        with probe("mine"):
            return str(answer.content)

    selection = ToolSelection(tool_id="c1", tool_name="look_up", tool_kwargs={"q": "x"})
    call_tool_with_selection(selection, [FunctionTool.from_defaults(look_up)])
    assert spanloom_flush()
    assert memory.tree() == [
        "tool:FunctionTool.__call__",
        "  chain:RunnableSequence",
        "    retriever:Shelf",
        "    chain:first",
        "    llm:Chat",
    ]
    assert parents_of_probes(memory) == ["Chat", "FunctionTool.__call__", "Shelf"]


@pytest.mark.parametrize("application_span", [False, True])
def test_a_chain_in_a_llama_index_tool_in_a_langchain_tool_lies_in_the_inner_tool(memory, application_span):
    """LangChain tells it with the parent of its own tool: it knows of none that LlamaIndex ran in between."""

    def look_up(q: str) -> str:
        """Look it up with LangChain."""
        with probe("mine") if application_span else nullcontext():
            return str((RunnableLambda(lambda q: q, name="as it is") | Chat()).invoke(q).content)

    @tool
    def ask(q: str) -> str:
        """Ask a tool of LlamaIndex, twice."""
        for _ in range(2):
            found = FunctionTool.from_defaults(look_up)(q)
        return str(RunnableLambda(lambda q: q, name="after").invoke(str(found)))

    ask.invoke({"q": "q"}, {"callbacks": [SpanloomCallbackHandler()]})
    assert spanloom_flush()
    inner = ["tool:FunctionTool.__call__", "  chain:RunnableSequence", "    chain:as it is", "    llm:Chat"]
    assert memory.tree() == ["tool:ask", *("  " + line for line in [*inner, *inner, "chain:after"])]


def test_a_query_in_a_langchain_tool_in_a_llama_index_tool_lies_in_the_inner_tool(memory):
    @tool
    async def ask(q: str) -> str:
        """Ask the index."""
        return str(await engine().aquery(q))

    async def look_up(q: str) -> str:
        """Look it up with LangChain."""
        both = [ask.ainvoke({"q": word}, {"callbacks": [SpanloomCallbackHandler()]}) for word in q.split()]
        await asyncio.gather(*both)
        return str(await engine().aquery(q))

    asyncio.run(FunctionTool.from_defaults(async_fn=look_up).acall("a b"))
    assert spanloom_flush()
    query = [line.replace("query", "aquery").replace("retrieve", "aretrieve") for line in QUERY]
    query = [line.replace("aretriever:", "retriever:") for line in query]
    query = [line.replace("synthesize", "asynthesize").replace("chat", "achat") for line in query]
    assert memory.tree() == [
        "tool:FunctionTool.acall",
        *("  " + line for line in 2 * ["tool:ask", *("  " + line for line in query)]),
        *("  " + line for line in query),
    ]


def spanloom_flush() -> bool:
    loom = spanloom.setup.current_loom()
    return loom is not None and loom.flush(5.0)


@pytest.mark.parametrize(
    ("package", "missing", "extra"),
    [
        ("spanloom_langchain", "langchain_core", "spanloom[langchain]"),
        ("spanloom_llama_index", "llama_index", "spanloom[llama-index]"),
    ],
)
def test_an_adapter_without_its_framework_says_which_extra_to_install(package, missing, extra):
    code = f"import sys; sys.modules['{missing}'] = None; import {package}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert f"pip install '{extra}'" in done.stderr.splitlines()[-1]


class NeverAnswers(Chat):
    async def _agenerate(self, *args, **kwargs):
        await asyncio.Event().wait()


def test_a_langchain_model_in_a_cancelled_llama_index_tool_ends_with_it(memory):
    async def ask() -> str:
        """Asks."""
        return str(await NeverAnswers().ainvoke("q", config={"callbacks": [SpanloomCallbackHandler()]}))

    async def run():
        task = asyncio.create_task(FunctionTool.from_defaults(async_fn=ask).acall())
        while len(loom.recorder) < 2:
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError) as cancelled:
            await task
        return cancelled  # what the cancelled frames hold lives on

    loom = spanloom.setup.current_loom()
    held = asyncio.run(run())
    loom.flush(5.0)
    assert held
    assert {s.name: str(s.outcome) for s in memory.steps} == {
        "FunctionTool.acall": "cancelled",
        "NeverAnswers": "cancelled",
    }
