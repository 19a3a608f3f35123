"""Our encoder writes what OpenTelemetry's own writes, byte for byte, whatever a span holds."""

import enum
import logging
from collections import OrderedDict, UserDict, UserList
from concurrent.futures import ThreadPoolExecutor
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.attributes import BoundedAttributes
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util import BoundedList
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState
from sinks import spans_of
from spanloom.destinations.wire import attributes as room
from spanloom.destinations.wire.encoding import encoded, halves, in_pieces

PLENTY = 1 << 40
SLOW: Any = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
CONTEXT = SpanContext(0x1234, 0x56, is_remote=False)
RESOURCE = Resource({"service.name": "tests"})


def a_span(attributes=None, name="a step", **said):
    return ReadableSpan(name, CONTEXT, attributes=attributes, resource=RESOURCE, **said)


class Level(enum.IntEnum):
    HIGH = 3


class Colour(str, enum.Enum):  # noqa: UP042  the older form, which applications have
    RED = "rouge"


class Metres(float):
    pass


def _hashable(thing):
    try:
        hash(thing)
    except TypeError:
        return False
    return True


# ---------------------------------------------------------------- anything that a span may hold
any_text = st.text(st.characters(codec=None), max_size=20)  # lone surrogates too
long_text = st.builds(lambda text, times: text * times, st.text(min_size=1, max_size=5), st.integers(20, 40_000))
text = st.one_of(any_text, st.sampled_from(["", "a" * 127, "a" * 128, "é" * 64, "a" * 16_381, "\x00", "𝕏"]))
scalar = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([0, 1, 127, 128, 2**63 - 1, 2**63, -(2**63), -(2**63) - 1, -1, 10**400]),
    st.floats(),
    st.sampled_from([0.0, -0.0, 1.0, float("inf"), float("-inf"), float("nan")]),
    text,
    st.binary(max_size=200),
    st.sampled_from([Level.HIGH, Colour.RED, Metres(1.5)]),
    st.sampled_from([object(), {1, 2}, 1j, bytearray(b"ab"), memoryview(b"ab"), range(3), Level, UserDict(a=1)]),
)
value = st.recursive(
    scalar,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.lists(inner, max_size=3).map(UserList),
        st.dictionaries(st.one_of(text, scalar.filter(_hashable)), inner, max_size=4),
        st.dictionaries(any_text, inner, max_size=2).map(OrderedDict),
        st.dictionaries(any_text, inner, max_size=2).map(MappingProxyType),
    ),
    max_leaves=8,
)


key = st.one_of(
    st.sampled_from(["user.id", "gen_ai.operation.name", "", "é", "k" * 120, "k" * 128, "k" * 200]),
    any_text,
    st.sampled_from([None, b"bytes", b"\xff", 3, Colour.RED]),  # what no tracer lets in, and a copy may hold
)
raw_attributes = st.one_of(
    st.none(),
    st.dictionaries(key, st.one_of(value, long_text), max_size=6),
    st.dictionaries(st.sampled_from(["a", "b", "c"]), scalar, max_size=3),  # the same keys, with 1 and True and 1.0
)
attributes = st.one_of(
    raw_attributes,
    raw_attributes.map(lambda made: BoundedAttributes(2, made)),  # some are dropped, and counted
)
u64 = st.integers(0, 2**64 - 1)
states = st.sampled_from([TraceState(), TraceState([("vendor", "1"), ("other", "a=2")])])
flags = st.integers(0, 255).map(TraceFlags)
contexts = st.builds(SpanContext, st.integers(0, 2**128 - 1), u64, st.booleans(), flags, states)
names = st.one_of(st.text(max_size=20), st.sampled_from(["", "a" * 127, "é" * 64, None, b"bytes", Colour.RED]))
events = st.builds(Event, names, attributes, u64)
links = st.builds(Link, contexts, attributes)


def _bounded(items):
    kept = BoundedList(1)
    kept.extend(items)
    return kept


def some(items):
    made = st.lists(items, max_size=3)
    return st.one_of(st.just([]), made, made.map(_bounded))


scope = {"name": ["spanloom", ""], "version": [None, "", "1.0"], "schema_url": [None, "", "https://schema/1"]}
scopes = st.builds(
    InstrumentationScope,
    **{field: st.sampled_from(values) for field, values in scope.items()},
    attributes=st.one_of(st.sampled_from([None, {"a": 1}, {"a": "x", "b": [True, None]}]), raw_attributes),
)
resources = st.builds(
    Resource,
    st.one_of(
        st.sampled_from([{}, {"service.name": "a", "b": 1}, {"b": 1, "service.name": "a"}]),
        st.dictionaries(
            st.sampled_from("abc"), st.one_of(any_text, st.integers(), st.lists(st.booleans())), max_size=2
        ),
    ),
    st.one_of(st.none(), st.text(max_size=9)),
)
sound = {
    "name": names,
    "context": contexts,
    "parent": st.one_of(st.none(), contexts),
    "resource": resources,
    "attributes": attributes,
    "events": some(events),
    "links": some(links),
    "kind": st.sampled_from(SpanKind),
    "status": st.builds(Status, st.sampled_from(StatusCode), st.one_of(st.none(), st.text(max_size=20))),
    "start_time": st.one_of(st.none(), st.just(0), u64),
    "end_time": st.one_of(st.none(), st.just(0), u64),
    "instrumentation_scope": st.one_of(st.none(), scopes),
}
no_time, no_id = st.sampled_from([-1, 2**64, 1.5, "now"]), st.sampled_from([-1, 2**128, None])
no_text = st.sampled_from(["\ud800", b"\xff", 7])
no_contexts = st.one_of(
    st.none(),
    st.builds(SpanContext, st.sampled_from([-1, 2**128]), u64, st.booleans()),
    st.builds(SpanContext, u64, st.sampled_from([-1, 2**64]), st.booleans()),
)
odd = {
    "name": no_text,
    "context": no_contexts,
    "parent": st.builds(SpanContext, u64, st.sampled_from([-1, 2**64]), st.booleans()),
    "events": st.lists(
        st.one_of(events, st.builds(Event, no_text, attributes, u64), st.builds(Event, names, attributes, no_time)),
        min_size=1,
        max_size=3,
    ),
    "links": st.lists(st.builds(Link, no_contexts, attributes), min_size=1, max_size=2),
    "kind": st.just("client"),
    "status": st.just(Status(StatusCode.ERROR, "\ud800")),
    "start_time": no_time,
    "end_time": no_time,
    "instrumentation_scope": st.builds(InstrumentationScope, no_text),
    "resource": st.builds(Resource, st.just({}), no_text),
}
sound_spans = st.builds(ReadableSpan, **sound)
odd_spans = st.sampled_from(sorted(odd)).flatmap(lambda field: st.builds(ReadableSpan, **{**sound, field: odd[field]}))
spans = st.one_of(sound_spans, sound_spans, odd_spans)


@pytest.fixture(autouse=True)
def _quiet(monkeypatch):
    """The official encoder logs what it leaves out, its value included."""
    monkeypatch.setattr(logging.getLogger("opentelemetry.exporter.otlp.proto.common._internal"), "disabled", True)


def officially(given_spans):
    """What the official encoder writes of those that it can encode, and how many it cannot."""
    fit = []
    for span in given_spans:
        try:
            encode_spans([span]).SerializeToString()
            fit.append(span)
        except Exception:
            continue
    return encode_spans(fit).SerializeToString(), len(given_spans) - len(fit)


def ours(given_spans):
    batches, unfit = encoded(given_spans, PLENTY)
    return b"".join(batch.body for batch in batches), len(unfit)


@given(st.dictionaries(key, value, max_size=3))
@settings(max_examples=300, **SLOW)
def test_any_attribute_is_encoded_as_the_official_classes_do(given_attributes):
    span = a_span(given_attributes)
    assert ours([span]) == officially([span])


@given(st.lists(spans, max_size=4))
@settings(max_examples=150, **SLOW)
def test_any_spans_are_encoded_as_the_official_classes_do(given_spans):
    assert ours(given_spans) == officially(given_spans)


def test_spans_of_a_scope_that_cannot_be_encoded_go_to_no_other():
    good, bad = InstrumentationScope("good"), InstrumentationScope("\ud800")
    first, other = Resource({"a": 1, "b": 2}), Resource({"b": 2, "a": 1})
    for resources in ((first, first), (first, other), (other, first)):
        given_spans = [
            ReadableSpan(f"{n}", CONTEXT, resource=resources[n % 2], instrumentation_scope=scope)
            for n, scope in enumerate([good, bad, bad, good, bad, bad])
        ]
        for some_spans in (given_spans, given_spans[1:]):
            assert ours(some_spans) == officially(some_spans)


def test_what_is_cached_for_one_value_is_not_taken_for_another():
    same = [1, True, 1.0, "1", b"1", [1], (True,), None, 0, False, 0.0, -0.0, "", b"", [], {}]
    given_spans = [a_span({key: value}) for value in same for key in ("k", "l" * 130)]
    for _ in range(2):
        assert ours(given_spans) == officially(given_spans)


@given(st.lists(st.builds(ReadableSpan, **sound), min_size=1, max_size=8), st.integers(0, 2_000))
@settings(max_examples=60, **SLOW)
def test_requests_cut_to_any_size_hold_the_same_spans_in_the_same_order(given_spans, most):
    def spans_in(batches):
        requests = [ExportTraceServiceRequest.FromString(batch.body) for batch in batches]
        assert [len(spans_of(request)) for request in requests] == [batch.items for batch in batches]
        return [
            (scoped.scope, scoped.schema_url, resourced.resource, resourced.schema_url, span)
            for request in requests
            for resourced in request.resource_spans
            for scoped in resourced.scope_spans
            for span in scoped.spans
        ]

    (whole,), _ = encoded(given_spans, PLENTY)
    parts, _ = encoded(given_spans, most)
    assert spans_in(parts) == spans_in([whole]) == spans_in(in_pieces(whole, most))
    assert all(len(part.body) <= most or part.items == 1 for part in parts)
    if whole.items > 1:
        assert spans_in(halves(whole)) == spans_in([whole])
        assert max(half.items for half in halves(whole)) <= (whole.items + 1) // 2


def nested(levels, value="deep"):
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    "value",
    [nested(40), nested(47), {"c": nested(45)}, nested(51), [{"c": nested(60)}], nested(1_000)],
    ids=["40", "47", "45 in a mapping", "51", "60 in a mapping", "1000"],
)
def test_deep_values_are_encoded_or_left_out_as_the_official_classes_do(value):
    deep = {"a": 1, "deep": value, "b": 2}
    for span in (a_span(deep), a_span(events=[Event("e", deep, 1)]), a_span(links=[Link(CONTEXT, deep)])):
        assert ours([span]) == officially([span])


@pytest.mark.parametrize("levels", [48, 49, 50])
def test_a_value_too_deep_for_receivers_costs_only_itself(levels):
    (batch,), unfit = encoded([a_span({"a": 1, "deep": nested(levels)}), a_span({"b": 2})], PLENTY)
    kept = spans_of(ExportTraceServiceRequest.FromString(batch.body))
    assert unfit == []
    assert [dict(span.attributes) for span in kept] == [{"a": 1}, {"b": 2}]


def test_a_value_within_itself_is_left_out():
    within: list = [1]
    within.append(within)
    assert ours([a_span({"a": within, "b": 2})]) == ours([a_span({"b": 2})])


def test_an_attribute_that_is_left_out_is_told_once_and_without_its_value(caplog, monkeypatch):
    monkeypatch.setattr("spanloom.guard._told", set())
    for _ in range(3):
        encoded([a_span({"c4nary-key": 2**70, "other": {"c4nary"}})], PLENTY)
    assert [record.levelname for record in caplog.records] == ["WARNING"] * 2
    assert "type int" in caplog.text
    assert "type set" in caplog.text
    assert "c4nary" not in caplog.text
    assert str(2**70) not in caplog.text


def test_what_is_kept_of_keys_and_lengths_is_bounded():
    tables = room.Attributes(9)
    for n in range(3 * room._MOST_HEADS):
        parts: list[bytes] = []
        tables.into(parts, {f"key.{n}": "a" * (n % 200), "long": "b" * n, "count": n})
        span = b"".join(parts)
        assert f"key.{n}".encode() in span
    kept = [*tables._texts.values(), *tables._values.values()]
    assert sum(map(len, kept)) <= room._MOST_HEADS
    assert len(tables._starts) <= room._MOST_HEADS


def test_threads_that_encode_at_once_do_not_disturb_each_other(monkeypatch):
    monkeypatch.setattr(room, "_MOST_HEADS", 10)  # what is kept is forgotten all the time
    given_spans = [a_span({f"k{n % 17}": "a" * (n % 23), f"n{n % 13}": n}) for n in range(200)]
    right = officially(given_spans)
    with ThreadPoolExecutor(4) as threads:
        assert all(found == right for found in threads.map(ours, [given_spans] * 40))
