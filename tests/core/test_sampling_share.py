"""The share that is kept by chance: as large as said, the same for all who ask, and told on every span."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, TraceState
from spanloom import TailSampling, chance
from spanloom.ended import Ended
from spanloom.identity import NOBODY
from spanloom.sampling import share
from spanloom.step import Kind, Outcome, Step
from spanloom.testing import Memory

ALL = 2**56
PROBABILITIES = st.floats(0, 1)
IDS = st.integers(1, 2**128 - 1)


class Seeded(IdGenerator):
    """Random ids, the same in each run of the test."""

    def __init__(self, seed):
        self._random = random.Random(seed)

    def generate_trace_id(self):
        return self._random.getrandbits(128) or 1

    def generate_span_id(self):
        return self._random.getrandbits(64) or 1

    def is_trace_id_random(self):
        return True


def within_its_binomial_bound(memory, counts, traces, keep):
    assert (counts["offered"], counts["dropped"], counts["waiting"]) == (traces, 0, 0)
    deviation = math.sqrt(traces * keep * (1 - keep))
    assert abs(counts["exported"] - traces * keep) < 4 * deviation
    estimate = sum(1 / e.kept_for("memory").probability for e in memory.spans)
    assert abs(estimate - traces) < 4 * deviation / keep
    return True


def test_the_kept_share_of_100_000_traces_is_within_its_binomial_bound(configured):
    memory = Memory(sampling=TailSampling(keep=0.05, slower_than=None, hold_seconds=0))
    loom, ids = configured(memory), Seeded(1)
    (sink,) = loom._weave.sinks
    resource = Resource.get_empty()
    for n in range(100_000):  # ended spans as the processor hands them on: the SDK takes longer than the sampler
        context = SpanContext(ids.generate_trace_id(), 1, False, TraceFlags(TraceFlags.SAMPLED))
        span = ReadableSpan("request", context, resource=resource, start_time=1, end_time=2)
        sink.put(Ended(span, None, None, NOBODY, closes=True))
        if n % 5_000 == 0:
            loom.flush()
    assert loom.flush()
    assert within_its_binomial_bound(memory, loom.stats()["destinations"]["memory"], 100_000, 0.05)


@pytest.mark.parametrize("keep", [0.01, 0.05, 0.5])
def test_so_is_that_of_spans_of_the_sdk(configured, keep):
    memory = Memory(sampling=TailSampling(keep=keep, slower_than=None, hold_seconds=0))
    provider = TracerProvider(id_generator=Seeded(keep), shutdown_on_exit=False)
    loom = configured(memory, tracer_provider=provider)
    tracer = provider.get_tracer("app")
    for _ in range(5_000):
        tracer.start_span("request").end()
    assert loom.flush()
    assert within_its_binomial_bound(memory, loom.stats()["destinations"]["memory"], 5_000, keep)


@given(IDS, PROBABILITIES)
def test_it_is_opentelemetrys_rule_on_the_last_56_bits(trace_id, keep):
    context = SpanContext(trace_id, 1, False)
    kept = share.randomness_of(context) >= chance.threshold_of(keep)
    exact = (trace_id & (ALL - 1)) >= ALL * (1 - keep)
    near = abs((trace_id & (ALL - 1)) - ALL * (1 - keep)) <= 16  # what a float of the share cannot tell
    assert kept == exact or near


@given(IDS, PROBABILITIES, PROBABILITIES)
def test_what_is_kept_at_a_small_share_is_kept_at_a_larger_one(trace_id, one, other):
    randomness = chance.randomness_in(trace_id)
    small, large = sorted((one, other))
    assert not (randomness >= chance.threshold_of(small)) or randomness >= chance.threshold_of(large)


@given(PROBABILITIES)
def test_the_threshold_is_that_of_the_sdks_own_samplers(keep):
    sdk = pytest.importorskip("opentelemetry.sdk.trace._sampling_experimental._util")
    assert chance.threshold_of(keep) == sdk.calculate_threshold(keep)
    assert share.probability_of(chance.threshold_of(keep)) == pytest.approx(keep, abs=1e-15)


def test_an_explicit_randomness_wins_over_the_trace_id():
    def randomness(value):
        return share.randomness_of(SpanContext(5, 1, True, trace_state=TraceState([("ot", value), ("x", "y")])))

    assert randomness("rv:00000000000abc") == 0xABC
    assert randomness("th:8;rv:ffffffffffffff;x:1") == ALL - 1
    assert randomness("rv:abc") == 5  # 14 digits, or none
    assert randomness("rv:xyz00000000abc") == 5
    assert randomness("rv:zzzzzzzzzzzzzz") == 5
    assert randomness("th:8") == 5


@pytest.mark.parametrize(
    ("before", "threshold", "after"),
    [
        ([], 0, "ot=th:0"),
        ([], chance.threshold_of(0.5), "ot=th:8"),
        ([], chance.threshold_of(0.25), "ot=th:c"),
        ([("vendor", "1")], chance.threshold_of(0.5), "ot=th:8,vendor=1"),
        ([("vendor", "1"), ("ot", "rv:00000000000abc")], 0, "ot=th:0;rv:00000000000abc,vendor=1"),
        ([("ot", "th:c;rv:00000000000abc;a:b")], chance.threshold_of(0.5), "ot=th:c;rv:00000000000abc;a:b"),
        ([("ot", "th:8")], chance.threshold_of(0.25), "ot=th:c"),
        ([("ot", "th:8")], 0, "ot=th:8"),
        ([("ot", "th:nonsense")], 0, "ot=th:0"),
    ],
)
def test_the_threshold_is_told_in_the_tracestate_as_opentelemetry_has_it(before, threshold, after):
    context = SpanContext(7, 8, True, TraceFlags(1), TraceState(before))
    marked = share.marked(context, threshold)
    assert marked.trace_state.to_header() == after
    assert (marked.trace_id, marked.span_id, marked.trace_flags) == (7, 8, 1)


@given(st.lists(st.tuples(st.from_regex(r"[a-z]{1,5}", fullmatch=True), st.text("ab:;th0", min_size=1, max_size=250))))
def test_no_tracestate_costs_a_span_anything(entries):
    context = SpanContext(7, 8, True, TraceFlags(1), TraceState([*dict(entries).items()]))
    marked = share.marked(context, chance.threshold_of(0.5))
    assert marked.trace_id == 7
    assert share.randomness_of(marked) == share.randomness_of(context)


def under(loom, state, trace_id=ALL - 1, **close):
    """A trace below a parent in another process with that tracestate."""
    ids = SpanContext(trace_id, 9, True, TraceFlags(1), TraceState([("ot", state)]))
    with trace.use_span(NonRecordingSpan(ids)):
        loom.recorder.open(Step(state, Kind.CHAIN, state))
        loom.recorder.close(state, **close)


def test_samplers_before_this_one_count_into_the_probability(configured):
    memory = Memory(sampling=TailSampling(keep=0.25, slower_than=None))
    loom = configured(memory)
    under(loom, "th:8", ALL - 1)  # a half was left out before
    under(loom, "th:f", ALL - 2)  # 15 of 16 were
    under(loom, "th:8;rv:00000000000000", ALL - 3, outcome=Outcome.ERROR)
    under(loom, "th:8;rv:80000000000000", ALL - 4)
    assert loom.flush()
    found = {e.step.name: (e.kept_for("memory").probability, e.kept_for("memory").reason) for e in memory.spans}
    assert found == {
        "th:8": (0.25, "share"),
        "th:f": (1 / 16, "share"),
        "th:8;rv:00000000000000": (0.5, "error"),
    }


def test_services_and_destinations_with_larger_shares_keep_what_smaller_ones_keep(configured):
    memories = [Memory(f"m{keep}", sampling=TailSampling(keep=keep, slower_than=None)) for keep in (0.1, 0.4)]
    loom = configured(*memories)
    for n in range(500):
        loom.recorder.open(Step(n, Kind.CHAIN, "c"))
        loom.recorder.close(n)
    assert loom.flush()
    small, large = ({e.span.context.trace_id for e in m.spans} for m in memories)
    assert small < large


def test_all_and_nothing(configured):
    everything, nothing = (Memory(f"m{keep}", sampling=TailSampling(keep=keep, slower_than=None)) for keep in (1, 0))
    loom = configured(everything, nothing)
    for n in range(100):
        loom.recorder.open(Step(n, Kind.CHAIN, "c"))
        loom.recorder.close(n)
    assert loom.flush()
    assert (len(everything.spans), len(nothing.spans)) == (100, 0)
    assert {e.kept_for("m1").probability for e in everything.spans} == {1.0}


def test_a_full_tracestate_makes_room_without_a_word(caplog):
    context = SpanContext(7, 8, True, TraceFlags(1), TraceState([(f"v{n}", "1") for n in range(32)]))
    marked = share.marked(context, 0)
    assert list(marked.trace_state) == ["ot", *(f"v{n}" for n in range(31))]
    assert caplog.messages == []
