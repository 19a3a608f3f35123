"""LangChain and LlamaIndex in one another, in any order and to any depth: the tree is the one of the calls."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import count
from typing import Any

import pytest
import spanloom
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import StructuredTool
from llama_index.core.tools import FunctionTool
from opentelemetry import trace
from spanloom.testing import Memory, strict
from spanloom_langchain import instrument as instrument_langchain
from spanloom_langchain import uninstrument as uninstrument_langchain
from spanloom_llama_index import instrument, uninstrument


@dataclass(frozen=True)
class Call:
    """One call, and those that its body makes: one after the other, at once, or inside of the application's span."""

    what: str
    how: str
    calls: tuple[Call, ...]


def calls(depth: int) -> st.SearchStrategy[Call]:
    below = st.lists(calls(depth - 1), max_size=2).map(tuple) if depth else st.just(())
    hows = st.sampled_from(["sync", "await", "gather", "span"])
    return st.builds(Call, st.sampled_from(["runnable", "langchain tool", "llama_index tool"]), hows, below)


class Program:
    """Makes the calls, and notes them as `(name, calls below)`."""

    def __init__(self) -> None:
        self._numbers = count()

    def _begin(self, call: Call, made: list[Any]) -> tuple[str, list[Any]]:
        row: tuple[str, list[Any]] = (f"{call.what} {next(self._numbers)}".replace(" ", "_"), [])
        made.append(row)
        return row

    def run(self, call: Call, made: list[Any]) -> None:
        name, below = self._begin(call, made)

        def body(x: str = "q") -> str:
            current = trace.get_current_span()
            with _span(call):
                for inner in call.calls:
                    self.run(inner, below)
            assert trace.get_current_span() is current
            return x

        if call.what == "runnable":
            RunnableLambda(body, name=name).invoke("q")
        elif call.what == "langchain tool":
            StructuredTool.from_function(body, name=name, description="d").invoke({"x": "q"})
        else:
            FunctionTool.from_defaults(body, name=name)("q")

    async def arun(self, call: Call, made: list[Any]) -> None:
        name, below = self._begin(call, made)

        async def body(x: str = "q") -> str:
            current = trace.get_current_span()
            with _span(call):
                if call.how == "gather":
                    await asyncio.gather(*(self.arun(inner, below) for inner in call.calls))
                for inner in call.calls if call.how != "gather" else ():
                    if call.how == "sync":
                        self.run(inner, below)
                    else:
                        await self.arun(inner, below)
            assert trace.get_current_span() is current
            return x

        if call.what == "runnable":
            await RunnableLambda(body, name=name).ainvoke("q")
        elif call.what == "langchain tool":
            await StructuredTool.from_function(coroutine=body, name=name, description="d").ainvoke({"x": "q"})
        else:
            await FunctionTool.from_defaults(async_fn=body, name=name).acall("q")


def _span(call: Call) -> AbstractContextManager[Any]:
    return trace.get_tracer("application").start_as_current_span("mine") if call.how == "span" else nullcontext()


@pytest.fixture(scope="module")
def memory() -> Iterator[Memory]:
    memory = Memory()
    with strict(), spanloom.configure(memory):
        instrument()
        instrument_langchain()
        yield memory
        uninstrument()
        uninstrument_langchain()


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(program=calls(4), awaited=st.booleans())
def test_the_tree_of_steps_is_the_tree_of_calls(memory, program, awaited):
    memory.spans.clear()
    made: list[Any] = []
    before = trace.get_current_span()
    if awaited:
        asyncio.run(Program().arun(program, made))
    else:
        Program().run(program, made)
    assert trace.get_current_span() is before
    loom = spanloom.setup.current_loom()
    assert loom is not None
    assert loom.flush()

    below: dict[Any, list[Any]] = {}
    for step in memory.steps:
        below.setdefault(step.parent_run_id, []).append(step)

    def tree(parent: Any) -> list[Any]:
        return sorted((step.tool_name or step.name, tree(step.run_id)) for step in below.get(parent, []))

    def in_order(rows: list[Any]) -> list[Any]:
        return sorted((name, in_order(inner)) for name, inner in rows)

    assert tree(None) == in_order(made)
    assert len({step.trace_id for step in memory.steps}) == 1
