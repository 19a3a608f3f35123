"""What makes rendering fast, held to what it must be equal to: JSON, conversations put together, copies of spans."""

import json
from dataclasses import replace

import samples
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState
from spanloom import ContentPolicy
from spanloom.content.plain import plain
from spanloom.content.read import read
from spanloom.destinations.span_copy import EventCopy, SpanCopy
from spanloom.dialects import conversation, genai, langfuse, openinference, openinference_lists
from spanloom.dialects import messages as shape
from spanloom.dialects.rendered import attribute, known
from spanloom.step import Kind, Media, Message, OtherPart, Reasoning, Step, Text, ToolCall, ToolCallResponse

WORDS = st.text(max_size=8) | st.sampled_from(['say "no"\\\n\t\r\b\f', "\x00\x1f\x7f", "é\u2028 ", "𝄞", "\ud800"])
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | WORDS
ANYTHING = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3), max_leaves=8
)
PLAIN = ANYTHING.map(plain)
CLEAN = WORDS.map(plain)
MAYBE = st.none() | CLEAN
PARTS = st.one_of(
    st.builds(Text, CLEAN),
    st.builds(Reasoning, CLEAN),
    st.builds(ToolCall, CLEAN, PLAIN, MAYBE),
    st.builds(ToolCallResponse, PLAIN, MAYBE),
    st.builds(Media, st.sampled_from(["image", "audio", "file"]), MAYBE, MAYBE, MAYBE, st.none() | st.integers(0, 9)),
    st.builds(OtherPart, CLEAN, PLAIN),
)
MESSAGES = st.lists(
    st.builds(
        Message,
        st.sampled_from(["system", "user", "assistant", "tool"]),
        st.lists(PARTS, max_size=3).map(tuple),
        MAYBE,
        MAYBE,
    ),
    max_size=4,
).map(tuple)


def by_the_standard_library(value):
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def numbers_apart(text):
    """The JSON with each float by its value: 1e+16 and 1e16 are the same number."""
    return json.loads(text, parse_float=float, object_pairs_hook=list)


# ---------------------------------------------------------------- JSON
@given(PLAIN)
def test_a_plain_value_is_the_same_json_but_for_how_a_float_is_spelt(value):
    made, expected = shape.as_json(value), by_the_standard_library(value)
    assert numbers_apart(made) == numbers_apart(expected)
    if not _holds_a_float(value):
        assert made == expected


def _holds_a_float(value):
    if isinstance(value, dict):
        return any(map(_holds_a_float, value.values()))
    if isinstance(value, list):
        return any(map(_holds_a_float, value))
    return isinstance(value, float)


def test_json_also_takes_what_only_the_standard_library_takes():
    assert shape.as_json({1: 2**80, "half": "\ud800"}) == '{"1":1208925819614629174706176,"half":"\ud800"}'


@given(st.dictionaries(WORDS | st.sampled_from(["seed", "embedding"]), ANYTHING, max_size=3))
def test_the_parameters_of_a_call_are_plain_whatever_they_are(given):
    step = Step("run", Kind.LLM, "model", parameters=given)
    expected = shape.as_json(plain(given)) if given else None
    assert shape.parameters(step) == expected


@given(st.dictionaries(st.just("key"), st.lists(ANYTHING) | ANYTHING))
def test_an_attribute_is_set_as_otlp_carries_it_or_not_at_all(given):
    kept = {key: attribute(value) for key, value in given.items()}
    assert repr(known(given)) == repr({k: v for k, v in kept.items() if v is not None and v not in ("", [])})


# ---------------------------------------------------------------- conversations
@given(MESSAGES)
def test_a_conversation_put_together_is_the_conversation_written_at_once(messages):
    for _ in range(2):  # as they come, and as they are remembered
        assert conversation.in_genai(messages) == shape.as_json(shape.messages(messages))
        said = shape.chat_messages(messages)
        assert conversation.in_chat(messages) == shape.as_json(said)
        assert conversation.answer_in_chat(messages) == shape.as_json(said[0] if len(said) == 1 else said)


def test_a_message_that_comes_again_is_not_rendered_again(monkeypatch):
    history = tuple(Message("user" if n % 2 else "assistant", (Text(f"turn {n}"),)) for n in range(160))
    step = Step("run", Kind.LLM, "model")
    facts = langfuse.TraceFacts()

    def render(messages):
        visible = replace(read(step.content, step.identity), input_messages=messages)
        return (
            genai.render(step, visible).attributes["gen_ai.input.messages"],
            langfuse.render(step, visible, facts).attributes["langfuse.observation.input"],
            openinference.render(step, visible).attributes["llm.input_messages.0.message.content"],
        )

    render(history)
    made = []
    for name in ("message", "chat_messages"):
        write = getattr(shape, name)
        monkeypatch.setattr(shape, name, lambda given, write=write: made.append(given) or write(given))
    flat = openinference_lists._message
    monkeypatch.setattr(openinference_lists, "_message", lambda given: made.append(given) or flat(given))
    new = Message("user", (Text("one more"),))
    genai_text, chat_text, first = render((*history, new))
    assert made == [new, (new,), new]
    texts = [*(f"turn {n}" for n in range(160)), "one more"]
    assert [m["parts"][0]["content"] for m in json.loads(genai_text)] == texts
    assert [m["content"] for m in json.loads(chat_text)] == texts
    assert first == "turn 0"


@given(MESSAGES)
def test_what_was_made_of_a_message_counts_in_no_budget(messages):
    policy = replace(ContentPolicy.full(), attribute_bytes=400)
    step = samples.llm()
    step.content.input_messages = messages
    fresh = policy.apply(read(step.content, step.identity))
    shown = ContentPolicy.full().apply(read(step.content, step.identity))
    genai.render(step, shown)
    langfuse.render(step, shown, langfuse.TraceFacts())
    again = policy.fitted(shown)
    assert again.input_messages == policy.fitted(fresh).input_messages


# ---------------------------------------------------------------- copies
IDS = st.builds(
    SpanContext,
    st.integers(1, 2**128 - 1),
    st.integers(1, 2**64 - 1),
    st.booleans(),
    st.just(TraceFlags(TraceFlags.SAMPLED)),
    st.sampled_from([TraceState(), TraceState([("ot", "th:8")])]),
)
ATTRIBUTES = st.dictionaries(CLEAN, CLEAN | st.booleans() | st.integers(-(2**63), 2**63 - 1), max_size=3)
STATUSES = st.builds(Status, st.just(StatusCode.ERROR), MAYBE) | st.sampled_from([Status(), Status(StatusCode.OK)])
RESOURCE, SCOPE = Resource({"service.name": "bot"}), InstrumentationScope("spanloom", "1.0")


@given(
    CLEAN, IDS, st.none() | IDS, st.sampled_from(list(SpanKind)), ATTRIBUTES, st.lists(st.tuples(CLEAN, ATTRIBUTES)),
    st.lists(IDS, max_size=2), STATUSES,
)  # fmt: skip
def test_a_copy_is_encoded_as_the_sdks_own_span(name, context, parent, kind, attributes, events, links, status):
    linked = [Link(one) for one in links]
    copy = SpanCopy(
        name, context, parent, kind, attributes, [EventCopy(n, a, 5) for n, a in events], linked, status, 1, 2,
        RESOURCE, SCOPE,
    )  # fmt: skip
    own = ReadableSpan(
        name, context, parent, RESOURCE, attributes, [Event(n, a, 5) for n, a in events], linked, kind,
        status=status, start_time=1, end_time=2, instrumentation_scope=SCOPE,
    )  # fmt: skip
    assert encode_spans([copy]) == encode_spans([own])
