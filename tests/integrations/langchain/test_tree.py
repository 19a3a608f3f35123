"""Names, kinds and parents as LangChain knows them, each step once."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableLambda, RunnableParallel
from langchain_core.tools import tool
from langgraph.graph import START, MessagesState, StateGraph
from spanloom_langchain import SpanloomCallbackHandler, instrument, uninstrument
from spanloom_langchain.labels import agent_name

from tests.integrations.langchain.fakes import Chat, Shelf, Words, broken, call, search, weather

PROMPT = ChatPromptTemplate.from_messages([("system", "be brief"), ("human", "{q}")])
CHAIN = [
    "chain:RunnableSequence",
    "  prompt:ChatPromptTemplate",
    "  llm:Chat",
    "  parser:StrOutputParser",
]


def chain(**kwargs):
    return PROMPT | Chat(**kwargs) | StrOutputParser()


async def drained(stream):
    return [item async for item in stream]


@pytest.mark.parametrize(
    "run",
    [
        lambda c, config: c.invoke({"q": "x"}, config),
        lambda c, config: asyncio.run(c.ainvoke({"q": "x"}, config)),
        lambda c, config: list(c.stream({"q": "x"}, config)),
        lambda c, config: asyncio.run(drained(c.astream({"q": "x"}, config))),
        lambda c, config: asyncio.run(drained(c.astream_events({"q": "x"}, config, version="v2"))),
    ],
    ids=["invoke", "ainvoke", "stream", "astream", "astream_events"],
)
def test_a_chain_has_the_same_tree_however_it_is_run(traced, run):
    run(chain(), traced.config)
    assert traced.tree() == CHAIN


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_batch_is_one_tree_an_item(traced, asynchronous):
    inputs = [{"q": str(n)} for n in range(5)]
    if asynchronous:
        asyncio.run(chain().abatch(inputs, traced.config))
    else:
        chain().batch(inputs, traced.config)
    tree = traced.tree()
    assert tree == CHAIN * 5
    assert len({s.trace_id for s in traced.memory.steps}) == 5


def test_an_agent_with_parallel_tools_is_one_tree(traced):
    ask = AIMessage("", tool_calls=[*call("search", 0, q="a").tool_calls, *call("weather", 1, city="Oslo").tool_calls])
    agent = create_agent(Chat(answers=[ask, AIMessage("done")]), [search, weather], name="helper")
    asyncio.run(agent.ainvoke({"messages": [("user", "hi")]}, traced.config))
    assert sorted(traced.tree()) == sorted([
        "agent:helper",
        "  chain:model",
        "    llm:Chat",
        "  chain:tools",
        "    tool:search",
        "  chain:tools",
        "    tool:weather",
        "  chain:model",
        "    llm:Chat",
    ])  # fmt: skip
    assert {s.tool_call_id for s in traced.memory.steps if s.kind == "tool"} == {"call_0_search", "call_1_weather"}
    assert traced.memory.step("helper").agent_name == "helper"


def test_an_agent_in_a_tool_of_an_agent_nests_in_that_tool(traced):
    inner = create_agent(Chat(answers=[AIMessage("inner")]), [])

    def ask(q: str) -> str:
        """Ask another agent."""
        return inner.invoke({"messages": [("user", q)]})["messages"][-1].content

    outer = create_agent(Chat(answers=[call("ask", q="y"), AIMessage("done")]), [ask], name="outer")
    outer.invoke({"messages": [("user", "x")]}, traced.config)
    tree = traced.tree()
    at = tree.index("    tool:ask")
    assert tree[at : at + 4] == ["    tool:ask", "      agent:LangGraph", "        chain:model", "          llm:Chat"]


def test_what_runs_in_an_agents_tool_is_an_agent_where_it_was_made_as_one(traced):
    plain = StateGraph(MessagesState)
    plain.add_node("node", lambda state: {"messages": []})
    plain.add_edge(START, "node")
    plain = plain.compile()
    unnamed, helper = create_agent(Chat(), []), create_agent(Chat(), [], name="helper")

    @tool
    def ask(q: str) -> str:
        """Ask the others."""
        plain.invoke({"messages": []})
        unnamed.invoke({"messages": [("user", q)]})
        helper.invoke({"messages": [("user", q)]}, {"run_name": "renamed"})
        return "asked"

    deep = {"metadata": {"ls_integration": "deepagents", "lc_agent_name": "helper"}}
    agent = create_agent(Chat(answers=[call("ask", q="x"), AIMessage("done")]), [ask]).with_config(deep)
    agent.invoke({"messages": [("user", "x")]}, {**traced.config, "run_name": "helper"})
    assert traced.tree() == [
        "agent:helper",
        "  chain:model",
        "    llm:Chat",
        "  chain:tools",
        "    tool:ask",
        "      chain:LangGraph",
        "        chain:node",
        "      agent:LangGraph",
        "        chain:model",
        "          llm:Chat",
        "      agent:renamed",
        "        chain:model",
        "          llm:Chat",
        "  chain:model",
        "    llm:Chat",
    ]
    agents = {s.name: s.agent_name for s in traced.memory.steps if s.kind == "agent"}
    assert agents == {"helper": "helper", "LangGraph": "LangGraph", "renamed": "helper"}


@pytest.mark.parametrize("serialized", [None, {"id": ["langchain_classic", "agents", "agent", "AgentExecutor"]}])
def test_the_former_executor_is_an_agent_be_it_read_or_awaited(serialized):
    assert agent_name("AgentExecutor", None, serialized) == "AgentExecutor"
    assert agent_name("RunnableSequence", None, None) is None


def test_a_handler_given_many_times_traces_each_step_once(traced):
    h = traced.handler
    model = Chat(callbacks=[h])

    def body(x):
        search.invoke({"q": x}, {"callbacks": [h, h]})
        return model.invoke(x, {"callbacks": [h]})

    RunnableLambda(body, name="root").invoke("q", {"callbacks": [h, SpanloomCallbackHandler(), h]})
    assert traced.tree() == ["chain:root", "  tool:search", "  llm:Chat"]


def test_a_nested_call_with_callbacks_of_its_own_stays_in_the_tree(traced):
    inner = RunnableLambda(lambda x: search.invoke({"q": x}, traced.config), name="inner")
    RunnableLambda(lambda x: inner.invoke(x, traced.config), name="outer").invoke("q", traced.config)
    assert traced.tree() == ["chain:outer", "  chain:inner", "    tool:search"]


def test_instrument_traces_every_run_also_beside_a_handler(traced):
    instrument()
    try:
        instrument()
        chain().invoke({"q": "x"})
        chain().invoke({"q": "x"}, traced.config)
    finally:
        uninstrument()
    chain().invoke({"q": "x"})
    assert traced.tree() == CHAIN * 2


def test_fallbacks_and_retries_lie_in_the_step_that_makes_them(traced):
    flaky = Chat(error=ConnectionError("down")).with_fallbacks([Chat()])
    (PROMPT | flaky | StrOutputParser()).invoke({"q": "x"}, traced.config)
    Chat(fails=1).with_retry(wait_exponential_jitter=False).invoke("x", traced.config)
    assert traced.tree() == [
        "chain:RunnableSequence",
        "  prompt:ChatPromptTemplate",
        "  chain:RunnableWithFallbacks",
        "    llm:Chat",
        "    llm:Chat",
        "  parser:StrOutputParser",
        "chain:Chat",
        "  llm:Chat",
        "  llm:Chat",
    ]


def test_a_tool_that_fails_is_an_error_with_its_type_and_text(traced):
    agent = create_agent(Chat(answers=[call("broken", q="z")]), [broken], name="helper")
    with pytest.raises(ValueError, match="no z"):
        agent.invoke({"messages": [("user", "hi")]}, traced.config)
    traced.flush()
    step = traced.memory.step("broken")
    assert (step.outcome, step.error_type) == ("error", "ValueError")
    assert traced.memory.visible("broken").error_message == "no z"
    assert "raise ValueError" in (traced.memory.visible("broken").error_stack or "")
    assert traced.outcomes()["helper"] == "error"


def test_branches_in_threads_keep_their_own_children(traced):
    branch = (Shelf() | RunnableLambda(lambda docs: str(len(docs)), name="count") | Chat()).with_config(
        run_name="branch"
    )
    RunnableParallel(a=branch, b=branch, c=branch).invoke("q", traced.config)
    below = ["  chain:branch", "    retriever:Shelf", "    chain:count", "    llm:Chat"]
    assert sorted(traced.tree()) == sorted(["chain:RunnableParallel<a,b,c>", *below * 3])


def test_string_models_have_one_step_a_prompt(traced):
    Words().generate(["a", "b"], callbacks=[traced.handler])
    Words().invoke("c", traced.config)
    assert traced.tree() == ["llm:Words"] * 3
    assert all(s.completion for s in traced.memory.steps)


def test_two_requests_that_share_a_run_id_are_two_trees(traced):
    bound = RunnableLambda(lambda q: search.invoke({"q": q}), name="bound").with_config(run_id=uuid4())
    for user in ("ann", "bob"):
        bound.invoke("x", {**traced.config, "metadata": {"user_id": user}})
    assert traced.tree() == ["chain:bound", "  tool:search"] * 2
    assert [s.identity.user_id for s in traced.memory.steps if s.name == "search"] == ["ann", "bob"]
    assert len({s.trace_id for s in traced.memory.steps}) == 2


def test_a_run_id_of_the_applications_own_may_be_text(traced):
    chain().invoke({"q": "x"}, {**traced.config, "run_id": "9bb3aa03-2287-4501-a9a4-401c01ad9c7a"})
    assert traced.tree() == CHAIN
