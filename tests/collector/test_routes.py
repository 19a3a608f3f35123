"""What comes out of a Collector is what each destination would have sent itself, less what the policy hides."""

from __future__ import annotations

import json

import pytest
import samples
import spanloom
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.id_generator import IdGenerator
from sinks import HttpSink, wait_until
from spanloom import ContentPolicy, Langfuse, Otlp
from spanloom.dialects import content_keys
from spanloom.testing import strict

pytestmark = pytest.mark.collector

LANGFUSE_PATH = "/api/public/otel/v1/traces"
KEYS = ("pk-lf-1", "sk-lf-1")
STEPS = len(samples.ALL) + 1
POLICIES = {"full": ContentPolicy.full(), "hashed": ContentPolicy.hashed(), "none": ContentPolicy.none()}


class Counting(IdGenerator):
    """The same ids again in each run."""

    def __init__(self):
        self.last = 0

    def generate_span_id(self):
        self.last += 1
        return 0xA000 + self.last

    def generate_trace_id(self):
        return 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF00


def sent(*destinations):
    """The samples as one trace below a span of another library, to `destinations`."""
    provider = TracerProvider(shutdown_on_exit=False, id_generator=Counting())
    with strict(), spanloom.configure(*destinations, tracer_provider=provider, service_name="shop") as loom:
        with provider.get_tracer("asgi").start_as_current_span("POST /chat", attributes={"url.path": "/chat"}):
            samples.trace(loom)
        assert loom.flush(10)


def by_step(sink, count):
    wait_until(lambda: len(sink.spans) >= count, f"{count} spans", 30)
    return {span.step or span.name: span for span in sink.spans}


def differences(got, wanted):
    """By step, the attributes that are not alike: {step: {key: (got, wanted)}}."""
    out = {}
    for name in got.keys() | wanted.keys():
        one, other = (side[name].attributes if name in side else {} for side in (got, wanted))
        keys = {k for k in one.keys() | other.keys() if one.get(k) != other.get(k)}
        if keys:
            out[name] = {k: (one.get(k), other.get(k)) for k in sorted(keys)}
    return out


def shape(spans):
    names = {span.span_id: name for name, span in spans.items()}
    return {
        name: (span.name, names.get(span.parent, span.parent), span.status, span.description)
        for name, span in spans.items()
    }


def test_langfuse_gets_what_its_own_destination_sends(single, langfuse, backend):
    collector = single("--keep", 1, "--content", "full", "--langfuse-content", "full")
    with_own = HttpSink()
    try:
        sent(Otlp(collector.url, behind_collector=True), Langfuse(*KEYS, base_url=with_own.url))
        got, wanted = by_step(langfuse, STEPS), by_step(with_own, STEPS)
    finally:
        with_own.close()
    assert differences(got, wanted) == {}
    assert shape(got) == shape(wanted)
    assert {r.path for r in langfuse.requests} == {LANGFUSE_PATH}
    headers, own = langfuse.requests[0].headers, with_own.requests[0].headers
    for name in ("authorization", "x-langfuse-ingestion-version", "content-encoding"):
        assert headers[name] == own[name]
    assert not [k for span in got.values() for k in span.attributes if k.startswith("gen_ai.")]


@pytest.mark.parametrize("content", ["full", "hashed", "none"])
def test_an_otlp_backend_gets_what_its_own_destination_sends(single, backend, content):
    collector = single("--keep", 1, "--content", content, "--no-langfuse")
    own = HttpSink()
    try:
        sent(Otlp(collector.url, behind_collector=True), Otlp(own.url, content=POLICIES[content], name="own"))
        got, wanted = by_step(backend, STEPS + 1), by_step(own, STEPS + 1)
    finally:
        own.close()
    unlike = differences(got, wanted)
    hashed = {k: v for keys in unlike.values() for k, v in keys.items()}
    if content == "hashed":  # the Collector tells the hash of each text too
        assert hashed.keys() <= set(content_keys.ATTRIBUTES)
        assert {k for k in hashed if k.startswith("gen_ai.")} == {
            k for k in content_keys.ATTRIBUTES if k.startswith("gen_ai.")
        }
        assert all(len(got_hash) == 64 and wanted is None for got_hash, wanted in hashed.values())
    else:
        assert unlike == {}
    assert shape(got) == shape(wanted)
    assert b"langfuse." not in backend.wire
    assert backend.requests[0].headers["api-key"] == "k-1"


@pytest.mark.parametrize("content", ["hashed", "none"])
def test_no_content_leaves_that_is_not_to(single, langfuse, backend, content):
    collector = single("--keep", 1, "--content", content, "--langfuse-content", content)
    sent(Otlp(collector.url, behind_collector=True))
    by_step(backend, STEPS + 1)
    spans = by_step(langfuse, STEPS)
    assert samples.CANARY.encode() not in backend.wire
    assert samples.CANARY.encode() not in langfuse.wire
    failed = spans["lookup"]
    assert failed.attributes["langfuse.observation.status_message"] == failed.description == "ValueError"
    assert ("langfuse.observation.input" in failed.attributes) is (content == "hashed")
    assert spans["RagWorkflow.run"].attributes["langfuse.observation.status_message"] == "interrupted"


def test_every_span_in_langfuse_where_that_is_asked_for(single, langfuse, backend):
    collector = single("--keep", 1, "--langfuse-spans", "all")
    sent(Otlp(collector.url, behind_collector=True))
    spans = by_step(langfuse, STEPS + 1)
    request, top = spans["POST /chat"], spans["Top"]
    assert top.parent == request.span_id
    assert request.attributes["langfuse.observation.type"] == "span"
    assert top.attributes["langfuse.trace.name"] == "Top"
    assert "langfuse.internal.is_app_root" not in top.attributes
    assert not [k for span in spans.values() for k in span.attributes if k.startswith("spanloom.langfuse.")]


PERSONAL = [
    "ann@example.org",
    "4111 1111 1111 1111",
    "DE89 3704 0044 0532 0130 00",
    "sk-proj-abcdefghijklmnop1234",
    "078-05-1120",
    "+49 30 901820",
    "AKIAIOSFODNN7EXAMPLE",
]


def test_personal_data_is_gone_and_the_rest_is_there(single, langfuse, backend):
    collector = single("--keep", 1, "--content", "redacted")
    said = "\n".join(["Write to", *PERSONAL, "by Friday."])
    provider = TracerProvider(shutdown_on_exit=False)
    with (
        strict(),
        spanloom.configure(
            Otlp(collector.url, behind_collector=True), tracer_provider=provider, service_name="shop"
        ) as loom,
    ):
        with provider.get_tracer("httpx").start_as_current_span(
            f"GET /users/{PERSONAL[0]}",
            attributes={"url.full": f"https://a.example/?q={PERSONAL[0]}", "card": 4111111111111111},
        ) as span:
            span.record_exception(ValueError(f"no {PERSONAL[0]}"))
            with spanloom.using(user_id="bob@example.org", metadata={"phone": PERSONAL[5]}):
                step = samples.error()
                step.identity, step.outcome = spanloom.identity.current_identity(), None
                step.content.arguments = {"text": said, "nested": json.dumps({"text": said})}
                step.content.error_message = f"cannot reach {PERSONAL[0]}"
                loom.recorder.open(step)
                loom.recorder.close(step.run_id, spanloom.step.Outcome.ERROR)
        assert loom.flush(10)
    theirs, neutral = by_step(langfuse, 1)["lookup"], by_step(backend, 2)["lookup"]
    for sink in (langfuse, backend):
        assert not [text for text in [*PERSONAL, "4111111111111111"] if text.encode() in sink.wire]
    for arguments in (
        theirs.attributes["langfuse.observation.input"],
        neutral.attributes["gen_ai.tool.call.arguments"],
    ):
        given = json.loads(arguments)  # still JSON, and within it too
        for text in (given["text"], json.loads(given["nested"])["text"]):
            assert text.startswith("Write to")
            assert text.endswith("by Friday.")
            assert text.count("****") == len(PERSONAL)
    assert theirs.attributes["user.id"] == neutral.attributes["user.id"] == "bob@example.org"  # who, not what
    assert theirs.description == "ValueError: cannot reach ****"
