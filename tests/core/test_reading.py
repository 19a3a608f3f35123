"""Content is read where a policy shows it, once, and given back as it was where nothing is done to it."""

import hashlib
import json

import pytest
import spanloom
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.sdk.trace import TracerProvider
from spanloom import ContentPolicy, actions
from spanloom.content import Category
from spanloom.content.acting import Situation
from spanloom.content.application import Application
from spanloom.content.budget import _bytes, _cost, _most, fit
from spanloom.content.digest import canonical_messages
from spanloom.content.marked import Marked
from spanloom.content.plain import makes_plain, plain
from spanloom.content.read import Reading, _is_plain, _plain_message, read
from spanloom.destinations.seen import seen
from spanloom.identity import NOBODY
from spanloom.step import (
    Content,
    Deferred,
    Document,
    Media,
    Message,
    OtherPart,
    Reasoning,
    Text,
    ToolCall,
    ToolCallResponse,
    ToolDefinition,
)
from spanloom.testing import Memory, strict

texts = st.text(max_size=30) | st.sampled_from(["ann@example.com", "call +49 171 2345678", 'a\nb"\\', "é日\u2028\x1f"])
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)
parts = (
    st.builds(Text, texts)
    | st.builds(Reasoning, texts)
    | st.builds(ToolCall, texts, values, st.none() | texts)
    | st.builds(ToolCallResponse, values, st.none() | texts)
    | st.builds(OtherPart, texts, values)
    | st.builds(Media, st.sampled_from(["image", "file"]), st.none() | texts, st.none() | texts)
)
roles = st.sampled_from(["system", "user", "assistant", "tool", "critic"])
messages = st.builds(Message, roles, st.lists(parts, max_size=4).map(tuple), st.none() | texts, st.none() | texts)


def asked_for(policy, **fields):
    """The fields that are read where `policy` is applied to content that has these."""
    asked = []

    def build(name, value):
        asked.append(name)
        return value

    content = Content(**{name: Deferred(build, (name, value)) for name, value in fields.items()})
    policy.apply(Reading(content, NOBODY), Situation())
    return asked


GIVEN = {
    "input": "i", "output": "o", "arguments": {"a": 1}, "result": "r", "query": "q", "documents": (Document("d"),),
    "prompt_variables": {"v": 1}, "error_message": "e", "error_stack": "s",
    "tool_definitions": (ToolDefinition("t", "d"),),
    "input_messages": (Message("user", (Text("u"),)),), "output_messages": (Message("assistant", (Text("a"),)),),
}  # fmt: skip


def test_what_a_policy_drops_is_never_read():
    assert asked_for(ContentPolicy.none(), **GIVEN) == []
    assert set(asked_for(ContentPolicy.hashed(), **GIVEN)) == {"input_messages", "output_messages"}
    shown = ContentPolicy.none().replace(documents=actions.keep)
    assert asked_for(shown, **GIVEN) == ["documents"]
    assert sorted(asked_for(ContentPolicy.full(), **GIVEN)) == sorted(GIVEN)


def test_each_field_is_read_once_for_all_destinations():
    read_before = []

    def build():
        read_before.append(1)
        return "said"

    memory = Memory()
    with strict(), spanloom.configure(memory, tracer_provider=TracerProvider(shutdown_on_exit=False)) as loom:
        step = spanloom.step.Step("1", spanloom.step.Kind.CHAIN, "c")
        step.content.input = Deferred(build)
        loom.recorder.open(step)
        loom.recorder.close("1")
        assert loom.flush()
        (ended,) = memory.spans
        for policy in (ContentPolicy.none(), ContentPolicy.hashed(), ContentPolicy.redacted(), ContentPolicy.full()):
            seen(ended, policy)
    assert read_before == [1]


def test_a_field_that_cannot_be_read_costs_no_other():
    def fails():
        raise ValueError("no")

    step = Content(input=Deferred(fails), output="kept", output_messages=(Message("assistant", (Text("kept"),)),))
    shown = ContentPolicy.full().apply(Reading(step, NOBODY), Situation())
    assert (shown.input, shown.output) == (None, "kept")
    assert shown.completion_hash == hashlib.sha256(b"kept").hexdigest()


def test_what_an_adapter_has_made_plain_is_not_read_again():
    @makes_plain
    def build():
        return value

    value = {"content": Marked(Category.USER_PROMPT, "hi")}
    assert read(Content(input=Deferred(build)), NOBODY).input is value


@given(st.lists(messages, max_size=5).map(tuple))
@settings(deadline=None)
def test_a_conversation_is_read_hashed_and_shown_alike_however_often_it_comes(said):
    again = tuple(Message(m.role, m.parts, m.name, m.finish_reason) for m in said)
    first = read(Content(input_messages=said), NOBODY)
    for _ in range(2):
        second = read(Content(input_messages=said), NOBODY)
        assert second == first
        assert all(a is b for a, b in zip(second.input_messages, first.input_messages, strict=True))
    fresh = read(Content(input_messages=again), NOBODY)
    assert (fresh.input_messages, fresh.prompt_hash) == (first.input_messages, first.prompt_hash)
    for policy in (ContentPolicy.none(), ContentPolicy.redacted(), ContentPolicy.full(), HASHING):
        for trace_id in (0xE1, 0xE2, 0xE1):
            at = Situation(trace_id)
            assert policy.apply(first, at).input_messages == Application(policy.chain, at).messages(
                fresh.input_messages
            )


HASHING = ContentPolicy.redacted().replace(user_prompt=actions.hash("k"), reasoning=actions.drop)


@given(st.lists(messages, min_size=2, max_size=4).map(tuple))
@settings(deadline=None)
def test_the_canonical_text_of_a_conversation_is_its_json(said):
    said = read(Content(input_messages=said), NOBODY).input_messages
    whole = [[m.role, *map(canonical_part, m.parts)] for m in said]
    expected = json.dumps(whole, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    assert canonical_messages(said) == canonical_messages(said) == expected


@given(
    messages
    | st.builds(Message, roles, st.lists(st.builds(Text, texts) | st.builds(ToolCallResponse, texts)).map(tuple))
)
def test_a_message_that_is_plain_at_a_glance_is_what_reading_makes_of_it(message):
    if _is_plain(message):
        assert _plain_message(message) == message


def canonical_part(part):
    match part:
        case Text(content):
            return ["text", content]
        case Reasoning(content):
            return ["reasoning", content]
        case ToolCall(name, arguments):
            return ["tool_call", name, arguments]
        case ToolCallResponse(response):
            return ["tool_call_response", response]
        case OtherPart(type, value):
            return [type, value]
    return [part.modality, part.mime_type, part.uri, part.file_id, part.size]


def test_a_message_of_which_nothing_is_changed_is_the_message_itself():
    bare, named = Message("user", (Text("hi"),)), Message("user", (Text("I am ann@example.com"),))
    content = read(Content(input_messages=(bare, named)), NOBODY)
    for policy in (ContentPolicy.full(), ContentPolicy.redacted()):
        assert policy.apply(content, Situation(0xF1)).input_messages[0] is bare
    first, second = (ContentPolicy.redacted().apply(content, Situation(t)).input_messages[1] for t in (0xF2, 0xF3))
    assert first.parts == second.parts == (Text("I am <EMAIL_1>"),)


def test_a_message_keeps_the_number_that_its_values_have_in_each_trace():
    policy, said = ContentPolicy.redacted(), Message("user", (Text("to bob@example.com"),))
    content = read(Content(input_messages=(said,)), NOBODY)
    for trace_id, before in ((0xF5, ["ann@example.com"]), (0xF6, []), (0xF5, [])):
        at = Situation(trace_id)
        for text in before:
            actions.redact()(text, at)
        shown = policy.apply(content, at).input_messages[0].parts[0].content
        assert shown == ("to <EMAIL_2>" if trace_id == 0xF5 else "to <EMAIL_1>")


@pytest.mark.parametrize(
    "action",
    [actions.custom(str.upper), actions.sample(0.5), actions.truncate(1)],
    ids=["custom", "sample", "truncate"],
)
def test_what_may_change_is_decided_each_time(action):
    policy = ContentPolicy.full().replace(user_prompt=action)
    said = Message("user", (Text("abc"),))
    content = read(Content(input_messages=(said,)), NOBODY)
    for trace_id in (2**56 - 1, 1):
        at, other = Situation(trace_id), Situation(trace_id)
        assert policy.apply(content, at).input_messages == Application(policy.chain, other).messages((said,))
        assert at.cut == other.cut


def test_what_could_not_be_decided_on_is_tried_again():
    class Fails:
        fails = True

        def find(self, text):
            if self.fails:
                raise ValueError
            return ()

    redactor = Fails()
    policy = ContentPolicy.none().replace(user_prompt=actions.redact(redactor=redactor))
    content = read(Content(input_messages=(Message("user", (Text("abc"),)),)), NOBODY)
    assert policy.apply(content, Situation(1)).input_messages == ()
    redactor.fails = False
    assert policy.apply(content, Situation(1)).input_messages == content.input_messages


@given(values | messages | st.lists(messages).map(tuple), st.integers(20, 400))
@settings(deadline=None)
def test_what_fits_at_a_glance_fits(value, limit):
    if _most(value, limit) <= limit:
        assert _cost(value, _bytes) <= limit
        assert fit(value, limit) == (value, 0)


@given(values)
def test_a_policy_gives_back_the_value_itself_where_it_does_nothing_to_it(value):
    value = plain(value)
    assert Application(ContentPolicy.full().chain, Situation()).value((Category.COMPLETION,), value) is value
    pass_ = Application(ContentPolicy.redacted().chain, Situation(0xF7))
    shown = pass_.value((Category.COMPLETION,), value)
    assert (shown == value) == (shown is value)
