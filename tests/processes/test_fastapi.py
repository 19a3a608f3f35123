"""A real uvicorn, which dies of the signal that ends it: the lifespan sends what the requests traced."""

import asyncio
from contextlib import asynccontextmanager

import pytest
import spanloom
from opentelemetry.sdk.trace import TracerProvider
from spanloom import ConfigurationError
from spanloom.fastapi import lifespan
from spanloom.testing import Memory

STEPS = 4  # the chain and its three steps; FastAPI's own spans lie around them


def uvicorn(start, served, *arguments):
    return start("uvicorn", "fastapi_app:app", "--port", str(served.address[1]), *arguments)


def assert_whole(sink, requests):
    assert len({span.span_id for span in sink.spans}) == len(sink.spans)
    assert len([span for span in sink.spans if span.step]) == requests * STEPS
    chains = [span for span in sink.spans if span.step == "answer"]
    assert len(chains) == requests
    assert all(chain.attributes["spanloom.step.outcome"] == "ok" for chain in chains)


def test_what_requests_traced_is_sent_at_the_servers_end(start, served, sink):
    server = uvicorn(start, served)
    for _ in range(3):
        assert served.get("/answer") == "Within thirty days."
    server.ends()
    assert_whole(sink, 3)


def test_each_reload_sends_what_its_process_traced(start, served, sink, example):
    server = uvicorn(start, served, "--reload", "--reload-dir", ".")
    server.says("Application startup complete")
    assert served.get("/answer") == "Within thirty days."
    app = example / "fastapi_app.py"
    app.write_text(app.read_text().replace("Within thirty days.", "Within ninety days."))
    server.says("Application startup complete", times=2)
    assert served.get("/answer") == "Within ninety days."
    server.ends()
    assert_whole(sink, 2)


@pytest.mark.receiver
def test_each_of_several_workers_sends_what_it_traced(start, served, sink):
    server = uvicorn(start, served, "--workers", "2")
    server.says("Application startup complete", times=2)
    for _ in range(20):
        assert served.get("/answer") == "Within thirty days."
    server.ends()
    assert_whole(sink, 20)


@pytest.mark.receiver
def test_a_receiver_that_hangs_does_not_hold_the_servers_end(start, served, sink):
    sink.hang()
    server = uvicorn(start, served)
    assert served.get("/answer") == "Within thirty days."
    server.ends()  # within its deadline


# ---------------------------------------------------------------- the context manager itself
def configure(memory):
    return lambda: spanloom.configure(memory, tracer_provider=TracerProvider(shutdown_on_exit=False))


def enter(made, app=None, inside=None):
    async def run():
        async with made(app) as state:
            if inside is not None:
                inside()
            return state

    return asyncio.run(run())


def test_the_applications_own_lifespan_runs_inside_and_its_state_is_passed_on():
    seen = []

    @asynccontextmanager
    async def own(app):
        seen.append((app, spanloom.setup.running_loom() is not None))
        yield {"database": "open"}
        seen.append((app, spanloom.setup.running_loom() is not None))

    assert enter(lifespan(configure(Memory()), own), "app") == {"database": "open"}
    assert seen == [("app", True), ("app", True)]
    assert spanloom.setup.running_loom() is None


def test_a_running_configuration_is_taken_as_it_is_and_one_lifespan_may_be_entered_again():
    memory = Memory()
    running = configure(memory)()
    enter(lifespan(), inside=lambda: spanloom.setup.running_loom() is running or pytest.fail("another"))
    assert running._down
    made = lifespan(configure(Memory()))
    enter(made)
    enter(made)


def test_it_shuts_down_where_the_applications_own_lifespan_fails():
    @asynccontextmanager
    async def own(app):
        raise RuntimeError("no database")
        yield

    with pytest.raises(RuntimeError, match="no database"):
        enter(lifespan(configure(Memory()), own))
    assert spanloom.setup.running_loom() is None


def test_what_cannot_work_is_said():
    with pytest.raises(ConfigurationError, match="not its result"):
        lifespan(spanloom.configure(Memory(), tracer_provider=TracerProvider(shutdown_on_exit=False)))
    spanloom.setup.running_loom().shutdown()
    with pytest.raises(ConfigurationError, match="above 0"):
        lifespan(timeout=0)
