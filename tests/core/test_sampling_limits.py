"""No error is lost, whatever ends when and where; and what waits stays within its bounds."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import Status, StatusCode
from sinks import DEADLINE, wait_until
from spanloom import TailSampling, configure
from spanloom.ended import Ended
from spanloom.sampling.size import SPAN_BYTES, about_bytes
from spanloom.step import Content, Deferred, Kind, Message, Outcome, Step, Text
from spanloom.testing import Memory, strict


def nothing(**policy):
    return TailSampling(**{"keep": 0, "slower_than": None, "hold_seconds": 0, **policy})


def balanced(c):
    parts = ("exported", "dropped", "failed", "queued", "sampled_out", "waiting")
    return c["offered"] == sum(c[part] for part in parts)


@st.composite
def forests(draw):
    """Several traces: each span's parent (None at the top), whether it fails, and an order in which all end."""
    spans = []
    for tree in range(draw(st.integers(1, 4))):
        first = len(spans)
        for n in range(draw(st.integers(1, 8))):
            parent = None if n == 0 else draw(st.integers(first, len(spans) - 1))
            spans.append((tree, parent, draw(st.integers(0, 9)) == 0))
    return spans, draw(st.permutations(range(len(spans))))


def play(provider, spans, order, workers):
    """Start all in their order, and end them in another, on several threads; their trace ids by tree."""
    tracer, made = provider.get_tracer("app"), []
    for _, parent, fails in spans:
        context = trace.set_span_in_context(made[parent]) if parent is not None else None
        made.append(tracer.start_span("span", context))
        if fails:
            made[-1].set_status(Status(StatusCode.ERROR))
    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(lambda n: made[n].end(), order))
    return [span.get_span_context() for span in made]


@settings(max_examples=60, deadline=None)
@given(forests(), st.sampled_from([1, 4]), st.booleans())
def test_no_error_is_lost_and_its_trace_arrives_whole(forest, workers, flush):
    spans, order = forest
    memory, provider = Memory(sampling=nothing(hold_seconds=60)), TracerProvider(shutdown_on_exit=False)
    with strict(), configure(memory, tracer_provider=provider) as loom:
        ids = play(provider, spans, order, workers)
        assert not flush or loom.flush()
    failed = {tree for tree, _, fails in spans if fails}
    expected = {i.span_id for i, (tree, _, _) in zip(ids, spans, strict=True) if tree in failed}
    assert {e.span.context.span_id for e in memory.spans} == expected
    counts = loom.stats()["destinations"]["memory"]
    assert balanced(counts)
    assert (counts["offered"], counts["exported"]) == (len(spans), len(expected))


@settings(max_examples=40, deadline=None)
@given(forests(), st.sampled_from([1, 4]), st.integers(1, 5))
def test_no_error_is_lost_under_pressure_either(forest, workers, most):
    """Then a trace may arrive in part."""
    spans, order = forest
    memory, provider = Memory(sampling=nothing(max_spans=most)), TracerProvider(shutdown_on_exit=False)
    with strict(), configure(memory, tracer_provider=provider) as loom:
        ids = play(provider, spans, order, workers)
    arrived = {e.span.context.span_id for e in memory.spans}
    assert {i.span_id for i, (_, _, fails) in zip(ids, spans, strict=True) if fails} <= arrived
    failed = {tree for tree, _, fails in spans if fails}
    assert arrived <= {i.span_id for i, (tree, _, _) in zip(ids, spans, strict=True) if tree in failed}
    assert balanced(loom.stats()["destinations"]["memory"])


def started(loom, n, children=0, outcome=Outcome.OK):
    """A trace whose root is open, with ended children."""
    top = loom.recorder.open(Step((n, "top"), Kind.CHAIN, f"top{n}"))
    for child in range(children):
        loom.recorder.open(Step((n, child), Kind.TOOL, f"t{n}"), (n, "top"))
        loom.recorder.close((n, child), outcome)
    return top


def test_beyond_its_spans_the_oldest_traces_are_decided_and_errors_are_kept(configured):
    memory = Memory(sampling=nothing(max_spans=50))
    loom = configured(memory)
    for n in range(20):
        started(loom, n, children=9, outcome=Outcome.ERROR if n % 5 == 0 else Outcome.OK)
        assert loom.flush()
    counts, decided = loom.stats()["destinations"]["memory"], loom.stats()["sampling"]["memory"]
    assert balanced(counts)
    assert 0 < counts["waiting"] <= 50
    assert decided["early"] == 15 == decided["dropped"] + sum(decided["kept"].values())
    assert {s.name for s in memory.steps} == {"t0", "t5", "t10"}
    for n in range(20):
        loom.recorder.close((n, "top"))
    assert loom.flush()
    assert {s.name for s in memory.steps} == {f"{kind}{n}" for n in (0, 5, 10, 15) for kind in ("t", "top")}


def test_beyond_its_bytes_too(configured):
    memory = Memory(sampling=nothing(max_megabytes=1))
    loom = configured(memory)
    for n in range(10):
        started(loom, n)
        loom.recorder.open(Step((n, "t"), Kind.TOOL, f"t{n}", content=Content(result="x" * 300_000)), (n, "top"))
        loom.recorder.close((n, "t"))
    assert loom.flush()
    assert loom.stats()["destinations"]["memory"]["waiting"] == 3
    assert loom.stats()["sampling"]["memory"]["early"] == 7


def test_what_is_held_goes_before_what_is_undecided(configured):
    memory = Memory(sampling=nothing(max_spans=40, hold_seconds=60))
    loom = configured(memory)
    started(loom, "undecided", children=9)
    for n in range(20):
        started(loom, n, children=9)
        loom.recorder.close((n, "top"))
    assert loom.flush()
    assert loom.stats()["sampling"]["memory"]["early"] == 0
    assert loom.stats()["destinations"]["memory"]["waiting"] <= 40
    loom.recorder.close(("undecided", "top"), Outcome.ERROR)
    assert loom.flush()
    assert len(memory.spans) == 10


def test_what_has_waited_for_too_long_is_decided_by_what_is_known(configured):
    memory = Memory(sampling=nothing(max_seconds=0.05))
    loom = configured(memory)
    started(loom, "fine", children=1)
    started(loom, "failing", children=1, outcome=Outcome.ERROR)
    wait_until(lambda: loom.stats()["destinations"]["memory"]["exported"] == 1, "an early decision")
    assert loom.stats()["destinations"]["memory"]["sampled_out"] == 1
    loom.recorder.close(("fine", "top"))
    loom.recorder.close(("failing", "top"))
    assert loom.flush()
    assert {s.name for s in memory.steps} == {"tfailing", "topfailing"}


def test_a_time_that_never_comes_does_not_end_the_thread(configured):
    memory = Memory(sampling=nothing(max_seconds=1e12, errors=True))
    loom = configured(memory)
    loom.tracer_provider.get_tracer("app").start_span("open")
    root = loom.tracer_provider.get_tracer("app").start_span("root")
    under = trace.set_span_in_context(root)
    loom.tracer_provider.get_tracer("app").start_span("child", under).end()
    (tail,) = loom._tails
    wait_until(lambda: tail._resting, "the thread to sleep until the trace is due")
    root.set_status(Status(StatusCode.ERROR))
    root.end()
    wait_until(lambda: len(memory.spans) == 2, "the trace, which nobody flushes")


def test_a_trace_that_is_slow_already_is_kept_before_its_end(configured):
    memory = Memory(sampling=nothing(max_seconds=0.05, slower_than=0.01))
    loom = configured(memory)
    started(loom, "slow", children=1)
    wait_until(lambda: len(memory.spans) == 1, "an early decision")
    assert memory.spans[0].kept_for("memory").reason == "slow"


def test_at_shutdown_everything_is_decided(configured):
    memory = Memory(sampling=nothing(hold_seconds=60, always=lambda view: view.name == "topwanted"))
    loom = configured(memory)
    started(loom, "open", children=2)
    started(loom, "wanted", children=2)
    started(loom, "held", children=2)
    loom.recorder.close(("held", "top"))
    started(loom, "failing", children=2, outcome=Outcome.ERROR)
    assert loom.flush()
    assert loom.stats()["destinations"]["memory"]["waiting"] == 9
    assert loom.shutdown()
    counts = loom.stats()["destinations"]["memory"]
    assert balanced(counts)
    assert (counts["waiting"], counts["sampled_out"], counts["exported"]) == (0, 6, 6)
    assert {s.name for s in memory.steps} == {"tfailing", "topfailing", "twanted", "topwanted"}
    loom._tails[0].put(memory.spans[0])
    assert loom.stats()["destinations"]["memory"]["dropped"] == 1


def test_a_predicate_that_hangs_delays_neither_the_application_nor_shutdown(configured, monkeypatch):
    monkeypatch.setattr("spanloom.sampling.tail.LEAST_INBOX_SPANS", 100)
    held, entered = threading.Event(), threading.Event()

    def hang(view):
        entered.set()
        held.wait(30)

    memory = Memory(sampling=nothing(always=hang, max_spans=100))
    loom = configured(memory)
    started(loom, "first")
    loom.recorder.close(("first", "top"))
    assert entered.wait(DEADLINE)
    started(loom, "many", children=149)
    started(loom, "failing", children=1, outcome=Outcome.ERROR)  # there is room for errors, and for ends of traces
    loom.recorder.close(("failing", "top"))
    before = time.monotonic()
    assert not loom.flush(timeout=0.2)
    assert not loom.shutdown(timeout=0.2)
    assert time.monotonic() - before < 10
    assert loom._tails[0]._lost == [49]
    assert memory.spans == []
    held.set()
    wait_until(lambda: loom._tails[0]._over, "the end of what was under way")
    counts = loom.stats()["destinations"]["memory"]
    assert balanced(counts)
    assert (counts["offered"], counts["waiting"]) == (153, 0)


def test_threads_lose_and_double_nothing(configured):
    memories = [Memory("a", sampling=nothing(keep=0.2)), Memory("b", sampling=nothing(max_spans=200)), Memory("c")]
    loom = configured(*memories)
    stop, wrong = threading.Event(), []

    def watch():
        while not stop.is_set():
            wrong.extend(c for c in loom.stats()["destinations"].values() if "waiting" in c and not balanced(c))
            loom.flush(1)

    def runs(n):
        for i in range(100):
            started(loom, (n, i), children=3, outcome=Outcome.ERROR if i % 20 == 0 else Outcome.OK)
            loom.recorder.close(((n, i), "top"))

    watcher = threading.Thread(target=watch)
    watcher.start()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(runs, range(8)))
    stop.set()
    watcher.join()
    assert loom.shutdown()
    assert wrong == []
    for memory in memories:
        ids = [e.span.context.span_id for e in memory.spans]
        assert len(ids) == len(set(ids))
        assert sum(s.outcome is Outcome.ERROR for s in memory.steps) == 8 * 5 * 3
    for name in ("a", "b"):
        counts = loom.stats()["destinations"][name]
        assert (counts["offered"], counts["dropped"], counts["waiting"]) == (8 * 100 * 4, 0, 0)


def test_decisions_are_remembered_within_bounds(configured, monkeypatch):
    monkeypatch.setattr("spanloom.sampling.deciding.MOST_DECISIONS", 100)
    loom = configured(Memory(sampling=nothing(keep=0.5, low_score=0.5)))
    for n in range(1_000):
        started(loom, n)
        loom.recorder.close((n, "top"))
    assert loom.flush()
    deciding = loom._tails[0]._deciding
    assert len(deciding._decided) == 100
    assert len(deciding._notes) == 1
    assert (deciding._buffer._size, deciding._buffer._bytes) == (0, 0)
    assert not loom._weave._tops


def test_what_is_sampled_out_is_let_go_of(configured):
    import gc
    import weakref

    class Big:
        pass

    big = Big()
    gone = weakref.ref(big)
    loom = configured(Memory(sampling=nothing()))
    loom.recorder.open(Step("top", Kind.CHAIN, "top", content=Content(input=big)))
    del big
    loom.recorder.close("top")
    assert loom.flush()
    gc.collect()
    assert gone() is None


def test_the_thread_sleeps_where_nothing_waits(configured):
    loom = configured(Memory(sampling=nothing()))
    started(loom, 1)
    loom.recorder.close((1, "top"))
    tail = loom._tails[0]
    wait_until(lambda: tail._resting, "rest")
    assert tail._until_due() is None
    started(loom, 2)
    loom.recorder.close((2, "top"))
    wait_until(lambda: not tail._inbox, "work")


def test_a_span_that_the_garbage_collector_ends_in_the_middle_of_anything_blocks_nobody(configured):
    """It may close a stream wherever Python allocates, also inside the sampler, in a thread that holds its locks."""
    loom = configured(Memory(sampling=nothing()))
    tail = loom._tails[0]

    def collected():
        with tail._lock, tail._starting, tail._wake:
            tail._resting = True
            started(loom, 1)
            loom.recorder.close((1, "top"), Outcome.ERROR)
            tail._lose(Ended(None, None, None, None))

    thread = threading.Thread(target=collected, daemon=True)
    thread.start()
    thread.join(DEADLINE)
    assert not thread.is_alive()
    assert loom.flush()
    assert loom.stats()["destinations"]["memory"]["exported"] == 1


def test_the_size_is_about_that_of_the_texts(configured):
    loom = configured(Memory())

    def size(**content):
        step = Step("s", Kind.CHAIN, "s", content=Content(**content))
        return about_bytes(Ended(None, step, None, step.identity))

    assert size() == SPAN_BYTES
    text = "x" * 10_000
    messages = (Message("user", (Text(text),)),) * 500

    class Document:
        def __init__(self):
            self.page_content, self.metadata = text, {"source": "a"}

    assert size(input=text) - SPAN_BYTES == 10_000
    assert size(input={"question": text, "more": [text, b"y" * 10_000]}) - SPAN_BYTES == pytest.approx(30_000)
    assert size(documents=Deferred(list, ([Document()] * 100,))) - SPAN_BYTES == pytest.approx(1_000_000, rel=0.01)
    cyclic: list = [text]
    cyclic.append(cyclic)
    assert 10_000 <= size(input=cyclic) - SPAN_BYTES < 1_000_000
    assert size(input_messages=messages) == SPAN_BYTES  # slots: not looked into, and small beside what models get
    assert loom.flush()


CHILD = """
import os, sys, warnings
warnings.filterwarnings("ignore", message=".*fork.*", category=DeprecationWarning)
import spanloom
from spanloom import TailSampling
from spanloom.step import Kind, Outcome, Step
from spanloom.testing import Memory, strict

def step(name, parent=None, outcome=Outcome.OK):
    record.open(Step(name, Kind.CHAIN, name), parent)
    record.close(name, outcome)

with strict():
    memory = Memory(sampling=TailSampling(keep=0, slower_than=None, hold_seconds=60))
    loom = spanloom.configure(memory)
    record = loom.recorder
    step("dropped")
    record.open(Step("open", Kind.CHAIN, "open"))
    step("below", "open")
    assert loom.flush()
    assert loom.stats()["destinations"]["memory"]["waiting"] == 2
    child = os.fork()
    if child == 0:
        started = loom.stats()["destinations"]["memory"]
        assert started["waiting"] == started["offered"] == 0, started
        step("fine", "open")
        step("failing", "open", Outcome.ERROR)
        step("own", None, Outcome.ERROR)
        assert loom.flush()
        assert {s.name for s in memory.steps} == {"fine", "failing", "own"}, memory.steps
        loom.shutdown()
        counts = loom.stats()["destinations"]["memory"]
        assert (counts["offered"], counts["exported"], counts["sampled_out"]) == (3, 3, 0), counts
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert status == 0, status
    record.close("open", Outcome.ERROR)
    assert loom.shutdown()
    assert {s.name for s in memory.steps} == {"open", "below"}, memory.steps
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_forked_child_starts_empty_and_decides_what_begins_in_it(tmp_path):
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(CHILD)],
        capture_output=True,
        text=True,
        timeout=6 * DEADLINE,
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": os.environ.get("PYTHONPATH", "")},
        check=False,
    )
    assert done.returncode == 0, done.stderr
