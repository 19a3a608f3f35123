"""What an application behind a Collector sends: the GenAI conventions and Langfuse's attributes on one span."""

from __future__ import annotations

import dataclasses
import json

import pytest
import samples
import spanloom
from opentelemetry.sdk.trace import TracerProvider
from sinks import wait_until
from spanloom import ConfigurationError, ContentPolicy, Otlp
from spanloom.content.read import read
from spanloom.dialects import collector, content_keys, genai, langfuse
from spanloom.identity import Identity

FACTS = langfuse.TraceFacts("support", "production", "2026.11", None, app_root=True)


def rendered(step, policy):
    seen = policy.apply(read(step.content, step.identity, step.tool_description))
    return collector.render(step, seen, FACTS, "00000000000000ab")


def held(key):
    return key in (*content_keys.ATTRIBUTES, content_keys.STATUS_MESSAGE) or key.startswith(content_keys.METADATA)


@pytest.mark.parametrize("sample", samples.ALL)
def test_what_appears_under_the_full_policy_alone_is_known_as_content(sample):
    full, hashed = (rendered(samples.ALL[sample](), p) for p in (ContentPolicy.full(), ContentPolicy.hashed()))
    alone = {k for k, v in full.attributes.items() if hashed.attributes.get(k) != v}
    assert alone  # each sample has content
    assert not {k for k in alone if not held(k)}


@pytest.mark.parametrize("sample", samples.ALL)
def test_what_appears_under_the_hashed_policy_alone_is_known_as_a_hash_or_a_tag(sample):
    hashed, none = (rendered(samples.ALL[sample](), p) for p in (ContentPolicy.hashed(), ContentPolicy.none()))
    alone = {k for k in hashed.attributes if k not in none.attributes}
    assert alone <= {*content_keys.HASHES, *content_keys.TAGS}


@pytest.mark.parametrize("sample", samples.ALL)
def test_no_content_stands_anywhere_else(sample):
    made = rendered(samples.ALL[sample](), ContentPolicy.full())
    marked = {k for k, v in made.attributes.items() if samples.CANARY in str(v)}
    assert not {k for k in marked if not held(k)}
    for _, _, attributes in made.events:
        assert {k for k, v in attributes.items() if samples.CANARY in str(v)} <= set(content_keys.EVENT_ATTRIBUTES)
    assert samples.CANARY not in made.name


def test_every_key_in_the_list_is_one_that_a_dialect_writes():
    written = {k for make in samples.ALL.values() for k in rendered(make(), ContentPolicy.full()).attributes}
    assert set(content_keys.ATTRIBUTES) <= written
    templates = {k for k in content_keys.HASHES if "template" in k}  # of prompts from a template, which no sample has
    assert {*content_keys.HASHES, *content_keys.TAGS} - templates <= written
    assert {content_keys.STATUS_MESSAGE, collector.NAME, collector.PARENT, collector.APP_ROOT} <= written
    assert any(k.startswith(content_keys.METADATA) for k in written)


@pytest.mark.parametrize("sample", samples.ALL)
def test_each_half_is_what_its_own_destination_sends(sample):
    step, policy = samples.ALL[sample](), ContentPolicy.full()
    seen = policy.apply(read(step.content, step.identity, step.tool_description))
    both = rendered(step, policy)
    neutral, theirs = genai.render(step, seen), langfuse.render(step, seen, FACTS)
    assert neutral.attributes.items() <= both.attributes.items()
    assert (both.name, both.error, both.events) == (neutral.name, neutral.error, neutral.events)
    metadata = (collector.OBSERVATION_METADATA, collector.TRACE_METADATA)
    users = {k.removeprefix(content_keys.METADATA) for k in neutral.attributes if k.startswith(content_keys.METADATA)}
    expected = {k: v for k, v in theirs.attributes.items() if not _is_the_users(k, metadata, users)}
    assert expected.items() <= both.attributes.items()
    assert both.attributes[collector.NAME] == theirs.name


def _is_the_users(key, prefixes, users):
    return any(key.startswith(prefix) and key.removeprefix(prefix) in users for prefix in prefixes)


def test_the_users_metadata_goes_once():
    keys = rendered(samples.llm(), ContentPolicy.full()).attributes
    assert keys["spanloom.metadata.turn"] == 3
    assert "langfuse.observation.metadata.turn" not in keys
    assert keys["langfuse.observation.metadata.langgraph_node"] == "agent"


def test_a_step_says_where_it_stands_among_steps(configured, http_sink, provider):
    loom = configured(Otlp(http_sink.url, behind_collector=True))
    other = provider.get_tracer("redis").start_as_current_span
    recorder = loom.recorder
    top = dataclasses.replace(samples.chain(), run_id="top", name="top", outcome=None, identity=Identity())
    with other("POST /chat"):
        recorder.open(top)
    tool = dataclasses.replace(samples.tool(), outcome=None)
    recorder.open(tool, parent="top")
    recorder.close(tool.run_id)
    recorder.close("top")
    assert loom.flush()
    request, above, below = (http_sink.named(name) for name in ("POST /chat", "top", "search"))
    assert above.parent == request.span_id  # the true tree
    assert collector.PARENT not in above.attributes
    assert above.attributes[collector.APP_ROOT] is True
    assert below.attributes[collector.PARENT] == above.span_id
    assert collector.APP_ROOT not in below.attributes
    assert request.attributes["langfuse.observation.type"] == "span"
    assert "gen_ai.operation.name" in below.attributes
    assert json.loads(below.attributes["langfuse.observation.input"]) == {"query": samples.CANARY}


def test_behind_a_collector_everything_is_sent_unless_a_policy_says_otherwise(configured, http_sink):
    samples.trace(configured(Otlp(http_sink.url, behind_collector=True)))
    assert wire(http_sink).count(samples.CANARY.encode()) > 20
    assert Otlp(behind_collector=True, content=ContentPolicy.none()).content == ContentPolicy.none()
    assert Otlp().content == ContentPolicy.hashed()


def wire(sink):
    return wait_until(lambda: sink.wire, "the spans")


def test_openinference_does_not_go_behind_a_collector(provider):
    with pytest.raises(ConfigurationError, match="leave out dialect"):
        configure_one(Otlp(behind_collector=True, dialect="openinference"), provider)


def test_the_collector_decides_and_not_the_application(provider):
    with pytest.raises(ConfigurationError, match="leave out sampling"):
        configure_one(Otlp(behind_collector=True, sampling=spanloom.TailSampling(keep=0.5)), provider)


def test_an_environment_that_langfuse_would_file_elsewhere_is_refused(provider, monkeypatch):
    monkeypatch.setenv("LANGFUSE_TRACING_ENVIRONMENT", "langfuse prod")
    with pytest.raises(ConfigurationError, match="LANGFUSE_TRACING_ENVIRONMENT"):
        configure_one(Otlp(behind_collector=True), provider)


def configure_one(destination, provider: TracerProvider):
    spanloom.configure(destination, tracer_provider=provider)
