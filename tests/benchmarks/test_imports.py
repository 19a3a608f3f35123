"""What an application waits for when it starts: an adapter imports what it needs for every run, and nothing else.

Each in a fresh interpreter, since this one has imported everything. What is left out comes when it is named or met.
"""

import json
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
import spanloom

TESTS = Path(__file__).parents[1]

FRAMEWORK = {
    "spanloom_langchain": (
        "langchain_core.callbacks", "langchain_core.documents", "langchain_core.language_models",
        "langchain_core.messages", "langchain_core.output_parsers", "langchain_core.prompts",
        "langchain_core.retrievers", "langchain_core.runnables", "langchain_core.tools",
    ),
    "spanloom_llama_index": ("llama_index.core",),
}  # fmt: skip

USED_BY_FEW = {
    "boto3", "click", "cryptography", "ddsketch", "fsspec", "genai_prices", "google.protobuf", "grpc",
    "importlib.metadata", "isal", "jinja2", "opentelemetry._logs", "opentelemetry.exporter", "opentelemetry.propagate",
    "opentelemetry.proto", "opentelemetry.sdk._logs", "opentelemetry.sdk.metrics", "phonenumbers",
    "presidio_analyzer", "requests", "rich", "spanloom.cli", "spanloom.collector", "spanloom.destinations.backends",
    "spanloom.destinations.local", "spanloom.destinations.outbox", "spanloom.doctor", "spanloom.evaluation",
    "spanloom.sampling", "spanloom.spool", "spanloom.store", "spanloom.testing", "spanloom.vault", "sqlite3", "stdnum",
    "tenacity", "urllib3",
}  # fmt: skip


def fresh(program, *arguments):
    """What the program prints, as JSON, in an interpreter of its own."""
    done = subprocess.run(
        [sys.executable, "-W", "error::RuntimeWarning", "-c", program, *arguments],
        cwd=TESTS,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


IMPORTS = """
import importlib, json, sys
for module in sys.argv[3:]:
    importlib.import_module(module)
before = set(sys.modules)
importlib.import_module(sys.argv[1])
if sys.argv[2] == "configured":
    from spanloom import Langfuse, Otlp, configure
    configure(Otlp("http://127.0.0.1:9"), Langfuse("pk-lf-1", "sk-lf-1", "http://127.0.0.1:9"))
print(json.dumps(sorted(set(sys.modules) - before)))
"""


@cache
def brought_by(adapter, until):
    """The modules that come with the adapter, after its framework's own."""
    return fresh(IMPORTS, adapter, until, *FRAMEWORK[adapter])


def is_of(module, packages):
    return any(module == package or module.startswith(f"{package}.") for package in packages)


@pytest.mark.parametrize("until", ["imported", "configured"])
@pytest.mark.parametrize("adapter", FRAMEWORK)
def test_an_adapter_brings_along_nothing_that_only_few_use(adapter, until):
    brought = brought_by(adapter, until)
    assert "spanloom.recorder" in brought
    assert [module for module in brought if is_of(module, USED_BY_FEW)] == []


@pytest.mark.parametrize("adapter", FRAMEWORK)
def test_an_adapter_imports_no_part_of_its_framework_that_the_application_has_not(adapter):
    brought = brought_by(adapter, "imported")
    named = (
        "spanloom",
        "spanloom_langchain",
        "spanloom_llama_index",
        "opentelemetry",
        "orjson",
        *sys.stdlib_module_names,
    )
    others = [module for module in brought if not is_of(module, named)]
    assert [module for module in others if not is_of(module, ["langchain_core.embeddings"])] == []  # a small class


def test_to_import_one_destination_imports_no_other():
    program = "import json, sys; from spanloom import Langfuse; print(json.dumps(sorted(sys.modules)))"
    brought = fresh(program)
    assert "spanloom.destinations.langfuse" in brought
    assert [m for m in brought if is_of(m, USED_BY_FEW | {"spanloom.destinations.otlp"})] == []


# ---------------------------------------------------------------- what is left out is there when it is named
EACH_FIRST = """
import importlib, json, sys
names, found = sys.argv[1:], []
for name in names:
    for module in [m for m in sys.modules if m.split(".")[0] == "spanloom"]:
        del sys.modules[module]
    spanloom = importlib.import_module("spanloom")
    found.append(getattr(spanloom, name).__name__)
print(json.dumps(found))
"""


def test_every_public_name_may_be_the_first_that_is_named():
    names = sorted(spanloom.__all__)
    assert fresh(EACH_FIRST, *names) == ["spanloom.content.actions" if name == "actions" else name for name in names]


def test_the_public_names_are_listed_before_they_are_imported():
    listed = fresh("import json, spanloom; print(json.dumps([dir(spanloom), sorted(vars(spanloom))]))")
    assert set(spanloom.__all__) <= set(listed[0])
    assert not set(spanloom.__all__) & set(listed[1])


def test_rooms_are_there_by_their_own_names_too():
    assert fresh("import json, spanloom; print(json.dumps(spanloom.identity.NOBODY.tags))") == []


def test_a_name_that_is_not_there_says_so():
    for module in (spanloom, spanloom.destinations, spanloom.content):
        with pytest.raises(AttributeError, match=f"module '{module.__name__}' has no attribute 'nonsense'"):
            _ = module.nonsense


LANGCHAIN = """
import json, sys
import spanloom, spanloom_langchain
from langchain_core.runnables import RunnableLambda
from spanloom.testing import Memory, strict
memory = Memory()
with strict(), spanloom.configure(memory) as loom:
    spanloom_langchain.instrument()
    RunnableLambda(lambda said: said, name="early").invoke([("user", "before all that")])
    names = ("langchain_core.prompts.chat", "langchain_core.agents", "langchain_core.language_models.chat_models")
    early = [name for name in names if name in sys.modules]

    from integrations.langchain.fakes import Chat
    from langchain_core.agents import AgentAction
    from langchain_core.messages import HumanMessage
    RunnableLambda(lambda _: AgentAction("search", {"q": "it"}, "a thought"), name="act").invoke("x")
    managed = type("Prompt", (), {"name": "rag", "version": 3, "prompt": "Is {{what}} slow?"})()
    (spanloom_langchain.prompt_from_langfuse(managed) | Chat()).invoke({"what": "it"})
    Chat(probe_name="probe").generate([[HumanMessage("a")], [HumanMessage("b")]])
    loom.flush()
first, *batch = [step for step in memory.steps if step.kind == "llm"]
print(json.dumps({
    "early": early,
    "said": memory.visible("early").output,
    "act": memory.visible("act").output,
    "prompt": memory.visible("ChatPromptTemplate").output,
    "managed": [first.identity.prompt.name, first.identity.prompt.version],
    "probes in": [[s.span_id for s in batch].index(e.span.parent.span_id) for e in memory.spans if e.step is None],
}))
"""


def test_what_an_application_of_langchain_imports_later_is_known_from_then_on():
    assert fresh(LANGCHAIN) == {
        "early": [],
        "said": [["user", "before all that"]],
        "act": {"tool": "search", "tool_input": {"q": "it"}, "log": "a thought"},
        "prompt": [{"role": "user", "content": "Is it slow?"}],
        "managed": ["rag", 3],
        "probes in": [0, 1],
    }


LLAMA_INDEX = """
import asyncio, json, sys
import spanloom, spanloom_llama_index
from llama_index.core.workflow import Event, StartEvent, StopEvent, Workflow, step
from spanloom import ContentPolicy, actions
from spanloom.destinations.destination import visible
from spanloom.testing import Memory, strict

class Middle(Event):
    said: str

class Flow(Workflow):
    @step
    async def first(self, ev: StartEvent) -> Middle:
        return Middle(said="before any agent")

    @step
    async def last(self, ev: Middle) -> StopEvent:
        return StopEvent(result="done")

async def run(it, *said):
    return str(await it.run(*said))

def outputs(name):
    return [visible(e, memory.content).output for e in memory.spans if e.step is not None and e.step.name == name]

memory = Memory(content=ContentPolicy.full().replace(tool_arguments=actions.drop))
with strict(), spanloom.configure(memory) as loom:
    spanloom_llama_index.instrument()
    asyncio.run(run(Flow()))
    early = "llama_index.core.agent.workflow" in sys.modules

    from integrations.llama_index.fakes import FakeLLM, says
    from llama_index.core.agent.workflow import AgentWorkflow, FunctionAgent, ToolCall
    from llama_index.core.tools import FunctionTool

    class Calls(Workflow):
        @step
        async def call(self, ev: StartEvent) -> ToolCall:
            return ToolCall(tool_name="add", tool_kwargs={"a": "secret"}, tool_id="1")

        @step
        async def end(self, ev: ToolCall) -> StopEvent:
            return StopEvent(result="done")

    for _ in range(3):
        asyncio.run(run(Calls()))

    def add(a: int, b: int) -> int:
        return a + b

    def agent():
        answers = [says("", add={"a": 1, "b": 2}), says("three")]
        return FunctionAgent(llm=FakeLLM(answers=answers), tools=[FunctionTool.from_defaults(add)], name="adder")

    asyncio.run(run(agent(), "go"))
    asyncio.run(run(AgentWorkflow(agents=[agent()]), "go"))
    loom.flush()
print(json.dumps({
    "early": early,
    "events": outputs("Flow.first"),
    "calls": outputs("Calls.call"),
    "agents": [s.name for s in memory.steps if s.kind == "agent"],
    "answers": outputs("AgentWorkflow.run_agent_step"),
    "call ids": [s.tool_call_id for s in memory.steps if s.kind == "tool"],
}))
"""


def test_agents_of_llama_index_that_are_imported_later_are_known_from_then_on():
    seen = fresh(LLAMA_INDEX)
    assert "secret" not in json.dumps(seen)
    assert seen == {
        "early": False,
        "events": [{"said": "before any agent"}],
        "calls": [{"tool_name": "add", "tool_id": "1"}] * 3,
        "agents": ["FunctionAgent.run", "AgentWorkflow.run"],
        "answers": [{"response": "", "tool_calls": [{"name": "add"}]}, "three"],
        "call ids": ["call-add", "call-add"],
    }


FIRST_OF_ITS_KIND = """
import json
import spanloom_llama_index
from llama_index.core.agent.workflow import ToolCall
from spanloom_llama_index.snapshots import held
calls = [ToolCall(tool_name="add", tool_kwargs={"a": "secret"}, tool_id="1") for _ in range(3)]
print(json.dumps([held(call)["tool_kwargs"].category for call in calls]))
"""


def test_the_first_event_that_is_seen_may_be_an_agents():
    assert fresh(FIRST_OF_ITS_KIND) == ["tool_arguments"] * 3
