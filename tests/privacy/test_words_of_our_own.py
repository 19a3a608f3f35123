"""What Spanloom says of itself (log lines, errors, reprs, metrics, log records) holds no content and no key."""

from __future__ import annotations

import logging

import pytest
import sinks
import spanloom
from opentelemetry import _logs
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from spanloom import ContentPolicy, Datadog, Langfuse, LangSmith, Otlp, Phoenix, actions
from spanloom.content import Category as C
from spanloom.guard import GUARD
from spanloom.step import Content, Deferred, Kind, Step
from spanloom.testing import Memory, strict
from spanloom_langchain import SpanloomCallbackHandler

from tests.privacy import in_langchain
from tests.privacy.canaries import Canaries, found

KEY = "s3cretk3y"


@pytest.fixture
def log_records(monkeypatch):
    exporter = InMemoryLogRecordExporter()
    provider = LoggerProvider(shutdown_on_exit=False)
    provider.add_log_record_processor(SimpleLogRecordProcessor(exporter))
    monkeypatch.setattr(_logs._internal, "_LOGGER_PROVIDER", provider)
    return exporter


def test_metrics_and_log_records_hold_names_and_nothing_else(log_records):
    """They are the application's own, and no policy is asked: so no content is in them."""
    canaries, reader = Canaries(), InMemoryMetricReader()
    meters = MeterProvider([reader], shutdown_on_exit=False)
    with (
        strict(),
        spanloom.configure(
            Memory(), meter_provider=meters, tracer_provider=TracerProvider(shutdown_on_exit=False)
        ) as loom,
    ):
        in_langchain.run(canaries, loom, SpanloomCallbackHandler(loom))
        assert loom.flush()
        metrics = reader.get_metrics_data().to_json()
    records = [record.log_record for record in log_records.get_finished_logs()]
    assert records
    told = metrics + "".join(f"{r.body} {r.event_name} {dict(r.attributes)}" for r in records)
    words, _ = found(canaries, told.encode())
    assert {"lc.tool.name", "lc.agent.name", "score.name", "score.label"} <= words
    assert {
        c.channel for c in canaries.all.values() if c.channel in words and (frozenset({C.NAMES}),) != c.places
    } == set()


def test_no_repr_holds_a_key():
    policy = ContentPolicy.hashed(hash_key=KEY).replace(completion=[actions.hash(KEY)])
    told = [
        Otlp("http://x", {"api-key": KEY}, content=policy),
        Langfuse("pk", KEY, "http://x"),
        Phoenix(api_key=KEY),
        LangSmith(KEY),
        Datadog(KEY),
        policy,
        actions.hash(KEY),
    ]
    assert KEY not in repr(told)
    assert KEY not in "".join(map(str, told))


def test_no_error_of_a_configuration_quotes_a_key():
    for wrong in (
        lambda: Otlp("http://x", {"api-key": f"{KEY}\n"}),
        lambda: Otlp("http://x", KEY),
        lambda: Langfuse("pk", f"{KEY}\r", "http://x"),
        lambda: Langfuse(None, KEY),
    ):
        with strict(), pytest.raises(spanloom.ConfigurationError) as raised:
            spanloom.configure(wrong(), tracer_provider=TracerProvider(shutdown_on_exit=False))
        assert KEY not in str(raised.value)


def test_what_fails_inside_is_logged_at_every_level_without_a_word_of_it(caplog, monkeypatch):
    """Content that raises when it is read, a dialect that fails on it, a receiver that is not there."""
    monkeypatch.setattr(GUARD, "strict", False)
    monkeypatch.setattr(GUARD, "swallowed", type(GUARD.swallowed)())
    canary = "cnryinside"

    def unreadable() -> None:
        raise ValueError(canary)

    loom = spanloom.configure(
        Otlp(f"http://ann:{KEY}@127.0.0.1:1", {"api-key": KEY}, content=ContentPolicy.full(), timeout=0.2),
        Langfuse("pk", KEY, "http://127.0.0.1:1", content=ContentPolicy.full(), timeout=0.2),
        tracer_provider=TracerProvider(shutdown_on_exit=False),
    )
    with caplog.at_level(logging.DEBUG):
        content = Content(input=Deferred(unreadable), output={"a": canary})
        loom.recorder.open(Step("s", Kind.CHAIN, "s", content=content))
        loom.recorder.close("s", error=ValueError(canary))
        loom.score("x", 1.0, trace_id="1" * 32, comment=canary)
        loom.flush(5)
        loom.shutdown(5)
    assert "spanloom.content.read.input" in GUARD.swallowed
    assert canary not in caplog.text
    assert KEY not in "".join(r.getMessage() for r in caplog.records if r.name.startswith("spanloom"))
    GUARD.swallowed.clear()


def test_a_long_conversation_is_decided_on_once_for_all_destinations(monkeypatch):
    """Of one policy: two destinations that have it cost no more than one."""
    calls = []
    policy = ContentPolicy.full().replace(user_prompt=actions.custom(lambda value: calls.append(1) or value))
    sink = sinks.HttpSink()
    try:
        with (
            strict(),
            spanloom.configure(
                Otlp(sink.url, content=policy), Langfuse("pk", "sk", sink.url, content=policy),
                tracer_provider=TracerProvider(shutdown_on_exit=False),
            ) as loom,
        ):  # fmt: skip
            loom.recorder.open(Step("s", Kind.CHAIN, "s", content=Content(input="x")))
            loom.recorder.close("s")
            assert loom.flush()
        assert len(calls) == 1
    finally:
        sink.close()
