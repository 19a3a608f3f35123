from __future__ import annotations

from contextlib import closing

import pytest
from sinks import HttpSink

from tests.collector.servers import Collector


@pytest.fixture
def langfuse():
    """A receiver in the place of Langfuse."""
    with closing(HttpSink()) as sink:
        yield sink


@pytest.fixture
def backend():
    """A receiver in the place of an OTLP backend."""
    with closing(HttpSink()) as sink:
        yield sink


@pytest.fixture
def backends(langfuse, backend):
    """The options that name both."""
    return ["--otlp-endpoint", backend.url, "--otlp-header", "api-key=OTLP_API_KEY", "--langfuse-url", langfuse.url]


@pytest.fixture
def single(tmp_path, backends):
    """`single(*options)` is one running Collector in front of both receivers."""
    running = []

    def start(*options):
        collector = Collector(tmp_path / f"single-{len(running)}", *backends, *options)
        running.append(collector)
        collector.start()
        return collector

    yield start
    for collector in running:
        collector.stop()
