from __future__ import annotations

import pytest
import sinks
import spanloom
from opentelemetry.sdk.trace import TracerProvider
from spanloom.guard import GUARD
from spanloom.testing import strict

_ENVIRONMENT = ("OTEL_", "LANGFUSE_")


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch):
    import os

    for name in list(os.environ):
        if name.startswith(_ENVIRONMENT):
            monkeypatch.delenv(name)


@pytest.fixture
def http_sink():
    sink = sinks.HttpSink()
    yield sink
    sink.close()


@pytest.fixture
def second_sink():
    sink = sinks.HttpSink()
    yield sink
    sink.close()


@pytest.fixture
def grpc_sink():
    sink = sinks.GrpcSink()
    yield sink
    sink.close()


@pytest.fixture
def provider():
    """A provider of the application's own."""
    return TracerProvider(shutdown_on_exit=False)


@pytest.fixture
def configured(provider):
    """`configure()` on a provider of its own, under `strict()`, shut down at the end."""
    looms = []

    def configure(*destinations, **settings):
        loom = spanloom.configure(*destinations, **{"tracer_provider": provider, **settings})
        looms.append(loom)
        return loom

    with strict():
        yield configure
        for loom in looms:
            loom.shutdown(timeout=5.0)


@pytest.fixture
def lenient():
    """The guard as it is in production: it swallows, logs and counts."""
    before, GUARD.strict = GUARD.strict, False
    GUARD.swallowed.clear()
    yield GUARD
    GUARD.strict = before
    GUARD.swallowed.clear()
