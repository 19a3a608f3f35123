"""Workflows and agents: runs, their steps, what is nested in them, and how each of them ends."""

import asyncio
import time
from typing import Any

import pytest
from llama_index.core.agent.workflow import AgentWorkflow, CodeActAgent, FunctionAgent, ReActAgent
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.tools import FunctionTool, QueryEngineTool
from llama_index.core.workflow import (
    Context,
    Event,
    HumanResponseEvent,
    InputRequiredEvent,
    StartEvent,
    StopEvent,
    Workflow,
    step,
)
from opentelemetry import trace
from pydantic import BaseModel
from workflows.retry_policy import retry_policy, stop_after_attempt, wait_none

from tests.integrations.llama_index.fakes import FakeLLM, Shelf, add, fail, probe, says


class Middle(Event):
    n: int


class Plain(Workflow):
    @step
    async def first(self, ev: StartEvent) -> Middle:
        with probe():
            await FakeLLM().achat([ChatMessage("hi")])
        return Middle(n=1)

    @step
    def last(self, ev: Middle) -> StopEvent:
        with probe():
            return StopEvent(result=ev.n)


PLAIN = ["workflow:Plain.run", "  chain:Plain.first", "    llm:FakeLLM.achat", "  chain:Plain.last"]


async def doubled(n: int) -> int:
    """Double a number."""
    with probe():
        return 2 * n


def test_a_workflow_is_a_run_and_its_steps(traced: Any) -> None:
    async def run() -> Any:
        return await Plain().run(topic="books")

    assert asyncio.run(run()) == 1
    assert traced.tree() == PLAIN
    assert traced.probes() == ["Plain.first", "Plain.last"]
    assert traced.memory.step("Plain.run").workflow_name == "Plain"
    assert traced.memory.visible("Plain.run").input == {"topic": "books"}
    assert traced.memory.visible("Plain.run").output == 1
    assert traced.memory.visible("Plain.last").input == {"n": 1}


def test_runs_in_sequence_and_at_once_are_traces_of_their_own(traced: Any) -> None:
    async def run() -> None:
        before = trace.get_current_span()
        await Plain().run()
        assert trace.get_current_span() is before
        FakeLLM().complete("between")
        handler = Plain().run()
        assert trace.get_current_span() is before
        with probe("caller"):
            FakeLLM().complete("while it runs")
        await handler
        await asyncio.gather(*(_awaited(Plain().run()) for _ in range(3)))
        assert trace.get_current_span() is before

    asyncio.run(run())
    tree = traced.tree()
    assert tree.count("workflow:Plain.run") == 5
    assert tree.count("llm:FakeLLM.complete") == 2
    assert len({s.trace_id for s in traced.memory.steps}) == 7
    assert traced.probes("caller") == [None]


async def _awaited(handler: Any) -> Any:
    return await handler


def test_a_workflow_inside_a_step_nests(traced: Any) -> None:
    class Outer(Workflow):
        @step
        async def only(self, ev: StartEvent) -> StopEvent:
            return StopEvent(result=await Plain().run())

    async def run() -> None:
        await Outer().run()

    asyncio.run(run())
    assert traced.tree() == [
        "workflow:Outer.run",
        "  chain:Outer.only",
        *[f"    {line}" for line in PLAIN],
    ]


def test_a_workflow_in_the_apps_own_span_is_part_of_its_trace(traced: Any) -> None:
    async def run() -> None:
        with probe("request"):
            await Plain().run()

    asyncio.run(run())
    traced.flush()
    assert traced.memory.step("Plain.run").lineage is not None
    assert len({e.span.context.trace_id for e in traced.memory.spans}) == 1


def test_a_step_that_fails_is_tried_again_and_only_the_failed_attempt_is_an_error(traced: Any) -> None:
    attempts = []

    class Flaky(Workflow):
        @step(retry_policy=retry_policy(wait=wait_none(), stop=stop_after_attempt(3)))
        async def only(self, ev: StartEvent) -> StopEvent:
            attempts.append(1)
            if len(attempts) < 3:
                raise ConnectionError("try again")
            return StopEvent(result="at last")

    async def run() -> None:
        await Flaky().run()

    asyncio.run(run())
    assert traced.tree() == ["workflow:Flaky.run", *["  chain:Flaky.only"] * 3]
    assert sorted(str(s.outcome) for s in traced.memory.steps) == ["error", "error", "ok", "ok"]


def test_a_step_that_fails_for_good_fails_the_run(traced: Any) -> None:
    class Broken(Workflow):
        @step
        async def only(self, ev: StartEvent) -> StopEvent:
            raise RuntimeError("no")

    async def run() -> None:
        with pytest.raises(RuntimeError):
            await Broken().run()

    asyncio.run(run())
    assert traced.outcomes() == {"Broken.run": "error", "Broken.only": "error"}
    assert traced.memory.step("Broken.run").error_type == "RuntimeError"


class Waiting(Workflow):
    @step
    async def only(self, ev: StartEvent) -> StopEvent:
        await FakeLLM(wait=asyncio.Event()).achat([ChatMessage("hi")])
        return StopEvent()


def test_a_timeout_is_an_error_of_the_run_and_cancels_what_was_at_work(traced: Any) -> None:
    async def run() -> None:
        with pytest.raises(Exception, match="timed out"):
            await Waiting(timeout=0.05).run()

    asyncio.run(run())
    assert traced.outcomes() == {"Waiting.run": "error", "Waiting.only": "cancelled", "FakeLLM.achat": "cancelled"}


@pytest.mark.filterwarnings("ignore:WorkflowHandler.cancel")
@pytest.mark.parametrize("how", ["cancel_run", "task"])
def test_a_cancelled_run_is_cancelled_with_all_that_was_at_work(traced: Any, how: str) -> None:
    async def run() -> None:
        handler = Waiting().run()
        await traced.opened("FakeLLM.achat")
        if how == "cancel_run":
            await handler.cancel_run()
        else:
            handler.cancel()
        with pytest.raises(BaseException):  # noqa: B017
            await handler

    asyncio.run(run())
    assert traced.outcomes() == {"Waiting.run": "cancelled", "Waiting.only": "cancelled", "FakeLLM.achat": "cancelled"}


def test_a_step_that_goes_on_after_its_run_was_cancelled_ends_when_it_has_ended(traced: Any) -> None:
    goes_on: Any = None

    class Patient(Workflow):
        @step
        async def only(self, ev: StartEvent) -> StopEvent:
            await FakeLLM(wait=goes_on).achat([ChatMessage("hi")])
            return StopEvent()

    async def run() -> None:
        nonlocal goes_on
        goes_on = asyncio.Event()

        async def request() -> None:
            await Patient().run()

        task = asyncio.create_task(request())
        await traced.opened("FakeLLM.achat")
        task.cancel()  # as a web server does whose client has gone
        with pytest.raises(asyncio.CancelledError):
            await task
        assert traced.still_open == ["Patient.only", "FakeLLM.achat"]
        goes_on.set()
        deadline = time.monotonic() + 5.0
        while traced.still_open and time.monotonic() < deadline:
            await asyncio.sleep(0)

    asyncio.run(run())
    assert traced.outcomes() == {"Patient.run": "cancelled", "Patient.only": "ok", "FakeLLM.achat": "ok"}


def test_a_sibling_left_at_work_when_the_run_ends_is_cancelled(traced: Any) -> None:
    begun: Any = None

    class Racing(Workflow):
        @step
        async def start(self, ctx: Context, ev: StartEvent) -> Middle | None:
            ctx.send_event(Middle(n=1))
            ctx.send_event(Middle(n=2))

        @step(num_workers=2)
        async def race(self, ev: Middle) -> StopEvent:
            if ev.n == 2:
                begun.set()
                await asyncio.Event().wait()
            await begun.wait()
            return StopEvent(result=ev.n)

    async def run() -> None:
        nonlocal begun
        begun = asyncio.Event()
        assert await Racing().run() == 1

    asyncio.run(run())
    traced.flush()
    assert sorted((s.name, str(s.outcome)) for s in traced.memory.steps) == [
        ("Racing.race", "cancelled"),
        ("Racing.race", "ok"),
        ("Racing.run", "ok"),
        ("Racing.start", "ok"),
    ]


def test_a_human_in_the_loop_is_no_error(traced: Any) -> None:
    class Asking(Workflow):
        @step
        async def ask(self, ctx: Context, ev: StartEvent) -> StopEvent:
            answer = await ctx.wait_for_event(HumanResponseEvent, waiter_event=InputRequiredEvent(prefix="name?"))
            return StopEvent(result=answer.response)

    async def run() -> Any:
        handler = Asking().run()
        async for event in handler.stream_events():
            if isinstance(event, InputRequiredEvent):
                handler.ctx.send_event(HumanResponseEvent(response="Ada"))
        return await handler

    assert asyncio.run(run()) == "Ada"
    assert traced.tree()[0] == "workflow:Asking.run"
    assert set(traced.outcomes().values()) == {"ok"}


# ---------------------------------------------------------------- agents
def agent(cls: type, *answers: dict[str, Any], tools: Any = (), **settings: Any) -> Any:
    return cls(tools=list(tools), llm=FakeLLM(answers=list(answers)), **settings)


def run_agent(it: Any, message: str = "go") -> str:
    async def run() -> str:
        before = trace.get_current_span()
        answer = str(await it.run(message))
        assert trace.get_current_span() is before
        return answer

    return asyncio.run(run())


def test_a_function_agent_shows_its_tools_with_their_call_ids(traced: Any) -> None:
    both = [FunctionTool.from_defaults(add), FunctionTool.from_defaults(async_fn=doubled)]
    it = agent(
        FunctionAgent, says("", add={"a": 1, "b": 2}, doubled={"n": 3}), says("done"), tools=both, name="counter"
    )
    assert run_agent(it) == "done"
    tree = traced.tree()
    assert tree[0] == "agent:FunctionAgent.run"
    assert tree.count("    llm:FakeLLM.astream_chat") == 2
    assert tree.count("    tool:FunctionTool.acall") == 2
    assert traced.probes() == ["FunctionTool.acall"] * 2
    tools = {s.tool_name: s for s in traced.memory.steps if s.kind == "tool"}
    assert {n: s.tool_call_id for n, s in tools.items()} == {"add": "call-add", "doubled": "call-doubled"}
    assert tools["doubled"].tool_description == "doubled(n: int) -> int\nDouble a number."
    assert traced.memory.step("FunctionAgent.run").agent_name == "counter"
    assert traced.memory.visible("FunctionAgent.run").input_messages[0].parts[0].content == "go"
    assert traced.memory.visible("FunctionAgent.run").output_messages[0].parts[0].content == "done"
    dispatched = [e.data for s in traced.memory.steps for e in s.events if e.name == "tool_call_dispatched"]
    assert dispatched == [{"name": "add", "id": "call-add"}, {"name": "doubled", "id": "call-doubled"}]


def test_tool_arguments_and_results_are_content(traced: Any) -> None:
    it = agent(FunctionAgent, says("", add={"a": 1, "b": 2}), says("done"), tools=[FunctionTool.from_defaults(add)])
    run_agent(it)
    traced.flush()
    shown = traced.memory.visible("FunctionTool.acall")
    assert shown.arguments == {"a": 1, "b": 2}
    assert shown.result == "3"


@pytest.mark.filterwarnings("ignore:tool_required")
def test_an_agents_structured_answer_is_shown_beside_its_text(traced: Any) -> None:
    class Sum(BaseModel):
        """A sum."""

        total: int

    it = agent(FunctionAgent, says("three"), says("", Sum={"total": 3}), output_cls=Sum)
    assert run_agent(it) == "three"
    traced.flush()
    shown = traced.memory.visible("BaseWorkflowAgent.parse_agent_output")
    assert shown.output == {"response": "three", "structured_response": {"total": 3}}


def test_a_tool_error_that_the_agent_swallows_is_an_error_of_the_tool_alone(traced: Any) -> None:
    it = agent(FunctionAgent, says("", fail={"a": 1}), says("sorry"), tools=[FunctionTool.from_defaults(fail)])
    assert run_agent(it) == "sorry"
    outcomes = traced.outcomes()
    assert outcomes.pop("FunctionTool.acall") == "error"
    assert set(outcomes.values()) == {"ok"}
    assert traced.memory.step("FunctionTool.acall").error_type == "ValueError"


def test_an_agent_whose_model_breaks_off_fails_up_to_its_run(traced: Any) -> None:
    with pytest.raises(ConnectionError):
        run_agent(FunctionAgent(tools=[], llm=FakeLLM(breaks_after=1)))
    outcomes = traced.outcomes()
    assert {name for name, outcome in outcomes.items() if outcome == "error"} == {
        "FakeLLM.astream_chat",
        "BaseWorkflowAgent.run_agent_step",
        "FunctionAgent.run",
    }


def test_an_agent_cancelled_while_a_tool_runs_is_cancelled_with_it(traced: Any) -> None:
    async def forever() -> str:
        """Takes forever."""
        with probe():
            await asyncio.Event().wait()
        return ""

    it = agent(FunctionAgent, says("", forever={}), tools=[FunctionTool.from_defaults(async_fn=forever)])

    async def run() -> None:
        handler = it.run("go")
        await traced.opened("FunctionTool.acall")
        await handler.cancel_run()
        with pytest.raises(BaseException):  # noqa: B017
            await handler

    asyncio.run(run())
    assert {name for name, outcome in traced.outcomes().items() if outcome == "cancelled"} == {
        "FunctionTool.acall",
        "BaseWorkflowAgent.call_tool",
        "FunctionAgent.run",
    }
    assert traced.probes() == ["FunctionTool.acall"]


def test_two_agent_runs_in_one_task_are_two_traces(traced: Any) -> None:
    it = agent(FunctionAgent, says("done"))

    async def run() -> None:
        await it.run("one")
        await it.run("two")
        await asyncio.gather(_awaited(it.run("three")), _awaited(it.run("four")))

    asyncio.run(run())
    assert sum(line == "agent:FunctionAgent.run" for line in traced.tree()) == 4
    assert len({s.trace_id for s in traced.memory.steps}) == 4


def test_a_react_agent(traced: Any) -> None:
    acts = says('Thought: add.\nAction: add\nAction Input: {"a": 1, "b": 2}')
    it = agent(ReActAgent, acts, says("Thought: done.\nAnswer: 3"), tools=[FunctionTool.from_defaults(add)])
    assert run_agent(it) == "3"
    tree = traced.tree()
    assert tree[0] == "agent:ReActAgent.run"
    assert tree.count("    llm:FakeLLM.astream_chat") == 2
    assert tree.count("    tool:FunctionTool.acall") == 1
    assert set(traced.outcomes().values()) == {"ok"}


def test_a_code_act_agent(traced: Any) -> None:
    def execute(code: str) -> str:
        with probe():
            return "3"

    it = CodeActAgent(
        code_execute_fn=execute,
        tools=[FunctionTool.from_defaults(add)],
        llm=FakeLLM(answers=[says("<execute>\nprint(1 + 2)\n</execute>"), says("it is 3")]),
    )
    assert run_agent(it) == "it is 3"
    tree = traced.tree()
    assert tree[0] == "agent:CodeActAgent.run"
    assert sum("tool:" in line for line in tree) == 1
    assert set(traced.outcomes().values()) == {"ok"}


def test_a_handoff_between_agents_is_one_run(traced: Any) -> None:
    first = agent(
        FunctionAgent,
        says("", handoff={"to_agent": "writer", "reason": "to write"}),
        name="reader",
        description="reads",
        can_handoff_to=["writer"],
    )
    second = agent(FunctionAgent, says("written"), name="writer", description="writes")
    assert run_agent(AgentWorkflow(agents=[first, second], root_agent="reader")) == "written"
    tree = traced.tree()
    assert tree[0] == "agent:AgentWorkflow.run"
    assert tree.count("    llm:FakeLLM.astream_chat") == 2
    assert traced.memory.step("FunctionTool.acall").tool_name == "handoff"
    assert set(traced.outcomes().values()) == {"ok"}
    names = {s.agent_name for s in traced.memory.steps if s.name == "AgentWorkflow.run_agent_step"}
    assert names == {"reader", "writer"}


def test_a_query_engine_in_an_agent_nests_in_its_tool(traced: Any) -> None:
    engine = RetrieverQueryEngine.from_args(Shelf(), llm=FakeLLM())
    tool = QueryEngineTool.from_defaults(engine, name="library", description="all books")
    it = agent(FunctionAgent, says("", library={"input": "what?"}), says("done"), tools=[tool])
    run_agent(it)
    tree = traced.tree()
    at = tree.index("    tool:QueryEngineTool.acall")
    assert tree[at + 1 : at + 5] == [
        "      chain:RetrieverQueryEngine.aquery",
        "        retriever:Shelf.aretrieve",
        "        chain:CompactAndRefine.asynthesize",
        "          llm:FakeLLM.achat",
    ]


def test_an_agent_as_a_tool_of_another_nests(traced: Any) -> None:
    inner = agent(FunctionAgent, says("inside"), name="inner")

    async def ask(question: str) -> str:
        """Ask the other agent."""
        return str(await inner.run(question))

    it = agent(
        FunctionAgent, says("", ask={"question": "?"}), says("done"), tools=[FunctionTool.from_defaults(async_fn=ask)]
    )
    run_agent(it)
    tree = traced.tree()
    assert tree[0] == "agent:FunctionAgent.run"
    assert tree.count("      agent:FunctionAgent.run") == 1
    assert sum(not line.startswith(" ") for line in tree) == 1


def test_a_tool_that_waits_for_a_human_is_interrupted_and_then_runs_again(traced: Any) -> None:
    async def confirm(ctx: Context) -> str:
        """Ask a human."""
        answer = await ctx.wait_for_event(HumanResponseEvent, waiter_event=InputRequiredEvent(prefix="sure?"))
        return str(answer.response)

    it = agent(FunctionAgent, says("", confirm={}), says("done"), tools=[FunctionTool.from_defaults(async_fn=confirm)])

    async def run() -> str:
        handler = it.run("go")
        async for event in handler.stream_events():
            if isinstance(event, InputRequiredEvent):
                handler.ctx.send_event(HumanResponseEvent(response="yes"))
        return str(await handler)

    assert asyncio.run(run()) == "done"
    traced.flush()
    tools = [str(s.outcome) for s in traced.memory.steps if s.kind == "tool"]
    assert tools == ["interrupted", "ok"]
    assert all(s.outcome == "ok" for s in traced.memory.steps if s.kind != "tool")


def test_one_failing_worker_cancels_the_others_and_fails_the_run(traced: Any) -> None:
    class Item(Event):
        n: int

    class Many(Workflow):
        @step
        async def start(self, ctx: Context, ev: StartEvent) -> Item | None:
            for n in range(3):
                ctx.send_event(Item(n=n))

        @step(num_workers=3)
        async def work(self, ev: Item) -> StopEvent:
            while traced.still_open.count("Many.work") < 3:
                await asyncio.sleep(0)
            if ev.n == 0:
                raise ValueError("no")
            await asyncio.Event().wait()
            return StopEvent()

    async def run() -> None:
        with pytest.raises(ValueError, match="no"):
            await Many().run()

    asyncio.run(run())
    traced.flush()
    assert sorted((s.name, str(s.outcome)) for s in traced.memory.steps) == [
        ("Many.run", "error"),
        ("Many.start", "ok"),
        ("Many.work", "cancelled"),
        ("Many.work", "cancelled"),
        ("Many.work", "error"),
    ]


def test_a_task_that_outlives_its_step_still_belongs_to_it(traced: Any) -> None:
    later: list[asyncio.Task[Any]] = []

    class Quick(Workflow):
        @step
        async def only(self, ev: StartEvent) -> StopEvent:
            async def work() -> None:
                while traced.still_open:
                    await asyncio.sleep(0)
                with probe():
                    await FakeLLM().acomplete("later")

            later.append(asyncio.create_task(work()))
            return StopEvent()

    async def run() -> None:
        await Quick().run()
        await later[0]

    asyncio.run(run())
    assert traced.tree() == ["workflow:Quick.run", "  chain:Quick.only", "    llm:FakeLLM.acomplete"]
    assert traced.probes() == ["Quick.only"]
