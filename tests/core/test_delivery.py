"""One queue per destination: nobody waits for a slow receiver, and every span is accounted for."""

import random
import socket
import threading
import time

import pytest
from opentelemetry.sdk.trace import TracerProvider
from sinks import DEADLINE, wait_until
from spanloom import Langfuse, Otlp
from spanloom.destinations import queue
from spanloom.destinations.delivery import Delivery
from spanloom.step import Kind, Step
from spanloom.testing import Memory


def record(loom, count, start=0):
    for n in range(start, start + count):
        loom.recorder.open(Step(n, Kind.CHAIN, f"s{n}"))
        loom.recorder.close(n)


def balanced(counts):
    return counts["offered"] == counts["exported"] + counts["dropped"] + counts["failed"] + counts["queued"]


@pytest.fixture
def refused_port():
    """A port that nobody listens at, and that nobody else is given meanwhile."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


def test_a_hanging_receiver_delays_neither_the_application_nor_the_other(configured, http_sink, second_sink):
    http_sink.hang()
    loom = configured(Otlp(http_sink.url, timeout=30), Langfuse("pk", "sk", second_sink.url))
    record(loom, 1)
    assert http_sink.arrived.acquire(timeout=10)  # the first worker is held now
    record(loom, 500, start=1)
    assert not loom.flush(timeout=0.5)
    wait_until(lambda: loom.stats()["destinations"]["langfuse"]["exported"] == 501, "the other to get everything")
    assert len(second_sink.spans) == 501
    stats = loom.stats()["destinations"]
    assert stats["otlp"] == {"offered": 501, "queued": 501, "exported": 0, "dropped": 0, "failed": 0, "reasons": {}}
    assert stats["langfuse"]["exported"] == 501
    http_sink.open.set()
    assert loom.flush()
    assert len(http_sink.spans) == 501


def test_shutdown_waits_for_no_hanging_receiver_and_the_healthy_one_gets_everything(configured, http_sink, second_sink):
    http_sink.hang()
    loom = configured(Otlp(http_sink.url, timeout=30), Langfuse("pk", "sk", second_sink.url))
    record(loom, 1)
    assert http_sink.arrived.acquire(timeout=10)
    record(loom, 100, start=1)
    before = time.monotonic()
    assert not loom.shutdown(timeout=3)
    assert time.monotonic() - before < 3 + DEADLINE
    assert len(second_sink.spans) == 101
    counts = loom.stats()["destinations"]["otlp"]
    assert balanced(counts)
    assert (counts["queued"], counts["dropped"]) == (1, 100)
    http_sink.open.set()
    wait_until(lambda: loom.stats()["destinations"]["otlp"]["queued"] == 0, "the end of the batch under way")
    assert balanced(loom.stats()["destinations"]["otlp"])


def test_shutdown_is_bounded_where_all_hang(configured, http_sink, grpc_sink, second_sink):
    hung = threading.Event()
    grpc_sink.Export = lambda *_: hung.wait(30)
    http_sink.hang()
    second_sink.hang()
    grpc = Otlp(grpc_sink.address, protocol="grpc", name="grpc", timeout=30)
    loom = configured(Otlp(http_sink.url, timeout=30), Langfuse("pk", "sk", second_sink.url), grpc)
    record(loom, 10)
    before = time.monotonic()
    assert not loom.shutdown(timeout=3)
    assert time.monotonic() - before < 3 + DEADLINE
    assert all(balanced(counts) for counts in loom.stats()["destinations"].values())
    hung.set()


@pytest.mark.parametrize("status", [400, 401, 500, 503])
def test_a_receiver_that_refuses_costs_its_own_spans_only(configured, http_sink, second_sink, status):
    http_sink.status = status
    loom = configured(Otlp(http_sink.url, timeout=0.5), Langfuse("pk", "sk", second_sink.url))
    record(loom, 20)
    assert not loom.flush()
    stats = loom.stats()["destinations"]
    assert stats["otlp"] == {
        "offered": 20, "queued": 0, "exported": 0, "dropped": 0, "failed": 20, "reasons": {f"http_{status}": 20},
    }  # fmt: skip
    assert stats["langfuse"]["exported"] == 20
    http_sink.status = 200
    record(loom, 5, start=20)
    assert loom.flush()
    assert loom.stats()["destinations"]["otlp"]["exported"] == 5


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_a_receiver_that_is_not_there(configured, second_sink, refused_port, protocol):
    gone = Otlp(f"http://127.0.0.1:{refused_port}", protocol=protocol, timeout=0.3)
    loom = configured(gone, Langfuse("pk", "sk", second_sink.url))
    record(loom, 20)
    assert not loom.flush(timeout=10)
    wait_until(lambda: loom.stats()["destinations"]["otlp"]["failed"] == 20, "all spans failed", deadline=60)
    assert loom.stats()["destinations"]["langfuse"]["exported"] == 20


def test_a_full_queue_drops_and_counts_and_says_so_once(configured, http_sink, caplog):
    http_sink.hang()
    loom = configured(Otlp(http_sink.url, timeout=30, queue_spans=10, batch_spans=1))
    record(loom, 1)
    assert http_sink.arrived.acquire(timeout=10)
    record(loom, 50, start=1)
    counts = loom.stats()["destinations"]["otlp"]
    assert (counts["queued"], counts["dropped"]) == (11, 40)
    assert balanced(counts)
    assert [r.message for r in caplog.records if "queue of otlp is full" in r.message] != []
    assert len([r for r in caplog.records if "is full" in r.message]) == 1
    http_sink.open.set()


def test_spans_that_come_after_the_end_are_counted(configured, provider, http_sink):
    loom = configured(Otlp(http_sink.url))
    delivery = loom._destinations[0][1]
    loom.shutdown()
    delivery.put(object())
    counts = delivery.counts()
    assert (counts["offered"], counts["dropped"], counts["reasons"]) == (1, 1, {"stopped": 1})
    assert balanced(counts)


def test_full_batches_go_out_without_waiting_for_a_flush(configured, http_sink):
    loom = configured(Otlp(http_sink.url, batch_spans=16))
    loom._destinations[0][1]._delay = 60
    record(loom, 64)
    wait_until(lambda: len(http_sink.spans) == 64, "the arrival of full batches")
    assert max(len(r.spans) for r in http_sink.requests) == 16


def test_an_exporter_that_raises_or_half_delivers_is_accounted_for(lenient):
    chance = random.Random(1)

    def export(batch):
        if chance.random() < 0.3:
            raise OSError
        return chance.randrange(len(batch) + 1)

    delivery = Delivery("odd", export, batch_spans=8, queue_spans=200)
    for n in range(2_000):
        delivery.put(n)
        assert balanced(delivery.counts())
    delivery.flush(10)
    counts = delivery.counts()
    assert balanced(counts)
    assert counts["queued"] == 0
    assert counts["failed"] > 0
    delivery.stop(1)
    assert lenient.swallowed["spanloom.destinations.odd"] > 0


def test_a_flush_waits_for_what_was_there_and_not_for_what_keeps_coming():
    taken = threading.Semaphore(0)
    delivery = Delivery("busy", lambda batch: (taken.release(), len(batch))[1], batch_spans=4)
    stop = threading.Event()

    def feed():
        while not stop.is_set():
            delivery.put(object())
            taken.acquire(timeout=0.01)

    feeder = threading.Thread(target=feed)
    feeder.start()
    try:
        assert delivery.flush(10)
    finally:
        stop.set()
        feeder.join()
        delivery.stop(5)


def test_a_stop_ends_a_flush_that_waits_elsewhere():
    held, entered = threading.Event(), threading.Event()

    def export(batch):
        entered.set()
        held.wait(10)
        return len(batch)

    delivery = Delivery("held", export, batch_spans=1)
    for n in range(3):
        delivery.put(n)
    entered.wait(10)
    answers = []
    waiting = threading.Thread(target=lambda: answers.append(delivery.flush(30)))
    waiting.start()
    assert not delivery.stop(0.05)
    held.set()
    waiting.join(10)
    assert answers == [False]
    counts = delivery.counts()
    assert (counts["exported"], counts["dropped"], counts["reasons"]) == (1, 2, {"shutdown": 2})
    assert balanced(counts)


def test_the_exporters_own_calls_are_not_traced(configured, http_sink):
    from opentelemetry.context import _SUPPRESS_INSTRUMENTATION_KEY, get_value

    seen = []
    provider = TracerProvider(shutdown_on_exit=False)
    destination = Otlp(http_sink.url)
    loom = configured(destination, tracer_provider=provider)
    export = destination._exporter.export
    destination._exporter.export = lambda *batch: (
        seen.append(get_value(_SUPPRESS_INSTRUMENTATION_KEY)),
        export(*batch),
    )[1]
    record(loom, 1)
    assert loom.flush()
    assert seen == [True]


@pytest.mark.parametrize("method", ["wake", "flush", "stop"])
def test_a_destination_that_fails_to_end_keeps_no_other_from_it(configured, lenient, monkeypatch, method):
    def fails(*_):
        raise RuntimeError

    broken, memory = Memory("broken"), Memory()
    loom = configured(broken, memory)
    lenient.strict = False
    monkeypatch.setattr(loom._destinations[0][1], method, fails)
    record(loom, 3)
    assert loom.flush() is (method == "stop")
    assert loom.shutdown() is (method == "flush")
    assert len(memory.steps) == 3
    assert loom.stats()["swallowed"][f"spanloom.destinations.broken.{method}"] >= 1


class Patient(Memory):
    """Its worker takes nothing of its own accord, so that who flushes puts the spans into the queue."""

    def open(self, resource, tick):
        return Delivery(self.name, self._keep, delay_seconds=60.0)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("interrupt", ["flush", "shutdown", "stats", "run"])
@pytest.mark.parametrize("moment", [0, 1, 5])
def test_a_signal_may_come_while_spans_are_put_into_the_queue(configured, monkeypatch, interrupt, moment):
    """Its handler runs on that very thread, inside of what the thread has begun, and may call anything of ours."""
    loom = configured(Patient(), Patient("other"))
    record(loom, 1)
    assert loom.flush()
    handler = {
        "flush": lambda: loom.flush(1.0),
        "shutdown": lambda: loom.shutdown(1.0),
        "stats": loom.stats,
        "run": lambda: record(loom, 1, start=100),
    }[interrupt]
    reached = 0

    class Interrupted(list):
        def append(self, one):
            nonlocal reached
            super().append(one)
            reached += 1
            if reached == moment + 1:
                handler()

    made = queue._Trace.__init__

    def trace(self, order):
        made(self, order)
        self.spans = Interrupted()

    monkeypatch.setattr(queue._Trace, "__init__", trace)
    record(loom, 5, start=1)
    assert reached == 0
    done = loom.flush()
    done = loom.flush() and done
    assert reached > moment
    for counts in loom.stats()["destinations"].values():
        assert balanced(counts)
        assert interrupt == "shutdown" or counts["exported"] == 6 + (interrupt == "run")
    assert done or interrupt == "shutdown"
    assert loom.shutdown()


@pytest.mark.timeout(60)
def test_a_signal_may_come_while_it_shuts_down(configured, monkeypatch):
    loom = configured(Memory())
    record(loom, 3)
    lock = loom._lock

    class Interrupted:
        def __enter__(self):
            lock.__enter__()
            loom._lock = lock
            loom.shutdown()

        def __exit__(self, *error):
            lock.__exit__(*error)

    loom._lock = Interrupted()
    assert loom.shutdown()
    assert loom.stats()["destinations"]["memory"]["exported"] == 3
