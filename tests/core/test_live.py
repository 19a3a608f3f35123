"""The live span of a step: ids alone where nobody would see it, the SDK's own where somebody does, alike in both."""

import json
import os
import random
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanLimits, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, ParentBased, TraceIdRatioBased
from opentelemetry.trace import Link, SpanContext, Status, StatusCode, TraceFlags, TraceState
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from spanloom.live import StepSpan
from spanloom.step import Kind, Outcome, Step
from spanloom.testing import Memory


class Onlooker(SpanProcessor):
    """Another processor on the provider."""

    def __init__(self):
        self.started, self.ended = [], []

    def on_start(self, span, parent_context=None):
        self.started.append((span.name, dict(span.attributes), span.parent))

    def on_end(self, span):
        self.ended.append(span)


def told(span):
    """All that a span tells but its ids and times."""
    assert (span.start_time or 0) <= (span.end_time or 0)
    return {
        "name": span.name,
        "kind": span.kind,
        "attributes": {k: list(v) if isinstance(v, tuple) else v for k, v in span.attributes.items()},
        "events": [(e.name, dict(e.attributes)) for e in span.events],
        "links": [(link.context, dict(link.attributes)) for link in span.links],
        "status": (span.status.status_code, span.status.description),
        "scope": span.instrumentation_scope,
        "resource": span.resource,
        "flags": (span.context.trace_flags, span.context.is_remote, span.context.trace_state),
        "dropped": (span.dropped_attributes, span.dropped_events, span.dropped_links),
        "above": None
        if span.parent is None
        else (span.parent.trace_id == span.context.trace_id, span.parent.is_remote),
    }


def run(configured, program, *, watched, limits=None):
    """Steps as `program` says, and what arrives; `watched` by another processor."""
    provider = TracerProvider(shutdown_on_exit=False, span_limits=limits)
    onlooker, memory = Onlooker(), Memory()
    if watched:
        provider.add_span_processor(onlooker)
    loom = configured(memory, tracer_provider=provider)
    steps = []

    def play(level, parent):
        for n, (kind, outcome, writes, below) in enumerate(level):
            step = Step(f"{parent}.{n}", kind, "step", request_model="m" if kind is Kind.LLM else None)
            loom.recorder.open(step, parent)
            steps.append(step)
            for write in writes:
                write(step.span)
            play(below, step.run_id)
            loom.recorder.close(step.run_id, outcome, error=ValueError("no") if outcome is Outcome.ERROR else None)

    play(program, None)
    assert loom.flush()
    assert {isinstance(e.span, StepSpan) for e in memory.spans} <= {not watched}
    by_id = {s.span_id: n for n, s in enumerate(steps)}
    places = [by_id.get(e.span.parent.span_id) if e.span.parent else None for e in memory.spans]
    return places, [told(e.span) for e in memory.spans], onlooker


texts = st.text(max_size=8)
values = st.one_of(
    texts, st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False), st.lists(texts, max_size=3)
)
attributes = st.dictionaries(texts.filter(bool), values, max_size=3)
writes = st.one_of(
    attributes.map(lambda given: lambda span: span.set_attributes(given)),
    st.tuples(texts.filter(bool), values).map(lambda pair: lambda span: span.set_attribute(*pair)),
    st.tuples(texts, attributes).map(lambda pair: lambda span: span.add_event(*pair)),
    attributes.map(lambda given: lambda span: span.add_link(SpanContext(1, 2, is_remote=True), given)),
    st.tuples(st.sampled_from(StatusCode), st.none() | texts).map(lambda pair: lambda span: span.set_status(*pair)),
    st.sampled_from(StatusCode).map(lambda code: lambda span: span.set_status(Status(code))),
    texts.map(lambda text: lambda span: span.update_name(text)),
    texts.map(lambda text: lambda span: span.set_attribute("gen_ai.request.model", text)),
)
program = st.recursive(
    st.just([]),
    lambda below: st.lists(
        st.tuples(st.sampled_from(Kind), st.sampled_from(Outcome), st.lists(writes, max_size=3), below), max_size=3
    ),
    max_leaves=6,
)


@settings(max_examples=40, deadline=None)
@given(program=program, few=st.booleans())
def test_a_light_span_tells_what_one_of_the_sdk_tells(program, few):
    from spanloom.testing import strict

    limits = SpanLimits(max_events=1, max_links=1, max_attribute_length=3) if few else None
    looms = []

    def configured(*destinations, **settings):
        import spanloom

        looms.append(spanloom.configure(*destinations, **settings))
        return looms[-1]

    with strict():
        light = run(configured, program, watched=False, limits=limits)
        looms[-1].shutdown()
        full = run(configured, program, watched=True, limits=limits)
        looms[-1].shutdown()
    seen = [told(span) for span in full[2].ended]
    if few:  # the SDK cuts and counts Spanloom's own attributes on a live span too
        for span in (*light[1], *full[1], *seen):
            span["attributes"] = {k: v for k, v in span["attributes"].items() if "." not in k}
    assert light[:2] == full[:2]
    assert seen == full[1]


def test_another_processor_sees_what_the_sdk_would_show(configured, provider):
    onlooker = Onlooker()
    provider.add_span_processor(onlooker)
    loom = configured(Memory())
    top = loom.recorder.open(Step("top", Kind.CHAIN, "rag"))
    assert isinstance(top.span, Span)
    loom.recorder.open(Step("call", Kind.LLM, "Chat", provider="openai", request_model="gpt"), "top")
    loom.recorder.close("call")
    loom.recorder.close("top", Outcome.ERROR, error=ValueError("secret"))
    (_, begun, _), (name, called, parent) = onlooker.started
    assert begun["spanloom.step.kind"] == "chain"
    assert (name, called["gen_ai.request.model"], parent) == ("chat gpt", "gpt", top.span.get_span_context())
    call, ended = onlooker.ended
    assert (call.attributes["spanloom.step.outcome"], ended.status.status_code) == ("ok", StatusCode.ERROR)
    assert "secret" not in ended.to_json()


def test_a_processor_that_comes_while_a_step_is_open_sees_its_end_and_all_of_what_follows(configured, provider):
    memory, onlooker = Memory(), Onlooker()
    loom = configured(memory)
    top = loom.recorder.open(Step("top", Kind.CHAIN, "rag"))
    held = top.span
    held.set_attribute("app.key", 1)
    provider.add_span_processor(onlooker)
    loom.recorder.open(Step("late", Kind.TOOL, "search"), "top")
    loom.recorder.close("late")
    loom.recorder.close("top")
    assert loom.flush()
    assert [s[0] for s in onlooker.started] == ["execute_tool search"]
    assert [s.name for s in onlooker.ended] == ["execute_tool search", "rag"]
    assert onlooker.ended[0].parent == held.get_span_context() == onlooker.ended[1].context
    assert onlooker.ended[1].attributes["app.key"] == 1
    assert memory.tree() == ["chain:rag", "  tool:search"]


class Counted(IdGenerator):
    def __init__(self):
        self.made = 0

    def generate_span_id(self):
        self.made += 1
        return self.made

    def generate_trace_id(self):
        return 7


@pytest.mark.parametrize(
    "settings", [{"sampler": ParentBased(TraceIdRatioBased(0.5))}, {"id_generator": Counted()}], ids=["sampler", "ids"]
)
def test_what_a_provider_does_in_its_own_way_stays_its_own(configured, settings):
    memory = Memory()
    loom = configured(memory, tracer_provider=TracerProvider(shutdown_on_exit=False, **settings))
    steps = [loom.recorder.open(Step(n, Kind.CHAIN, "rag")) for n in range(200)]
    for step in steps:
        loom.recorder.close(step.run_id)
    assert loom.flush()
    if "sampler" in settings:
        assert 50 < len(memory.spans) < 150
    else:
        assert {s.trace_id for s in steps} == {7}
        assert [s.span_id for s in steps] == list(range(1, 201))


@pytest.mark.parametrize("sampler", [None, ALWAYS_ON], ids=["default", "always on"])
def test_a_trace_from_elsewhere_goes_on_with_its_ids_its_flags_and_its_state(configured, sampler):
    memory = Memory()
    loom = configured(memory, tracer_provider=TracerProvider(sampler, shutdown_on_exit=False))
    came = {"traceparent": f"00-{7:032x}-{8:016x}-01", "tracestate": "vendor=x"}
    step = loom.recorder.open(Step("a", Kind.CHAIN, "rag"), context=TraceContextTextMapPropagator().extract(came))
    goes = {}
    TraceContextTextMapPropagator().inject(goes, trace.set_span_in_context(step.span))
    assert goes == {"traceparent": f"00-{7:032x}-{step.span_id:016x}-01", "tracestate": "vendor=x"}
    loom.recorder.open(Step("b", Kind.CHAIN, "inner"), "a")
    loom.recorder.close("b")
    loom.recorder.close("a")
    assert loom.flush()
    inner, outer = (e.span for e in memory.spans)
    assert (outer.parent.span_id, outer.parent.is_remote) == (8, True)
    assert (inner.parent, inner.context.trace_state) == (outer.context, TraceState([("vendor", "x")]))


def test_a_trace_that_its_caller_did_not_sample_is_not_recorded(configured):
    memory = Memory()
    loom = configured(memory)
    came = TraceContextTextMapPropagator().extract({"traceparent": f"00-{7:032x}-{8:016x}-00"})
    step = loom.recorder.open(Step("a", Kind.CHAIN, "rag"), context=came)
    loom.recorder.open(Step("b", Kind.CHAIN, "inner"), "a")
    assert not step.span.is_recording()
    loom.recorder.close("b")
    loom.recorder.close("a")
    assert loom.flush()
    assert memory.spans == []


def test_a_trace_begins_with_the_flag_of_a_random_id(configured, provider):
    step = configured(Memory()).recorder.open(Step("a", Kind.CHAIN, "rag"))
    assert step.span.context.trace_flags == provider.get_tracer("x").start_span("y").context.trace_flags


def test_the_same_span_is_current_wherever_it_is_asked_for(configured):
    loom = configured(Memory())
    step = loom.recorder.open(Step("a", Kind.CHAIN, "rag"))
    found = []
    threads = [threading.Thread(target=lambda: found.append(loom.recorder.span_of("a"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {id(span) for span in found} == {id(step.span)}


def test_it_is_a_span_to_whoever_asks(configured):
    span = configured(Memory()).recorder.open(Step("a", Kind.CHAIN, "rag", links=(Link(SpanContext(1, 2, True)),))).span
    assert isinstance(span, trace.Span)
    assert isinstance(span, ReadableSpan)
    assert json.loads(span.to_json())["name"] == "rag"
    assert span.is_recording()
    assert len(span.links) == 1


def test_a_span_that_the_application_ends_is_sent_once_and_refuses_what_comes_later(configured, caplog):
    memory = Memory()
    loom = configured(memory)
    step = loom.recorder.open(Step("a", Kind.CHAIN, "rag"))
    with trace.use_span(step.span, end_on_exit=True):
        step.span.set_attribute("app.key", 1)
    span = step.span
    assert not span.is_recording()
    span.set_attribute("app.late", 2)
    span.end()
    loom.recorder.close("a")
    assert loom.flush()
    assert [e.span for e in memory.spans] == [span]
    assert "app.late" not in span.attributes
    assert {r.message for r in caplog.records} == {
        "Setting attribute on ended span.",
        "Calling end() on an ended span.",
    }


def test_an_exception_inside_its_block_is_noted_as_the_sdk_notes_it(configured, provider):
    memory = Memory()
    loom = configured(memory)
    ours = loom.recorder.open(Step("a", Kind.CHAIN, "rag")).span
    theirs = provider.get_tracer("web").start_span("GET")
    for span in (ours, theirs):
        with pytest.raises(ValueError), span:
            raise ValueError("no")
    noted = [(s.status.status_code, s.status.description, [e.name for e in s.events]) for s in (ours, theirs)]
    assert noted == [(StatusCode.ERROR, "ValueError: no", ["exception"])] * 2
    assert ours.events[0].attributes["exception.message"] == "no"


def test_ids_do_not_repeat_after_a_fork_nor_when_an_application_seeds_its_own(configured):
    from spanloom import ids

    random.seed(1)
    first = ids.trace_id()
    random.seed(1)
    assert ids.trace_id() != first
    read, write = os.pipe()
    child = os.fork()
    if not child:
        os.write(write, f"{ids.trace_id():032x}".encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert int(os.read(read, 32), 16) != ids.trace_id()
    os.close(read)
    os.close(write)


def test_what_an_unseen_step_keeps_alive_is_collected_without_the_collector(configured):
    import gc
    import weakref

    loom = configured(Memory())
    loom._weave.sinks = ()
    gc.disable()
    try:
        step = loom.recorder.open(Step("a", Kind.CHAIN, "rag"))
        step.span.set_attribute("app.key", 1)
        gone = weakref.ref(step.span)
        loom.recorder.close("a")
        del step
        assert gone() is None
    finally:
        gc.enable()


def test_flags_of_a_parent_that_is_not_random_pass_on(configured):
    loom = configured(Memory())
    around = trace.set_span_in_context(
        trace.NonRecordingSpan(SpanContext(7, 8, is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED)))
    )
    assert (
        loom.recorder.open(Step("a", Kind.CHAIN, "rag"), context=around).span.context.trace_flags == TraceFlags.SAMPLED
    )
