"""What a worker reads once for all spans of a batch is what it would read for each of them alone."""

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings
from langchain_core.documents import Document
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from spanloom import ContentPolicy, actions
from spanloom.content.acting import Situation
from spanloom.content.batch import COPYING, together
from spanloom.content.plain import plain
from spanloom.content.read import Reading
from spanloom.identity import Identity
from spanloom.step import Content, Deferred, Kind
from spanloom_langchain.documents import documents_of
from spanloom_langchain.messages import messages_of
from spanloom_langchain.snapshots import hold_documents
from spanloom_langchain.values import value_of

TRACE = 0x5EED_0000_0000_0000_0000_0000_0000_0001
SAID = [
    "Why is it slow?",
    "write to anna@example.com or bernd@example.com, please",
    "call +49 30 901820 about <EMAIL_1>",
    "password: hunter2hunter2",
    "x" * 700,
    "",
    "naïve \ud800 text",
]
texts = st.sampled_from(SAID)
WHO = Identity(user_id="anna@example.com", tags=("a",), metadata={"password": {"x": 1}, "note": SAID[1]})


def documents():
    metadata = st.dictionaries(
        st.sampled_from(["source", "password", "embedding", "anna@example.com", "score"]),
        st.one_of(texts, st.integers(), st.floats(), st.lists(st.floats(), max_size=3), st.none()),
        max_size=3,
    )
    return st.builds(lambda text, more: Document(text, metadata=more), texts, metadata)


def messages():
    call = {"name": "find", "args": {"who": SAID[1], "token": 7}, "id": "1", "type": "tool_call"}
    return st.one_of(
        st.builds(HumanMessage, texts),
        st.builds(lambda text, calls: AIMessage(text, tool_calls=[call] * calls), texts, st.integers(0, 2)),
        st.builds(
            lambda text: AIMessage([{"type": "thinking", "thinking": text}, {"type": "text", "text": text}]), texts
        ),
        st.builds(lambda text: ToolMessage(text, tool_call_id="1"), texts),
    )


@st.composite
def inputs(draw):
    """Inputs of several spans that hold the same objects, at any depth, and some of which hold themselves."""
    shared = draw(st.lists(st.one_of(documents(), messages()), min_size=1, max_size=4))
    for thing in shared:
        if isinstance(thing, Document) and draw(st.integers(0, 5)) == 0:
            thing.metadata["other"] = draw(st.sampled_from(shared))  # itself, maybe
    leaf = st.one_of(st.sampled_from(shared), st.sampled_from(shared), texts, st.just(shared), st.integers())
    keys = st.sampled_from(["messages", "role", "content", "vector", "password", "context"])
    value = st.recursive(
        leaf,
        lambda inner: st.one_of(
            st.lists(inner, max_size=4),
            st.tuples(inner, inner),
            st.dictionaries(keys, inner, max_size=3),
            st.builds(_deep, inner, st.integers(1, 15)),
        ),
        max_leaves=12,
    )
    return shared, draw(st.lists(value, min_size=2, max_size=5))


def _deep(value, levels):
    for _ in range(levels):
        value = {"in": value}
    return value


def shown(value, shared, policy, kind):
    content = Content(
        input=Deferred(value_of, (value,)),
        output=Deferred(value_of, (value,)),
        arguments=Deferred(value_of, (value,)),
        input_messages=Deferred(messages_of, ([m for m in shared if not isinstance(m, Document)],)),
        documents=Deferred(documents_of, (hold_documents([d for d in shared if isinstance(d, Document)]),)),
    )
    at = Situation(TRACE, 1, kind, WHO)
    return repr(policy.fitted(policy.apply(Reading(content, WHO), at)))


POLICIES = [
    ContentPolicy.redacted(),
    ContentPolicy.redacted().replace(attribute_bytes=1_500),
    ContentPolicy.redacted().replace(documents=actions.drop, reasoning=actions.drop, user_prompt=actions.hash()),
    ContentPolicy.redacted().replace(completion=[actions.redact("EMAIL"), actions.truncate(20)]),
    ContentPolicy.full().replace(tool_arguments=actions.custom(lambda v: {"all": v})),
    ContentPolicy.hashed("key"),
]


@given(inputs(), st.sampled_from(POLICIES), st.sampled_from([Kind.CHAIN, Kind.PROMPT, Kind.RERANKER]))
@settings(max_examples=80, deadline=None)
def test_spans_of_one_batch_show_what_each_shows_alone(given_, policy, kind):
    shared, values = given_
    alone = [shown(value, shared, policy, kind) for value in values]
    with together():
        at_once = [shown(value, shared, policy, kind) for value in values]
    assert at_once == alone


@given(inputs())
@settings(max_examples=80, deadline=None)
def test_values_of_one_batch_read_as_each_reads_alone(given_):
    _, values = given_
    alone = [repr(value_of(value)) for value in values]
    with together():
        assert [repr(value_of(value)) for value in values] == alone


def test_policies_and_traces_stay_apart_in_one_batch():
    message = HumanMessage("write to anna@example.com or bernd@example.com, please")
    redacted, full = ContentPolicy.redacted(), ContentPolicy.full()

    def said(policy, trace_id, *before):
        reading = Reading(Content(input=Deferred(value_of, ([*before, message],))), WHO)
        return policy.apply(reading, Situation(trace_id, 1, Kind.CHAIN)).input

    with together():
        for _ in range(2):
            assert said(full, TRACE) == [{"role": "user", "content": message.content}]
            assert said(redacted, TRACE + 1) == [{"role": "user", "content": "write to <EMAIL_1> or <EMAIL_2>, please"}]
        other = said(redacted, TRACE + 2, HumanMessage("to bernd@example.com"))
    assert [m["content"] for m in other] == ["to <EMAIL_1>", "write to <EMAIL_2> or <EMAIL_1>, please"]


@pytest.mark.parametrize("copies", [1, 3, 30])
def test_the_same_document_many_times_stays_within_the_bounds_of_one_reading(copies):
    large = Document("text", metadata={str(n): [n, n] for n in range(1_500)})
    alone = value_of([large] * copies)
    with together():
        value_of([large])
        at_once = value_of([large] * copies)
    assert at_once == alone
    assert ("<more left out>" in repr(alone)) is (copies == 30)


@pytest.mark.parametrize("levels", range(9, 18))
def test_a_document_at_any_depth_is_cut_where_it_would_be(levels):
    document = Document("text", metadata={"a": {"b": {"c": ["d"]}}})
    alone = repr(value_of(_deep(document, levels)))
    with together():
        value_of(document)
        assert repr(value_of(_deep(document, levels))) == alone


def test_what_holds_itself_is_read_as_it_is_read_alone():
    first, second = Document("first"), Document("second")
    first.metadata["next"], second.metadata["next"] = second, first
    alone = [repr(value_of(d)) for d in (first, second, first)]
    with together():
        assert [repr(value_of(d)) for d in (first, second, first)] == alone
    assert alone[0] != alone[1]


def test_nothing_is_held_once_the_batch_is_over():
    with together():
        plain({"a": [1]}, lambda value: value)
        assert COPYING.batch is not None
    assert COPYING.batch is None
