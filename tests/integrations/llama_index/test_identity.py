"""Whose request it is: instrument tags and `using(...)`, also under concurrency."""

from __future__ import annotations

import asyncio
from typing import Any

import spanloom
from llama_index.core.instrumentation.dispatcher import instrument_tags
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.workflow import StartEvent, StopEvent, Workflow, step

from tests.integrations.llama_index.fakes import FakeLLM, Shelf


class One(Workflow):
    @step
    async def only(self, ev: StartEvent) -> StopEvent:
        await FakeLLM().acomplete("hi")
        return StopEvent()


def test_instrument_tags_are_the_identity_of_every_step_of_their_request(traced: Any) -> None:
    engine = RetrieverQueryEngine.from_args(Shelf(), llm=FakeLLM())

    async def ask(i: int) -> None:
        with instrument_tags({"user_id": f"u{i}", "session_id": f"s{i}", "tags": ["beta"], "plan": "free"}):
            await engine.aquery("what?")

    async def run() -> None:
        await asyncio.gather(*(ask(i) for i in range(5)))

    asyncio.run(run())
    traced.flush()
    people = {(s.trace_id, s.identity.user_id, s.identity.session_id) for s in traced.memory.steps}
    assert len(people) == 5
    assert all(s.identity.tags == ("beta",) for s in traced.memory.steps)
    assert all(s.identity.metadata == {"plan": "free"} for s in traced.memory.steps)


def test_a_workflows_run_and_steps_carry_the_tags_and_none_of_the_frameworks_own(traced: Any) -> None:
    async def run() -> None:
        with instrument_tags({"user_id": "u1", "tenant": "acme"}):
            await One().run()

    asyncio.run(run())
    traced.flush()
    assert {s.name for s in traced.memory.steps} == {"One.run", "One.only", "FakeLLM.acomplete"}
    assert {(s.identity.user_id, s.identity.tenant) for s in traced.memory.steps} == {("u1", "acme")}
    assert not any(s.identity.metadata for s in traced.memory.steps)


def test_using_and_tags_add_up(traced: Any) -> None:
    with spanloom.using(user_id="from using", session_id="s1", tags=["a"]), instrument_tags({"user_id": "from tags"}):
        FakeLLM().complete("hi")
    traced.flush()
    who = traced.memory.step("FakeLLM.complete").identity
    assert (who.user_id, who.session_id, who.tags) == ("from tags", "s1", ("a",))


def test_a_stream_read_outside_of_its_block_still_belongs_to_its_user(traced: Any) -> None:
    engine = RetrieverQueryEngine.from_args(Shelf(), llm=FakeLLM(), streaming=True)
    with spanloom.using(user_id="u1"):
        response = engine.query("what?")
    list(response.response_gen)
    traced.flush()
    assert {s.identity.user_id for s in traced.memory.steps} == {"u1"}


def test_odd_tags_are_kept_as_metadata(traced: Any) -> None:
    with instrument_tags({"user_id": 7, "tags": "one", "thing": object(), 3: None}):
        FakeLLM().complete("hi")
    traced.flush()
    who = traced.memory.step("FakeLLM.complete").identity
    assert (who.user_id, who.tags) == ("7", ("one",))
    assert set(who.metadata) == {"thing", 3}
