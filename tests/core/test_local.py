"""The local file: what is written, what is refused, and that it stays bounded."""

import os
import re
import sqlite3
import stat
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest
import spanloom
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import Status, StatusCode
from spanloom.content import ContentPolicy
from spanloom.step import (
    FIRST_TOKEN,
    Deferred,
    Document,
    Event,
    Kind,
    Message,
    Outcome,
    Step,
    Text,
    ToolCall,
)
from spanloom.store import Reading, Row, Store, StoreError
from spanloom.testing import strict
from spanloom.usage import Usage


@pytest.fixture(autouse=True)
def _loudly():
    with strict():
        yield


def configured(*destinations, **settings):
    return spanloom.configure(*destinations, tracer_provider=TracerProvider(shutdown_on_exit=False), **settings)


def run(loom, run_id, *, parent=None, kind=Kind.CHAIN, name="step", outcome=Outcome.OK, error=None, **fields):
    step = loom.recorder.open(Step(run_id, kind, name, **fields), parent)
    loom.recorder.close(run_id, outcome, error=error)
    return step


def rows(path):
    with Reading(path) as reading:
        return [row for trace_id in reading.find(limit=1_000_000) for row in reading.spans(trace_id)]


def row(path, name):
    (found,) = [r for r in rows(path) if r.name == name]
    return found


def made(trace, span=1, *, end=10, text=""):
    return Row(f"{trace:032x}", f"{span:016x}", None, "made", "chain", "ok", end - 5, end, record={"text": text})


# ---------------------------------------------------------------- what is written
def test_a_step_is_a_row_with_its_place_times_and_whole_record(tmp_path):
    path = tmp_path / "traces.db"
    with configured(spanloom.Local(path), service_name="bot") as loom:
        with spanloom.using(user_id="u1", session_id="s1", tags=["beta"], metadata={"n": 1}, prompt=("rag", 3)):
            top = loom.recorder.open(Step("top", Kind.AGENT, "assistant", agent_name="assistant"))
            model = Step("model", Kind.LLM, "ChatModel", request_model="m", response_model="m-2026", provider="openai")
            loom.recorder.open(model, "top")
            model.usage = Usage(input_tokens=100, output_tokens=20, cache_read_tokens=60, reasoning_tokens=5)
            model.parameters = {"temperature": 0.5}
            model.finish_reasons = ("stop",)
            model.first_token_ns = model.start_ns + 7
            model.add_event(Event(FIRST_TOKEN, model.start_ns + 7))
            model.content.input_messages = Deferred(lambda: (Message("user", (Text("why?"),)),))
            model.content.output_messages = (Message("assistant", (ToolCall("search", {"q": "x"}, "c1"),)),)
            loom.recorder.close("model")
            loom.recorder.close("top")
        assert loom.flush()
    got = row(path, "ChatModel")
    assert (got.trace_id, got.span_id) == (f"{model.trace_id:032x}", f"{model.span_id:016x}")
    assert got.parent_id == f"{top.span_id:016x}"
    assert (got.kind, got.outcome, got.start_ns, got.end_ns) == ("llm", "ok", model.start_ns, model.end_ns)
    assert (got.input_tokens, got.output_tokens) == (100, 20)
    assert (got.service, got.user_id, got.session_id) == ("bot", "u1", "s1")
    record = got.record
    assert record["request_model"] == "m"
    assert record["response_model"] == "m-2026"
    assert record["usage"] == {
        "input_tokens": 100,
        "output_tokens": 20,
        "cache_read_tokens": 60,
        "reasoning_tokens": 5,
    }
    assert record["parameters"] == {"temperature": 0.5}
    assert record["first_token_ns"] == model.start_ns + 7
    assert record["events"] == [{"name": "first_token_received", "time_ns": model.start_ns + 7}]
    assert record["identity"] == {
        "user": "u1",
        "session": "s1",
        "tags": ["beta"],
        "metadata": {"n": 1},
        "prompt": {"name": "rag", "version": 3},
    }
    assert record["content"]["input_messages"] == [{"role": "user", "parts": [{"type": "text", "content": "why?"}]}]
    assert record["content"]["output_messages"][0]["parts"][0]["arguments"] == {"q": "x"}
    assert row(path, "assistant").record["agent"] == "assistant"


def test_tokens_stand_on_model_calls_alone_so_that_they_add_up(tmp_path):
    path = tmp_path / "traces.db"
    with configured(spanloom.Local(path)) as loom:
        run(loom, 1, name="chain", usage=Usage(5, 5))
        run(loom, 2, kind=Kind.EMBEDDING, name="embedding", usage=Usage(5))
        assert loom.flush()
    assert row(path, "chain").input_tokens is None
    assert (row(path, "embedding").input_tokens, row(path, "embedding").output_tokens) == (5, None)


def test_an_error_has_its_type_its_message_and_its_stack(tmp_path):
    path = tmp_path / "traces.db"
    with configured(spanloom.Local(path)) as loom:
        run(loom, 1, name="bad", outcome=Outcome.ERROR, error=ValueError("no such index"))
        assert loom.flush()
    got = row(path, "bad")
    assert (got.outcome, got.error_type, got.error_message) == ("error", "ValueError", "no such index")
    assert "ValueError: no such index" in got.record["error"]["stack"]


def test_spans_of_other_libraries_are_kept_with_their_scope_under_the_step_they_ran_in(tmp_path):
    path = tmp_path / "traces.db"
    with configured(spanloom.Local(path), service_name="bot") as loom, spanloom.using(user_id="u1"):
        top = loom.recorder.open(Step("top", Kind.TOOL, "search"))
        from opentelemetry.trace import set_span_in_context

        tracer = loom.tracer_provider.get_tracer("opentelemetry.instrumentation.redis")
        span = tracer.start_span("GET", set_span_in_context(top.span), attributes={"db.system": "redis"})
        span.record_exception(TimeoutError("slow"))
        span.set_status(Status(StatusCode.ERROR, "timed out"))
        span.end()
        loom.recorder.close("top")
        assert loom.flush()
    got = row(path, "GET")
    assert (got.kind, got.outcome, got.parent_id) == ("span", "error", f"{top.span_id:016x}")
    assert (got.error_type, got.error_message, got.user_id) == ("TimeoutError", "timed out", "u1")
    assert got.record["scope"] == "opentelemetry.instrumentation.redis"
    assert got.record["attributes"] == {"db.system": "redis"}
    assert got.record["events"][0]["name"] == "exception"


def test_the_applications_own_attributes_are_kept_and_spanlooms_not_repeated(tmp_path):
    path = tmp_path / "traces.db"
    with configured(spanloom.Local(path)) as loom:
        step = loom.recorder.open(Step(1, Kind.TOOL, "search"))
        step.span.set_attribute("shop.basket", 3)
        loom.recorder.close(1)
        assert loom.flush()
    assert row(path, "search").record["attributes"] == {"shop.basket": 3}


def test_a_policy_without_content_leaves_structure_alone(tmp_path):
    path = tmp_path / "traces.db"
    with configured(spanloom.Local(path, content=ContentPolicy.none())) as loom:
        step = loom.recorder.open(Step(1, Kind.RETRIEVER, "docs", document_count=1))
        step.content.query, step.content.documents = "SECRET?", (Document("SECRET!"),)
        loom.recorder.close(1, Outcome.ERROR, error=ValueError("SECRET"))
        assert loom.flush()
    assert "SECRET" not in str(row(path, "docs"))
    assert row(path, "docs").record["document_count"] == 1
    assert b"SECRET" not in path.read_bytes()


@pytest.mark.parametrize(
    "name", ["\ud800 lone", "nul \x00 inside", "x" * 100_000, ""], ids=["surrogate", "nul", "long", "empty"]
)
def test_any_name_is_written(tmp_path, name):
    path = tmp_path / "traces.db"
    with configured(spanloom.Local(path)) as loom:
        run(loom, 1, name=name, usage=Usage(2**70), kind=Kind.LLM)
        assert loom.flush()
    (got,) = rows(path)
    assert (got.kind, got.input_tokens) == ("llm", None)


@pytest.mark.parametrize("start", [10**22, -5, 1.5e18], ids=["picoseconds", "before 1970", "float"])
def test_a_span_that_tells_an_odd_time_takes_no_other_with_it(tmp_path, start):
    path = tmp_path / "traces.db"
    with configured(spanloom.Local(path)) as loom:
        run(loom, 1, name="mine")
        loom.tracer_provider.get_tracer("theirs").start_span("odd", start_time=start).end(start + 1)
        assert loom.flush()
    assert {r.name for r in rows(path)} == {"mine", "odd"}
    assert 0 <= row(path, "odd").start_ns < 2**63


def test_content_that_is_no_json_is_written_as_far_as_it_can_be_read(tmp_path):
    class Unprintable:
        def __str__(self):
            raise RuntimeError

    circular: dict = {1: float("nan"), "bytes": b"abc", "bad": Unprintable()}
    circular["self"] = circular
    path = tmp_path / "traces.db"
    with configured(spanloom.Local(path)) as loom:
        with spanloom.using(metadata={"m": circular}, prompt=("rag", Unprintable())):
            step = loom.recorder.open(Step(1, Kind.CHAIN, "bad"))
        step.content.input = circular
        step.content.output_messages = (
            Message("assistant", (ToolCall("t", {}, Unprintable()), Text("x" * 5_000_000))),
        )
        loom.recorder.close(1)
        assert loom.flush()
    content = row(path, "bad").record["content"]
    assert content["input"] == {
        "1": "nan",
        "bytes": "<3 bytes>",
        "bad": "<unprintable Unprintable>",
        "self": "<circular>",
    }
    assert content["truncated"] >= 1
    assert path.stat().st_size < 1_000_000


def test_a_langchain_run_is_kept_as_a_tree(tmp_path):
    from langchain_core.language_models import FakeListChatModel
    from langchain_core.runnables import RunnableLambda
    from spanloom_langchain import SpanloomCallbackHandler

    path = tmp_path / "traces.db"
    with configured(spanloom.Local(path)) as loom:
        chain = RunnableLambda(lambda x: f"say {x}", name="prepare") | FakeListChatModel(responses=["hello"])
        chain.invoke("hello", config={"callbacks": [SpanloomCallbackHandler(loom)]})
        assert loom.flush()
    top, prepare, model = sorted(rows(path), key=lambda r: r.start_ns)
    assert [r.kind for r in (top, prepare, model)] == ["chain", "chain", "llm"]
    assert prepare.parent_id == model.parent_id == top.span_id
    assert top.parent_id is None
    assert "say hello" in str(model.record["content"]["input_messages"])


# ---------------------------------------------------------------- the file
def test_the_file_is_readable_by_its_owner_alone(tmp_path):
    path = tmp_path / "traces.db"
    with configured(spanloom.Local(path)) as loom:
        run(loom, 1)
        assert loom.flush()
        for file in tmp_path.iterdir():
            assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_relative_path_stays_where_it_was_when_the_application_moves(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with configured(spanloom.Local("traces.db")) as loom:
        (tmp_path / "elsewhere").mkdir()
        monkeypatch.chdir("elsewhere")
        run(loom, 1)
        assert loom.flush()
    assert len(rows(tmp_path / "traces.db")) == 1


def test_a_file_deleted_meanwhile_begins_again(tmp_path):
    path = tmp_path / "traces.db"
    with configured(spanloom.Local(path)) as loom:
        run(loom, 1)
        assert loom.flush()
        for file in tmp_path.iterdir():
            file.unlink()
        run(loom, 2)
        assert loom.flush()
    assert len(rows(path)) == 1


def test_what_cannot_be_written_any_more_is_counted_as_failed_and_the_application_goes_on(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    with configured(spanloom.Local(folder / "traces.db")) as loom:
        for file in folder.iterdir():
            file.unlink()
        folder.rmdir()
        run(loom, 1)
        assert not loom.flush()
        assert loom.stats()["destinations"]["local"]["failed"] == 1


def refused(*args, **kwargs):
    with pytest.raises(spanloom.ConfigurationError) as caught:
        configured(spanloom.Local(*args, **kwargs))
    message = str(caught.value)
    assert re.fullmatch(r"[^\n]+\.", message), message
    return message


def test_an_unwritable_path_fails_at_configure(tmp_path):
    assert "folder does not exist" in refused(tmp_path / "no" / "traces.db")
    assert "it is a folder" in refused(tmp_path)
    (tmp_path / "file").touch()
    assert "cannot be written" in refused(tmp_path / "file" / "traces.db")


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder_fails_at_configure(tmp_path):
    tmp_path.chmod(0o500)
    assert "permission denied" in refused(tmp_path / "traces.db")


def test_a_copy_in_a_folder_that_may_not_be_written_can_be_read(tmp_path, monkeypatch):
    path = tmp_path / "traces.db"
    Store(path, max_traces=10, max_bytes=10**6).write([made(1)])
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert len(rows(path)) == 1
    assert list(tmp_path.iterdir()) == [path]


def test_a_damaged_file_is_refused_in_words(tmp_path):
    path = tmp_path / "traces.db"
    Store(path, max_traces=10, max_bytes=10**6).write([made(i) for i in range(1, 10)])
    whole = path.read_bytes()
    path.write_bytes(whole[:4096] + b"\xff" * (len(whole) - 4096))
    with pytest.raises(StoreError):
        rows(path)


def test_a_damaged_file_whose_damage_is_no_text_is_refused_in_words(tmp_path):
    path = tmp_path / "traces.db"
    Store(path, max_traces=10, max_bytes=10**6).write([made(1)])
    path.write_bytes(path.read_bytes().replace(b"tabletracestraces", b"\xc2" * 17))
    assert "is not a Spanloom file" in refused(path)
    with pytest.raises(StoreError):
        rows(path)


@pytest.mark.parametrize("damaged", ["{", "[]", "[" * 100_000], ids=["cut", "a list", "nested"])
def test_a_damaged_record_costs_itself_alone(tmp_path, damaged):
    path = tmp_path / "traces.db"
    Store(path, max_traces=10, max_bytes=10**6).write([made(1, span=1, text="lost"), made(1, span=2, text="kept")])
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE spans SET record = ? WHERE span_id = ?", (damaged, f"{1:016x}"))
    assert [r.record for r in rows(path)] == [{}, {"text": "kept"}]


def test_somebody_elses_file_is_refused_and_left_alone(tmp_path):
    text, database = tmp_path / "notes.db", tmp_path / "shop.db"
    text.write_text("my notes, which are no database at all\n" * 50)
    with closing(sqlite3.connect(database)) as db:
        db.execute("CREATE TABLE spans (basket)")
    for path in (text, database):
        before = path.read_bytes()
        assert "is not a Spanloom file" in refused(path)
        assert path.read_bytes() == before


def test_a_file_of_another_schema_is_refused_and_says_so(tmp_path):
    path = tmp_path / "traces.db"
    Store(path, max_traces=1, max_bytes=10**6)
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 99")
    assert "schema 99" in refused(path)
    with pytest.raises(StoreError, match="schema 99"):
        Reading(path)


def test_bounds_that_keep_nothing_are_refused(tmp_path):
    assert "max_traces=0" in refused(tmp_path / "traces.db", max_traces=0)
    assert "max_traces=0.5" in refused(tmp_path / "traces.db", max_traces=0.5)
    assert "max_megabytes=-1" in refused(tmp_path / "traces.db", max_megabytes=-1)


# ---------------------------------------------------------------- bounds
@pytest.mark.parametrize(
    ("most", "left"), [(3, {"run 7", "run 8", "run 9"}), (2.5, {"run 8", "run 9"})], ids=["whole", "not whole"]
)
def test_the_traces_that_ended_longest_ago_go_first(tmp_path, most, left):
    path = tmp_path / "traces.db"
    with configured(spanloom.Local(path, max_traces=most)) as loom:
        for i in range(10):
            run(loom, i, name=f"run {i}")
        assert loom.flush()
    assert {r.name for r in rows(path)} == left


def test_the_file_stays_below_its_size(tmp_path):
    path = tmp_path / "traces.db"
    store = Store(path, max_traces=10_000, max_bytes=1_000_000)
    for i in range(60):
        store.write([made(i, end=100 + i, text="x" * 100_000)])
    kept = [int(r.trace_id, 16) for r in rows(path)]
    assert path.stat().st_size <= 1_100_000
    assert len(kept) >= 5
    assert sorted(kept) == list(range(60 - len(kept), 60))


def test_one_endless_trace_loses_its_earliest_spans(tmp_path):
    path = tmp_path / "traces.db"
    store = Store(path, max_traces=10, max_bytes=1_000_000)
    for i in range(1, 61):
        store.write([made(1, span=i, end=100 + i, text="x" * 100_000)])
    kept = [int(r.span_id, 16) for r in rows(path)]
    assert path.stat().st_size <= 1_100_000
    assert kept
    assert kept == list(range(61 - len(kept), 61))


def score(number, trace, text=""):
    at = {"id": str(number), "trace_id": f"{trace:032x}", "time_ns": number}
    return {**at, "name": "helpful", "value": 1.0, "data_type": "NUMERIC", "comment": text}


def test_scores_of_traces_that_are_elsewhere_make_room_for_those_that_are_here(tmp_path):
    path = tmp_path / "traces.db"
    store = Store(path, max_traces=100, max_bytes=1_000_000)
    store.write([made(i, end=i) for i in range(1, 11)])
    store.write_scores([score(0, trace=1)])
    for i in range(1, 601):
        store.write_scores([score(i, trace=1_000 + i, text="x" * 4_000)])
    store.write([made(11)])
    assert len(rows(path)) == 11
    with Reading(path) as reading:
        assert [s["id"] for s in reading.scores(f"{1:032x}")] == ["0"]
        assert reading.scores(f"{1_600:032x}"), "its trace may be on its way"
    assert path.stat().st_size <= 1_100_000


def test_scores_alone_stay_below_the_files_size(tmp_path):
    path = tmp_path / "traces.db"
    store = Store(path, max_traces=100, max_bytes=1_000_000)
    for i in range(1, 61):
        store.write_scores([score(i, trace=i, text="x" * 100_000)])
    assert path.stat().st_size <= 1_100_000
    with Reading(path) as reading:
        assert reading.scores(f"{60:032x}")


# ---------------------------------------------------------------- several writers
def test_a_span_written_twice_is_kept_once(tmp_path):
    path = tmp_path / "traces.db"
    store = Store(path, max_traces=10, max_bytes=10**7)
    store.write([made(1), made(1)])
    store.write([made(1)])
    assert len(rows(path)) == 1


def test_threads_make_and_write_one_file_together(tmp_path):
    path = tmp_path / "traces.db"
    failed = []

    def write(writer):
        try:
            store = Store(path, max_traces=10_000, max_bytes=10**8)
            for i in range(20):
                store.write([made(writer, span=i + 1)])
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=write, args=(i,)) for i in range(1, 7)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not failed
    assert len(rows(path)) == 6 * 20


WRITER = """
import sys, spanloom
from spanloom.step import Kind, Step
with spanloom.configure(spanloom.Local(sys.argv[1])) as loom:
    for i in range(50):
        loom.recorder.open(Step(i, Kind.CHAIN, sys.argv[2]))
        loom.recorder.close(i)
        assert i % 10 or loom.flush()
    assert loom.shutdown()
"""


def test_processes_write_one_file_together(tmp_path):
    path = tmp_path / "traces.db"
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(path), f"writer {i}"]) for i in range(3)]
    assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    names = [r.name for r in rows(path)]
    assert {name: names.count(name) for name in set(names)} == {f"writer {i}": 50 for i in range(3)}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_writes_the_same_file(tmp_path):
    path = tmp_path / "traces.db"
    script = """
import os, sys, spanloom
from spanloom.step import Kind, Step
loom = spanloom.configure(spanloom.Local(sys.argv[1]))
def run(name):
    loom.recorder.open(Step(name, Kind.CHAIN, name))
    loom.recorder.close(name)
    assert loom.flush()
run("before")
child = os.fork()
run("child" if child == 0 else "parent")
if child == 0:
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
"""
    subprocess.run([sys.executable, "-c", script, str(path)], check=True, timeout=60)
    assert {r.name for r in rows(path)} == {"before", "child", "parent"}


def test_writing_the_file_is_not_itself_traced(tmp_path):
    from opentelemetry.instrumentation.sqlite3 import SQLite3Instrumentor

    path: Path = tmp_path / "traces.db"
    provider = TracerProvider(shutdown_on_exit=False)
    SQLite3Instrumentor().instrument(tracer_provider=provider)
    try:
        with spanloom.configure(spanloom.Local(path), tracer_provider=provider) as loom:
            run(loom, 1, name="mine")
            assert loom.flush()
            run(loom, 2, name="mine too")
            assert loom.flush()
    finally:
        SQLite3Instrumentor().uninstrument()
    assert {r.name for r in rows(path)} == {"mine", "mine too"}
