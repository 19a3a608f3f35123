"""Event loops that close before their work is done: each step ends once, and the next loop starts clean."""

from __future__ import annotations

import asyncio
import gc
import sys

from langchain_core.runnables import RunnableLambda
from spanloom.step import Outcome

from tests.integrations.langchain.fakes import Chat

UNFINISHED = {"cancelled", "abandoned", "incomplete"}


def endless(model):
    return (RunnableLambda(lambda x: x, name="first") | model).with_config(run_name="chain")


def ended(traced):
    """How each step ended, by name; each of those that were opened did so once."""
    gc.collect()  # a task that was never resumed ends with its last reference
    traced.loom.flush()
    traced.loom.recorder.end_all()
    assert traced.loom.flush()
    steps = traced.memory.steps
    assert len(steps) == len({s.span_id for s in steps}) == traced.loom.stats()["steps"]["opened"]
    return {s.name: str(s.outcome) for s in steps}


def test_a_loop_that_ends_while_a_task_still_awaits_its_model(traced):
    async def main():
        task = asyncio.create_task(endless(Chat(gate=asyncio.Event())).ainvoke("x", config=traced.config))
        while "Chat" not in traced.still_open:
            await asyncio.sleep(0)
        return task  # `asyncio.run` cancels it

    assert asyncio.run(main()).cancelled()
    outcomes = ended(traced)
    assert outcomes["first"] == "ok"
    assert {outcomes["chain"], outcomes["Chat"]} == {"cancelled"}


def test_a_loop_that_ends_while_a_stream_is_half_read(traced):
    streams = []

    async def main():
        streams.append(endless(Chat()).astream("x", config=traced.config))
        assert await anext(streams[0])

    asyncio.run(main())
    outcomes = ended(traced)
    assert outcomes["first"] == "ok"
    assert {outcomes["chain"], outcomes["Chat"]} <= UNFINISHED


def test_a_loop_that_is_closed_under_a_task(traced, monkeypatch):
    monkeypatch.setattr(sys, "unraisablehook", lambda _: None)  # Python's own complaints of it
    loop = asyncio.new_event_loop()

    async def main():
        tasks.append(asyncio.ensure_future(endless(Chat(gate=asyncio.Event())).ainvoke("x", config=traced.config)))
        while "Chat" not in traced.still_open:
            await asyncio.sleep(0)

    tasks = []
    loop.run_until_complete(main())
    loop.close()
    tasks.pop()._log_destroy_pending = False  # asyncio's own complaint
    outcomes = ended(traced)
    assert {outcomes["chain"], outcomes["Chat"]} <= UNFINISHED


def test_one_handler_serves_loops_that_follow_each_other_and_run_beside_each_other(traced):
    async def ask():
        return await endless(Chat()).ainvoke("x", config=traced.config)

    async def beside():
        await asyncio.gather(*(asyncio.to_thread(asyncio.run, ask()) for _ in range(3)))

    asyncio.run(ask())
    asyncio.run(beside())
    traced.flush()
    chains = [s for s in traced.memory.steps if s.name == "chain"]
    assert len(chains) == len({s.trace_id for s in chains}) == 4
    assert {s.outcome for s in traced.memory.steps} == {Outcome.OK}


def test_a_flush_beside_a_running_loop_does_not_hold_it(traced):
    async def main():
        await endless(Chat()).ainvoke("x", config=traced.config)
        return await asyncio.to_thread(traced.loom.flush)

    assert asyncio.run(main())
    assert {s.name for s in traced.memory.steps} == {"first", "Chat", "chain"}
