"""One thread ends whatever request takes too long."""

import threading

from sinks import wait_until
from spanloom import Otlp
from spanloom.destinations.wire.alarm import Alarm
from spanloom.step import Kind, Step


def alarm_threads():
    return [thread for thread in threading.enumerate() if thread.name == "spanloom-alarm"]


def test_it_rings_when_its_time_is_over_and_leaves_no_thread(monkeypatch):
    monkeypatch.setattr("spanloom.destinations.wire.alarm._IDLE", 0.05)
    rung = threading.Event()
    alarm = Alarm(rung.set)
    alarm.set(0.01)
    assert rung.wait(10)
    assert alarm.rang
    wait_until(lambda: alarm._thread is None, "the end of a thread that nobody needs")


def test_it_does_not_ring_for_what_has_ended():
    rung = threading.Event()
    alarm = Alarm(rung.set)
    alarm.set(3600)
    alarm.clear()
    assert not alarm.rang
    alarm.set(0.01)  # sooner than its thread would look again
    assert rung.wait(10)
    alarm.set(3600)
    assert not alarm.rang, "that was another request"
    alarm.close()
    wait_until(lambda: alarm._thread is None, "the end of its thread")


def test_many_times_need_one_thread():
    rung = []
    alarm = Alarm(lambda: rung.append(1))
    alarm.set(3600)
    first = alarm._thread
    for _ in range(1_000):
        alarm.set(3600)
        alarm.clear()
    alarm.set(3600)
    assert alarm._thread is first
    assert rung == []
    alarm.close()
    wait_until(lambda: alarm._thread is None, "the end of its thread")


def test_a_time_that_cannot_be_watched_is_no_trouble(monkeypatch):
    """No thread can be started while the interpreter ends."""

    def refuse(_):
        raise RuntimeError("can't create new thread at interpreter shutdown")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    alarm = Alarm(list)
    alarm.set(1)
    alarm.clear()
    assert alarm._thread is None
    monkeypatch.undo()
    alarm.set(3600)
    assert alarm._thread is not None
    alarm.close()


def test_requests_share_a_thread_and_leave_none(configured, http_sink):
    before = set(alarm_threads())
    loom = configured(Otlp(http_sink.url))
    for n in range(20):
        loom.recorder.open(Step(n, Kind.CHAIN, f"s{n}"))
        loom.recorder.close(n)
        assert loom.flush()
    assert len(http_sink.requests) > 1
    assert len(set(alarm_threads()) - before) == 1
    loom.shutdown()
    wait_until(lambda: not set(alarm_threads()) - before, "the end of the thread")


def test_a_proxy_that_is_named_later_is_taken_after_a_failure(configured, http_sink, monkeypatch):
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    loom = configured(Otlp("http://collector.invalid:4318", timeout=0.2))
    loom.recorder.open(Step(1, Kind.CHAIN, "lost"))
    loom.recorder.close(1)
    assert not loom.flush()
    monkeypatch.setenv("HTTP_PROXY", http_sink.url)
    monkeypatch.setenv("http_proxy", http_sink.url)
    loom.recorder.open(Step(2, Kind.CHAIN, "arrives"))
    loom.recorder.close(2)
    assert loom.flush()
    assert [span.step for span in http_sink.spans] == ["arrives"]
