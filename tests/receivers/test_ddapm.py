"""One full trace, read back from a third party's OTLP receiver over HTTP and over gRPC."""

import base64
import time
import uuid

import pytest
import samples
import spanloom
from opentelemetry.sdk.trace import TracerProvider
from spanloom import ContentPolicy, Langfuse, Otlp
from spanloom.testing import strict

pytestmark = pytest.mark.receiver

SPANS = len(samples.ALL) + 1


def received(agent, token):
    """The spans that the agent has of this session, by step name, once they are all there."""
    deadline = time.monotonic() + 10
    while True:
        spans = {
            value_of(attribute["value"]): span
            for request in agent.get("/test/session/traces", token)
            for resource in request["resource_spans"]
            for scope in resource["scope_spans"]
            for span in scope["spans"]
            for attribute in span["attributes"]
            if attribute["key"] == "spanloom.step.name"
        }
        if len(spans) == SPANS:
            return spans
        assert time.monotonic() < deadline, f"{len(spans)} of {SPANS} spans arrived"
        time.sleep(0.05)


def value_of(value):
    ((kind, held),) = value.items()
    if kind == "array_value":
        return [value_of(v) for v in held["values"]]
    return int(held) if kind == "int_value" else held


def attributes(span):
    return {a["key"]: value_of(a["value"]) for a in span["attributes"]}


def sent(destination):
    with strict():
        loom = spanloom.configure(
            destination, service_name="support-bot", tracer_provider=TracerProvider(shutdown_on_exit=False)
        )
        samples.trace(loom)
        assert loom.shutdown()
    assert loom.stats()["destinations"][destination.name]["exported"] == SPANS


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_a_full_trace_arrives(agent, protocol):
    token = uuid.uuid4().hex
    port = agent.grpc if protocol == "grpc" else agent.http
    headers = {"X-Datadog-Test-Session-Token": token}
    sent(Otlp(f"http://127.0.0.1:{port}", headers, protocol, content=ContentPolicy.full(), compression="gzip"))

    spans = received(agent, token)
    top = spans.pop("Top")
    assert "parent_span_id" not in top
    assert {s["parent_span_id"] for s in spans.values()} == {top["span_id"]}
    assert {s["trace_id"] for s in spans.values()} == {top["trace_id"]}
    assert len(base64.b64decode(top["trace_id"])) == 16

    model = spans["ChatOpenAI"]
    assert (model["name"], model["kind"]) == ("chat gpt-4o-mini", "SPAN_KIND_CLIENT")
    said = attributes(model)
    assert said["gen_ai.usage.input_tokens"] == 100
    assert said["gen_ai.usage.cache_read.input_tokens"] == 30
    assert said["gen_ai.response.finish_reasons"] == ["tool_calls"]
    assert said["gen_ai.response.time_to_first_chunk"] == 0.25
    assert f"A cat. {samples.CANARY}" in said["gen_ai.output.messages"]
    assert [e["name"] for e in model["events"]] == ["prompt_repeated", "first_token_received", "tool_call_dispatched"]

    failed = spans["lookup"]
    assert failed["status"]["code"] == "STATUS_CODE_ERROR"
    assert failed["status"]["message"] == f"no such id {samples.CANARY}"
    assert [e["name"] for e in failed["events"]] == ["exception"]


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_by_default_no_content_arrives(agent, protocol):
    token = uuid.uuid4().hex
    port = agent.grpc if protocol == "grpc" else agent.http
    sent(Otlp(f"http://127.0.0.1:{port}", {"X-Datadog-Test-Session-Token": token}, protocol))
    spans = received(agent, token)
    assert samples.CANARY not in repr(spans)
    assert len(attributes(spans["ChatOpenAI"])["spanloom.prompt.hash"]) == 64


def test_nothing_arrives_where_only_langfuse_is_named(agent):
    """The agent has no Langfuse route: what it refuses is counted as failed, not as delivered."""
    with strict():
        destination = Langfuse("pk", "sk", f"http://127.0.0.1:{agent.http}")
        loom = spanloom.configure(destination, tracer_provider=TracerProvider(shutdown_on_exit=False))
        samples.trace(loom)
        assert not loom.shutdown()
    assert loom.stats()["destinations"]["langfuse"]["failed"] == SPANS
