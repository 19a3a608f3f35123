"""A workflow that is continued in another process continues its trace."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.dispatcher import instrument_tags
from llama_index.core.workflow import StartEvent, StopEvent, Workflow, step

from tests.integrations.llama_index.fakes import probe

ROOT = Path(__file__).parents[3]

OTHER_PROCESS = """
import asyncio, json, sys
import spanloom
from llama_index.core.instrumentation import get_dispatcher
from opentelemetry import trace
from spanloom.testing import Memory
from spanloom_llama_index import instrument
from tests.integrations.llama_index.test_propagation import Second

memory = Memory()
loom = spanloom.configure(memory)
instrument()

async def main():
    before = trace.get_current_span()
    get_dispatcher().restore_propagation_context(json.loads(sys.argv[1]))
    assert trace.get_current_span() is before
    await Second().run()
    carried = get_dispatcher().capture_propagation_context()
    return carried["spanloom"]["traceparent"]

carried = asyncio.run(main())
loom.shutdown()
print(json.dumps({
    "tree": memory.tree(),
    "traces": sorted({f"{s.trace_id:032x}" for s in memory.steps}),
    "parents": [s.lineage and f"{s.lineage.span_id:016x}" for s in memory.steps if s.name == "Second.run"],
    "users": sorted({s.identity.user_id for s in memory.steps}),
    "carried": carried,
}))
"""


class First(Workflow):
    @step
    async def hand_over(self, ev: StartEvent) -> StopEvent:
        carried = json.dumps(get_dispatcher().capture_propagation_context())
        out = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-c", OTHER_PROCESS, carried],
            capture_output=True, text=True, cwd=ROOT, env={"PYTHONPATH": str(ROOT)}, check=False,
        )  # fmt: skip
        assert out.returncode == 0, out.stderr
        return StopEvent(result=json.loads(out.stdout.splitlines()[-1]))


class Second(Workflow):
    @step
    async def only(self, ev: StartEvent) -> StopEvent:
        return StopEvent()


def test_a_second_process_continues_the_trace_and_its_identity(traced: Any) -> None:
    async def run() -> Any:
        with instrument_tags({"user_id": "u1"}):
            return await First().run()

    there = asyncio.run(run())
    traced.flush()
    here = traced.memory.step("First.hand_over")
    assert there["tree"] == ["workflow:Second.run", "  chain:Second.only"]
    assert there["traces"] == [f"{here.trace_id:032x}"]
    assert there["parents"] == [f"{here.span_id:016x}"]
    assert there["users"] == ["u1"]
    assert there["carried"].split("-")[1:3] == [f"{here.trace_id:032x}", f"{here.span_id:016x}"]


def test_nothing_is_carried_where_there_is_no_trace(traced: Any) -> None:
    assert get_dispatcher().capture_propagation_context() == {}
    with probe("request") as request:
        carried = get_dispatcher().capture_propagation_context()
    assert f"{request.get_span_context().trace_id:032x}" in carried["spanloom"]["traceparent"]


def test_odd_carried_values_are_ignored(traced: Any) -> None:
    async def run() -> None:
        for odd in ({}, {"spanloom": None}, {"spanloom": {"traceparent": "nonsense"}}, {"spanloom": {1: 2}}):
            get_dispatcher().restore_propagation_context(odd)
            await Second().run()

    asyncio.run(run())
    assert traced.tree() == ["workflow:Second.run", "  chain:Second.only"] * 4
