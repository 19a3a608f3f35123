"""Each dialect, whole: every kind of step in golden files, and the points that receivers insist on.

`SPANLOOM_WRITE_GOLDEN=1 pytest tests/core/test_dialects.py` writes the files anew.
"""

import dataclasses
import json
import os
from pathlib import Path

import pytest
import samples
from spanloom import ContentPolicy, Prompt
from spanloom.content.read import read
from spanloom.dialects import genai, langfuse, openinference
from spanloom.dialects import messages as shape
from spanloom.dialects.rendered import attribute
from spanloom.identity import Identity
from spanloom.step import Kind, Message, Outcome, Step, Text, ToolCall
from spanloom.usage import Usage

GOLDEN = Path(__file__).parent / "golden"
POLICIES = {"full": ContentPolicy.full(), "hashed": ContentPolicy.hashed(), "none": ContentPolicy.none()}
FACTS = langfuse.TraceFacts("support", "production", "2026.11", "1.2", app_root=False)


def seen(step, policy="full"):
    return POLICIES[policy].apply(read(step.content, step.identity, step.tool_description))


def in_genai(step, policy="full"):
    return genai.render(step, seen(step, policy))


def in_langfuse(step, policy="full", facts=FACTS):
    return langfuse.render(step, seen(step, policy), facts)


def in_openinference(step, policy="full"):
    return openinference.render(step, seen(step, policy))


def written(rendered):
    made = dataclasses.asdict(rendered)
    return json.dumps({**made, "kind": rendered.kind.name}, indent=2, ensure_ascii=False, sort_keys=True) + "\n"


@pytest.mark.parametrize("policy", ["full", "hashed"])
@pytest.mark.parametrize("sample", samples.ALL)
@pytest.mark.parametrize(
    ("dialect", "render"), [("genai", in_genai), ("langfuse", in_langfuse), ("openinference", in_openinference)]
)
def test_golden(dialect, render, sample, policy):
    path = GOLDEN / dialect / f"{sample}.{policy}.json"
    made = written(render(samples.ALL[sample](), policy))
    if os.environ.get("SPANLOOM_WRITE_GOLDEN"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(made)
    assert made == path.read_text()


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("sample", samples.ALL)
@pytest.mark.parametrize("render", [in_genai, in_langfuse, in_openinference])
def test_every_attribute_is_one_that_otlp_carries_and_says_what_the_step_is(render, sample, policy):
    step = samples.ALL[sample]()
    made = render(step, policy)
    for key, value in made.attributes.items():
        assert attribute(value) == value or value == "", key
    assert made.attributes["spanloom.step.kind"] == step.kind.value
    assert made.attributes["spanloom.step.name"] == step.name
    assert made.attributes["spanloom.step.outcome"] == step.outcome.value


# ---------------------------------------------------------------- GenAI conventions
def test_span_names_follow_the_conventions():
    assert {name: in_genai(make()).name for name, make in samples.ALL.items()} == {
        "llm": "chat gpt-4o-mini",
        "completion": "text_completion gpt-3.5-turbo-instruct",
        "tool": "execute_tool search",
        "retriever": "retrieval docs",
        "reranker": "LLMRerank",
        "embedding": "embeddings text-embedding-3-small",
        "agent": "invoke_agent support",
        "workflow": "invoke_workflow rag",
        "chain": "RunnableSequence",
        "error": "execute_tool lookup",
    }


def test_usage_stands_on_calls_only():
    with_usage = {
        name: sorted(k for k in in_genai(make()).attributes if k.startswith("gen_ai.usage."))
        for name, make in samples.ALL.items()
    }
    assert {name for name, keys in with_usage.items() if keys} == {"llm", "completion", "embedding"}
    assert with_usage["embedding"] == ["gen_ai.usage.input_tokens"]


def test_the_older_name_of_a_provider_stands_beside_the_new_one():
    attributes = in_genai(samples.llm()).attributes
    assert (attributes["gen_ai.provider.name"], attributes["gen_ai.system"]) == ("azure.ai.openai", "az.ai.openai")
    attributes = in_genai(samples.completion()).attributes
    assert (attributes["gen_ai.provider.name"], attributes["gen_ai.system"]) == ("openai", "openai")


def test_an_agent_in_this_process_has_no_provider():
    assert "gen_ai.provider.name" not in in_genai(samples.agent()).attributes


def test_a_conversation_is_never_made_up():
    step = dataclasses.replace(samples.llm(), identity=Identity())
    assert "gen_ai.conversation.id" not in in_genai(step).attributes
    assert in_genai(samples.llm()).attributes["gen_ai.conversation.id"] == "s1"


@pytest.mark.parametrize(
    ("given", "outcome", "expected"),
    [
        ("stop", Outcome.OK, "stop"),
        ("tool_calls", Outcome.OK, "tool_call"),
        ("end_turn", Outcome.OK, "stop"),
        ("MAX_TOKENS", Outcome.OK, "length"),
        ("unheard_of", Outcome.OK, "unheard_of"),
        (None, Outcome.OK, "stop"),
        (None, Outcome.ABANDONED, "error"),
        (None, Outcome.CANCELLED, "error"),
        (None, Outcome.INTERRUPTED, "stop"),
    ],
)
def test_an_answer_always_has_a_finish_reason(given, outcome, expected):
    step = samples.completion()
    step.outcome = outcome
    step.content.output_messages = (Message("assistant", (Text("upon"),), finish_reason=given),)
    answers = json.loads(in_genai(step).attributes["gen_ai.output.messages"])
    assert [a["finish_reason"] for a in answers] == [expected]


def test_an_answer_that_calls_tools_finished_for_them():
    assert shape.finish_reason(Message("assistant", (ToolCall("search"),))) == "tool_call"


def test_an_error_has_its_type_always_and_its_text_by_leave():
    full, none = in_genai(samples.error()), in_genai(samples.error(), "none")
    assert full.error
    assert full.attributes["error.type"] == none.attributes["error.type"] == "ValueError"
    assert full.status_description == f"no such id {samples.CANARY}"
    assert none.status_description == "ValueError"
    assert none.events == [("exception", samples.error().end_ns, {"exception.type": "ValueError"})]


def test_a_weird_parameter_does_not_reach_the_live_span():
    step = samples.llm()
    step.parameters = {"temperature": object(), "api_key": "secret", "max_tokens": 2**80}
    attributes = genai.structure(step)
    assert "gen_ai.request.temperature" not in attributes
    assert attributes["gen_ai.request.max_tokens"] == str(2**80)
    assert "secret" not in repr(attributes)
    langfuse.render(step, seen(step), FACTS)


# ---------------------------------------------------------------- Langfuse
def details(step, key="usage_details"):
    return json.loads(in_langfuse(step).attributes[f"langfuse.observation.{key}"])


def test_no_key_of_another_dialect_goes_to_langfuse():
    for make in samples.ALL.values():
        keys = in_langfuse(make()).attributes
        assert not [k for k in keys if k.startswith(("gen_ai.", "llm.", "error.", "openinference."))]


def test_observation_types():
    assert {
        name: in_langfuse(make()).attributes["langfuse.observation.type"] for name, make in samples.ALL.items()
    } == {
        "llm": "generation",
        "completion": "generation",
        "tool": "tool",
        "retriever": "retriever",
        "reranker": "retriever",
        "embedding": "embedding",
        "agent": "agent",
        "workflow": "chain",
        "chain": "chain",
        "error": "tool",
    }


def test_every_observation_carries_its_trace():
    for make in samples.ALL.values():
        keys = in_langfuse(make()).attributes
        assert keys["user.id"] == "u1"
        assert keys["session.id"] == "s1"
        assert keys["langfuse.trace.name"] == "support"
        assert keys["langfuse.trace.tags"] == ["beta", "eu"]
        assert keys["langfuse.environment"] == "production"
        assert keys["langfuse.release"] == "2026.11"
        assert keys["langfuse.version"] == "1.2"
        assert keys["langfuse.observation.metadata.turn"] == 3
        assert keys["langfuse.observation.metadata.tenant"] == "acme"


def test_buckets_share_no_token_and_reasoning_keeps_its_price():
    assert details(samples.llm()) == {
        "input": 60,
        "input_cached_tokens": 30,
        "input_cache_creation": 10,
        "output": 50,
    }


def test_usage_that_nobody_reported_is_not_sent_as_none():
    step = dataclasses.replace(samples.llm(), usage=Usage())
    assert "langfuse.observation.usage_details" not in in_langfuse(step).attributes


def test_an_answer_from_a_cache_costs_nothing():
    assert details(dataclasses.replace(samples.llm(), cache_hit=True, usage=None)) == {"input": 0, "output": 0}


def test_usage_and_model_stand_on_calls_only():
    for name, make in samples.ALL.items():
        keys = in_langfuse(make()).attributes
        expected = name in ("llm", "completion", "embedding")
        assert ("langfuse.observation.usage_details" in keys) is expected
        assert ("langfuse.observation.model.name" in keys) is expected


def test_input_and_output_come_together_or_not_at_all():
    for make in samples.ALL.values():
        for policy in POLICIES:
            keys = in_langfuse(make(), policy).attributes
            assert ("langfuse.observation.input" in keys) is ("langfuse.observation.output" in keys)
    empty = samples.completion()
    empty.content.output_messages = ()
    empty.content.output = ""
    assert in_langfuse(empty).attributes["langfuse.observation.output"] == ""


def test_messages_and_tools_are_in_openais_shape():
    given, answer = details(samples.llm(), "input"), details(samples.llm(), "output")
    assert [m["role"] for m in given["messages"]] == ["system", "user", "assistant", "tool"]
    assert given["tools"][0]["function"]["name"] == "search"
    assert given["messages"][3] == {"role": "tool", "tool_call_id": "call_0", "content": f"found {samples.CANARY}"}
    call = answer["tool_calls"][0]
    assert (call["id"], call["type"], call["function"]["name"]) == ("call_1", "function", "search")
    assert json.loads(call["function"]["arguments"]) == {"query": f"cat {samples.CANARY}"}


def test_first_token_is_an_iso_time():
    at = in_langfuse(samples.llm()).attributes["langfuse.observation.completion_start_time"]
    assert at == "2025-11-22T08:26:40.250000Z"
    assert langfuse.iso(1_763_800_000_000_000_000 + 999_999_999) == "2025-11-22T08:26:40.999999Z"


@pytest.mark.parametrize(("version", "sent"), [(3, 3), ("4", 4), ("v2", None), (None, None)])
def test_a_prompt_version_is_a_whole_number_or_nothing(version, sent):
    step = dataclasses.replace(samples.llm(), identity=Identity(prompt=Prompt("rag", version)))
    keys = in_langfuse(step).attributes
    assert keys.get("langfuse.observation.prompt.version") == sent
    assert keys.get("langfuse.observation.prompt.name") == (None if sent is None else "rag")
    tool = dataclasses.replace(samples.tool(), identity=step.identity)
    assert "langfuse.observation.prompt.name" not in in_langfuse(tool).attributes


def test_only_an_error_has_the_level_error():
    error = in_langfuse(samples.error())
    assert error.attributes["langfuse.observation.level"] == "ERROR"
    assert error.attributes["langfuse.observation.status_message"] == f"ValueError: no such id {samples.CANARY}"
    assert "Traceback" in error.attributes["langfuse.observation.metadata.exception_stack"]
    interrupted = in_langfuse(samples.workflow())
    assert not interrupted.error
    assert "langfuse.observation.level" not in interrupted.attributes
    assert interrupted.attributes["langfuse.observation.status_message"] == "interrupted"


def test_the_agent_graph_has_its_node_and_a_numeric_step():
    keys = in_langfuse(samples.llm()).attributes
    assert keys["langfuse.observation.metadata.langgraph_node"] == "agent"
    assert keys["langfuse.observation.metadata.langgraph_step"] == 2


def test_trace_metadata_stands_on_the_app_root_only():
    inner, root = (
        in_langfuse(samples.chain()),
        in_langfuse(samples.chain(), "full", dataclasses.replace(FACTS, app_root=True)),
    )
    assert "langfuse.internal.is_app_root" not in inner.attributes
    assert root.attributes["langfuse.internal.is_app_root"] is True
    assert root.attributes["langfuse.trace.metadata.turn"] == 3
    assert "langfuse.trace.metadata.turn" not in inner.attributes


@pytest.mark.parametrize("kind", list(Kind))
def test_a_step_with_nothing_in_it_is_a_span(kind):
    step = Step("r", kind, "bare", start_ns=1, end_ns=2, outcome=Outcome.OK)
    for render in (in_genai, in_langfuse, in_openinference):
        assert render(step).attributes["spanloom.step.kind"] == kind.value
