"""Whatever is changed right after a callback has returned, what was told is what is recorded."""

from __future__ import annotations

import copy
import gc
import inspect
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from llama_index.core.agent.workflow.workflow_events import AgentInput, ToolCall
from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    CompletionResponse,
    MessageRole,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
)
from llama_index.core.base.response.schema import Response
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.postprocessor import LLMRerank
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.schema import Document, Node, NodeWithScore, QueryBundle, TextNode
from llama_index.core.tools import FunctionTool, ToolOutput
from llama_index.core.workflow import Event, StartEvent, StopEvent, Workflow, step
from pydantic import BaseModel
from spanloom.content.visible import Visible
from spanloom.destinations.destination import visible
from spanloom.destinations.weight import weight_of
from spanloom_llama_index import translate
from spanloom_llama_index.snapshots import said

from tests.integrations.llama_index.fakes import Completing, FakeLLM, Shelf, add, embedding, raw, says

dispatcher = get_dispatcher(__name__)

SPOILT = "changed afterwards"


def spoil(value: Any, seen: set[int] | None = None) -> None:
    """Change everything in `value` that can be changed in place."""
    seen = set() if seen is None else seen
    if id(value) in seen:
        return
    seen.add(id(value))
    if isinstance(value, dict):
        for item in tuple(value.values()):
            spoil(item, seen)
        value.clear()
        value[SPOILT] = SPOILT
    elif isinstance(value, (list, tuple)):
        for item in value:
            spoil(item, seen)
        if isinstance(value, list):
            value[:] = [SPOILT]
    elif isinstance(value, BaseModel):
        for fields in (vars(value), value.__pydantic_private__ or {}):
            for name, item in fields.items():
                spoil(item, seen)
                if isinstance(item, str):
                    fields[name] = MessageRole.SYSTEM if isinstance(item, MessageRole) else SPOILT
                elif isinstance(item, float):
                    fields[name] = -1.0
                elif isinstance(item, list):
                    fields[name] = []
                elif item is None:
                    continue
    elif hasattr(value, "__dict__") and isinstance(value, (QueryBundle, Response)):
        for name, item in vars(value).items():
            spoil(item, seen)
            setattr(value, name, SPOILT)


ATOMS = st.none() | st.booleans() | st.integers(-9, 9) | st.floats(0, 1) | st.text("abc", max_size=5)
KEYS = st.text("abcd", min_size=1, max_size=3)
KWARGS = st.dictionaries(
    KEYS, ATOMS | st.lists(ATOMS, max_size=3) | st.dictionaries(KEYS, ATOMS, max_size=2), max_size=3
)
TEXTS = st.text("abc ", min_size=1, max_size=8)
BLOCKS = st.one_of(
    st.builds(TextBlock, text=TEXTS),
    st.builds(ThinkingBlock, content=TEXTS),
    st.builds(ToolCallBlock, tool_call_id=st.just("c1"), tool_name=KEYS, tool_kwargs=KWARGS | st.just('{"a": 1}')),
)
EXTRA = st.one_of(
    st.just({}),
    st.just({"tool_call_id": "c1", "name": "add"}),
    st.builds(
        lambda name, given: {"tool_calls": [{"id": "c2", "function": {"name": name, "arguments": given}}]}, KEYS, KWARGS
    ),
)
MESSAGES = st.builds(
    lambda role, blocks, extra: ChatMessage(role=role, blocks=blocks, additional_kwargs=extra),
    st.sampled_from(["user", "assistant", "system", "tool"]),
    st.lists(BLOCKS, min_size=1, max_size=3),
    EXTRA,
)
NODES = st.builds(
    lambda kind, text, metadata, score: NodeWithScore(node=kind(text, metadata), score=score),
    st.sampled_from(
        [
            lambda text, metadata: TextNode(text=text, metadata=metadata, id_="n"),
            lambda text, metadata: Node(text_resource={"text": text}, metadata=metadata, id_="n"),
            lambda text, metadata: Document(text=text, metadata=metadata, id_="n"),
        ]
    ),
    TEXTS,
    KWARGS,
    st.floats(0, 1),
)
QUERIES = st.builds(QueryBundle, query_str=TEXTS)
OBJECTS = st.one_of(
    MESSAGES,
    NODES,
    NODES.map(lambda found: found.node),
    QUERIES,
    st.builds(Response, TEXTS),
    MESSAGES.map(lambda message: ChatResponse(message=message)),
    st.builds(lambda name, kwargs: ToolCall(tool_name=name, tool_kwargs=kwargs, tool_id="c"), KEYS, KWARGS),
)
ANYTHING = st.recursive(
    ATOMS | OBJECTS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(KEYS, inner, max_size=4)
        | st.lists(inner, max_size=3).map(tuple)
        | st.builds(lambda one, other: Event(one=one, other=other), inner, inner)
    ),
    max_leaves=12,
)


class Steps(Workflow):
    @step
    async def only(self, ev: StartEvent) -> StopEvent:
        return StopEvent(result=ev)


Call = tuple[Any, str, tuple[Any, ...], dict[str, Any], Any]
"""An instance, its method, what that is called with, and what it returns."""

CALLS: st.SearchStrategy[Call] = st.one_of(
    st.builds(
        lambda kwargs, result: (FunctionTool.from_defaults(add), "call", (), kwargs, result),
        st.dictionaries(KEYS, ANYTHING, max_size=3),
        ANYTHING | ANYTHING.map(lambda v: ToolOutput(content="said", tool_name="add", raw_input={}, raw_output=v)),
    ),
    st.builds(
        lambda messages, answer: (
            FakeLLM(),
            "chat",
            (messages,),
            {},
            ChatResponse(message=answer, raw=raw(says("x"))),
        ),
        st.lists(MESSAGES, max_size=4),
        MESSAGES,
    ),
    st.builds(
        lambda prompt, answer: (Completing(), "complete", (prompt,), {}, CompletionResponse(text=answer)), TEXTS, TEXTS
    ),
    st.builds(lambda query, found: (Shelf(), "retrieve", (query,), {}, found), QUERIES, st.lists(NODES, max_size=3)),
    st.builds(
        lambda query, nodes, found: (LLMRerank(llm=FakeLLM()), "postprocess_nodes", (nodes, query), {}, found),
        QUERIES,
        st.lists(NODES, max_size=3),
        st.lists(NODES, max_size=3),
    ),
    st.builds(
        lambda query, said: (RetrieverQueryEngine.from_args(Shelf(), llm=FakeLLM()), "query", (query,), {}, said),
        QUERIES,
        ANYTHING | st.builds(Response, TEXTS),
    ),
    st.builds(
        lambda texts: (embedding(), "get_text_embedding_batch", (texts,), {}, [[0.1] * 4]), st.lists(TEXTS, min_size=1)
    ),
)


def told(traced: Any, call: Call, after: Callable[[Any], None], tags: dict[str, Any]) -> Visible:
    """What is recorded of `call`, where `after` is done to everything once each callback has returned."""
    tell(call, after, tags)
    return shown(traced)


def tell(call: Call, after: Callable[[Any], None], tags: dict[str, Any]) -> None:
    instance, method, args, kwargs, result = call
    span_id = f"{type(instance).__name__}.{method}-{uuid.uuid4()}"
    bound = inspect.signature(getattr(instance, method)).bind(*args, **kwargs)
    dispatcher.span_enter(id_=span_id, bound_args=bound, instance=instance, parent_id=None, tags=tags)
    after((args, kwargs, tags))
    dispatcher.span_exit(id_=span_id, bound_args=bound, instance=instance, result=result)
    after(result)


def shown(traced: Any) -> Visible:
    traced.flush()
    (ended,) = traced.memory.spans
    traced.memory.spans.clear()
    return visible(ended, traced.memory.content)


def nothing(_: Any) -> None:
    pass


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(call=CALLS, tags=st.dictionaries(KEYS, st.recursive(ATOMS, st.lists, max_leaves=3), max_size=2))
def test_what_was_told_is_recorded_whatever_is_changed_after_a_callback(traced: Any, call: Call, tags: Any) -> None:
    instance, method, *given_and_made = call
    undisturbed: Any = (instance, method, *copy.deepcopy(given_and_made))
    assert told(traced, call, spoil, copy.deepcopy(tags)) == told(traced, undisturbed, nothing, tags)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    event=st.one_of(
        st.builds(lambda fields: Event(**fields), st.dictionaries(KEYS, ANYTHING, max_size=3)),
        st.builds(lambda chat: AgentInput(input=chat, current_agent_name="clerk"), st.lists(MESSAGES, max_size=3)),
    )
)
def test_so_it_is_with_a_workflows_events(traced: Any, event: Event) -> None:
    def run(event: Event, after: Callable[[Any], None]) -> tuple[Visible, Visible]:
        workflow = Steps()
        ids = [f"{name}-{uuid.uuid4()}" for name in ("Steps.run", "Steps.only")]
        around = inspect.signature(lambda **kwargs: None).bind(init_state=None, start_event=event)
        around.arguments = {"init_state": None, "start_event": event}
        within = inspect.signature(lambda ev: None).bind(event)
        dispatcher.span_enter(id_=ids[0], bound_args=around, instance=workflow, parent_id=None)
        dispatcher.span_enter(id_=ids[1], bound_args=within, instance=None, parent_id=ids[0])
        after(event)
        dispatcher.span_exit(id_=ids[1], bound_args=within, instance=None, result=event)
        dispatcher.span_exit(id_=ids[0], bound_args=around, instance=workflow, result=StopEvent(result=event))
        after(event)
        traced.flush()
        inner, outer = traced.memory.spans
        traced.memory.spans.clear()
        return visible(inner, traced.memory.content), visible(outer, traced.memory.content)

    undisturbed = copy.deepcopy(event)
    (inner, outer), (inner_alone, outer_alone) = run(event, spoil), run(undisturbed, nothing)
    assert (inner.input, outer.input) == (inner_alone.input, outer_alone.input)
    assert SPOILT in str(inner.output) or inner.output == inner_alone.output


def test_a_longer_list_is_copied_though_only_its_first_items_are_looked_into(traced: Any) -> None:
    many = [[n] for n in range(100)]

    def after(_: Any) -> None:
        for item in many[:64]:
            item.clear()
        many.clear()

    shown = told(traced, (FunctionTool.from_defaults(add), "call", (), {"many": many}, None), after, {})
    assert shown.arguments == {"many": [[n] for n in range(100)]}


def test_cycles_and_what_stands_in_two_places_stay_what_they_are(traced: Any) -> None:
    cycle: dict[str, Any] = {"twice": ["x"]}
    cycle |= {"again": cycle["twice"], "self": cycle}
    shown = told(traced, (FunctionTool.from_defaults(add), "call", (), {"a": cycle}, None), spoil, {})
    assert shown.arguments == {"a": {"twice": ["x"], "again": ["x"], "self": "<circular>"}}


LONG = "x" * 50_000
FOUND = [NodeWithScore(node=TextNode(text=LONG), score=0.5)]


@pytest.mark.parametrize(
    ("call", "texts"),
    [
        ((FakeLLM(), "chat", ([ChatMessage(LONG)],), {}, ChatResponse(message=ChatMessage(LONG), raw=None)), 2),
        ((FakeLLM(), "chat", ([ChatMessage(blocks=[TextBlock(text=LONG)] * 2)],), {}, None), 2),
        ((Shelf(), "retrieve", ("what?",), {}, FOUND), 1),
        ((RetrieverQueryEngine.from_args(Shelf(), llm=FakeLLM()), "query", (LONG,), {}, Response(LONG)), 2),
        ((FunctionTool.from_defaults(add), "call", (), {"a": LONG}, ToolOutput("add", LONG, raw_input={})), 2),
    ],
    ids=["a chat", "blocks", "nodes", "a query", "a tool"],
)
def test_what_is_held_is_weighed_with_its_texts(traced: Any, call: Call, texts: int) -> None:
    tell(call, nothing, {})
    traced.flush()
    (ended,) = traced.memory.spans
    assert texts * len(LONG) <= weight_of(ended) <= texts * len(LONG) + 10_000


# ---------------------------------------------------------------- messages that come again
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(chat=st.lists(MESSAGES, min_size=1, max_size=4), changed=st.sets(st.integers(0, 3)))
def test_a_message_that_is_sent_again_is_read_anew_only_where_it_has_changed(
    traced: Any, chat: list[ChatMessage], changed: set[int]
) -> None:
    first = translate.messages(said(chat))
    assert translate.messages(said(chat))[0] is first[0]
    for n, message in enumerate(chat):
        if n in changed:
            spoil(message)
    again = translate.messages(said(chat))
    assert again == translate.messages(said(copy.deepcopy(chat)))
    assert [n for n, message in enumerate(again) if message is not first[n]] == [
        n for n in range(len(chat)) if n in changed
    ]


def test_the_same_messages_are_the_same_records_in_the_next_step(traced: Any) -> None:
    history = [ChatMessage(role="system", content="be brief"), ChatMessage("hi")]
    FakeLLM().chat(history)
    FakeLLM().chat([*history, ChatMessage("more")])
    traced.flush()
    one, two = (e.step.content.input_messages.resolve() for e in traced.memory.spans)
    assert all(a is b for a, b in zip(one, two, strict=False))
    assert len(two) == 3


def test_nothing_is_kept_of_a_message_that_is_gone() -> None:
    before = len(translate._read)
    chat = [ChatMessage("hi"), ChatMessage(role="assistant", content="hello")]
    translate.messages(said(chat))
    assert len(translate._read) == before + 2
    del chat
    gc.collect()
    assert len(translate._read) == before


@pytest.mark.parametrize("given", ["text", {"role": "user"}, None, 3])
def test_what_is_no_message_is_read_as_a_users_text(given: Any) -> None:
    (message,) = translate.messages(said([given]))
    assert message.role == "user"
