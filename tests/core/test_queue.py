"""What waits to be sent is bounded in number and in bytes; where it is full, errors stay and traces stay whole."""

import threading
import time
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st
from spanloom import Otlp
from spanloom.destinations.queue import WaitingSpans
from spanloom.destinations.weight import SPAN_BYTES, weight_of
from spanloom.step import Content, Deferred, Kind, Message, Outcome, Step, Text
from spanloom.testing import Memory


@dataclass
class Span:
    name: object
    trace: int
    weight: int
    error: bool


def span(trace, n=0, error=False, weight=100):
    return Span(f"{trace}.{n}", trace, weight, error)


def names(some):
    return [one.name for one, _ in some]


def filled(most, *spans, most_bytes=10**9):
    waiting = WaitingSpans(most, most_bytes)
    gone = [name for new in spans for name in names(waiting.add(new, 0))]
    return waiting, gone


def left(waiting):
    return names(waiting.clear())


def test_a_new_trace_does_not_get_in_where_it_is_full_and_those_before_it_stay_whole():
    waiting, gone = filled(3, span(1), span(1, 1), span(2), span(3))
    assert gone == ["3.0"]
    assert left(waiting) == ["1.0", "1.1", "2.0"]


def test_an_older_trace_goes_on_at_the_cost_of_the_youngest_which_goes_whole():
    waiting, gone = filled(4, span(1), span(2), span(3), span(3, 1), span(1, 1))
    assert gone == ["3.0", "3.1"]
    assert left(waiting) == ["1.0", "1.1", "2.0"]


def test_the_rest_of_a_trace_that_was_cut_stays_out_until_there_is_room_to_speak_of():
    waiting, gone = filled(4, span(1), span(2), span(3), span(3, 1), span(1, 1), span(3, 2))
    assert gone == ["3.0", "3.1", "3.2"]
    assert names(waiting.take(2)) == ["1.0", "1.1"]
    assert waiting.add(span(3, 3), 0) == []


def test_an_error_gets_in_at_the_cost_of_the_youngest_trace_without_one():
    waiting, gone = filled(3, span(1), span(2), span(3), span(4, error=True))
    assert gone == ["3.0"]
    assert left(waiting) == ["1.0", "2.0", "4.0"]


def test_a_trace_with_an_error_goes_on_at_the_cost_of_others():
    waiting, gone = filled(3, span(1, error=True), span(2), span(3), span(1, 1))
    assert gone == ["3.0"]
    assert left(waiting) == ["1.0", "1.1", "2.0"]


def test_among_traces_with_errors_the_spans_without_one_go_first():
    waiting, gone = filled(3, span(1, error=True), span(1, 1), span(2, error=True), span(3, error=True))
    assert gone == ["1.1"]
    assert left(waiting) == ["1.0", "2.0", "3.0"]


def test_where_all_are_errors_the_new_one_goes():
    _, gone = filled(2, span(1, error=True), span(2, error=True), span(3, error=True))
    assert gone == ["3.0"]


def test_bytes_bound_it_too_and_one_that_is_larger_than_all_gets_in_alone():
    waiting, gone = filled(10, span(1, weight=60), span(2, weight=60), most_bytes=100)
    assert gone == ["2.0"]
    assert waiting.weight == 60
    waiting, gone = filled(10, span(1, weight=500), most_bytes=100)
    assert gone == []
    assert left(waiting) == ["1.0"]


spans = st.lists(
    st.builds(
        lambda trace, error, weight: (trace, error, weight),
        st.integers(1, 6), st.booleans(), st.integers(1, 60),
    ),
    max_size=80,
)  # fmt: skip


@given(spans, st.integers(1, 12), st.integers(30, 300), st.integers(0, 7))
def test_it_stays_bounded_loses_no_count_and_no_error_while_others_can_go(coming, most, most_bytes, every):
    waiting, offered, gone, taken = WaitingSpans(most, most_bytes), [], [], []
    for n, (trace, error, weight) in enumerate(coming):
        new = Span(n, trace, weight, error)
        offered.append((n, n % 3))
        before = {one.name: one for key in (waiting._clean, waiting._failed) for t in key.values() for one in t.spans}
        out = waiting.add(new, n % 3)
        gone += [(one.name, round) for one, round in out]
        assert waiting.count <= most
        assert waiting.weight <= most_bytes or waiting.count == 1
        if any(one.error for one, _ in out):  # only where nothing but errors is there
            stays = set(before) - set(names(out))
            assert all(before[name].error for name in stays)
        if every and n % every == 0:
            taken += [(one.name, round) for one, round in waiting.take(2)]
    taken += [(one.name, round) for one, round in waiting.clear()]
    assert sorted(gone + taken) == offered
    assert (waiting.count, waiting.weight) == (0, 0)


# ---------------------------------------------------------------- the estimate
def weighed(**content):
    step = Step("r", Kind.LLM, "m", content=Content(**content))
    return weight_of(type("Ended", (), {"step": step})())


def test_texts_count_wherever_an_adapter_holds_them():
    text = "x" * 100_000

    class Chat:
        def __init__(self):
            self.content = text

    for content in (
        {"input": text},
        {"input": {"question": text}},
        {
            "input_messages": (Message("user", (Text("hi"), Text("there"))), Message("user", (Text("hi"),))),
            "output": text,
        },
        {"input_messages": Deferred(lambda m: m, ([Chat()],))},
        {"documents": [text, text]},
    ):
        assert weighed(**content) >= 100_000, content.keys()
    assert weighed() == SPAN_BYTES


def test_it_is_a_look_and_no_walk():
    wide = [["x" * 10] * 10] * 100_000
    deep = nested = []
    for _ in range(1_000):
        nested.append(nested := [])
    began = time.perf_counter()
    for _ in range(100):
        weighed(input=wide, output=deep)
    assert weighed(input=wide) > 1_000_000, "a sample stands for all"
    assert time.perf_counter() - began < 100 * len(wide) * 1e-6, "it does not touch every item"


def test_what_cannot_be_looked_at_weighs_little_and_raises_nothing():
    class Hostile:
        @property
        def __dict__(self):
            raise RuntimeError("keep out")

    assert weighed(input=Hostile()) >= SPAN_BYTES


def test_queue_bytes_bounds_a_queue_of_long_prompts(configured, http_sink):
    http_sink.hang()
    loom = configured(Otlp(http_sink.url, queue_bytes=1_000_000, batch_spans=1, timeout=30))
    for n in range(40):
        loom.recorder.open(Step(n, Kind.CHAIN, "s", content=Content(input="x" * 100_000)))
        loom.recorder.close(n)
    counts = loom.stats()["destinations"]["otlp"]
    assert 25 <= counts["dropped"] <= 32
    assert counts["reasons"] == {"queue_full": counts["dropped"]}
    http_sink.open.set()
    assert not loom.flush(), "some were lost"


def test_errors_come_through_a_full_queue(configured, http_sink):
    http_sink.hang()
    loom = configured(Otlp(http_sink.url, queue_spans=10, batch_spans=1, timeout=30))
    loom.recorder.open(Step("first", Kind.CHAIN, "first"))
    loom.recorder.close("first")
    assert http_sink.arrived.acquire(timeout=10)
    for n in range(200):
        loom.recorder.open(Step(n, Kind.TOOL, f"s{n}"))
        loom.recorder.close(n, Outcome.ERROR if n % 25 == 0 else Outcome.OK)
    http_sink.open.set()
    loom.flush()
    assert sum(span.status == 2 for span in http_sink.spans) == 8
    assert loom.stats()["destinations"]["otlp"]["dropped"] == 190


# ---------------------------------------------------------------- at the end of the interpreter
def test_where_no_thread_can_be_started_a_flush_sends_by_itself(configured, monkeypatch, lenient):
    memory = Memory()
    loom = configured(memory)
    lenient.strict = False

    def start(self):
        raise RuntimeError("can't create new thread at interpreter shutdown")

    monkeypatch.setattr(threading.Thread, "start", start)
    loom.recorder.open(Step("s", Kind.CHAIN, "s"))
    loom.recorder.close("s")
    assert loom.flush()
    assert [step.name for step in memory.steps] == ["s"]


@pytest.mark.parametrize("option", ["queue_bytes", "batch_bytes", "spool_bytes", "spool_seconds", "spool"])
def test_a_bound_that_cannot_work_is_one_sentence_at_configure(configured, option):
    from spanloom import ConfigurationError

    with pytest.raises(ConfigurationError, match=option):
        configured(Otlp("http://127.0.0.1:1", **{option: 0 if option != "spool" else 7}))
