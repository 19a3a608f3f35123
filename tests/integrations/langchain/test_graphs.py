"""LangGraph: nodes, subgraphs, fan-out, interrupts, handoffs, retries and timeouts."""

from __future__ import annotations

import asyncio
import operator
import threading
from contextvars import copy_context
from typing import Annotated, TypedDict

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.errors import NodeTimeoutError
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import Command, RetryPolicy, Send, TracePolicy, interrupt, omit_payload

from tests.integrations.langchain.fakes import Chat, call, probe, search


class State(TypedDict):
    seen: Annotated[list, operator.add]


def visit(state):
    with probe():
        return {"seen": [1]}


async def avisit(state):
    with probe():
        await asyncio.sleep(0)
        return {"seen": [1]}


def line(**nodes):
    graph, before = StateGraph(State), START
    for name, node in nodes.items():
        graph.add_node(name, node)
        graph.add_edge(before, name)
        before = name
    return graph


class Records(InMemorySaver):
    """A checkpointer of an instrumented database."""

    def get_tuple(self, *args, **kwargs):
        with probe("read"):
            return super().get_tuple(*args, **kwargs)

    def put(self, *args, **kwargs):
        with probe("write"):
            return super().put(*args, **kwargs)

    def put_writes(self, *args, **kwargs):
        with probe("write"):
            return super().put_writes(*args, **kwargs)


@pytest.mark.parametrize("how", ["invoke", "ainvoke", "stream", "astream"])
def test_what_a_checkpointer_opens_lies_in_the_graph_and_what_the_consumer_opens_does_not(traced, how):
    graph = line(a=visit, b=visit).compile(checkpointer=Records(), name="graph")
    config = {**traced.config, "configurable": {"thread_id": "t1"}}

    def consume():
        with probe("consumer"):
            pass
        graph.get_state(config)

    async def main():
        if how == "ainvoke":
            await graph.ainvoke({"seen": []}, config)
        else:
            async for _ in graph.astream({"seen": []}, config):
                consume()

    if how.startswith("a"):
        asyncio.run(main())
    elif how == "invoke":
        graph.invoke({"seen": []}, config)
    else:
        for _ in graph.stream({"seen": []}, config):
            consume()
            thread = threading.Thread(target=copy_context().run, args=(consume,))
            thread.start()
            thread.join()
    reads, consumers = traced.probes("read"), traced.probes("consumer")
    assert set(reads) == ({"graph", None} if "stream" in how else {"graph"})
    assert reads.count("graph") == 1
    assert set(traced.probes("write")) == {"graph"}
    assert len(traced.probes("write")) >= 4
    assert set(consumers) == ({None} if "stream" in how else set())
    assert traced.probes() == ["a", "b"]


def test_a_checkpointer_of_a_graph_in_a_node_or_a_chain_writes_in_its_own_graph(traced):
    inner = line(c=visit).compile(checkpointer=Records(), name="inner")

    def node(state):
        inner.invoke({"seen": []}, {"configurable": {"thread_id": "t2"}})
        for _ in inner.stream({"seen": []}, {"configurable": {"thread_id": "t3"}}):
            with probe("consumer"):
                pass
        return {"seen": []}

    outer = line(node=node).compile(name="outer")
    RunnableLambda(lambda x: outer.invoke({"seen": []}), name="around").invoke("x", traced.config)
    assert set(traced.probes("read")) == set(traced.probes("write")) == {"inner"}
    assert traced.probes("consumer") == ["node"]


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_nodes_trace_policy_says_what_is_recorded_of_it(traced, asynchronous):
    def fails(value):
        raise ValueError("no")

    policies = {
        "omitted": TracePolicy(process_inputs=omit_payload, process_outputs=omit_payload),
        "counted": TracePolicy(process_outputs=lambda value: {"seen": len(value["seen"])}),
        "failing": TracePolicy(process_outputs=fails),
        "plain": TracePolicy(),
    }
    graph, before = StateGraph(State), START
    for name, policy in policies.items():
        graph.add_node(name, avisit if asynchronous else visit, trace_policy=policy)
        graph.add_edge(before, name)
        before = name
    if asynchronous:
        asyncio.run(graph.compile().ainvoke({"seen": ["x"]}, traced.config))
    else:
        graph.compile().invoke({"seen": ["x"]}, traced.config)
    traced.flush()
    seen = {name: traced.memory.visible(name) for name in policies}
    assert (seen["omitted"].input, seen["omitted"].output) == ({}, {})
    assert (seen["counted"].input, seen["counted"].output) == ({"seen": ["x", 1]}, {"seen": 1})
    assert not seen["failing"].output
    assert seen["plain"].output == {"seen": [1]}


def test_a_subgraph_nests_in_its_node_and_spans_in_theirs(traced):
    inner = line(a=visit).compile(name="inner")
    line(first=visit, sub=inner).compile(name="outer").invoke({"seen": []}, traced.config)
    assert traced.tree() == ["chain:outer", "  chain:first", "  chain:sub", "    chain:inner", "      chain:a"]
    assert traced.probes() == ["a", "first"]
    assert traced.memory.step("a").graph["node"] == "a"
    assert traced.memory.step("first").graph["step"] == 1


def test_fan_out_puts_each_span_into_its_own_branch(traced):
    graph = StateGraph(State)
    graph.add_node("plan", lambda s: {"seen": []})
    graph.add_node("work", avisit)
    graph.add_edge(START, "plan")
    graph.add_conditional_edges("plan", lambda s: [Send("work", {"seen": []}) for _ in range(4)], ["work"])
    asyncio.run(graph.compile().ainvoke({"seen": []}, traced.config))
    traced.flush()
    work = {s.span_id for s in traced.memory.steps if s.name == "work"}
    assert {e.span.parent.span_id for e in traced.memory.spans if e.step is None} == work
    assert len(work) == 4


def test_an_interrupt_is_no_error_and_the_resumed_run_links_to_it(traced):
    def ask(state):
        return {"seen": [interrupt("sure?")]}

    graph = line(before=visit, sub=line(ask=ask).compile()).compile(checkpointer=InMemorySaver(), name="hitl")
    config = {**traced.config, "configurable": {"thread_id": "t1"}}
    graph.invoke({"seen": []}, config)
    graph.invoke(Command(resume="yes"), config)
    traced.flush()
    first, second = (s for s in traced.memory.steps if s.name == "hitl")
    interrupted = [s for s in traced.memory.steps if s.outcome == "interrupted"]
    assert [s.name for s in interrupted] == ["ask", "LangGraph", "sub"]
    assert not first.links
    assert [link.context.span_id for link in second.links] == [s.span_id for s in (*interrupted, first)]
    assert all(s.outcome == "ok" for s in (first, second))
    assert all(s.identity.session_id == "t1" for s in traced.memory.steps)


def test_a_run_resumed_after_a_breakpoint_links_to_the_run_that_stopped_there(traced):
    graph = line(a=visit, b=visit).compile(checkpointer=InMemorySaver(), interrupt_before=["b"], name="graph")
    config = {**traced.config, "configurable": {"thread_id": "t1"}}
    graph.invoke({"seen": []}, config)
    graph.invoke(None, config)
    traced.flush()
    first, second = (s for s in traced.memory.steps if s.name == "graph")
    assert [link.context.span_id for link in second.links] == [first.span_id]


def test_a_chain_around_a_graph_on_the_same_thread_leaves_its_links_alone(traced):
    graph = line(ask=lambda s: {"seen": [interrupt("?")]}).compile(checkpointer=InMemorySaver(), name="hitl")
    ask = RunnableLambda(lambda x: (Chat().invoke("x"), graph.invoke(x))[1], name="around")
    config = {**traced.config, "configurable": {"thread_id": "t1"}, "metadata": {"thread_id": "t1"}}
    ask.invoke({"seen": []}, config)
    ask.invoke(Command(resume="yes"), config)
    ask.with_config(run_name="without input").invoke(None, config)
    traced.flush()
    names = {s.span_id: s.name for s in traced.memory.steps}
    links = [(s.name, [names[link.context.span_id] for link in s.links]) for s in traced.memory.steps if s.links]
    assert links[0] == ("hitl", ["ask", "hitl"])
    assert "without input" not in dict(links)


def test_a_new_question_on_an_interrupted_thread_links_to_nothing(traced):
    graph = line(ask=lambda s: {"seen": [interrupt("?")]}).compile(checkpointer=InMemorySaver(), name="hitl")
    config = {**traced.config, "configurable": {"thread_id": "t1"}}
    graph.invoke({"seen": []}, config)
    graph.invoke({"seen": []}, config)
    traced.flush()
    assert not [s for s in traced.memory.steps if s.links]


def test_a_handoff_is_no_error(traced):
    @tool
    def ask_bob() -> Command:
        """Hand over to Bob."""
        return Command(goto="bob", graph=Command.PARENT, update={"messages": []})

    alice = create_agent(Chat(answers=[call("ask_bob")]), [ask_bob], name="alice")
    bob = create_agent(Chat(answers=[AIMessage("hello")]), [], name="bob")
    graph = StateGraph(MessagesState)
    graph.add_node("alice", alice, destinations=("bob",))
    graph.add_node("bob", bob)
    graph.add_edge(START, "alice")
    graph.compile().invoke({"messages": [("user", "x")]}, traced.config)
    traced.flush()
    assert {s.name for s in traced.memory.steps if s.outcome == "handoff"} == {"alice", "tools"}
    assert not [s for s in traced.memory.steps if s.outcome == "error"]
    assert [s.agent_name for s in traced.memory.steps if s.kind == "agent"] == ["alice", "bob"]


def test_a_node_that_is_retried_is_a_step_an_attempt(traced):
    tries = []

    def flaky(state):
        tries.append(1)
        if len(tries) == 1:
            raise ConnectionError("down")
        return {"seen": []}

    graph = StateGraph(State)
    policy = RetryPolicy(initial_interval=0.001, retry_on=ConnectionError)
    graph.add_node("flaky", flaky, retry_policy=policy)
    graph.add_edge(START, "flaky")
    graph.compile().invoke({"seen": []}, traced.config)
    traced.flush()
    assert [str(s.outcome) for s in traced.memory.steps if s.name == "flaky"] == ["error", "ok"]


def test_a_node_that_times_out_takes_what_runs_in_it_along(traced):
    @tool
    async def slow(q: str) -> str:
        """Never answer."""
        await asyncio.Event().wait()
        return q

    async def node(state):
        await slow.ainvoke({"q": "x"})

    graph = StateGraph(State)
    graph.add_node("node", node, timeout=0.05)
    graph.add_edge(START, "node")
    with pytest.raises(NodeTimeoutError):
        asyncio.run(graph.compile().ainvoke({"seen": []}, traced.config))
    outcomes = traced.outcomes()
    assert outcomes["slow"] == "cancelled"
    assert outcomes["LangGraph"] == "error"


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_graph_stream_that_is_left_is_abandoned(traced, asynchronous):
    graph = line(a=avisit if asynchronous else visit, b=avisit if asynchronous else visit).compile(name="graph")

    async def main():
        stream = graph.astream({"seen": []}, traced.config)
        async for _ in stream:
            break
        await stream.aclose()

    if asynchronous:
        asyncio.run(main())
    else:
        stream = graph.stream({"seen": []}, traced.config)
        next(stream)
        stream.close()
    assert traced.outcomes()["graph"] == "abandoned"


@pytest.mark.parametrize("mode", ["values", "updates", "messages", "debug", ["messages", "custom"]])
def test_every_stream_mode_gives_the_same_tree(traced, mode):
    agent = create_agent(Chat(answers=[call("search", q="z"), AIMessage("one two")]), [search], name="helper")
    list(agent.stream({"messages": [("user", "x")]}, traced.config, stream_mode=mode))
    assert traced.tree() == [
        "agent:helper",
        "  chain:model",
        "    llm:Chat",
        "  chain:tools",
        "    tool:search",
        "  chain:model",
        "    llm:Chat",
    ]
