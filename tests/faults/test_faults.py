"""The fault table: whatever a receiver does, the application goes on, every span is accounted for, and with a spool
every span arrives."""

from __future__ import annotations

import os
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
from sinks import wait_until

from tests.faults.receiver import Receiver, self_signed

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]

SPANS = 1_000
SECONDS = 1.0
AWAY = float(os.environ.get("SPANLOOM_FAULTS_SECONDS", "3"))  # how long the receiver is gone; 60 for the row
TIMEOUT = 1.0  # of a batch: short, so that the table takes minutes and not an hour
MOST_RATIO = 50.0  # of p99 to the healthy one's, on a busy machine: what would block for a second is a thousand


@pytest.fixture
def receiver():
    made = Receiver()
    yield made
    made.close()


@pytest.fixture(params=[False, True], ids=["memory", "spool"])
def spool(request):
    return request.param


@pytest.fixture
def otlp(tmp_path, spool):
    def destination(url, **options):
        if spool:
            options["spool"] = str(tmp_path / "spool.db")
        return ["Otlp", {"endpoint": url, "timeout": TIMEOUT, **options}]

    return destination


def healthy_p99(start, otlp, table, spool):
    """Microseconds, measured once for each way of sending."""
    if spool not in table.healthy:
        good = Receiver()
        try:
            app = start(otlp(good.url, name="healthy"))
            app.record(200, 0.2)
            table.healthy[spool] = app.record(SPANS * 2, SECONDS * 2)["p99"]
            app.shutdown(5)
        finally:
            good.close()
    return table.healthy[spool]


def settled(app, *, leaves=0):
    """The counts, once nothing is under way any more, but for what a spool keeps."""

    def ask():
        stats = app.stats()
        return stats if all(counts["queued"] <= leaves for counts in stats.values()) else None

    return wait_until(ask, "the end of what is under way", deadline=30)


def balanced(counts):
    return counts["offered"] == counts["exported"] + counts["dropped"] + counts["failed"] + counts["queued"]


def note(table, fault, spool, ratio, counts, arrived, twice=0):
    table.add(
        fault, spool, **{"p99 ratio": ratio}, offered=counts["offered"], delivered=arrived, dropped=counts["dropped"],
        failed=counts["failed"], twice=twice, reasons=counts["reasons"],
    )  # fmt: skip


def check(app, receiver, table, fault, spool, ratio, counts, *, acknowledged=True):
    """offered = delivered + counted; with a spool delivered = offered."""
    ids = set(app.ids())
    came = set(receiver.taken) | set(receiver.unanswered)
    all_came = receiver.taken + receiver.unanswered
    twice = sum(times - 1 for times in all_came.values())
    note(table, fault, spool, ratio, counts, len(came & ids), twice)
    assert balanced(counts)
    assert counts["offered"] == len(ids)
    assert counts["queued"] == 0
    assert came <= ids
    assert len(set(receiver.taken)) == counts["exported"], "each acknowledged one is counted, and no other"
    if not receiver.unanswered:
        assert twice == 0
    if spool:
        assert came == ids
        assert (counts["dropped"], counts["failed"]) == (0, 0)
    assert ratio < MOST_RATIO


def run(app, table, start, otlp, spool):
    """Record under the fault; how much slower the application's thread was."""
    return app.record(SPANS, SECONDS)["p99"] / healthy_p99(start, otlp, table, spool)


# ---------------------------------------------------------------- the receiver's own faults
MODES = {
    "refuses the connection": "refuse",
    "500": "500",
    "503": "503",
    "429 with Retry-After": "busy",
    "413": "too large",
    "hangs": "hang",
    "slow: a byte a second": "slow",
    "breaks the connection mid-request": "cut",
    "takes it and breaks the connection": "deaf",
    "a login page": "page",
    "redirects to a login page": "302",
}


@pytest.mark.parametrize("fault", MODES)
def test_a_receiver_that_fails_and_recovers(start, otlp, receiver, table, spool, fault):
    healthy_p99(start, otlp, table, spool)
    app = start(otlp(receiver.url))
    app.record(20, 0.05)
    assert app.flush(10)["done"]
    with ExitStack() as stack:
        if MODES[fault] == "refuse":
            receiver.go()
            held = stack.enter_context(receiver.hold())
        receiver.until = time.monotonic() + 2 * SECONDS
        receiver.mode = MODES[fault]
        ratio = run(app, table, start, otlp, spool)
        if fault != "413":  # which is no fault that passes
            time.sleep(0.5)
        if MODES[fault] == "refuse":
            held.close()
            receiver.listen()
        if MODES[fault] not in ("too large", "busy"):
            receiver.mode = "ok"
        app.flush(30)
        counts = settled(app)["otlp"]
    check(app, receiver, table, fault, spool, ratio, counts)
    if fault == "413":
        assert receiver.largest <= receiver.most_bytes
        assert counts["failed"] == 0
    if fault.startswith("429"):
        assert counts["failed"] == 0, "what a receiver asks to wait for costs nothing"
    app.shutdown(5)


def test_one_span_that_is_too_large_costs_only_itself(start, otlp, receiver, table, spool):
    receiver.mode, receiver.most_bytes = "too large", 100_000
    healthy_p99(start, otlp, table, spool)
    app = start(otlp(receiver.url))
    app.record(200, 0.2)
    app.record(2, 0.01, 120_000)
    app.record(200, 0.2)
    app.flush(20)
    counts = settled(app)["otlp"]
    note(table, "413 for one span alone", spool, "", counts, len(receiver.taken))
    assert balanced(counts)
    assert counts["reasons"] == {"too_large": 1}
    assert counts["exported"] == len(receiver.taken) == 401
    assert "is too large for it" in app.said
    assert next(iter(set(app.ids()) - set(receiver.taken))) in app.said, "the culprit is named by its id"
    app.shutdown(5)


def test_rejected_in_part(start, otlp, receiver, table, spool):
    healthy_p99(start, otlp, table, spool)
    receiver.mode = "partial"
    app = start(otlp(receiver.url))
    app.record(200, 0.2)
    app.flush(10)
    counts = settled(app)["otlp"]
    note(table, "partial success", spool, "", counts, len(receiver.taken))
    assert balanced(counts)
    assert counts["exported"] == len(receiver.taken)
    assert counts["reasons"] == {"rejected": receiver.requests}
    assert app.said.count("rejected") == 1
    app.shutdown(5)


def test_bad_tls_and_then_the_right_certificate(start, otlp, table, spool, tmp_path):
    context, certificate = self_signed(tmp_path)
    receiver = Receiver(context)
    try:
        ratio, counts, ids = until_shutdown(start, otlp, table, spool, receiver.url)
        assert not receiver.taken
        arrives_later(start, otlp, table, spool, receiver, "bad TLS", ratio, counts, ids, certificate)
    finally:
        receiver.close()


def test_a_name_that_cannot_be_resolved_and_then_the_right_one(start, otlp, receiver, table, spool):
    ratio, counts, ids = until_shutdown(start, otlp, table, spool, "http://receiver.invalid:4318")
    arrives_later(start, otlp, table, spool, receiver, "DNS failure", ratio, counts, ids)


def until_shutdown(start, otlp, table, spool, url):
    """A whole life in which nothing can be delivered."""
    healthy_p99(start, otlp, table, spool)
    app = start(otlp(url))
    ratio = run(app, table, start, otlp, spool)
    assert not app.flush(3)["done"]
    counts = settled(app, leaves=SPANS if spool else 0)["otlp"]
    ids = set(app.ids())
    app.shutdown(2)
    app.wait()
    return ratio, counts, ids


def arrives_later(start, otlp, table, spool, receiver, fault, ratio, counts, ids, certificate=None):
    """What was left in the spool goes out with the next start."""
    assert balanced(counts)
    if spool:
        environment = {"OTEL_EXPORTER_OTLP_CERTIFICATE": certificate} if certificate else {}
        after = start(otlp(receiver.url), **environment)
        wait_until(lambda: set(receiver.taken) == ids, "what the spool had", deadline=20)
        wait_until(lambda: after.stats()["otlp"]["spool"]["waiting"] == 0, "the last acknowledgement")
        assert after.stats()["otlp"]["spool"]["recovered"] == len(ids)
        after.shutdown(5)
        assert counts["failed"] == counts["dropped"] == 0
    note(table, fault, spool, ratio, counts, len(receiver.taken), sum(receiver.taken.values()) - len(receiver.taken))
    assert counts["offered"] == len(ids)
    assert len(receiver.taken) + counts["dropped"] + counts["failed"] == len(ids)
    assert max(receiver.taken.values(), default=1) == 1
    assert ratio < MOST_RATIO


def test_gone_for_a_while_and_back(start, otlp, receiver, table, spool):
    healthy_p99(start, otlp, table, spool)
    app = start(otlp(receiver.url))
    app.record(20, 0.05)
    assert app.flush(10)["done"]
    receiver.go()
    with receiver.hold():
        spans = int(AWAY * 300)
        ratio = app.record(spans, AWAY)["p99"] / table.healthy[spool]
    receiver.listen()
    app.record(200, 0.2)
    app.flush(40)
    counts = settled(app)["otlp"]
    check(app, receiver, table, f"gone for {AWAY:g} s and back", spool, ratio, counts)
    app.shutdown(5)


def test_both_destinations_down(start, otlp, table, spool, tmp_path):
    first, second = Receiver(), Receiver()
    try:
        healthy_p99(start, otlp, table, spool)
        langfuse = ["Langfuse", {"public_key": "pk", "secret_key": "sk", "base_url": second.url, "timeout": TIMEOUT}]
        if spool:  # one file for both
            langfuse[1]["spool"] = str(tmp_path / "spool.db")
        app = start(otlp(first.url), langfuse)
        first.go()
        second.go()
        with first.hold(), second.hold():
            ratio = run(app, table, start, otlp, spool)
            assert not app.flush(2)["done"]
        first.listen()
        second.listen()
        app.flush(30)
        stats = settled(app)
        check(app, first, table, "both destinations down: Otlp", spool, ratio, stats["otlp"])
        check(app, second, table, "both destinations down: Langfuse", spool, ratio, stats["langfuse"])
        app.shutdown(5)
    finally:
        first.close()
        second.close()


def test_shutdown_is_bounded_with_every_receiver_hanging(start, otlp, receiver, table, spool):
    receiver.mode = "hang"
    app = start(otlp(receiver.url, timeout=30))
    app.record(200, 0.2)
    assert not app.shutdown(1)["done"]
    begun = time.monotonic()
    app.wait()  # the process itself ends too
    assert time.monotonic() - begun < 10


# ---------------------------------------------------------------- the machine's faults
def test_clock_jumps(start, otlp, receiver, table, spool):
    healthy_p99(start, otlp, table, spool)
    app = start(otlp(receiver.url))
    receiver.mode = "503"
    app.record(200, 0.2)
    app.clock(-3 * 24 * 3600.0)
    first = run(app, table, start, otlp, spool)
    app.clock(+3 * 24 * 3600.0)
    app.record(200, 0.2)
    receiver.mode = "ok"
    app.flush(30)
    counts = settled(app)["otlp"]
    check(app, receiver, table, "clock jumps back, and ahead", spool, first, counts)
    app.shutdown(5)


def test_fork_during_export(start, otlp, receiver, table, spool):
    healthy_p99(start, otlp, table, spool)
    app = start(otlp(receiver.url))
    receiver.mode = "503"
    ratio = run(app, table, start, otlp, spool)
    receiver.mode = "ok"
    child = app.fork(200, 10)
    app.flush(20)
    counts = settled(app)["otlp"]
    ids = set(app.ids())
    assert child["done"], child
    assert balanced(counts)
    assert set(receiver.taken) >= set(child["ids"])
    assert max(receiver.taken.values()) == 1, "each process sends its own"
    theirs = child["stats"]["otlp"]
    note(table, "fork during export: parent", spool, ratio, counts, len(set(receiver.taken) & ids))
    note(table, "fork during export: child", spool, "", theirs, len(set(receiver.taken) & set(child["ids"])))
    assert theirs["offered"] == theirs["exported"] == 200
    assert len(set(receiver.taken) & ids) == counts["exported"]
    if spool:
        assert set(receiver.taken) >= ids
    app.shutdown(5)


# ---------------------------------------------------------------- the spool's own faults
@pytest.fixture
def spooled(tmp_path):
    path = tmp_path / "spool.db"
    return path, lambda url, **options: ["Otlp", {"endpoint": url, "timeout": TIMEOUT, "spool": str(path), **options}]


def test_disk_full(start, spooled, receiver, table):
    _, otlp = spooled
    healthy_p99(start, otlp, table, True)
    app = start(otlp(receiver.url))
    receiver.mode = "503"
    app.record(200, 0.2)
    app.limit_file_size(100_000)
    ratio = run(app, table, start, otlp, True)
    wait_until(lambda: app.stats()["otlp"]["spool"]["in_memory"] > 0, "the disk to be full")
    app.limit_file_size(0)
    app.record(200, 0.2)
    receiver.mode = "ok"
    app.flush(30)
    counts = settled(app)["otlp"]
    check(app, receiver, table, "disk full for the spool", True, ratio, counts)
    assert app.said.count("cannot write to its spool") >= 1
    app.shutdown(5)


def test_spool_corrupted_before_the_start(start, spooled, receiver, table):
    path, otlp = spooled
    healthy_p99(start, otlp, table, True)
    path.write_bytes(b"SQLite format 3\0" + os.urandom(50_000))
    app = start(otlp(receiver.url))
    receiver.mode = "503"
    ratio = run(app, table, start, otlp, True)
    receiver.mode = "ok"
    app.flush(30)
    counts = settled(app)["otlp"]
    check(app, receiver, table, "spool corrupted before the start", True, ratio, counts)
    assert app.said.count("had a corrupted spool") == 1
    assert counts["spool"]["set_aside"] == 1
    assert len(list(path.parent.glob("spool.db.corrupt-*[0-9]"))) == 1
    assert path.stat().st_mode & 0o777 == 0o600
    app.shutdown(5)


def test_spool_corrupted_while_it_is_used(start, spooled, receiver, table):
    path, otlp = spooled
    healthy_p99(start, otlp, table, True)
    app = start(otlp(receiver.url))
    receiver.mode = "503"
    ratio = run(app, table, start, otlp, True)
    for file in (path, Path(f"{path}-wal")):
        with file.open("r+b") as wreck:
            wreck.write(os.urandom(file.stat().st_size))
    app.record(200, 0.2)
    receiver.mode = "ok"
    app.flush(30)
    counts = settled(app)["otlp"]
    check(app, receiver, table, "spool corrupted while it is used", True, ratio, counts)
    app.shutdown(5)
    app.wait()
    after = start(otlp(receiver.url))
    after.record(20, 0.1)
    assert after.shutdown(5)["done"]


def test_kill_9_during_export(start, spooled, receiver, table, tmp_path):
    _, otlp = spooled
    healthy_p99(start, otlp, table, True)
    app = start(otlp(receiver.url))
    receiver.mode = "hang"
    ratio = run(app, table, start, otlp, True)
    wait_until(lambda: app.stats()["otlp"]["spool"]["waiting"] == SPANS, "all to be on the disk")
    ids, counts = set(app.ids()), app.stats()["otlp"]
    app.kill()
    receiver.gone.set()
    receiver.mode = "ok"
    after = start(otlp(receiver.url))
    wait_until(lambda: set(receiver.taken) == ids, "what the killed process had", deadline=20)
    wait_until(lambda: after.stats()["otlp"]["spool"]["waiting"] == 0, "the last acknowledgement")
    assert after.shutdown(5)["done"]
    twice = sum(receiver.taken.values()) - len(receiver.taken)
    note(table, "kill -9 during export", True, ratio, counts, len(receiver.taken), twice)
    assert twice == 0


def test_kill_9_while_recording_loses_only_what_ended_just_before(start, spooled, receiver, table, tmp_path):
    _, otlp = spooled
    log = tmp_path / "ended.log"
    app = start(otlp(receiver.url))
    app.record_and_say(30.0, str(log))
    wait_until(lambda: log.exists() and log.read_text().count("\n") > 400, "some spans")
    killed = time.monotonic()
    app.kill()
    ended = dict(line.split() for line in log.read_text().splitlines() if line.count(" ") == 1)
    after = start(otlp(receiver.url))
    wait_until(lambda: after.stats()["otlp"]["spool"]["waiting"] == 0 and receiver.requests, "the end of what was left")
    assert after.shutdown(5)["done"]
    lost = {ident: killed - float(moment) for ident, moment in ended.items() if ident not in receiver.taken}
    window = max(lost.values(), default=0.0)
    table.add(
        f"kill -9 while recording: window {window * 1000:.0f} ms", True, offered=len(ended),
        delivered=len(set(receiver.taken) & set(ended)), dropped=len(lost), failed=0,
        twice=sum(receiver.taken.values()) - len(receiver.taken), reasons={"in the window": len(lost)},
    )  # fmt: skip
    assert window < 20 * 0.1, "what is older than the window is on the disk"


def test_two_processes_share_a_spool_and_neither_sends_the_others(start, spooled, receiver, table):
    path, otlp = spooled
    receiver.mode = "503"
    apps = [start(otlp(receiver.url)), start(otlp(receiver.url))]
    for app in apps:
        app.record(400, 0.3)
    time.sleep(1.0)  # both look for what dead ones left
    receiver.mode = "ok"
    for app in apps:
        app.flush(30)
    ids = {ident for app in apps for ident in app.ids()}
    for app in apps:
        counts = settled(app)["otlp"]
        assert (counts["exported"], counts["spool"]["recovered"]) == (400, 0)
    assert set(receiver.taken) == ids
    assert max(receiver.taken.values()) == 1
    table.add("two processes, one spool", True, offered=len(ids), delivered=len(receiver.taken), dropped=0, failed=0,
              twice=0)  # fmt: skip
    for app in apps:
        app.shutdown(5)
    assert not list(path.parent.glob("spool.db-owner-*"))
