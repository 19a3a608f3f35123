"""What receivers are told of sampling; and what is counted and measured before it."""

from __future__ import annotations

import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace import sampling as sdk
from spanloom import Honeycomb, Langfuse, Local, Otlp, Phoenix, TailSampling, guard
from spanloom.prices import PriceList
from spanloom.step import Kind, Outcome, Step
from spanloom.store import Reading
from spanloom.testing import Memory
from spanloom.usage import Usage

PROBABILITY, REASON = "spanloom.sampling.probability", "spanloom.sampling.reason"


def policy(keep=0.25, **rest):
    return TailSampling(**{"keep": keep, "slower_than": None, "hold_seconds": 0, **rest})


def record(loom, name, outcome=Outcome.OK, trace_id=None):
    """A chain with a span of another library in it; with a trace id whose randomness is `trace_id`."""
    provider = loom.tracer_provider
    if trace_id is not None:
        provider.id_generator.generate_trace_id, before = lambda: trace_id, provider.id_generator.generate_trace_id
    with provider.get_tracer("app").start_as_current_span(f"GET /{name}"):
        loom.recorder.open(Step(name, Kind.CHAIN, name))
        loom.recorder.close(name, outcome)
    if trace_id is not None:
        provider.id_generator.generate_trace_id = before


def both(loom):
    """A trace that is kept for its error, and one that is kept by chance."""
    record(loom, "failing", Outcome.ERROR, trace_id=1)
    record(loom, "lucky", trace_id=2**56 - 1)
    record(loom, "unlucky", trace_id=2)
    assert loom.flush()


def destinations(url):
    return {
        "genai": Otlp(url, sampling=policy()),
        "openinference": Otlp(url, dialect="openinference", sampling=policy()),
        "phoenix": Phoenix(url, sampling=policy()),
        "honeycomb": Honeycomb("k", endpoint=url, sampling=policy()),
        "langfuse": Langfuse("pk", "sk", url, include=["app"], sampling=policy()),
    }


@pytest.mark.parametrize("which", ["genai", "openinference", "phoenix", "honeycomb", "langfuse"])
def test_every_span_says_how_it_was_kept_in_every_dialect(configured, http_sink, which):
    both(configured(destinations(http_sink.url)[which]))
    found = {s.name: (s.attributes[PROBABILITY], s.attributes[REASON], s.tracestate) for s in http_sink.spans}
    kept, share = (1.0, "error", "ot=th:0"), (0.25, "share", "ot=th:c")
    assert found == {"failing": kept, "GET /failing": kept, "lucky": share, "GET /lucky": share}


def test_honeycomb_is_told_for_how_many_a_span_stands(configured, http_sink):
    both(configured(destinations(http_sink.url)["honeycomb"]))
    assert {s.name: s.attributes.get("SampleRate") for s in http_sink.spans} == {
        "failing": None, "GET /failing": None, "lucky": 4, "GET /lucky": 4,
    }  # fmt: skip


def test_langfuse_shows_it_as_metadata(configured, http_sink):
    both(configured(destinations(http_sink.url)["langfuse"]))
    span = http_sink.named("lucky")
    assert span.attributes["langfuse.observation.metadata.sampling_probability"] == 0.25
    assert span.attributes["langfuse.observation.metadata.sampling_reason"] == "share"


def test_the_local_file_keeps_it(configured, tmp_path):
    path = tmp_path / "spanloom.db"
    both(configured(Local(path, sampling=policy())))
    with Reading(path) as reading:
        rows = [row for trace_id in reading.find() for row in reading.spans(trace_id)]
    assert {row.name: row.record["sampling"] for row in rows} == {
        "failing": {"probability": 1.0, "reason": "error"}, "GET /failing": {"probability": 1.0, "reason": "error"},
        "lucky": {"probability": 0.25, "reason": "share"}, "GET /lucky": {"probability": 0.25, "reason": "share"},
    }  # fmt: skip


def test_a_destination_that_keeps_everything_says_nothing(configured, http_sink, second_sink):
    both(configured(Otlp(http_sink.url, sampling=policy()), Langfuse("pk", "sk", second_sink.url)))
    assert len(http_sink.spans) == 4
    assert len(second_sink.spans) == 3
    assert not [s for s in second_sink.spans if PROBABILITY in s.attributes or s.tracestate]


# -------------------------------------------------------------------- before sampling
def chat(loom, n, model="gpt-4o-mini"):
    step = Step(n, Kind.LLM, "chat", provider="openai", request_model=model, usage=Usage(1_000_000, 0))
    loom.recorder.open(step)
    loom.recorder.close(n)


def test_metrics_and_costs_are_those_of_all_traces(configured):
    reader = InMemoryMetricReader()
    meters = MeterProvider([reader], shutdown_on_exit=False)
    memory = Memory(sampling=policy(keep=0))
    loom = configured(memory, meter_provider=meters)
    for n in range(10):
        chat(loom, n)
    assert loom.flush()
    assert memory.spans == []
    found = {
        metric.name: metric.data.data_points
        for resource in reader.get_metrics_data().resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    }
    assert sum(p.count for p in found["gen_ai.client.operation.duration"]) == 10
    assert sum(p.value for p in found["spanloom.cost"]) == pytest.approx(10 * 0.15)
    assert [p.value for p in found["spanloom.spans.sampled_out"]] == [10]
    assert [p.value for p in found["spanloom.spans.waiting"]] == [0]
    meters.shutdown()


def test_counts_of_costs_are_those_of_all_traces_too(configured):
    loom = configured(Memory(sampling=policy(keep=0)))
    chat(loom, 1)
    chat(loom, 2, model="nobody-knows-it")
    assert loom.shutdown()
    assert loom.stats()["cost"] == {"priced": 1, "unknown": 1, "without_usage": 0}


def test_a_shutdown_waits_for_the_price_that_the_worker_is_at(configured, monkeypatch):
    settle, begun, released = PriceList.settle, threading.Event(), threading.Event()

    def slowly(prices, step):
        if threading.current_thread().name == "spanloom-sampling":
            begun.set()
            assert released.wait(10)
        settle(prices, step)

    monkeypatch.setattr(PriceList, "settle", slowly)
    loom = configured(Memory(sampling=policy(keep=0)))
    chat(loom, 1)
    assert begun.wait(10)
    with ThreadPoolExecutor(1) as pool:
        counted = pool.submit(lambda: loom.shutdown() and loom.stats()["cost"]["priced"])
        with suppress(TimeoutError):
            counted.result(0.2)  # it would come back at once, were it not to wait
        released.set()
        assert counted.result() == 1


# -------------------------------------------------------------------- head samplers
def composite():
    experimental = pytest.importorskip("opentelemetry.sdk.trace._sampling_experimental")
    ratio = experimental.composable_traceid_ratio_based(0.5)
    return experimental.composite_sampler(experimental.composable_parent_threshold(ratio))


@pytest.mark.parametrize(
    ("sampler", "warns"),
    [
        (sdk.DEFAULT_ON, False),
        (sdk.ALWAYS_ON, False),
        (sdk.ParentBasedTraceIdRatio(1.0), False),
        (sdk.TraceIdRatioBased(0.1), True),
        (sdk.ParentBasedTraceIdRatio(0.1), True),
        (sdk.ParentBased(sdk.ALWAYS_ON, remote_parent_sampled=sdk.TraceIdRatioBased(1e-05)), True),
        (sdk.ALWAYS_OFF, True),
        (sdk.DEFAULT_OFF, True),
        (composite, True),
    ],
    ids=lambda value: value.get_description()[:40] if isinstance(value, sdk.Sampler) else None,
)
def test_a_head_sampler_that_defeats_the_tail_is_told_once(configured, caplog, monkeypatch, sampler, warns):
    monkeypatch.setattr(guard, "_told", set())
    provider = TracerProvider(
        sampler=sampler if isinstance(sampler, sdk.Sampler) else sampler(), shutdown_on_exit=False
    )
    with caplog.at_level(logging.WARNING, "spanloom"):
        configured(Memory("plain"), tracer_provider=provider).shutdown()
        assert caplog.messages == []
        for _ in range(2):
            configured(Memory(sampling=policy()), tracer_provider=provider).shutdown()
    told = [m for m in caplog.messages if "errors in the others never reach sampling=" in m]
    assert len(told) == warns
    assert len(caplog.messages) == warns


def test_a_head_sampler_works_all_the_same(configured):
    memory = Memory(sampling=policy(keep=0))
    provider = TracerProvider(sampler=sdk.ParentBasedTraceIdRatio(0.5), shutdown_on_exit=False)
    loom = configured(memory, tracer_provider=provider)
    for n in range(200):
        record(loom, f"r{n}", Outcome.ERROR)
    assert loom.flush()
    assert 120 < len(memory.spans) < 280
    assert loom.stats()["destinations"]["memory"]["waiting"] == 0
    assert not loom._weave._tops
