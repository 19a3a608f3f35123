"""Scores reach whoever takes them, once, in their own words, and only of traces that are kept."""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager
from decimal import Decimal

import pytest
import samples
import sinks
import spanloom
from opentelemetry import _logs, trace
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from spanloom import ContentPolicy, Langfuse, Local, Otlp, Phoenix
from spanloom.step import Kind, Step
from spanloom.store import Reading
from spanloom.testing import Memory

PATH = "/api/public/scores"
TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


def langfuse(sink, **settings):
    return Langfuse("pk-lf-1", "sk-lf-1", sink.url, **settings)


@contextmanager
def deaf_port():
    """An address that nobody listens at, and that nobody else can take."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{held.getsockname()[1]}"


def finished(loom, run_id="r", name="Answer"):
    """A trace of one step, ended."""
    loom.recorder.open(Step(run_id, Kind.CHAIN, name))
    return loom.recorder.close(run_id)


def ids(step):
    return trace.format_trace_id(step.trace_id), trace.format_span_id(step.span_id)


def test_a_score_arrives_at_langfuse_as_one_object_with_an_id_of_its_own(configured, http_sink):
    loom = configured(langfuse(http_sink, environment="Prod"))
    step = finished(loom)
    given = loom.score("helpful", 0.75, step=step, comment="short and right")
    assert loom.flush()
    (body,) = http_sink.posted(PATH)
    trace_id, span_id = ids(step)
    assert body == {
        "id": given, "traceId": trace_id, "observationId": span_id, "name": "helpful", "value": 0.75,
        "dataType": "NUMERIC", "comment": "short and right", "environment": "prod",
    }  # fmt: skip
    request = next(r for r in http_sink.requests if r.path == PATH)
    assert request.headers["authorization"].startswith("Basic ")
    assert loom.stats()["destinations"]["langfuse"] == {
        "offered": 2, "queued": 0, "exported": 2, "dropped": 0, "failed": 0, "reasons": {},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("value", "data_type", "sent", "kind"),
    [
        (True, None, 1.0, "BOOLEAN"),
        (False, None, 0.0, "BOOLEAN"),
        (3, None, 3.0, "NUMERIC"),
        (Decimal("0.5"), None, 0.5, "NUMERIC"),
        ("good", None, "good", "CATEGORICAL"),
        (1, "boolean", 1.0, "BOOLEAN"),
        (4, "CATEGORICAL", "4", "CATEGORICAL"),
        (True, "NUMERIC", 1.0, "NUMERIC"),
    ],
)
def test_the_data_type_follows_from_the_value_or_is_given(configured, http_sink, value, data_type, sent, kind):
    loom = configured(langfuse(http_sink))
    loom.score("s", value, trace_id=TRACE, data_type=data_type)
    assert loom.flush()
    (body,) = http_sink.posted(PATH)
    assert (body["value"], body["dataType"]) == (sent, kind)
    assert "observationId" not in body


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": ""},
        {"value": None},
        {"value": float("nan")},
        {"value": [1]},
        {"value": "yes", "data_type": "BOOLEAN"},
        {"value": "high", "data_type": "NUMERIC"},
        {"data_type": "STARS"},
        {"trace_id": None},
        {"trace_id": "123"},
        {"trace_id": "0" * 32},
        {"span_id": "not a span"},
    ],
    ids=repr,
)
def test_a_score_that_cannot_be_is_told_in_the_log_and_raises_nothing(configured, caplog, wrong):
    memory = Memory()
    loom = configured(memory)
    arguments = {"name": "s", "value": 1, "trace_id": TRACE} | wrong
    assert loom.score(arguments.pop("name"), arguments.pop("value"), **arguments) is None
    assert "no score was sent" in caplog.text
    assert loom.flush()
    assert memory.scores == []


def test_a_score_is_sent_again_with_the_same_id_until_it_is_taken(configured, http_sink):
    http_sink.statuses, http_sink.headers = [503, 429], {"Retry-After": "0"}
    loom = configured(langfuse(http_sink))
    loom.score("s", 1, trace_id=TRACE)
    assert loom.flush()
    bodies = http_sink.posted(PATH)
    assert len(bodies) == 3
    assert len({body["id"] for body in bodies}) == 1
    assert loom.stats()["destinations"]["langfuse"]["exported"] == 1


def test_a_refused_score_is_counted_and_leaves_the_others(configured, http_sink):
    http_sink.statuses = [400]
    loom = configured(langfuse(http_sink))
    loom.score("first", 1, trace_id=TRACE)
    loom.score("second", 1, trace_id=TRACE)
    assert not loom.flush()
    counts = loom.stats()["destinations"]["langfuse"]
    assert (counts["exported"], counts["failed"]) == (1, 1)


def test_a_receiver_that_is_away_costs_the_application_nothing_and_shutdown_ends_the_waiting(configured):
    with deaf_port() as url:
        loom = configured(Langfuse("pk-lf-1", "sk-lf-1", url, timeout=60))
        loom.score("s", 1, trace_id=TRACE)
        loom.shutdown(timeout=0.2)
        sinks.wait_until(
            lambda: loom.stats()["destinations"]["langfuse"]["failed"] == 1, "the end of the waiting between attempts"
        )


def test_a_full_queue_drops_scores_and_counts_them(configured, http_sink):
    loom = configured(langfuse(http_sink, queue_spans=2, batch_spans=1))
    http_sink.hang()
    loom.score("first", 1, trace_id=TRACE)
    assert http_sink.arrived.acquire(timeout=10)
    for _ in range(5):
        loom.score("more", 1, trace_id=TRACE)
    assert loom.stats()["destinations"]["langfuse"]["dropped"] == 3
    http_sink.open.set()
    assert not loom.flush(), "three were lost"
    assert loom.flush(), "and are told of once"


def test_comments_pass_the_policy_of_each_destination(configured, http_sink, tmp_path):
    loom = configured(
        langfuse(http_sink, content=ContentPolicy.hashed()), Local(tmp_path / "s.db"), Memory(content=ContentPolicy())
    )
    step = finished(loom)
    loom.score("tone", "warm", step=step, comment=samples.CANARY)
    assert loom.flush()
    assert samples.CANARY.encode() not in http_sink.wire
    with Reading(tmp_path / "s.db") as reading:
        (kept,) = reading.scores(ids(step)[0])
    assert kept["comment"] == samples.CANARY
    assert (kept["name"], kept["value"], kept["data_type"], kept["span_id"]) == (
        "tone", "warm", "CATEGORICAL", ids(step)[1],
    )  # fmt: skip


def test_a_score_with_the_id_of_another_replaces_it(configured, tmp_path):
    loom = configured(Local(tmp_path / "s.db"))
    loom.score("thumb", True, trace_id=TRACE, id="vote-1")
    loom.score("thumb", False, trace_id=TRACE, id="vote-1")
    assert loom.flush()
    with Reading(tmp_path / "s.db") as reading:
        assert [s["value"] for s in reading.scores(TRACE)] == [False]


def test_an_odd_id_of_a_score_takes_no_other_score_with_it(configured, tmp_path):
    loom = configured(Local(tmp_path / "s.db"))
    step = finished(loom)
    given = [loom.score("helpful", n, step=step, id=id) for n, id in enumerate(["mine", "a\ud800", 7, "", ""])]
    assert loom.flush()
    with Reading(tmp_path / "s.db") as reading:
        assert [s["id"] for s in reading.scores(ids(step)[0])] == given
    assert len({*given}) == 5, "an empty id is none"


def test_scores_go_when_their_trace_goes(configured, tmp_path):
    loom = configured(Local(tmp_path / "s.db", max_traces=1))
    first = finished(loom, "a")
    loom.score("s", 1, step=first)
    assert loom.flush()
    finished(loom, "b")
    assert loom.flush()
    with Reading(tmp_path / "s.db") as reading:
        assert reading.scores(ids(first)[0]) == []


def test_scores_of_a_trace_that_is_not_sampled_are_not_sent(configured):
    memory = Memory()
    loom = configured(memory, tracer_provider=TracerProvider(sampler=ALWAYS_OFF, shutdown_on_exit=False))
    step = finished(loom)
    assert loom.score("s", 1, step=step) is None
    assert loom.score("s", 1, trace_id=ids(step)[0]) is None
    assert loom.flush()
    assert memory.scores == []


def test_a_score_follows_the_sampling_of_the_trace_it_is_given_inside_of(configured):
    memory = Memory()
    loom = configured(memory, tracer_provider=TracerProvider(sampler=ALWAYS_OFF, shutdown_on_exit=False))
    loom.recorder.open(step := Step("r", Kind.CHAIN, "Answer"))
    with trace.use_span(step.span):
        here = spanloom.current_step()
        assert here is not None
        assert not here.sampled
        assert loom.score("s", 1) is None
    loom.recorder.close("r")


def test_the_current_step_is_the_one_around_also_from_within_another_librarys_span(configured, provider):
    memory = Memory()
    loom = configured(memory)
    assert spanloom.current_step() is None
    loom.recorder.open(step := Step("r", Kind.CHAIN, "Answer"))
    with trace.use_span(step.span), provider.get_tracer("redis").start_as_current_span("GET"):
        here = spanloom.current_step()
        assert (here.trace_id, here.span_id, here.name) == (*ids(step), "Answer")
        loom.score("inside", True)
    loom.recorder.close("r")
    assert spanloom.current_step() is None
    assert loom.score("outside", True) is None
    assert loom.flush()
    assert [(s.name, s.trace_id, s.span_id) for s in memory.scores] == [("inside", *ids(step))]


@pytest.fixture
def log_records(monkeypatch):
    exporter = InMemoryLogRecordExporter()
    provider = LoggerProvider(shutdown_on_exit=False)
    provider.add_log_record_processor(SimpleLogRecordProcessor(exporter))
    monkeypatch.setattr(_logs._internal, "_LOGGER_PROVIDER", provider)
    yield exporter
    provider.shutdown()


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0.5, {"gen_ai.evaluation.score.value": 0.5}),
        ("good", {"gen_ai.evaluation.score.label": "good"}),
        (True, {"gen_ai.evaluation.score.value": 1.0, "gen_ai.evaluation.score.label": "true"}),
    ],
)
def test_a_logger_provider_gets_the_event_placed_on_the_scored_span_without_the_comment(
    configured, log_records, value, said
):
    loom = configured(Memory())
    step = finished(loom)
    loom.score("tone", value, step=step, comment=samples.CANARY)
    (log,) = log_records.get_finished_logs()
    record = log.log_record
    assert record.event_name == "gen_ai.evaluation.result"
    assert (record.trace_id, record.span_id) == (step.trace_id, step.span_id)
    assert dict(record.attributes) == {"gen_ai.evaluation.name": "tone", **said}


def test_without_a_logger_provider_the_event_stands_on_the_open_span(configured, http_sink):
    loom = configured(Otlp(http_sink.url, content=ContentPolicy.full()))
    loom.recorder.open(step := Step("r", Kind.CHAIN, "Answer"))
    loom.score("tone", "warm", step=step, comment=samples.CANARY)
    loom.recorder.close("r")
    assert loom.flush()
    (span,) = http_sink.spans
    ((name, attributes, _),) = span.events
    assert name == "gen_ai.evaluation.result"
    assert attributes == {"gen_ai.evaluation.name": "tone", "gen_ai.evaluation.score.label": "warm"}


def test_the_last_trace_is_the_one_that_this_thread_ended(configured):
    loom = configured(Memory())
    recent = loom.recorder.recent
    mine = finished(loom, "mine")
    seen = []

    def other():
        theirs = finished(loom, "theirs")
        seen.append((recent.last(), ids(theirs)[0]))

    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    assert recent.last() == ids(mine)[0]
    assert seen[0][0] == seen[0][1]


def test_a_thread_that_ended_none_is_told_the_last_one_unless_others_ran_meanwhile(configured):
    loom = configured(Memory())
    recent, told = loom.recorder.recent, []

    def in_a_thread_of_its_own(act):
        thread = threading.Thread(target=act)
        thread.start()
        thread.join()

    alone = []
    in_a_thread_of_its_own(lambda: alone.append(finished(loom, "alone")))
    in_a_thread_of_its_own(lambda: told.append(recent.last()))
    assert told == [ids(alone[0])[0]]

    def two_at_once():
        loom.recorder.open(Step("a", Kind.CHAIN, "A"))
        loom.recorder.open(Step("b", Kind.CHAIN, "B"))
        loom.recorder.close("a")
        loom.recorder.close("b")

    in_a_thread_of_its_own(two_at_once)
    in_a_thread_of_its_own(lambda: told.append(recent.last()))
    assert told[1] is None


def test_phoenix_takes_scores_as_annotations_of_spans_and_of_traces(configured, http_sink):
    loom = configured(Phoenix(http_sink.url, api_key="k"))
    step = finished(loom)
    first = loom.score("tone", "warm", step=step, comment="kind")
    second = loom.score("helpful", True, trace_id=ids(step)[0])
    assert loom.flush()
    assert http_sink.posted("/v1/span_annotations") == [{"data": [{
        "span_id": ids(step)[1], "name": "tone", "annotator_kind": "CODE", "identifier": first,
        "result": {"label": "warm", "explanation": "kind"},
    }]}]  # fmt: skip
    assert http_sink.posted("/v1/trace_annotations") == [{"data": [{
        "trace_id": ids(step)[0], "name": "helpful", "annotator_kind": "CODE", "identifier": second,
        "result": {"score": 1.0, "label": "true"},
    }]}]  # fmt: skip
    request = next(r for r in http_sink.requests if r.path == "/v1/span_annotations")
    assert request.headers["authorization"] == "Bearer k"


def test_many_scores_take_their_time_and_none_fails_for_those_before_it(configured, http_sink):
    """Each is a request: together they may take longer than the timeout, which is for one."""
    loom = configured(langfuse(http_sink, timeout=0.5))
    http_sink.seconds = 0.02
    given = [loom.score("s", n, trace_id=TRACE) for n in range(60)]
    assert loom.flush(timeout=30)
    assert [body["id"] for body in http_sink.posted(PATH)] == given
