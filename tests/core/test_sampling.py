"""Which traces a destination keeps, by the rules of its policy; and what is said of those that it keeps."""

from __future__ import annotations

import contextvars
import threading
import time

import pytest
import spanloom
from opentelemetry import trace
from opentelemetry.trace import NonRecordingSpan, SpanContext, Status, StatusCode, TraceFlags
from sinks import wait_until
from spanloom import ConfigurationError, TailSampling
from spanloom.step import Kind, Outcome, Step
from spanloom.testing import Memory
from spanloom.usage import Usage

NOT_ERRORS = [o for o in Outcome if o is not Outcome.ERROR]
S = 1_000_000_000


def nothing(**policy):
    """A policy that keeps nothing but what `policy` says, and holds nothing."""
    return TailSampling(**{"keep": 0, "slower_than": None, "hold_seconds": 0, **policy})


class Sampled:
    def __init__(self, configured, *destinations, **policy):
        self.memory = Memory("sampled", sampling=nothing(**policy))
        self.loom = configured(self.memory, *destinations)
        self.runs = 0

    def run(self, outcome=Outcome.OK, *, name="root", inner=Outcome.OK, seconds=0.001, **fields):
        """A trace of a chain with a tool below it; its id."""
        self.runs += 1
        top, below, start = f"top{self.runs}", f"below{self.runs}", time.time_ns() - 60 * S
        root = self.loom.recorder.open(Step(top, Kind.CHAIN, name, start_ns=start, **fields))
        self.loom.recorder.open(Step(below, Kind.TOOL, "tool", start_ns=start), top)
        self.loom.recorder.close(below, inner, end_ns=start + 1)
        self.loom.recorder.close(top, outcome, end_ns=start + int(seconds * S))
        return root.trace_id

    def kept(self):
        """The ids of the traces that arrived, and how each was kept."""
        assert self.loom.flush()
        return {e.span.context.trace_id: e.kept_for("sampled") for e in self.memory.spans}

    def counts(self):
        return self.loom.stats()["destinations"]["sampled"]


@pytest.fixture
def sampled(configured):
    return lambda *destinations, **policy: Sampled(configured, *destinations, **policy)


def balanced(c):
    parts = ("exported", "dropped", "failed", "queued", "sampled_out", "waiting")
    return c["offered"] == sum(c[part] for part in parts)


# -------------------------------------------------------------------- the rules
def test_a_trace_with_an_error_at_any_depth_is_kept_whole(sampled):
    it = sampled()
    expected = {it.run(Outcome.ERROR), it.run(inner=Outcome.ERROR)}
    for _ in range(5):
        it.run()
    assert set(it.kept()) == expected
    assert {(k.reason, k.probability) for k in it.kept().values()} == {("error", 1.0)}
    assert len(it.memory.spans) == 4
    assert it.counts() == {
        "offered": 14, "queued": 0, "exported": 4, "dropped": 0, "failed": 0, "sampled_out": 10, "waiting": 0,
        "reasons": {},
    }  # fmt: skip
    assert it.loom.stats()["sampling"]["sampled"] == {
        "kept": {"error": 2}, "dropped": 5, "early": 0, "late_spans": 0,
    }  # fmt: skip


@pytest.mark.parametrize("outcome", NOT_ERRORS)
def test_what_is_no_error_keeps_nothing(sampled, outcome):
    it = sampled()
    it.run(outcome, inner=outcome)
    assert it.kept() == {}


def test_errors_can_be_left_to_the_share(sampled):
    it = sampled(errors=False)
    it.run(Outcome.ERROR)
    assert it.kept() == {}


def test_the_error_of_another_librarys_span_counts(sampled, provider):
    it = sampled()
    tracer = provider.get_tracer("redis")
    for status in (StatusCode.ERROR, StatusCode.OK):
        with tracer.start_as_current_span(f"GET {status.name}") as top:
            it.run()
            top.set_status(Status(status))
    assert it.loom.flush()
    names = sorted(e.span.name for e in it.memory.spans)
    assert names == ["GET ERROR", "execute_tool tool", "root"]


def test_an_interrupt_that_passes_another_librarys_span_is_no_error(sampled, provider):
    class GraphInterrupt(Exception):
        pass

    GraphInterrupt.__module__ = "langgraph.errors"
    it = sampled()
    tracer = provider.get_tracer("app")
    for error in (GraphInterrupt(), ValueError()):
        GraphInterrupt.__qualname__ = "GraphInterrupt"
        with pytest.raises(type(error)), tracer.start_as_current_span(type(error).__name__):
            raise error
    assert it.loom.flush()
    assert [e.span.name for e in it.memory.spans] == ["ValueError"]


def test_a_fixed_number_of_seconds(sampled):
    it = sampled(slower_than=2.0)
    it.run(seconds=1.9)
    slow = it.run(seconds=2.1)
    assert {t: k.reason for t, k in it.kept().items()} == {slow: "slow"}


def test_a_predicate_sees_who_and_what_and_no_content(sampled):
    seen = []

    def look(view):
        seen.append({
            name: getattr(view, name)
            for name in ("name", "kind", "scope", "duration", "outcome", "error", "complete", "user_id", "session_id",
                         "tenant", "tags", "metadata", "models", "tools", "agents", "error_types", "outcomes",
                         "input_tokens", "output_tokens", "span_count", "scores")
        })  # fmt: skip
        return view.user_id == "vip"

    it = sampled(always=look, errors=False)
    recorder = it.loom.recorder
    with spanloom.using(user_id="vip", session_id="s", tags=["beta"], tenant="acme", metadata={"feature": "search"}):
        recorder.open(Step("a", Kind.AGENT, "Agent", agent_name="support"))
        recorder.open(Step("m", Kind.LLM, "Chat", request_model="gpt-5", response_model="gpt-5-1"), "a")
        recorder.get("m").usage = Usage(7, 3)
        recorder.close("m")
        recorder.open(Step("t", Kind.TOOL, "search", tool_name="search"), "a")
        recorder.close("t", Outcome.ERROR, error=ValueError())
        vip = recorder.close("a")
    with spanloom.using(user_id="else"):
        it.run()
    assert set(it.kept()) == {vip.trace_id}
    duration = seen[0].pop("duration")
    assert duration == (vip.end_ns - vip.start_ns) / 1e9
    assert seen[0] == {
        "name": "Agent", "kind": "agent", "scope": "spanloom", "outcome": "ok", "error": False, "complete": True,
        "user_id": "vip", "session_id": "s", "tenant": "acme", "tags": ("beta",), "metadata": {"feature": "search"},
        "models": ("gpt-5", "gpt-5-1"), "tools": ("search",), "agents": ("support",), "error_types": ("ValueError",),
        "outcomes": frozenset({"ok", "error"}), "input_tokens": 7, "output_tokens": 3, "span_count": 3, "scores": (),
    }  # fmt: skip
    with pytest.raises(TypeError):
        seen[0]["metadata"]["feature"] = "other"


def test_a_request_is_known_by_who_is_named_inside_it(sampled, provider):
    it = sampled(always=lambda view: (view.name, view.scope, view.user_id) == ("GET /chat", "fastapi", "u1"))
    for user in ("u1", "u2"):
        with provider.get_tracer("fastapi").start_as_current_span("GET /chat"), spanloom.using(user_id=user):
            it.run()
    assert len(it.kept()) == 1
    assert len(it.memory.spans) == 3


def test_rules_are_names_or_functions_or_several_of_them(sampled):
    it = sampled(always=["checkout*", lambda view: view.duration > 1], never="*/internal")
    kept = {it.run(name="checkout/web"), it.run(name="other", seconds=2)}
    it.run(name="other")
    it.run(name="checkout/internal")
    assert set(it.kept()) == kept


def test_never_wins_over_everything_but_an_error(sampled):
    it = sampled(keep=1, slower_than=1, always="*", never="health")
    it.run(name="health", seconds=5)
    failed = it.run(Outcome.ERROR, name="health")
    assert set(it.kept()) == {failed}


def test_with_errors_off_never_wins_over_those_too(sampled):
    it = sampled(keep=1, errors=False, never="health")
    it.run(Outcome.ERROR, name="health")
    assert it.kept() == {}


def test_a_predicate_that_raises_is_counted_and_does_not_match(sampled, lenient):
    def broken(view):
        raise KeyError("c4nary")

    it = sampled(always=broken, never=broken)
    lenient.strict = False
    it.run()
    assert it.kept() == {}
    assert lenient.swallowed["spanloom.sampling.always"] == 1
    assert lenient.swallowed["spanloom.sampling.never"] == 1
    lenient.strict = True


def test_a_predicate_may_trace_and_ask_for_counts(sampled, provider):
    def look(view):
        with provider.get_tracer("app").start_as_current_span("inside the predicate"):
            return it.loom.stats()["destinations"]["sampled"]["exported"] == 0 and it.loom.flush(1)

    asked = []
    it = sampled(always=lambda view: asked.append(view.name) or look(view))
    it.run()
    assert it.loom.flush()
    assert [e.span.name for e in it.memory.spans] == ["execute_tool tool", "root"]
    assert asked == ["root"]
    assert it.counts()["offered"] == 3
    assert it.counts()["sampled_out"] == 1


# -------------------------------------------------------------------- roots
def remote():
    """A parent in another process, current."""
    ids = SpanContext(0xABCDEF0123456789ABCDEF0123456789, 0xABCDEF0123456789, True, TraceFlags(TraceFlags.SAMPLED))
    return trace.use_span(NonRecordingSpan(ids))


def test_two_roots_at_once_in_one_request_from_elsewhere_are_decided_together(sampled):
    it = sampled()
    recorder = it.loom.recorder
    with remote():
        for name in ("first", "second"):
            recorder.open(Step(name, Kind.CHAIN, name))
    recorder.close("first")
    assert it.kept() == {}
    assert it.counts()["waiting"] == 1
    recorder.close("second", Outcome.ERROR)
    assert len(it.kept()) == 1
    assert sorted(s.name for s in it.memory.steps) == ["first", "second"]


def test_a_root_that_starts_after_the_decision_follows_it(sampled):
    it = sampled()
    with remote():
        it.run(Outcome.ERROR)
        it.run()
    assert len(it.kept()) == 1
    assert len(it.memory.spans) == 4
    assert it.loom.stats()["sampling"]["sampled"]["late_spans"] == 2


def test_a_root_that_starts_after_a_trace_was_dropped_is_dropped_too(sampled):
    it = sampled(always=lambda view: view.duration > 1)
    with remote():
        it.run()
        it.run(seconds=2)
    assert it.kept() == {}
    assert it.counts()["sampled_out"] == 4


def test_a_parent_that_was_never_seen_here_does_not_hold_a_trace_up(sampled):
    it = sampled()
    ids = SpanContext(0xABCDEF, 0xABC, False, TraceFlags(TraceFlags.SAMPLED))
    with trace.use_span(NonRecordingSpan(ids)):
        it.run(Outcome.ERROR)
        it.run()
    assert len(it.kept()) == 1
    assert it.counts()["waiting"] == 0


def test_a_span_begun_before_configure_decides_its_trace(configured, provider):
    with provider.get_tracer("fastapi").start_as_current_span("GET /chat") as top:
        it = Sampled(configured)
        it.run()
        top.set_status(Status(StatusCode.ERROR))
    assert it.loom.flush()
    assert "GET /chat" in [e.span.name for e in it.memory.spans]


# -------------------------------------------------------------------- what comes late
def test_an_error_that_comes_late_still_keeps_the_whole_trace(sampled):
    it = sampled(hold_seconds=60)
    recorder = it.loom.recorder
    recorder.open(Step("top", Kind.CHAIN, "top"))
    recorder.open(Step("stream", Kind.LLM, "stream"), "top")
    recorder.close("top")
    assert it.kept() == {}
    assert it.counts()["waiting"] == 1
    recorder.close("stream", Outcome.ERROR)
    assert len(it.kept()) == 1
    assert sorted(s.name for s in it.memory.steps) == ["stream", "top"]


def test_an_error_that_comes_after_the_rest_is_gone_is_kept_with_what_follows(sampled):
    it = sampled()
    recorder = it.loom.recorder
    recorder.open(Step("top", Kind.CHAIN, "top"))
    for name in ("before", "failing", "after"):
        recorder.open(Step(name, Kind.TOOL, name), "top")
    recorder.close("top")
    recorder.close("before")
    recorder.close("failing", Outcome.ERROR)
    recorder.close("after")
    assert len(it.kept()) == 1
    assert sorted(s.name for s in it.memory.steps) == ["after", "failing"]
    assert it.counts()["sampled_out"] == 2


def test_what_is_held_is_let_go_in_time_without_a_flush(sampled):
    it = sampled(hold_seconds=0.05)
    it.run()
    wait_until(lambda: it.counts()["sampled_out"] == 2, "the end of the hold")
    assert it.counts()["waiting"] == 0


def test_what_is_kept_arrives_without_a_flush(sampled):
    it = sampled()
    it.run(Outcome.ERROR)
    wait_until(lambda: len(it.memory.spans) == 2, "the arrival")


# -------------------------------------------------------------------- scores
def hexadecimal(trace_id):
    return trace.format_trace_id(trace_id)


@pytest.mark.parametrize(
    ("low_score", "value", "kept"),
    [
        (0.5, 0.4, True),
        (0.5, 0.5, False),
        (0.5, False, True),
        (0.5, "bad", False),
        ({"helpful": 0.5}, 0.1, True),
        ({"other": 0.5}, 0.1, False),
        (lambda score: score.value == "bad", "bad", True),
    ],
)
def test_a_low_score_before_the_decision_keeps_the_trace(sampled, low_score, value, kept):
    it = sampled(low_score=low_score)
    it.loom.recorder.open(Step("top", Kind.CHAIN, "top"))
    step = it.loom.recorder.get("top")
    it.loom.score("helpful", value, step=step)
    it.loom.recorder.close("top")
    assert {k.reason for k in it.kept().values()} == ({"low_score"} if kept else set())
    assert len(it.memory.scores) == kept  # a score goes where its trace goes
    assert balanced(it.counts())
    assert it.counts()["sampled_out"] == (0 if kept else 2)


def test_a_low_score_after_the_end_keeps_what_is_still_held(sampled):
    it = sampled(low_score=0.5, hold_seconds=60)
    first, second = it.run(), it.run()
    assert it.kept() == {}
    it.loom.score("helpful", 0.9, trace_id=hexadecimal(first))
    it.loom.score("helpful", 0.1, trace_id=hexadecimal(second))
    assert {t: k.reason for t, k in it.kept().items()} == {second: "low_score"}
    assert [s.value for s in it.memory.scores] == [0.1]
    assert it.counts()["waiting"] == 3
    assert it.loom.shutdown()
    assert [s.value for s in it.memory.scores] == [0.1]
    assert it.counts()["sampled_out"] == 3


def test_scores_of_kept_traces_are_sent_and_of_dropped_ones_are_not(sampled):
    it = sampled()
    kept, dropped = it.run(Outcome.ERROR), it.run()
    assert set(it.kept()) == {kept}
    for trace_id in (kept, dropped):
        assert it.loom.score("helpful", 1, trace_id=hexadecimal(trace_id)) is not None
    assert it.loom.flush()
    assert [s.trace_id for s in it.memory.scores] == [hexadecimal(kept)]
    assert balanced(it.counts())
    assert it.counts()["sampled_out"] == 3


def test_a_score_of_a_trace_that_nobody_here_knows_is_sent(sampled):
    it = sampled()
    it.loom.score("helpful", 1, trace_id="0af7651916cd43dd8448eb211c80319c")
    assert it.loom.flush()
    assert len(it.memory.scores) == 1


# -------------------------------------------------------------------- several destinations
def test_equal_policies_agree_and_others_are_independent(configured):
    def interesting(view):
        return view.name == "interesting"

    policy = {"always": interesting, "keep": 0.3, "slower_than": "p95", "hold_seconds": 0}
    same = [Memory(f"same{n}", sampling=TailSampling(**policy)) for n in (0, 1)]
    other, everything = Memory("other", sampling=nothing(always=lambda view: view.name == "boring")), Memory("all")
    loom = configured(same[0], everything, other, same[1])

    def runs(n):
        for i in range(200):
            loom.recorder.open(Step((n, i), Kind.CHAIN, "interesting" if i % 10 == 0 else "boring"))
            loom.recorder.close((n, i))

    threads = [threading.Thread(target=runs, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert loom.flush()
    ids = [{e.span.context.span_id for e in m.spans} for m in (*same, other, everything)]
    assert ids[0] == ids[1]
    assert {s.name for s in other.steps} == {"boring"}
    assert len(ids[2]) == 720
    assert len(ids[3]) == 800
    twice = [e for e in other.spans if e.span.context.span_id in ids[0]]
    assert {(e.kept_for("other").reason, e.kept_for("all")) for e in twice} == {("always", None)}
    assert {e.kept_for("same0") for e in twice} == {e.kept_for("same1") for e in twice}
    stats = loom.stats()
    assert all(balanced({"sampled_out": 0, "waiting": 0} | c) for c in stats["destinations"].values())
    assert "all" not in stats["sampling"]


def test_a_destination_without_the_requests_span_learns_of_its_end_and_error_all_the_same(
    configured, provider, http_sink
):
    langfuse = spanloom.Langfuse("pk", "sk", http_sink.url, sampling=nothing())
    loom = configured(langfuse)
    for status in (StatusCode.ERROR, StatusCode.OK):
        with provider.get_tracer("fastapi").start_as_current_span("GET /chat") as top:
            loom.recorder.open(Step(status, Kind.CHAIN, status.name))
            loom.recorder.close(status)
            assert loom.flush()
            assert loom.stats()["destinations"]["langfuse"]["waiting"] == 1
            top.set_status(Status(status))
        assert loom.flush()
    assert [s.step for s in http_sink.spans] == ["ERROR"]
    assert loom.stats()["destinations"]["langfuse"] == {
        "offered": 2, "queued": 0, "exported": 1, "dropped": 0, "failed": 0, "sampled_out": 1, "waiting": 0,
            "reasons": {},
    }  # fmt: skip


# -------------------------------------------------------------------- settings
@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"keep": 1.5}, "from 0 to 1"),
        ({"keep": "5%"}, "from 0 to 1"),
        ({"keep": float("nan")}, "from 0 to 1"),
        ({"keep": True}, "from 0 to 1"),
        ({"errors": None}, "errors=True"),
        ({"slower_than": "99"}, "p99"),
        ({"slower_than": "p100"}, "p99"),
        ({"slower_than": "p0"}, "p99"),
        ({"slower_than": 0}, "p99"),
        ({"slower_than": -1.0}, "p99"),
        ({"always": 3}, "TraceView"),
        ({"never": [3]}, "TraceView"),
        ({"low_score": "low"}, "low_score"),
        ({"low_score": {"helpful": "low"}}, "low_score"),
        ({"max_spans": 0}, "max_spans"),
        ({"max_spans": 1.5}, "max_spans"),
        ({"max_megabytes": 0}, "max_megabytes"),
        ({"max_seconds": -1}, "max_seconds"),
        ({"hold_seconds": -1}, "hold_seconds"),
    ],
    ids=str,
)
def test_a_policy_that_cannot_be_is_refused_where_it_is_written(wrong, says):
    with pytest.raises(ConfigurationError, match=says):
        TailSampling(**wrong)


def test_every_destination_takes_a_policy_and_refuses_anything_else(http_sink, tmp_path):
    for make in (
        lambda **o: spanloom.Otlp(http_sink.url, **o),
        lambda **o: spanloom.Langfuse("pk", "sk", http_sink.url, **o),
        lambda **o: spanloom.Local(tmp_path / "a.db", **o),
        lambda **o: spanloom.Phoenix(http_sink.url, **o),
        lambda **o: spanloom.Honeycomb("k", **o),
    ):
        assert make(sampling=TailSampling()).sampling == TailSampling()
        with pytest.raises(ConfigurationError, match="TailSampling"):
            spanloom.configure(make(sampling=0.05))


def test_traces_in_threads_with_contexts_of_their_own_wait_for_each_other(sampled):
    it = sampled()
    recorder = it.loom.recorder
    recorder.open(Step("top", Kind.CHAIN, "top"))

    def work(n):
        recorder.open(Step(n, Kind.TOOL, f"t{n}"), "top")
        recorder.close(n, Outcome.ERROR if n == 3 else Outcome.OK)

    threads = [threading.Thread(target=contextvars.copy_context().run, args=(work, n)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    recorder.close("top")
    assert len(it.kept()) == 1
    assert len(it.memory.spans) == 9
