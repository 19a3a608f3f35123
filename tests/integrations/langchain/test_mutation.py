"""What applications and frameworks change right after a callback does not change what was recorded."""

from __future__ import annotations

import copy
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langchain_core.documents import Document
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, LLMResult

from tests.integrations.langchain.fakes import Chat, call

texts = st.text("abc \n", max_size=6)
names = st.text("abc", min_size=1, max_size=3)
calls = st.builds(
    lambda name, args, n: {"name": name, "args": args, "id": f"c{n}", "type": "tool_call"},
    names, st.dictionaries(names, texts | st.integers(), max_size=2), st.integers(0, 9),
)  # fmt: skip
blocks = st.builds(lambda text: {"type": "text", "text": text}, texts)
answers = st.builds(
    AIMessage,
    texts | st.lists(blocks, min_size=1, max_size=3),
    tool_calls=st.lists(calls, max_size=2),
    name=st.none() | names,
)
messages = st.one_of(
    st.builds(HumanMessage, texts),
    st.builds(SystemMessage, texts),
    answers,
    st.builds(lambda text: ToolMessage(text, tool_call_id="c1"), texts),
)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | texts | messages,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=4),
    max_leaves=12,
)
metadata = st.dictionaries(
    st.sampled_from(["user_id", "session_id", "tenant", "feature", "more"]),
    texts | st.lists(texts, max_size=2) | st.dictionaries(names, texts, max_size=2),
    max_size=4,
)


def spoil(value, levels=2):
    """Change `value` and each list and dict right inside it, as the code that runs after a callback may."""
    if isinstance(value, Document):  # as a reranker does
        spoil(value.metadata, 1)
        value.metadata["score"] = 0.1
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    if levels > 1:
        for item in tuple(inside):
            spoil(item, levels - 1)
    if isinstance(value, dict):
        for key in value:
            value[key] = "changed"
        value["added"] = "added"
    elif isinstance(value, list):
        value[:] = ["changed" for _ in value]
        value.append("added")


class Run:
    """One run by the handler's callbacks. With `spoiled`, whatever a callback was given is changed once it returns."""

    def __init__(self, traced, kind, spoiled, metadata=None, tags=()):
        self.traced, self.kind, self.spoiled, self.id = traced, kind, spoiled, uuid4()
        self.name = "spoiled" if spoiled else "left alone"
        self.metadata, self.tags = copy.deepcopy(metadata or {}), list(tags)

    def start(self, *given, serialized=None, **kwargs):
        given = copy.deepcopy(given)
        callback = getattr(self.traced.handler, f"on_{self.kind}_start")
        callback(serialized, *given, run_id=self.id, metadata=self.metadata, tags=self.tags, name=self.name, **kwargs)
        self._spoil(*given, self.metadata, self.tags, *kwargs.values())
        return self

    def end(self, given, kind=None):
        given = copy.deepcopy(given)
        getattr(self.traced.handler, f"on_{kind or self.kind}_end")(given, run_id=self.id)
        self._spoil(given)
        return given

    def _spoil(self, *given):
        if self.spoiled:
            for value in given:
                spoil(value)


def both(traced, kind, **about):
    traced.memory.spans.clear()
    return [Run(traced, kind, spoiled, **about) for spoiled in (False, True)]


def seen(traced):
    """The contents and identities of the two runs."""
    traced.flush()
    return [(traced.memory.visible(name), traced.memory.step(name).identity) for name in ("left alone", "spoiled")]


relaxed = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@relaxed
@given(inputs=values, outputs=values, metadata=metadata, tags=st.lists(names, max_size=3))
def test_a_chain_shows_what_went_in_and_out_before_anybody_changed_it(traced, inputs, outputs, metadata, tags):
    for run in both(traced, "chain", metadata=metadata, tags=tags):
        run.start(inputs).end(outputs)
    (alone, who), (spoiled, same_who) = seen(traced)
    assert (spoiled.input, spoiled.output) == (alone.input, alone.output)
    assert (same_who, spoiled.metadata) == (who, alone.metadata)


@relaxed
@given(said=st.lists(messages, min_size=1, max_size=5), answer=answers)
def test_a_model_shows_the_messages_and_the_answer_that_it_had(traced, said, answer):
    for run in both(traced, "chat_model"):
        run.start([said])
        result = run.end(LLMResult(generations=[[ChatGeneration(message=answer)]]), "llm")
        if run.spoiled:  # as an agent does with its model's answer, and a node that corrects it
            (generation,) = result.generations[0]
            spoil(generation.message.content)
            spoil(generation.message.tool_calls)
            generation.message.content, generation.message.name = "changed", "agent"
            result.generations[0].clear()
    (alone, _), (spoiled, _) = seen(traced)
    assert len(alone.input_messages) == len(said)
    assert (spoiled.input_messages, spoiled.output_messages) == (alone.input_messages, alone.output_messages)


@relaxed
@given(arguments=st.dictionaries(names, values, max_size=4), result=values)
def test_a_tool_shows_its_arguments_and_result(traced, arguments, result):
    for run in both(traced, "tool"):
        given = copy.deepcopy(arguments)
        run.start("…", serialized={"name": "search"}, inputs=given)
        run.end(result)
    (alone, _), (spoiled, _) = seen(traced)
    assert (spoiled.arguments, spoiled.result) == (alone.arguments, alone.result)


@relaxed
@given(st.lists(st.builds(Document, texts, metadata=st.dictionaries(names | st.just("score"), texts, max_size=2))))
def test_a_retriever_shows_its_documents_without_what_a_reranker_writes_on_them(traced, documents):
    for run in both(traced, "retriever"):
        run.start("q").end(documents)
    (alone, _), (spoiled, _) = seen(traced)
    assert len(alone.documents) == len(documents)
    assert spoiled.documents == alone.documents


@pytest.mark.parametrize("size", [64, 65, 1000])
def test_a_long_list_is_copied_and_looked_into_as_far_as_its_64th_item(traced, size):
    rows = [{"n": n} for n in range(size)]
    traced.handler.on_chain_start(None, rows, run_id=(run_id := uuid4()), name="rows")
    for row in rows[:64]:
        row["n"] = "changed"
    del rows[1:]
    traced.handler.on_chain_end(None, run_id=run_id)
    traced.flush()
    assert traced.memory.visible("rows").input == [{"n": n} for n in range(size)]


def test_a_graph_shows_the_state_that_each_node_was_given(traced):
    from langgraph.graph import START, StateGraph

    def first(state: dict) -> dict:
        state["notes"].append("of the first")
        state["facts"]["seen"] = True
        return {"notes": ["told"]}

    def second(state: dict) -> dict:
        return {"notes": [*state["notes"], "more"]}

    graph = StateGraph(dict)
    graph.add_node("first", first)
    graph.add_node("second", second)
    graph.add_edge(START, "first")
    graph.add_edge("first", "second")
    graph.compile().invoke({"notes": ["a"], "facts": {}}, traced.config)
    traced.flush()
    assert traced.memory.visible("first").input == {"notes": ["a"], "facts": {}}
    assert traced.memory.visible("second").input == {"notes": ["told"]}


def test_an_agents_model_answers_without_the_name_that_the_agent_gives_it_later(traced):
    from langchain.agents import create_agent

    agent = create_agent(Chat(answers=[AIMessage("done")]), [], name="helper")
    outcome = agent.invoke({"messages": [("user", "hi")]}, traced.config)
    traced.flush()
    assert outcome["messages"][-1].name == "helper"
    assert traced.memory.visible("Chat").output_messages[0].name is None


def test_what_a_node_makes_of_a_models_answer_is_its_own_output_and_not_the_models(traced):
    answer = call("search", q="x")
    traced.handler.on_chat_model_start({}, [[HumanMessage("hi")]], run_id=(run_id := uuid4()), name="model")
    traced.handler.on_llm_end(LLMResult(generations=[[ChatGeneration(message=answer)]]), run_id=run_id)
    answer.content = "rewritten"
    answer.tool_calls.clear()
    traced.flush()
    (said,) = traced.memory.visible("model").output_messages
    assert [part.name for part in said.parts] == ["search"]
