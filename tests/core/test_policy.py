"""What a policy shows: the sample steps hold a canary in every piece of content, and nowhere else."""

import dataclasses
import hashlib
import json

import pytest
import samples
from opentelemetry.sdk.trace import SpanProcessor
from spanloom import ContentPolicy, Langfuse, Otlp, actions
from spanloom.content import Category
from spanloom.content.acting import Situation
from spanloom.content.batch import together
from spanloom.content.read import Reading, read
from spanloom.content.visible import Visible
from spanloom.identity import Identity, Prompt
from spanloom.scores import DataType, Score
from spanloom.step import Content, Message, Text, ToolCall

CANARY = samples.CANARY


class Witness(SpanProcessor):
    """Somebody else's processor on the same provider: it keeps all it can see of a span, at both ends."""

    def __init__(self):
        self.seen = []

    def on_start(self, span, parent_context=None):
        self.seen.append(span.to_json())

    def on_end(self, span):
        self.seen.append(span.to_json())


def destinations(sink, policy):
    return (
        Otlp(sink.url, content=policy),
        Langfuse("pk-1", "sk-1", sink.url, content=policy),
    )


@pytest.mark.parametrize("policy", [ContentPolicy.none(), ContentPolicy.hashed()], ids=["none", "hashed"])
def test_no_content_leaves_without_leave(configured, http_sink, policy):
    loom = configured(*destinations(http_sink, policy))
    samples.trace(loom)
    assert loom.flush()
    assert len(http_sink.spans) == 2 * (len(samples.ALL) + 1)
    assert CANARY.encode() not in http_sink.wire


@pytest.mark.parametrize("destination", [0, 1], ids=["otlp", "langfuse"])
def test_full_shows_every_piece_of_content(configured, http_sink, destination):
    loom = configured(destinations(http_sink, ContentPolicy.full())[destination])
    samples.trace(loom)
    assert loom.flush()
    carriers = {s.step for s in http_sink.spans if CANARY in repr(s)}
    assert carriers >= {make().name for make in samples.ALL.values()}


def test_a_foreign_processor_sees_structure_and_no_content(configured, provider, http_sink):
    before, after = Witness(), Witness()
    provider.add_span_processor(before)
    loom = configured(*destinations(http_sink, ContentPolicy.full()))
    provider.add_span_processor(after)
    samples.trace(loom)
    loom.shutdown()
    for witness in (before, after):
        seen = "".join(witness.seen)
        assert CANARY not in seen
        assert "langfuse." not in seen
        assert '"gen_ai.request.model": "gpt-4o-mini"' in seen
        assert '"spanloom.step.outcome": "error"' in seen


def test_every_field_of_a_steps_content_is_read_and_decided_on():
    """A field that a policy does not know would be lost; one that it does not decide on would leak."""
    everything = [
        read(step.content, step.identity, step.tool_description) for step in (make() for make in samples.ALL.values())
    ]
    full, none = ContentPolicy.full(), ContentPolicy.none()
    structural = {"identity", "truncated", "kept", "vault_status", "template", "template_hash"}
    for name in {f.name for f in dataclasses.fields(Visible)} - structural:
        assert any(getattr(seen, name) for seen in everything), f"no sample fills {name}"
        assert any(getattr(full.apply(seen), name) for seen in everything), f"full() loses {name}"
        assert not any(getattr(none.apply(seen), name) for seen in everything), f"none() leaks {name}"


def decided(policy):
    return [
        (policy.apply(read(step.content, step.identity, step.tool_description), Situation(kind=step.kind)),
         policy.score(Score("helpful", "good", DataType.CATEGORICAL, "1" * 32, comment="so-so", id="1", time_ns=1)))
        for step in (make() for make in samples.ALL.values())
    ]  # fmt: skip


@pytest.mark.parametrize("category", sorted(set(Category) - {Category.NAMES}))
def test_each_category_opens_something_of_its_own(category):
    shown = ContentPolicy.none().replace(user_prompt=actions.keep, completion=actions.keep)
    shown = shown.replace(**{category: actions.keep})
    assert decided(shown) != decided(shown.replace(**{category: actions.drop}))


def test_applying_a_policy_leaves_the_content_as_it_was():
    step = samples.llm()
    seen = read(step.content, step.identity, step.tool_description)
    before = repr(seen)
    small = ContentPolicy.full().replace(attribute_bytes=500)
    small.fitted(small.apply(seen))
    ContentPolicy.redacted().replace(completion=actions.truncate(3)).apply(seen)
    ContentPolicy.none().apply(seen)
    assert repr(seen) == before


def test_the_hash_of_a_plain_prompt_is_the_sha_256_of_its_text():
    step = samples.completion()
    seen = ContentPolicy.hashed().apply(read(step.content, step.identity))
    assert seen.prompt_hash == hashlib.sha256(f"Once {CANARY}".encode()).hexdigest()
    assert seen.completion_hash == hashlib.sha256(f"upon {CANARY}".encode()).hexdigest()


def test_the_hash_of_a_conversation_depends_on_what_was_said_and_on_no_id():
    def hash_with(call_id, text):
        step = samples.llm()
        said = Message("assistant", (Text(text), ToolCall("search", {"query": "cat"}, call_id)))
        step.content.output_messages = (said,)
        return read(step.content, step.identity).completion_hash

    assert hash_with("call_1", "A cat.") == hash_with("call_2", "A cat.") != hash_with("call_1", "A dog.")


def test_what_is_cut_is_counted(configured, http_sink):
    loom = configured(Otlp(http_sink.url, content=ContentPolicy.full().replace(attribute_bytes=2_000)))
    step = samples.chain()
    step.content.input = {"long": "x" * 5_000_000, "short": "y"}
    loom.recorder.open(step)
    loom.recorder.close(step.run_id)
    assert loom.flush()
    sent = http_sink.named("RunnableSequence").attributes
    assert sent["spanloom.content.truncated"] == 1
    assert len(sent["spanloom.step.input"]) < 2_100
    assert json.loads(sent["spanloom.step.input"])["short"] == "y"


def test_metadata_that_is_cut_is_still_json_and_costs_its_neighbours_nothing(configured, http_sink):
    loom = configured(Otlp(http_sink.url, content=ContentPolicy.full().replace(attribute_bytes=4_000)))
    step = samples.chain()
    vast = {"texts": ["x" * 1_000] * 100, "wide": {f"k{n}": n for n in range(30_000)}}
    step.identity = dataclasses.replace(step.identity, metadata={"vast": vast, "fine": "yes"})
    loom.recorder.open(step)
    loom.recorder.close(step.run_id)
    assert loom.flush()
    sent = http_sink.named("RunnableSequence").attributes
    assert "x… [" in json.loads(sent["spanloom.metadata.vast"])["texts"][0]
    assert len(sent["spanloom.metadata.vast"]) < 4_100
    assert sent["spanloom.metadata.fine"] == "yes"


@pytest.mark.parametrize(
    "policy",
    [
        ContentPolicy.redacted(),
        ContentPolicy.full(),
        ContentPolicy.hashed(),
        ContentPolicy.redacted().replace(metadata=actions.truncate(3)),
    ],
)
def test_whose_a_trace_is_is_decided_for_a_batch_as_it_is_for_a_span(policy):
    said = {"mail": "write to ann@example.com", "deep": {"list": ["bob@example.com", 1]}, "password": "hunter2"}
    who = Identity(user_id="u1", tags=("beta", "ann@example.com"), metadata=said, prompt=Prompt("ann@example.com", 3))
    alone = [policy.apply(Reading(Content(input=said), who)) for _ in range(2)]
    with together():
        batched = [policy.apply(Reading(Content(input=said), who)) for _ in range(3)]
        same = policy.apply(Visible(input=said, metadata=said, identity=who))
    for shown in (*alone, *batched, same):
        assert (shown.identity, shown.metadata) == (alone[0].identity, alone[0].metadata)
        assert shown.truncated == alone[0].truncated
