"""Tenants apart: fifty requests of ten tenants at once, and nothing of one arrives at another's project."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any

import pytest
import sinks
import spanloom
from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableLambda
from llama_index.core.query_engine import RetrieverQueryEngine
from opentelemetry.sdk.trace import TracerProvider
from spanloom import ContentPolicy, Langfuse, Otlp
from spanloom.guard import _told
from spanloom.step import Kind, Step
from spanloom.testing import strict
from spanloom_langchain import SpanloomCallbackHandler
from spanloom_llama_index import instrument, uninstrument

from tests.integrations.langchain.fakes import Chat
from tests.integrations.llama_index.conftest import FRAMEWORK_WARNINGS
from tests.integrations.llama_index.fakes import FakeLLM, Shelf, says

pytestmark = [pytest.mark.filterwarnings(warning) for warning in FRAMEWORK_WARNINGS]

TENANTS = [f"t{n}" for n in range(10)]
FULL = ContentPolicy.full()


class House:
    """One Langfuse project a tenant, and a shared receiver of everything."""

    def __init__(self) -> None:
        self.sink = sinks.HttpSink()
        self.provider = TracerProvider(shutdown_on_exit=False)
        projects = [
            Langfuse(
                f"pk-{t}", "sk", f"{self.sink.url}/{t}", name=t, content=FULL, include=["*"],
                route=lambda who, t=t: who.tenant == t,
            )
            for t in TENANTS
        ]  # fmt: skip
        everything = Otlp(f"{self.sink.url}/all", content=FULL)
        self.loom = spanloom.configure(*projects, everything, tracer_provider=self.provider)
        self.handler = SpanloomCallbackHandler(self.loom)
        self.tracer = self.provider.get_tracer("web")
        instrument(self.loom)

    def spans(self, place: str) -> list[sinks.Received]:
        return [s for r in self.sink.requests if r.path.startswith(f"/{place}/") for s in r.spans]

    def scores(self, place: str) -> list[bytes]:
        return [r.body for r in self.sink.requests if r.path == f"/{place}/api/public/scores"]

    def bytes_of(self, place: str) -> bytes:
        return b"".join(r.path.encode() + r.body for r in self.sink.requests if r.path.startswith(f"/{place}/"))

    def close(self) -> None:
        uninstrument()
        self.loom.shutdown()
        self.sink.close()


@pytest.fixture
def house():
    with strict():
        house = House()
        yield house
        house.close()


def mark(tenant: str | None) -> str:
    """What stands in all that belongs to the tenant, and nowhere else."""
    return f"belongsto{tenant}x"


def other_than(tenant: str | None) -> str:
    return TENANTS[(TENANTS.index(tenant) + 1) % len(TENANTS)] if tenant in TENANTS else TENANTS[0]


def chain(house: House, tenant: str | None) -> Any:
    """LangChain around LlamaIndex, another library's span, and a block that names another tenant."""
    said = mark(tenant)

    def inside(asked: str) -> str:
        with house.tracer.start_as_current_span(f"redis {said}"):
            pass
        with spanloom.using(tenant=other_than(tenant)):
            engine = RetrieverQueryEngine.from_args(Shelf(), llm=FakeLLM(answers=[says(said)]))
            answer = str(engine.query(asked))
        house.loom.score("inside", 1.0, comment=said)
        return answer

    return (RunnableLambda(inside, name=f"inside {said}") | Chat(answers=[AIMessage(said)])).with_config(run_name=said)


def request(house: House, tenant: str | None, *, by_metadata: bool) -> None:
    """One request, below the span of a web server that knows of no tenant when it begins."""
    said = mark(tenant)
    with house.tracer.start_as_current_span(f"GET {said}"):
        if by_metadata:
            config: Any = {"callbacks": [house.handler], "metadata": {"tenant": tenant}}
            chain(house, tenant).invoke(f"why {said}", config)
        else:
            with spanloom.using(tenant=tenant, user_id=said):
                chain(house, tenant).invoke(f"why {said}", {"callbacks": [house.handler]})
        with spanloom.using(tenant=other_than(tenant)):  # as a judge of somebody else's may
            house.loom.score("after", 0.5, trace_id=house.handler.last_trace_id, comment=said)


async def arequest(house: House, tenant: str | None, *, by_metadata: bool) -> None:
    said = mark(tenant)
    with house.tracer.start_as_current_span(f"GET {said}"):
        await asyncio.sleep(0)
        with spanloom.using(tenant=None if by_metadata else tenant):
            config: Any = {"callbacks": [house.handler], "metadata": {"tenant": tenant} if by_metadata else {}}
            await chain(house, tenant).ainvoke(f"why {said}", config)
        await asyncio.sleep(0)
        house.loom.score("after", 0.5, trace_id=house.handler.last_trace_id, comment=said)


def together_in_threads(house: House, asked: list[str | None]) -> None:
    with ThreadPoolExecutor(len(asked)) as pool:
        for n, tenant in enumerate(asked):
            pool.submit(copy_context().run, lambda n=n, t=tenant: request(house, t, by_metadata=n % 2 == 0))


def together_in_tasks(house: House, asked: list[str | None]) -> None:
    async def all_of_them() -> None:
        await asyncio.gather(*(arequest(house, t, by_metadata=n % 2 == 0) for n, t in enumerate(asked)))

    asyncio.run(all_of_them())


@pytest.mark.parametrize("together", [together_in_threads, together_in_tasks])
def test_fifty_requests_of_ten_tenants_stay_apart(house, together):
    together(house, [TENANTS[n % 10] for n in range(50)])
    assert house.loom.flush(30)
    everything = house.spans("all")
    for tenant in TENANTS:
        mine = house.spans(tenant)
        traces = {s.trace_id for s in mine}
        assert len(traces) == 5
        assert {s.span_id for s in mine} == {s.span_id for s in everything if s.trace_id in traces}, "whole traces"
        assert sum(s.name == f"GET {mark(tenant)}" for s in mine) == 5
        assert sum(s.name == f"redis {mark(tenant)}" for s in mine) == 5
        bytes_here = house.bytes_of(tenant)
        assert [t for t in TENANTS if mark(t).encode() in bytes_here] == [tenant]
        assert len(house.scores(tenant)) == 10
    assert house.loom.stats()["routes"] == {"unroutable": 0, "failed": 0}


@pytest.mark.parametrize("together", [together_in_threads, together_in_tasks])
def test_whom_no_route_takes_goes_to_no_project_and_is_counted(house, together):
    together(house, ["unknown", None, "unknown", None, "t1"])
    assert house.loom.flush(30)
    assert [t for t in TENANTS if house.spans(t) or house.scores(t)] == ["t1"]
    assert mark("unknown").encode() not in house.bytes_of("t1")
    assert mark(None).encode() not in house.bytes_of("t1")
    lost = [s for s in house.spans("all") if s.trace_id not in {s.trace_id for s in house.spans("t1")}]
    assert house.loom.stats()["routes"] == {"unroutable": len(lost) + 8, "failed": 0}, "their spans and their scores"


def test_a_score_of_a_trace_that_goes_nowhere_does_not_follow_whoever_gives_it(house):
    with spanloom.using(tenant="unknown"):
        step = house.loom.recorder.open(Step("s", Kind.CHAIN, "s"))
        house.loom.recorder.close("s")
    with spanloom.using(tenant="t3"):
        house.loom.score("bad", 0, trace_id=f"{step.trace_id:032x}")
        house.loom.score("fine", 1, trace_id="1" * 32)  # of a trace that another process began
    assert house.loom.flush(30)
    assert [b"fine" in body for t in TENANTS for body in house.scores(t)] == [True]
    assert len(house.scores("t3")) == 1


def test_two_tenants_in_one_trace_each_have_their_part_and_what_is_of_both_goes_to_nobody(house):
    with house.tracer.start_as_current_span("batch"):
        for tenant in ("t1", "t2"):
            with spanloom.using(tenant=tenant):
                chain(house, tenant).invoke("x", {"callbacks": [house.handler]})
    assert house.loom.flush(30)
    assert [t for t in TENANTS if house.spans(t)] == ["t1", "t2"]
    assert mark("t2").encode() not in house.bytes_of("t1")
    assert mark("t1").encode() not in house.bytes_of("t2")
    assert "batch" not in {s.name for t in ("t1", "t2") for s in house.spans(t)}
    assert house.loom.stats()["routes"]["unroutable"] == 1


def test_the_way_is_fixed_where_the_topmost_step_begins(house):
    recorder = house.loom.recorder
    with spanloom.using(tenant="t1"):
        recorder.open(Step("top", Kind.CHAIN, "top"))
    with spanloom.using(tenant="t2"):
        recorder.open(Step("below", Kind.CHAIN, "below"), "top")
        recorder.close("below")
        recorder.close("top")
        recorder.open(Step("late", Kind.CHAIN, "late"), "top")  # a task that outlives the step which began it
        recorder.close("late")
    assert house.loom.flush(30)
    assert {s.step for s in house.spans("t1")} == {"top", "below", "late"}
    assert house.spans("t2") == []


def test_a_predicate_that_raises_takes_nothing_and_is_told_once(caplog):
    def raises(who: Any) -> bool:
        raise LookupError(f"who is {who.tenant}?")

    _told.discard("route:broken")
    sink = sinks.HttpSink()
    provider = TracerProvider(shutdown_on_exit=False)
    try:
        with (
            strict(),
            spanloom.configure(
                Otlp(f"{sink.url}/broken", name="broken", route=raises),
                Otlp(f"{sink.url}/fine", name="fine", route=lambda who: who.tenant == "acme"),
                tracer_provider=provider,
            ) as loom,
        ):
            with spanloom.using(tenant="acme"):
                for n in range(3):
                    loom.recorder.open(Step(n, Kind.CHAIN, "s"))
                    with provider.get_tracer("x").start_as_current_span("alone"):
                        pass
                    loom.recorder.close(n)
            assert loom.flush(10)
            assert loom.stats()["routes"] == {"unroutable": 0, "failed": 6}
        assert {r.path.split("/")[1] for r in sink.requests} == {"fine"}
        told = [r for r in caplog.records if "route=" in r.getMessage()]
        assert len(told) == 1
        assert "acme" not in caplog.text
    finally:
        sink.close()


FORKED = """
import os, sys, warnings
warnings.filterwarnings("ignore", message=".*fork.*", category=DeprecationWarning)
import spanloom
from spanloom import Langfuse
from spanloom.step import Kind, Step

url = sys.argv[1]
loom = spanloom.configure(*(
    Langfuse(f"pk-{t}", "sk", f"{url}/{t}", name=t, route=lambda who, t=t: who.tenant == t) for t in ("a", "b")
))
record = loom.recorder

def step(name, parent=None):
    record.open(Step(name, Kind.CHAIN, name), parent)

with spanloom.using(tenant="a"):
    step("of-a")
child = os.fork()
with spanloom.using(tenant="b"):
    who = "child" if child == 0 else "parent"
    step(f"{who}-below-a", "of-a"); record.close(f"{who}-below-a")
    step(f"{who}-of-b"); record.close(f"{who}-of-b")
    step_of_nobody = spanloom.using(tenant="c")
    with step_of_nobody:
        step(f"{who}-of-c"); record.close(f"{who}-of-c")
if child:
    os.waitpid(child, 0)
    record.close("of-a")
assert loom.flush(20)
assert loom.stats()["routes"]["unroutable"] == 1, loom.stats()
loom.shutdown()
os._exit(0)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_tenants_stay_apart_in_a_forked_child():
    sink = sinks.HttpSink()
    try:
        subprocess.run([sys.executable, "-c", textwrap.dedent(FORKED), sink.url], check=True, timeout=60)
        names = {
            place: {s.step for r in sink.requests if r.path.startswith(f"/{place}/") for s in r.spans}
            for place in ("a", "b")
        }
        assert names == {
            "a": {"of-a", "parent-below-a", "child-below-a"},
            "b": {"parent-of-b", "child-of-b"},
        }
    finally:
        sink.close()
