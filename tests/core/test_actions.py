"""What each action makes of a piece of content, alone and combined."""

import hashlib
import hmac
import json
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st
from spanloom import ConfigurationError, ContentPolicy, actions
from spanloom.content import Category
from spanloom.content.acting import DROPPED, Situation, combined, in_share
from spanloom.content.application import Application
from spanloom.content.failures import FAILURES
from spanloom.content.marked import Marked
from spanloom.content.redaction import Patterns
from spanloom.content.visible import Visible
from spanloom.guard import _told
from spanloom.step import Document, Kind, Media, Message, Reasoning, Text, ToolCall, ToolCallResponse

plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(), lambda v: st.lists(v) | st.dictionaries(st.text(), v)
)
trace_ids = st.integers(1, 2**128 - 1)


def shown(value, *chain, at=None):
    policy = ContentPolicy.none().replace(completion=list(chain))
    return Application(policy.chain, at or Situation()).value((Category.COMPLETION,), value)


def test_hash_stands_for_the_text_or_for_the_canonical_json():
    assert shown("hi", actions.hash()) == f"sha256:{hashlib.sha256(b'hi').hexdigest()}"
    canonical = json.dumps({"a": 1, "b": "é"}, ensure_ascii=False, separators=(",", ":")).encode()
    assert shown({"b": "é", "a": 1}, actions.hash()) == f"sha256:{hashlib.sha256(canonical).hexdigest()}"


def test_hash_with_a_key_cannot_be_guessed_without_it():
    mac = hmac.new(b"k", b"hi", "sha256").hexdigest()
    assert shown("hi", actions.hash("k")) == f"hmac-sha256:{mac}"
    assert "b'k'" not in repr(actions.hash("k"))


@pytest.mark.parametrize("number", [4111111111111111, 4111111111111111.0, 378282246310005])
def test_redact_finds_a_card_that_is_written_as_a_number(number):
    value = {"card": number, "in": [[number]]}
    assert shown(value, actions.redact(), at=Situation(int(number))) == {"card": "<CARD_1>", "in": [["<CARD_1>"]]}


def test_redact_need_not_look_into_numbers_as_long_as_times():
    patterns = Patterns(regions=("US", "GB", "DE", "FR", "ES", "IT", "IN", "CN", "BR", "MX", "ID", "SG", "AR"))
    assert not any(patterns.find(str(number)) for number in range(10**11, 10**13, 4_999_999_999))


@pytest.mark.parametrize(
    "number", [True, 12, -4111111111111111, 1764072000, 1764072000123, 0.5, 4111111111111111.5, 4e18]
)
def test_redact_leaves_any_other_number_as_it_is(number):
    assert shown([number], actions.redact()) == [number]
    assert type(shown([number], actions.redact())[0]) is type(number)


@given(plain, st.integers(0, 20))
def test_truncate_keeps_the_shape_and_says_how_much_went(value, characters):
    at = Situation()
    cut = shown(value, actions.truncate(characters), at=at)
    if value is None:
        assert cut is None
        return
    json.dumps(cut)
    long = [t for t in texts_of(value) if len(t) > characters]
    assert at.cut >= len(set(long))
    for text in long:
        assert f"{text[:characters]}… [{len(text) - characters} characters cut]" in texts_of(cut)


def texts_of(value):
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [t for v in value.values() for t in texts_of(v)]
    return [t for v in value for t in texts_of(v)] if isinstance(value, list) else []


@given(trace_ids, st.floats(0, 1))
def test_sample_is_all_or_nothing_by_the_trace(trace_id, rate):
    at = Situation(trace_id)
    assert shown("x", actions.sample(rate), at=at) == ("x" if in_share(trace_id, rate) else DROPPED)
    assert shown("x", actions.sample(1.0), at=at) == "x"
    assert shown("x", actions.sample(0.0), at=at) is DROPPED


@given(trace_ids, st.floats(0, 1), st.floats(0, 1))
def test_a_larger_share_holds_every_smaller_one(trace_id, one, other):
    small, large = sorted((one, other))
    assert not in_share(trace_id, small) or in_share(trace_id, large)


def test_redact_knows_the_same_value_throughout_a_trace_and_no_other():
    at, elsewhere = Situation(0xA1), Situation(0xA2)
    first = shown({"to": "ann@example.com", "cc": ["bob@example.com"]}, actions.redact(), at=at)
    assert first == {"to": "<EMAIL_1>", "cc": ["<EMAIL_2>"]}
    assert shown("bob@example.com wrote", actions.redact(), at=at) == "<EMAIL_2> wrote"
    assert shown("bob@example.com wrote", actions.redact(), at=elsewhere) == "<EMAIL_1> wrote"


def test_redact_reads_names_and_keys_too():
    at = Situation(0xB1)
    value = {"ann@example.com": 1, "password": "hunter", "api_key": "", "n": 5}
    assert shown(value, actions.redact(), at=at) == {"<EMAIL_1>": 1, "password": "<SECRET_1>", "api_key": "", "n": 5}
    assert Application(ContentPolicy.redacted().chain, at).each(Category.METADATA, {"password": "hunter"}) == {
        "password": "<SECRET_1>"
    }


def test_redact_of_some_kinds_leaves_the_others():
    text = "ann@example.com, 4111 1111 1111 1111"
    assert shown(text, actions.redact("CARD"), at=Situation(0xC1)) == "ann@example.com, <CARD_1>"


def test_a_value_that_lies_across_the_parts_of_a_message_is_found():
    pass_ = Application(ContentPolicy.redacted().chain, Situation(0xD1))
    (message,) = pass_.messages([Message("user", (Text("to ann@exam"), Text("ple.com now")))])
    assert "".join(p.content for p in message.parts) == "to <EMAIL_1> now"


def test_custom_says_what_goes_out():
    assert shown("abc", actions.custom(str.upper)) == "ABC"
    assert shown("abc", actions.custom(lambda _: None)) is DROPPED
    assert shown("abc", actions.custom(lambda _: {1: object}))["1"].startswith("<class")


def test_actions_apply_in_the_order_given():
    assert shown("abcdef", actions.custom(str.upper), actions.truncate(2)) == "AB… [4 characters cut]"
    hashed = shown("abcdef", actions.truncate(2), actions.hash())
    assert hashed == shown("ab… [4 characters cut]", actions.hash())


def test_an_action_that_fails_drops_its_content_alone_says_so_once_and_counts(caplog):
    def fails(value):
        raise ValueError(f"cannot read {value}")

    _told.discard("content:custom")
    before = FAILURES.counts["custom"]
    policy = ContentPolicy.full().replace(completion=actions.custom(fails))
    content = Visible(
        input_messages=(Message("user", (Text("kept"),)),), output_messages=(Message("assistant", (Text("lost"),)),)
    )
    with caplog.at_level(logging.DEBUG, "spanloom"):
        seen = [policy.apply(content) for _ in range(3)]
    assert all(s.output_messages == () and s.input_messages == content.input_messages for s in seen)
    assert FAILURES.counts["custom"] == before + 3
    (said,) = [r.getMessage() for r in caplog.records]
    assert "custom" in said
    assert "ValueError" in said
    assert "lost" not in said


def test_what_may_be_several_things_passes_the_actions_for_all_of_them():
    redact, drop, keep, short, hashed = (
        actions.redact(), actions.drop, actions.keep, actions.truncate(5), actions.hash(),
    )  # fmt: skip
    assert combined([(keep,), (redact, short), (redact,)]) == (redact, short, keep)
    assert combined([(keep,), (drop,), (redact,)]) == (drop,)
    assert combined([(hashed,), (redact,), (keep,)]) == (redact, keep, hashed)


def test_a_message_inside_of_a_chains_output_is_decided_on_by_its_own_kind():
    policy = ContentPolicy.full().replace(
        user_prompt=actions.drop, documents=actions.hash(), tool_arguments=actions.drop
    )
    output = {
        "messages": [
            {"role": "user", "content": Marked(Category.USER_PROMPT, "q")},
            {"role": "assistant", "content": Marked(Category.COMPLETION, "a"),
             "tool_calls": [{"name": "t", "args": Marked(Category.TOOL_ARGUMENTS, {"x": 1})}]},
        ],
        "docs": [Marked(Category.DOCUMENTS, "d")],
    }  # fmt: skip
    seen = policy.apply(Visible(output=output), Situation(kind=Kind.CHAIN)).output
    assert seen == {
        "messages": [{"role": "user"}, {"role": "assistant", "content": "a", "tool_calls": [{"name": "t"}]}],
        "docs": [f"sha256:{hashlib.sha256(b'd').hexdigest()}"],
    }


PARTS = (
    Text("t"), Reasoning("r"), ToolCall("f", {"a": 1}, "1"), ToolCallResponse("x", "1"),
    Media("image", uri="https://h/i.png"),
)  # fmt: skip


@pytest.mark.parametrize(
    ("category", "left"),
    [
        ("completion", (Text("t"), ToolCall("f", None, "1"), Media("image", uri="https://h/i.png"))),
        ("reasoning", (Reasoning("r"),)),
        ("tool_arguments", (ToolCall("f", {"a": 1}, "1"),)),
        ("tool_results", (ToolCallResponse("x", "1"),)),
    ],
)
def test_each_part_of_a_message_is_decided_on_by_its_own_kind(category, left):
    policy = ContentPolicy.none().replace(**{category: actions.keep})
    (message,) = policy.apply(Visible(output_messages=(Message("assistant", PARTS),))).output_messages
    assert message.parts == left


def test_a_document_keeps_its_id_and_score_where_its_text_goes():
    policy = ContentPolicy.none().replace(documents=[actions.custom(lambda _: None)])
    content = Visible(documents=(Document("text", "d1", 0.5, {"k": "v"}),))
    assert policy.apply(content).documents == (Document(None, "d1", 0.5, {}),)
    assert ContentPolicy.none().apply(content).documents == ()


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: actions.truncate(-1), "whole number"),
        (lambda: actions.truncate(1.5), "whole number"),
        (lambda: actions.sample(1.5), "0.0 to 1.0"),
        (lambda: actions.sample(True), "0.0 to 1.0"),
        (lambda: actions.hash(""), "not empty"),
        (lambda: actions.redact("EMIAL"), "EMAIL"),
        (lambda: actions.redact("EMAIL", redactor=object()), "not both"),
        (lambda: actions.redact(redactor=object()), "find"),
        (lambda: actions.reference("s3://x"), "Vault"),
        (lambda: actions.custom("upper"), "function"),
        (lambda: ContentPolicy.full().replace(promt=actions.drop), "no category 'promt'"),
        (lambda: ContentPolicy.full().replace(completion="drop"), "spanloom.actions"),
        (lambda: ContentPolicy.full().replace(completion=[]), "spanloom.actions"),
        (lambda: ContentPolicy.full().replace(completion=[actions.drop, actions.hash()]), "nothing can come after"),
        (lambda: ContentPolicy.hashed(hash_key=b""), "hash_key"),
    ],
)
def test_what_cannot_work_is_refused_with_what_to_write(make, says):
    with pytest.raises(ConfigurationError, match=says):
        make()


def test_a_policy_says_what_it_does_to_what():
    policy = ContentPolicy.none().replace(documents=[actions.redact(), actions.truncate(5)], hashes=True)
    assert "redact+truncate: documents" in repr(policy)
    assert "keep: identity" in repr(policy)
    assert repr(policy).endswith("; hashes>")


def test_a_policy_shows_no_key():
    assert "geheim" not in repr(ContentPolicy.redacted(hash_key="geheim").replace(completion=actions.hash("geheim")))
