"""OpenTelemetry's own switch for content."""

import pytest
import samples
from spanloom import ContentPolicy, Otlp
from spanloom.destinations.capture import VARIABLE
from spanloom.guard import _told


@pytest.mark.parametrize(
    ("value", "policy"),
    [
        ("SPAN_ONLY", ContentPolicy.full()), ("span_and_event", ContentPolicy.full()), ("true", ContentPolicy.full()),
        ("NO_CONTENT", ContentPolicy.none()), ("EVENT_ONLY", ContentPolicy.none()), ("false", ContentPolicy.none()),
        ("", ContentPolicy.hashed()), ("perhaps", ContentPolicy.hashed()),
    ],
)  # fmt: skip
def test_it_decides_where_the_code_does_not(monkeypatch, value, policy):
    monkeypatch.setenv(VARIABLE, value)
    assert Otlp("http://h").content == policy
    assert Otlp("http://h", content=ContentPolicy.redacted()).content == ContentPolicy.redacted()


def test_an_unknown_value_is_said_once(monkeypatch, caplog):
    _told.discard(VARIABLE)
    monkeypatch.setenv(VARIABLE, "perhaps")
    Otlp("http://h")
    Otlp("http://h")
    assert [VARIABLE in r.getMessage() for r in caplog.records] == [True]


def test_the_prompts_then_go_out(monkeypatch, configured, http_sink):
    monkeypatch.setenv(VARIABLE, "SPAN_ONLY")
    loom = configured(Otlp(http_sink.url))
    samples.trace(loom)
    assert loom.flush()
    assert samples.CANARY.encode() in http_sink.wire
