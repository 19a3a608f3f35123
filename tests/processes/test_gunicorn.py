"""A real gunicorn that loads the application once and forks: every request's trace arrives, once."""

import os

import pytest
import spanloom
from opentelemetry.sdk.trace import TracerProvider
from sinks import wait_until
from spanloom.gunicorn import worker_exit
from spanloom.setup import running_loom
from spanloom.testing import Memory

SPANS = 5  # the server's, the chain's and those of its three steps


def gunicorn(start, served, *arguments, **variables):
    bound = f"127.0.0.1:{served.address[1]}"
    return start(
        "gunicorn", "--config", "gunicorn.conf.py", "--bind", bound, *arguments, "gunicorn_app:app", **variables
    )


def assert_whole(sink, requests):
    assert len(sink.spans) == requests * SPANS
    assert len({span.span_id for span in sink.spans}) == requests * SPANS
    ids = {span.span_id: span for span in sink.spans}
    chains = [span for span in sink.spans if span.step == "answer"]
    assert len(chains) == requests
    for chain in chains:
        assert ids[chain.parent].scope == "opentelemetry.instrumentation.wsgi"


def test_workers_that_the_master_forked_send_before_they_are_replaced(start, served, sink):
    server = gunicorn(start, served, "--max-requests", "2")
    for _ in range(6):
        assert served.get("/") == "Within thirty days."
    said = server.ends()
    assert said.count("Booting worker") > 2
    assert_whole(sink, 6)


@pytest.mark.receiver
def test_a_worker_whose_thread_is_stuck_sends_before_it_waits_for_it(start, served, sink, example):
    app = example / "gunicorn_app.py"
    app.write_text(app.read_text().replace("FakeListChatModel(", "FakeListChatModel(sleep=600, "))
    # It leaves after one request, waits for a second, and then for good: gunicorn would kill it after two minutes.
    arguments = ("--threads", "2", "--max-requests", "1", "--graceful-timeout", "1", "--timeout", "120")
    gunicorn(start, served, *arguments)
    with served.connected() as stuck:
        stuck.sendall(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n")
        wait_until(lambda: any(span.step == "answer" for span in sink.spans), "its chain")
    outcomes = {span.step: span.attributes["spanloom.step.outcome"] for span in sink.spans if span.step}
    assert outcomes == {"answer": "incomplete", "ChatPromptTemplate": "ok", "FakeListChatModel": "incomplete"}


def test_the_hook_does_nothing_in_the_master():
    class Worker:
        pid = 0  # another process

    with spanloom.configure(Memory(), tracer_provider=TracerProvider(shutdown_on_exit=False)) as loom:
        worker_exit(None, Worker())
        assert running_loom() is loom
        Worker.pid = os.getpid()
        worker_exit(None, Worker())
        assert running_loom() is None
