"""The one processor on the application's provider: what it sees, what it passes on, and what it forgets."""

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult
from spanloom.step import Kind, Step
from spanloom.testing import Memory
from spanloom.weave import Weave


def names(memory):
    return [e.span.name for e in memory.spans]


def test_a_span_begun_before_configure_goes_out_with_the_place_of_its_parent(configured, provider):
    tracer = provider.get_tracer("web")
    above = tracer.start_span("above")
    early = tracer.start_span("early", trace.set_span_in_context(above))
    memory = Memory()
    loom = configured(memory)
    early.end()
    above.end()
    assert loom.flush()
    assert names(memory) == ["early", "above"]
    assert memory.spans[0].lineage.span_id == above.get_span_context().span_id
    assert memory.spans[1].lineage is None


class RecordOnly(Sampler):
    def should_sample(self, *_, **__):
        return SamplingResult(Decision.RECORD_ONLY)

    def get_description(self):
        return "record only"


def test_a_span_that_is_recorded_but_not_sampled_is_not_sent(configured):
    memory = Memory()
    loom = configured(memory, tracer_provider=TracerProvider(sampler=RecordOnly(), shutdown_on_exit=False))
    loom.recorder.open(Step("a", Kind.CHAIN, "a"))
    loom.recorder.close("a")
    loom.tracer_provider.get_tracer("web").start_span("GET").end()
    assert loom.flush()
    assert memory.spans == []
    assert not loom._weave._steps
    assert not loom._weave._others


def test_nothing_is_remembered_of_what_has_ended_but_a_bounded_number_of_places(configured, provider, monkeypatch):
    monkeypatch.setattr("spanloom.weave._MOST_GONE", 50)
    loom = configured(Memory())
    tracer = provider.get_tracer("web")
    for n in range(200):
        with tracer.start_as_current_span("GET"):
            loom.recorder.open(Step(n, Kind.CHAIN, "a"))
            loom.recorder.close(n)
    weave = loom._weave
    assert (len(weave._steps), len(weave._others), len(weave._gone)) == (0, 0, 50)


def test_spans_that_never_end_are_bounded(configured, provider, monkeypatch):
    monkeypatch.setattr("spanloom.weave._MOST_OTHERS", 50)
    loom = configured(Memory())
    spans = [provider.get_tracer("web").start_span("GET") for _ in range(200)]
    assert len(loom._weave._others) == 50
    for span in spans:
        span.end()
    assert loom.flush()


def test_without_destinations_it_does_nothing(provider):
    weave = Weave()
    provider.add_span_processor(weave)
    provider.get_tracer("web").start_span("GET").end()
    assert not weave._others
    assert provider.force_flush()
    provider.shutdown()


def test_one_sinks_trouble_is_not_the_next_ones(lenient, provider):
    taken = []

    class Sink:
        def __init__(self, put):
            self.put = put

    weave = Weave()
    weave.sinks = (Sink(lambda _: 1 / 0), Sink(taken.append))
    provider.add_span_processor(weave)
    provider.get_tracer("web").start_span("GET").end()
    assert len(taken) == 1
    assert lenient.swallowed["spanloom.weave.put"] == 1


@pytest.mark.parametrize("scope", ["spanloom", "web"])
def test_every_span_of_the_provider_passes_once(configured, provider, scope):
    memory = Memory()
    loom = configured(memory)
    provider.get_tracer(scope).start_span("x").end()
    assert loom.flush()
    assert names(memory) == ["x"]
