"""With a spool nothing is lost by an outage, and nothing by the end of a process: it waits on the disk, bounded."""

import os
import sqlite3
import time
import zlib
from contextlib import suppress

import pytest
import samples
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2
from opentelemetry.sdk.trace import TracerProvider
from sinks import spans_of, wait_until
from spanloom import ConfigurationError, ContentPolicy, Langfuse, Local, Otlp, Phoenix
from spanloom.spool.owner import Owner, is_alive
from spanloom.step import Content, Kind, Step

from tests.faults.receiver import Receiver


@pytest.fixture
def path(tmp_path):
    return tmp_path / "spool.db"


@pytest.fixture
def receiver():
    made = Receiver()
    yield made
    made.close()


def record(loom, count, text=0, start=0):
    for n in range(start, start + count):
        content = Content(input=os.urandom(text // 2).hex())
        loom.recorder.open(Step(n, Kind.CHAIN, f"s{n}", content=content))
        loom.recorder.close(n)


def counts_of(loom, name="otlp"):
    return loom.stats()["destinations"][name]


def rows(path):
    with sqlite3.connect(path) as db, suppress(sqlite3.OperationalError):  # a new file has no table yet
        return db.execute("SELECT destination, owner, lane, items, body FROM batches ORDER BY id").fetchall()
    return []


def waiting(loom, spans, name="otlp"):
    """Until so many are on the disk."""
    wait_until(lambda: counts_of(loom, name)["spool"]["waiting"] == spans, f"{spans} in the spool")


def test_what_is_sent_has_been_on_the_disk_and_leaves_it(configured, http_sink, path):
    http_sink.hang()
    loom = configured(Otlp(http_sink.url, spool=path))
    record(loom, 5)
    waiting(loom, 5)
    assert sum(row[3] for row in rows(path)) == 5
    assert counts_of(loom)["queued"] == 5
    http_sink.open.set()
    assert loom.flush()
    assert rows(path) == []
    assert counts_of(loom)["exported"] == len(http_sink.spans) == 5


def test_an_outage_longer_than_the_timeout_loses_nothing(configured, http_sink, path):
    http_sink.status = 503
    loom = configured(Otlp(http_sink.url, spool=path, timeout=0.05))
    for start in range(0, 50, 10):
        record(loom, 10, start=start)
        assert not loom.flush(0.1)
    http_sink.status = 200
    assert loom.flush()
    assert sorted(s.step for s in http_sink.spans) == sorted(f"s{n}" for n in range(50))


def test_the_next_start_sends_what_the_last_one_could_not(configured, http_sink, path):
    http_sink.status = 503
    first = configured(Otlp(http_sink.url, spool=path))
    record(first, 5)
    waiting(first, 5)
    assert not first.shutdown(0.1)
    assert counts_of(first)["queued"] == 5
    http_sink.status = 200
    second = configured(Otlp(http_sink.url, spool=path), tracer_provider=TracerProvider(shutdown_on_exit=False))
    wait_until(lambda: counts_of(second)["spool"]["recovered"] == 5, "what was left")
    assert len(http_sink.spans) == 5
    assert counts_of(second)["offered"] == 0, "they were the first one's"
    assert rows(path) == []


def test_a_shutdown_does_not_wait_for_a_receiver_that_is_away_where_all_is_on_the_disk(configured, http_sink, path):
    http_sink.status = 503
    loom = configured(Otlp(http_sink.url, spool=path))
    record(loom, 5)
    assert not loom.shutdown(3600.0), "which would be the test's deadline"
    assert (counts_of(loom)["queued"], counts_of(loom)["dropped"]) == (5, 0)
    assert sum(row[3] for row in rows(path)) == 5


def test_what_a_living_process_owns_is_left_to_it(path):
    owner = Owner(path)
    assert is_alive(path, owner.name)
    owner.release()
    assert not is_alive(path, owner.name)
    assert not is_alive(path, "1-nobody")
    assert list(path.parent.iterdir()) == []


def begun_anew(configured, http_sink, path, monkeypatch, *, without):
    """A loom with five spans in a spool, some of whose files somebody has taken away."""
    monkeypatch.setattr("spanloom.destinations.outbox._LOOK_SECONDS", 0.05)
    http_sink.status = 503
    loom = configured(Otlp(http_sink.url, spool=path))
    record(loom, 5)
    waiting(loom, 5)
    for file in path.parent.glob("spool.db*"):
        if without(file):
            file.unlink()
    wait_until(lambda: path.exists() and sum(row[3] for row in rows(path)) == 5, "the new file")
    return loom


def test_a_claim_that_is_taken_away_with_the_spool_is_made_again(configured, http_sink, path, monkeypatch):
    begun_anew(configured, http_sink, path, monkeypatch, without=lambda file: True)
    (owner,) = {row[1] for row in rows(path)}
    wait_until(lambda: is_alive(path, owner), "the claim: else another process sends it, too")


def test_the_file_is_for_its_owner_alone(configured, http_sink, path):
    http_sink.status = 503
    loom = configured(Otlp(http_sink.url, spool=path))
    record(loom, 5)
    waiting(loom, 5)
    files = list(path.parent.glob("spool.db*"))
    assert len(files) == 4, "the file, its WAL and index, and a lock"
    assert {file.stat().st_mode & 0o777 for file in files} == {0o600}
    http_sink.status = 200
    assert loom.flush()


def test_what_is_on_the_disk_has_passed_the_policy(configured, http_sink, path):
    http_sink.status = 503
    loom = configured(Otlp(http_sink.url, spool=path, content=ContentPolicy.hashed()))
    samples.trace(loom)
    waiting(loom, len(samples.ALL) + 1)
    bodies = [zlib.decompress(row[4]) for row in rows(path)]
    kept = [s for body in bodies for s in spans_of(trace_service_pb2.ExportTraceServiceRequest.FromString(body))]
    assert len(kept) == len(samples.ALL) + 1
    assert samples.CANARY.encode() not in b"".join(bodies)
    http_sink.status = 200
    assert loom.flush()


def test_scores_wait_in_it_too(configured, http_sink, path):
    http_sink.status = 503
    first = configured(Langfuse("pk", "sk", http_sink.url, spool=path))
    step = Step("s", Kind.CHAIN, "s")
    first.recorder.open(step)
    first.recorder.close("s")
    given = first.score("good", 1, step=step)
    waiting(first, 2, "langfuse")
    first.shutdown(0.1)
    http_sink.requests.clear()
    http_sink.status = 200
    second = configured(
        Langfuse("pk", "sk", http_sink.url, spool=path), tracer_provider=TracerProvider(shutdown_on_exit=False)
    )
    wait_until(lambda: counts_of(second, "langfuse")["spool"]["recovered"] == 2, "the span and the score")
    (body,) = http_sink.posted("/api/public/scores")
    assert body["id"] == given
    assert len(http_sink.spans) == 1


def test_phoenix_counts_each_annotation_of_a_request(configured, http_sink, path):
    loom = configured(Phoenix(http_sink.url, spool=path))
    step = Step("s", Kind.CHAIN, "s")
    loom.recorder.open(step)
    loom.recorder.close("s")
    for n in range(3):
        loom.score(f"good{n}", n, step=step)
    assert loom.flush()
    assert counts_of(loom, "phoenix")["exported"] == 4


def test_two_destinations_share_a_file_and_each_gets_its_own(configured, http_sink, second_sink, path):
    http_sink.status = second_sink.status = 503
    loom = configured(Otlp(http_sink.url, spool=path), Langfuse("pk", "sk", second_sink.url, spool=path))
    record(loom, 5)
    waiting(loom, 5)
    waiting(loom, 5, "langfuse")
    http_sink.status = second_sink.status = 200
    assert loom.flush()
    assert [len(sink.spans) for sink in (http_sink, second_sink)] == [5, 5]
    assert all("langfuse.observation.type" in span.attributes for span in second_sink.spans)


# ---------------------------------------------------------------- refused, and put off
def test_what_is_refused_for_good_is_counted_and_leaves_the_disk(configured, http_sink, path):
    http_sink.status = 401
    loom = configured(Otlp(http_sink.url, spool=path))
    record(loom, 5)
    assert not loom.flush()
    assert counts_of(loom)["reasons"] == {"http_401": 5}
    assert rows(path) == []
    assert len(http_sink.requests) == 1


def test_a_batch_that_makes_the_receiver_stumble_does_not_hold_up_the_others(configured, http_sink, path, monkeypatch):
    monkeypatch.setattr("spanloom.destinations.outbox.STUMBLE_SECONDS", 1.0)
    http_sink.statuses = [500]
    loom = configured(Otlp(http_sink.url, spool=path))
    record(loom, 1)
    wait_until(lambda: http_sink.requests, "the first attempt")
    record(loom, 1, start=1)
    wait_until(lambda: len(http_sink.spans) == 2, "both")
    assert [s.step for s in http_sink.spans] == ["s1", "s0"]


def test_one_that_is_too_large_is_cut_on_the_disk_too(configured, receiver, path):
    receiver.mode, receiver.most_bytes = "too large", 20_000
    loom = configured(Otlp(receiver.url, spool=path, content=ContentPolicy.full()))
    record(loom, 40, text=2_000)
    record(loom, 1, text=30_000, start=40)
    assert not loom.flush()
    counts = counts_of(loom)
    assert (counts["exported"], counts["reasons"]) == (40, {"too_large": 1})
    assert len(receiver.taken) == 40
    assert rows(path) == []


# ---------------------------------------------------------------- its bounds
def test_a_full_spool_lets_the_oldest_go_and_counts_them(configured, http_sink, path, caplog):
    http_sink.status = 503
    loom = configured(Otlp(http_sink.url, spool=path, spool_bytes=400_000, content=ContentPolicy.full()))
    for start in range(0, 100, 10):
        record(loom, 10, text=10_000, start=start)
        wait_until(
            lambda so_far=start + 10: (
                counts_of(loom)["spool"]["waiting"] + counts_of(loom)["reasons"].get("spool_full", 0) == so_far
            ),
            "these to be written",
        )
    lost = counts_of(loom)["reasons"]["spool_full"]
    assert 10 <= lost <= 99
    assert len([r for r in caplog.records if "full spool" in r.getMessage()]) == 1
    http_sink.status = 200
    assert not loom.flush()
    kept = {int(span.step[1:]) for span in http_sink.spans}
    assert kept == set(range(lost, 100)), "those that came last are kept"
    assert path.stat().st_size < 2_000_000


@pytest.mark.parametrize("whose", ["nobody's", "a living process's", "new"])
def test_what_no_destination_sends_any_more_does_not_fill_the_spool_for_good(configured, http_sink, path, whose):
    http_sink.status = 503
    bounds = {"spool": path, "spool_bytes": 400_000, "content": ContentPolicy.full()}
    former = configured(Otlp(http_sink.url, name="former", **bounds))
    record(former, 50, text=10_000)
    waiting(former, 50, "former")
    former.shutdown()
    owner = Owner(path)
    with sqlite3.connect(path) as db:
        if whose != "new":
            db.execute("UPDATE batches SET created = created - 100000")
        if whose == "a living process's":
            db.execute("UPDATE batches SET owner = ?", (owner.name,))
    loom = configured(Otlp(http_sink.url, name="today", **bounds))
    record(loom, 50, text=10_000)
    wait_until(lambda: counts_of(loom, "today")["spool"]["waiting"] == 50, "these to be written, or to wait in memory")
    spool = counts_of(loom, "today")["spool"]
    assert spool["lost"] == (50 if whose == "nobody's" else 0)
    assert (spool["in_memory"] > 0) == (whose != "nobody's")
    owner.release()
    loom.shutdown(0.1)


def test_what_is_too_old_goes_and_is_counted(configured, http_sink, path, monkeypatch):
    monkeypatch.setattr("spanloom.destinations.line.FIRST_WAIT", 0.01)
    http_sink.status = 503
    loom = configured(Otlp(http_sink.url, spool=path, spool_seconds=0.3))
    record(loom, 5)
    wait_until(lambda: counts_of(loom)["reasons"] == {"spool_expired": 5}, "the end of their time")
    assert rows(path) == []


def test_an_old_batch_that_was_left_is_tried_before_it_goes(configured, http_sink, path, monkeypatch):
    http_sink.status = 503
    first = configured(Otlp(http_sink.url, spool=path))
    record(first, 5)
    waiting(first, 5)
    first.shutdown(0.1)
    with sqlite3.connect(path) as db:  # the clock was wrong, or it is a week later
        db.execute("UPDATE batches SET created = created - 604800")
    http_sink.status = 200
    second = configured(Otlp(http_sink.url, spool=path), tracer_provider=TracerProvider(shutdown_on_exit=False))
    wait_until(lambda: counts_of(second)["spool"]["recovered"] == 5, "what was left")


def test_a_disk_that_fails_leaves_memory_and_says_so_once(configured, http_sink, path, monkeypatch, caplog):
    from spanloom.spool import Spool, SpoolError

    http_sink.status = 503
    loom = configured(Otlp(http_sink.url, spool=path))
    append = Spool.append

    def full(self, batches):
        raise SpoolError("disk full")

    monkeypatch.setattr(Spool, "append", full)
    for start in (0, 5):
        record(loom, 5, start=start)
        waiting(loom, start + 5)
    assert counts_of(loom)["spool"]["in_memory"] == 10
    assert len([r for r in caplog.records if "cannot write to its spool" in r.getMessage()]) == 1
    monkeypatch.setattr(Spool, "append", append)
    http_sink.status = 200
    assert loom.flush()
    assert len(http_sink.spans) == 10


def test_what_is_in_memory_alone_is_lost_at_a_shutdown_and_counted(configured, http_sink, path, monkeypatch):
    from spanloom.spool import Spool, SpoolError

    def full(self, batches):
        raise SpoolError("disk full")

    http_sink.status = 503
    loom = configured(Otlp(http_sink.url, spool=path))
    monkeypatch.setattr(Spool, "append", full)
    record(loom, 5)
    waiting(loom, 5)
    assert not loom.shutdown(0.1)
    wait_until(lambda: counts_of(loom)["reasons"] == {"shutdown": 5}, "the end")


def test_memory_that_is_full_makes_the_worker_wait_and_the_queue_decide(configured, http_sink, path, monkeypatch):
    from spanloom.spool import Spool, SpoolError

    append = Spool.append

    def full(self, batches):
        raise SpoolError("disk full")

    http_sink.status = 503
    monkeypatch.setattr("spanloom.destinations.spooled._MEMORY_BYTES", 10_000)
    loom = configured(Otlp(http_sink.url, spool=path, queue_spans=20, batch_spans=5))
    monkeypatch.setattr(Spool, "append", full)
    for start in range(0, 100, 5):
        record(loom, 5, start=start)
        time.sleep(0.005)
    wait_until(lambda: counts_of(loom)["dropped"] > 0, "a full queue")
    monkeypatch.setattr(Spool, "append", append)
    http_sink.status = 200
    loom.flush()
    counts = counts_of(loom)
    assert counts["reasons"] == {"queue_full": counts["dropped"]}
    assert counts["exported"] == len(http_sink.spans) == 100 - counts["dropped"]


# ---------------------------------------------------------------- its file
@pytest.mark.parametrize("cached", [16_000_000, 0], ids=["at hand", "on the disk only"])
def test_a_file_that_is_corrupted_while_it_is_used(configured, http_sink, path, monkeypatch, caplog, cached):
    monkeypatch.setattr("spanloom.destinations.spooled._CACHED_BYTES", cached)
    http_sink.status = 503
    loom = configured(Otlp(http_sink.url, spool=path, content=ContentPolicy.full(), batch_spans=100))
    record(loom, 1000, text=10_000)  # more than SQLite has in its own memory
    waiting(loom, 1000)
    for file in (path, path.with_name("spool.db-wal")):
        with file.open("r+b") as wreck:
            wreck.write(os.urandom(file.stat().st_size))
    http_sink.status = 200
    loom.flush()
    wait_until(lambda: counts_of(loom)["queued"] == 0, "the end of it")
    counts = counts_of(loom)
    arrived = len({s.span_id for s in http_sink.spans})
    assert arrived == counts["exported"] == 1000 - counts["failed"]
    if cached:
        assert counts["failed"] == 0
    else:
        assert counts["reasons"] == {"spool_corrupted": counts["failed"]}
        assert counts["failed"] > 0
        assert len([r for r in caplog.records if "corrupted spool" in r.getMessage()]) == 1
        assert counts["spool"]["set_aside"] == 1
    record(loom, 5, start=1000)
    loom.flush()
    assert len({s.span_id for s in http_sink.spans}) == arrived + 5


def test_a_file_whose_damage_is_no_text_is_set_aside(configured, http_sink, path):
    configured(Otlp(http_sink.url, spool=path)).shutdown()
    path.write_bytes(path.read_bytes().replace(b"tablebatchesbatches", b"\xc2" * 19))
    loom = configured(Otlp(http_sink.url, spool=path))
    record(loom, 5)
    assert loom.flush()
    assert len(http_sink.spans) == 5
    assert counts_of(loom)["spool"]["set_aside"] == 1


def test_a_file_that_is_taken_away_is_begun_anew(configured, http_sink, path, monkeypatch):
    loom = begun_anew(configured, http_sink, path, monkeypatch, without=lambda file: "owner" not in file.name)
    http_sink.status = 200
    assert loom.flush()
    assert len(http_sink.spans) == 5


def test_somebody_elses_file_is_left_alone(configured, path):
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE mine (x)")
    before = path.read_bytes()
    with pytest.raises(ConfigurationError, match="another file than a spool"):
        configured(Otlp("http://127.0.0.1:1", spool=path))
    assert path.read_bytes() == before


def test_a_folder_that_is_not_there_is_one_sentence(configured, tmp_path):
    with pytest.raises(ConfigurationError, match="folder does not exist"):
        configured(Otlp("http://127.0.0.1:1", spool=tmp_path / "no" / "spool.db"))


def test_local_needs_none():
    with pytest.raises(TypeError, match="spool"):
        Local(spool="x.db")
