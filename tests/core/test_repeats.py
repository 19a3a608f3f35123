"""The same prompt again, in a trace or within a minute: counted once for all destinations, and told by every one."""

import json
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from spanloom import ContentPolicy, Langfuse, Local, Otlp
from spanloom.content.read import read
from spanloom.identity import NOBODY
from spanloom.repeats import SentPrompts
from spanloom.step import Content, Deferred, Kind, Message, Outcome, Repeats, Step, Text
from spanloom.store import Reading

S = 1_000_000_000
T0 = 1_790_000_000 * S
IN_TRACE, IN_MINUTE = "spanloom.prompt.repeats.trace", "spanloom.prompt.repeats.minute"


def call(trace=1, at=0.0, **fields):
    return Step("run", Kind.LLM, "Chat", trace_id=trace, start_ns=T0 + int(at * S), **fields)


def noted(prompts, prompt="p", **fields):
    step = call(**fields)
    prompts.note(step, prompt)
    return step.repeats


# ---------------------------------------------------------------- the room
def test_the_second_and_every_later_call_with_a_prompt_in_a_trace_repeats_it():
    prompts = SentPrompts()
    assert [noted(prompts, at=n) for n in range(3)] == [None, Repeats(1, 1), Repeats(2, 2)]
    assert noted(prompts, "another", at=3) is None
    assert prompts.repeated == 2


def test_within_a_minute_other_traces_count_and_beyond_it_only_the_same_trace_does():
    prompts = SentPrompts()
    assert noted(prompts, trace=1, at=0) is None
    assert noted(prompts, trace=2, at=60) == Repeats(0, 1)
    assert noted(prompts, trace=3, at=120.001) is None
    assert noted(prompts, trace=1, at=600) == Repeats(1, 0)


def test_a_repeated_prompt_is_an_event_at_the_start_of_the_call():
    prompts = SentPrompts()
    prompts.note(call(), "p")
    step = call(at=2)
    prompts.note(step, "p")
    (event,) = step.events
    assert (event.name, event.time_ns, event.data) == ("prompt_repeated", T0 + 2 * S, {"trace": 1, "minute": 1})


@pytest.mark.parametrize(
    ("step", "prompt"),
    [
        (call(cache_hit=True), "p"),  # an answer from a cache is no call
        (call(), None),  # nothing was asked
        (Step("run", Kind.AGENT, "Agent", trace_id=1, start_ns=T0), "p"),
    ],
)
def test_what_is_no_call_of_a_model_with_a_prompt_counts_nowhere(step, prompt):
    prompts = SentPrompts()
    prompts.note(call(), "p")
    prompts.note(step, prompt)
    assert step.repeats is None
    assert not step.events
    assert noted(prompts) == Repeats(1, 1)


calls = st.lists(
    st.tuples(st.sampled_from("abc"), st.integers(1, 3), st.integers(0, 200 * S)), max_size=60
)  # prompt, trace, start


@given(calls, st.integers(1, 20))
@settings(max_examples=300, deadline=None)
def test_the_counts_are_those_of_a_plain_list_of_the_last_calls(made, most):
    prompts, known = SentPrompts(most), []
    repeated = 0
    for prompt, trace, start in made:
        last = known[-most:]
        in_trace = sum((p, t) == (prompt, trace) for p, t, _ in last)
        in_minute = sum(p == prompt and abs(s - start) <= 60 * S for p, _, s in last)
        expected = Repeats(in_trace, in_minute) if in_trace or in_minute else None
        repeated += expected is not None
        step = Step("run", Kind.LLM, "Chat", trace_id=trace, start_ns=T0 + start)
        prompts.note(step, prompt)
        assert step.repeats == expected
        known.append((prompt, trace, start))
    assert prompts.repeated == repeated
    assert len(prompts) == min(len(made), most)


def test_what_it_remembers_is_bounded():
    prompts = SentPrompts(100)
    for n in range(5_000):
        prompts.note(call(trace=n % 700, at=n), f"p{n % 300}")
    assert len(prompts) == 100
    assert sum(map(len, prompts._starts.values())) == sum(prompts._in_trace.values()) == 100
    assert len(prompts._starts) == len(prompts._in_trace) == 100


def test_of_many_calls_at_once_all_but_one_repeat_the_prompt():
    prompts = SentPrompts()
    steps = [call(at=n / 1000) for n in range(800)]
    threads = [threading.Thread(target=lambda n=n: [prompts.note(s, "p") for s in steps[n::8]]) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(s.repeats.trace if s.repeats else 0 for s in steps) == list(range(800))
    assert prompts.repeated == 799


def test_a_forked_child_has_sent_nothing_yet():
    prompts = SentPrompts()
    for _ in range(2):
        prompts.note(call(), "p")
    prompts._lock.acquire()  # by a thread of the parent that the child does not have
    prompts.after_fork()
    assert (prompts.repeated, len(prompts)) == (0, 0)
    assert noted(prompts) is None


# ---------------------------------------------------------------- from end to end
def ask(loom, run, text="Why?", *, outcome=Outcome.OK, **fields):
    messages = Deferred(lambda: (Message("user", (Text(text),)),))
    step = Step(run, Kind.LLM, "Chat", request_model="fake-1", content=Content(input_messages=messages), **fields)
    loom.recorder.open(step, parent="top")
    loom.recorder.close(run, outcome)
    return step


def storm(loom, times=3):
    """One trace in which a model is asked the same for `times` times, and something else in between."""
    loom.recorder.open(Step("top", Kind.CHAIN, "Top"))
    for n in range(times):
        ask(loom, f"call {n}", outcome=Outcome.OK if n + 1 == times else Outcome.ERROR)
        ask(loom, f"other {n}", f"other {n}")
    loom.recorder.close("top")
    assert loom.flush()


def counts(spans, first=IN_TRACE, second=IN_MINUTE):
    found = [s.attributes for s in sorted(spans, key=lambda s: s.start_ns) if s.step == "Chat"]
    return [(a[first], a[second]) for a in found if first in a]


def test_every_destination_tells_the_same_counts_under_every_policy(configured, http_sink, second_sink, tmp_path):
    loom = configured(
        Otlp(http_sink.url, content=ContentPolicy.none()),
        Langfuse("pk", "sk", second_sink.url),
        Local(tmp_path / "a.db", content=ContentPolicy.none()),
    )
    storm(loom)
    assert counts(http_sink.spans) == [(1, 1), (2, 2)]
    metadata = "langfuse.observation.metadata.prompt_repeats_"
    assert counts(second_sink.spans, f"{metadata}trace", f"{metadata}minute") == [(1, 1), (2, 2)]
    with Reading(tmp_path / "a.db") as reading:
        rows = reading.spans(reading.find()[0])
    kept = [r.record["prompt_repeats"] for r in rows if "prompt_repeats" in r.record]
    assert kept == [{"trace": 1, "minute": 1}, {"trace": 2, "minute": 2}]
    assert "hash" not in json.dumps([r.record for r in rows])
    assert loom.stats()["prompts"] == {"repeated": 2}


def test_the_event_goes_out_with_the_counts(configured, http_sink):
    loom = configured(Otlp(http_sink.url))
    storm(loom, times=2)
    told = [e[:2] for s in http_sink.spans for e in s.events if e[0] == "prompt_repeated"]
    assert told == [("prompt_repeated", {IN_TRACE: 1, IN_MINUTE: 1})]


def test_openinference_tells_them_too(configured, http_sink):
    loom = configured(Otlp(http_sink.url, dialect="openinference", content=ContentPolicy.none()))
    storm(loom, times=2)
    assert counts(http_sink.spans) == [(1, 1)]


def test_a_metric_counts_the_calls_by_model(configured, http_sink):
    reader = InMemoryMetricReader()
    meters = MeterProvider([reader], shutdown_on_exit=False)
    storm(configured(Otlp(http_sink.url), meter_provider=meters))
    (metric,) = [
        m
        for resource in reader.get_metrics_data().resource_metrics
        for scope in resource.scope_metrics
        for m in scope.metrics
        if m.name == "spanloom.prompt.repeats"
    ]
    assert metric.unit == "{call}"
    (point,) = metric.data.data_points
    assert point.value == 2
    assert point.attributes == {"gen_ai.operation.name": "chat", "gen_ai.request.model": "fake-1"}
    meters.shutdown()


# ---------------------------------------------------------------- the template's hash
def said(*pairs):
    return tuple(Message(role, (Text(text),)) for role, text in pairs)


def template_hash(**content):
    return read(Content(**content), NOBODY).template_hash


def test_the_hash_of_a_template_is_that_of_its_messages_whatever_the_prompt_says():
    template = said(("system", "Be {tone}."), ("user", "{question}"))
    one = template_hash(template=template, input_messages=said(("system", "Be kind."), ("user", "Why?")))
    two = template_hash(template=Deferred(lambda: template), input_messages=said(("user", "How?")))
    assert one == two != template_hash(template=template[:1])


def test_without_a_template_the_system_prompt_stands_for_it():
    alone = template_hash(template=said(("system", "Be kind.")))
    assert template_hash(input_messages=said(("system", "Be kind."), ("user", "Why?"))) == alone
    late = said(("system", "Be kind."), ("user", "Why?"), ("system", "The user is called Ann."))
    assert template_hash(input_messages=late) == alone
    assert template_hash(input_messages=said(("user", "Why?"))) is None
    assert template_hash(input_messages=said(("developer", "Be kind."))) is not None


def test_a_template_that_cannot_be_read_costs_no_more_than_its_hash(lenient):
    broken = Deferred(lambda: 1 / 0)
    seen = read(Content(template=broken, input_messages=said(("user", "Why?"))), NOBODY)
    assert seen.template_hash is None
    assert seen.prompt_hash is not None
    assert lenient.swallowed == {"spanloom.content.read.template": 1}
