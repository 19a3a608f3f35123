"""Content within its budget: valid JSON, short texts whole, and a mark wherever something was cut."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from spanloom import ContentPolicy
from spanloom.content.budget import _bytes, _cost, _most, fit
from spanloom.content.read import read
from spanloom.dialects import messages as shape
from spanloom.identity import NOBODY
from spanloom.step import (
    Content,
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

texts = st.text(max_size=30) | st.builds(lambda t, n: t * n, st.text(min_size=1, max_size=4), st.integers(1, 3000))
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=40) | st.dictionaries(texts, inner, max_size=20),
    max_leaves=120,
)
parts = (
    st.builds(Text, texts)
    | st.builds(Reasoning, texts)
    | st.builds(ToolCall, texts, values, texts)
    | st.builds(ToolCallResponse, values, texts)
    | st.builds(Media, st.just("image"), st.none(), texts)
    | st.builds(OtherPart, texts, values)
)
conversations = st.lists(
    st.builds(
        Message, st.sampled_from(["system", "user", "assistant", "tool"]), st.lists(parts, max_size=5).map(tuple)
    ),
    max_size=40,
)
documents = st.lists(
    st.builds(Document, texts, texts, st.floats(), st.dictionaries(texts, values, max_size=5)), max_size=30
)
limits = st.sampled_from([4_000, 64_000])  # less than a few labels take is no budget


def size(value):
    return len(json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode())


def shown(content):
    """What a budget is given: names and ids are short by then."""
    return ContentPolicy.full().apply(read(content, NOBODY))


def about(limit):
    return limit * 1.1 + 300


@given(values, limits)
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.data_too_large])
def test_any_value_keeps_about_to_its_limit(value, limit):
    kept, cut = fit(value, limit)
    assert size(kept) <= about(limit)
    if size(value) <= limit * 0.9 - 100:
        assert (kept, cut) == (value, 0)
    if kept != value:
        assert cut
        assert " cut]" in json.dumps(kept)


@given(conversations, limits)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.data_too_large])
def test_any_conversation_keeps_about_to_its_limit(items, limit):
    seen = shown(Content(input_messages=items)).input_messages
    kept, _ = fit(seen, limit)
    assert size(shape.messages(kept)) <= about(limit)
    assert all(isinstance(m, Message) for m in kept)


@given(documents, limits)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.data_too_large])
def test_any_documents_keep_about_to_their_limit(items, limit):
    seen = shown(Content(documents=items)).documents
    kept, _ = fit(seen, limit)
    assert size(shape.documents(kept)) <= about(limit)


def test_a_prompt_of_5_mb_is_cut_and_its_short_neighbours_are_not():
    conversation = (
        Message("system", (Text("Be brief."),)),
        Message("user", (Text("x" * 5_000_000),)),
        Message("assistant", (Text("Yes."),), finish_reason="stop"),
    )
    kept, cut = fit(conversation, 10_000)
    assert cut == 1
    assert kept[0] == conversation[0]
    assert kept[2] == conversation[2]
    long = kept[1].parts[0].content
    assert 9_000 < len(long) < 10_000
    assert long.startswith("xxx")
    assert long.endswith("characters cut]")


@pytest.mark.parametrize("text", ["é" * 3_000_000, '"' * 3_000_000, "\n" * 3_000_000, "\x01" * 300_000, "🧵" * 300_000])
def test_text_of_any_script_keeps_to_the_limit(text):
    kept, cut = fit({"text": text}, 10_000)
    assert cut == 1
    assert 5_000 < size(kept) <= 10_100


def test_long_texts_share_what_the_short_ones_leave():
    kept, cut = fit({"a": "a" * 100, "b": "b" * 50_000, "c": "c" * 90_000}, 20_000)
    assert cut == 2
    assert kept["a"] == "a" * 100
    assert abs(len(kept["b"]) - len(kept["c"])) < 60
    assert size(kept) > 19_000


def test_thousands_of_keys_keep_to_the_limit():
    kept, cut = fit({f"key {n}": n for n in range(50_000)}, 10_000)
    assert size(kept) <= 10_100
    assert cut > 49_000
    assert list(kept)[:2] == ["key 0", "key 1"]
    assert kept["…"].endswith("more cut]")


def test_a_key_of_a_megabyte_is_cut():
    kept, cut = fit({"k" * 1_000_000: "v"}, 10_000)
    assert cut == 1
    assert next(iter(kept)).endswith("characters cut]")


def test_a_long_conversation_keeps_its_system_prompt_and_its_last_messages():
    conversation = tuple(
        Message("system" if n == 0 else "user", (Text(f"message {n} " + "x" * 200),)) for n in range(1000)
    )
    kept, cut = fit(conversation, 20_000)
    assert kept[0] == conversation[0] or kept[0].parts[0].content.startswith("message 0")
    assert kept[-1].parts[0].content.startswith("message 999")
    assert any("more cut]" in m.parts[0].content for m in kept)
    assert cut > 500


def test_the_finish_reason_of_a_cut_answer_stays():
    kept, cut = fit((Message("assistant", (Text("x" * 100_000),), finish_reason="length"),), 1_000)
    assert cut
    assert shape.output_messages(kept)[0]["finish_reason"] == "length"


def test_tools_beyond_the_limit_are_counted():
    tools = tuple(ToolDefinition(f"tool {n}", "does it", {"type": "object"}) for n in range(2_000))
    kept, _ = fit(tools, 10_000)
    assert size(shape.tool_definitions(kept)) <= 11_000
    assert kept[-1].name.endswith("more cut]")


def test_an_image_written_as_an_address_is_not_sent():
    image = Message("user", (Media("image", "image/png", "data:image/png;base64," + "A" * 100_000),))
    seen = read(Content(input_messages=[image]), NOBODY).input_messages
    assert seen[0].parts[0] == Media("image", "image/png", None, None, 100_022)


@given(
    st.one_of(
        values,
        conversations.map(tuple),
        documents.map(tuple),
        st.lists(st.builds(ToolDefinition, texts, st.none() | texts, values), max_size=9).map(tuple),
    ),
    st.sampled_from([300, 4_000, 64_000]),
)
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_what_is_small_enough_at_a_glance_is_so_when_it_is_weighed(value, limit):
    exact = _cost(value, _bytes)
    if _most(value, limit) <= limit:
        assert exact <= limit
    if exact <= limit:
        assert fit(value, limit) == (value, 0)


@given(st.text())
def test_a_text_is_weighed_as_json_has_it(text):
    assert _bytes(text) == size(text)
