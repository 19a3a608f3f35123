"""What a model step tells: request, response and usage, in every provider's shape."""

from __future__ import annotations

from types import MappingProxyType
from types import SimpleNamespace as Object
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    CompletionResponse,
    ImageBlock,
    TextBlock,
    ThinkingBlock,
)
from llama_index.core.llms import MockLLM
from llama_index.core.tools import FunctionTool
from pydantic import BaseModel, PrivateAttr
from spanloom.providers import field, usage_of
from spanloom.step import Kind, Media, Reasoning, Step, Text, ToolCall, ToolCallResponse, ToolDefinition
from spanloom.usage import Usage
from spanloom_llama_index import models, translate

from tests.integrations.llama_index.fakes import FakeLLM, add, says


def test_a_call_tells_what_was_asked_and_what_came_back(traced: Any) -> None:
    FakeLLM().chat([ChatMessage(role="system", content="be brief"), ChatMessage("hi")], temperature=0.9)
    traced.flush()
    step = traced.memory.step("FakeLLM.chat")
    assert (step.request_model, step.response_model, step.response_id) == ("fake-1", "fake-1-0601", "resp-1")
    assert step.parameters == {"temperature": 0.9, "max_tokens": 256}
    assert step.finish_reasons == ("stop",)
    assert step.usage == Usage(100, 20, cache_read_tokens=30, reasoning_tokens=5)
    shown = traced.memory.visible("FakeLLM.chat")
    assert [(m.role, m.parts) for m in shown.input_messages] == [
        ("system", (Text("be brief"),)),
        ("user", (Text("hi"),)),
    ]
    assert shown.output_messages[0].parts == (Text("one two three"),)
    assert shown.output_messages[0].finish_reason == "stop"


def test_offered_tools_and_calls_are_kept(traced: Any) -> None:
    FakeLLM(answers=[says("", add={"a": 1, "b": 2})]).chat_with_tools([FunctionTool.from_defaults(add)], "1 + 2")
    traced.flush()
    shown = traced.memory.visible("FakeLLM.chat")
    assert [(t.name, sorted(t.parameters["properties"])) for t in shown.tool_definitions] == [("add", ["a", "b"])]
    assert shown.output_messages[0].parts[-1] == ToolCall("add", {"a": 1, "b": 2}, "call-add")


def test_a_model_that_tells_no_usage_has_none(traced: Any) -> None:
    MockLLM().complete("hi")
    traced.flush()
    step = traced.memory.steps[0]
    assert step.usage is None
    assert step.finish_reasons == ()
    assert step.request_model is None


OPENAI = Object(
    id="r1",
    model="gpt-x",
    choices=[Object(finish_reason="length")],
    usage=Object(prompt_tokens=10, completion_tokens=5, prompt_tokens_details=Object(cached_tokens=4)),
)
ANTHROPIC = {
    "id": "m1",
    "model": "claude-x",
    "stop_reason": "tool_use",
    "usage": {"input_tokens": 5, "output_tokens": 7, "cache_read_input_tokens": 20, "cache_creation_input_tokens": 3},
}
BEDROCK = {"stopReason": "end_turn", "usage": {"inputTokens": 5, "outputTokens": 7, "cacheReadInputTokens": 2}}
GEMINI = {
    "model_version": "gemini-x",
    "candidates": [{"finish_reason": Object(value="STOP")}],
    "usage_metadata": {"prompt_token_count": 9, "candidates_token_count": 4, "thoughts_token_count": 2},
}
OLLAMA = {"model": "tiny", "done_reason": "stop", "prompt_eval_count": 8, "eval_count": 3}
RESPONSES = Object(
    id="r3",
    object="response",
    model="gpt-y",
    status="incomplete",
    incomplete_details=Object(reason="max_output_tokens"),
    usage=Object(input_tokens=9, output_tokens=4),
)
COHERE_STREAM = {  # its last event, as the client's object has it
    "event_type": "stream-end",
    "is_finished": True,
    "finish_reason": "COMPLETE",
    "response": Object(
        response_id="c2",
        finish_reason="COMPLETE",
        meta=Object(tokens=Object(input_tokens=6, output_tokens=2), billed_units=Object(input_tokens=4)),
    ),
}
COHERE = {"id": "c1", "finish_reason": "COMPLETE", "usage": {"tokens": {"input_tokens": 6, "output_tokens": 2}}}


@pytest.mark.parametrize(
    ("raw", "model", "reason", "usage"),
    [
        (OPENAI, "gpt-x", "length", Usage(10, 5, cache_read_tokens=4)),
        (RESPONSES, "gpt-y", "max_output_tokens", Usage(9, 4)),
        (ANTHROPIC, "claude-x", "tool_use", Usage(28, 7, cache_read_tokens=20, cache_write_tokens=3)),
        (BEDROCK, None, "end_turn", Usage(7, 7, cache_read_tokens=2)),
        (GEMINI, "gemini-x", "STOP", Usage(9, 6, reasoning_tokens=2)),
        (OLLAMA, "tiny", "stop", Usage(8, 3)),
        (COHERE, None, "COMPLETE", Usage(6, 2)),
        (COHERE_STREAM, None, "COMPLETE", Usage(6, 2)),
    ],
)
def test_each_providers_raw_response_is_read(raw: Any, model: Any, reason: str, usage: Usage) -> None:
    step = Step("run", Kind.LLM, "x")
    models.read(step, ChatResponse(message=ChatMessage("x"), raw=raw))
    assert (step.response_model, step.finish_reasons, step.usage) == (model, (reason,), usage)


COUNTS = {"prompt_tokens": 7, "completion_tokens": 3}


@pytest.mark.parametrize(
    "told",
    [
        {"raw": {"token_usage": COUNTS}},
        {"raw": COUNTS},
        {"raw": Object(input_tokens=7, output_tokens=3)},
        {"additional_kwargs": COUNTS},
        {"additional_kwargs": {"usage": Object(**COUNTS)}},
        {"additional_kwargs": {"token_usage": COUNTS}},
        {"additional_kwargs": {"usage_metadata": {"prompt_token_count": 7, "candidates_token_count": 3}}},
        {"raw": "a text", "additional_kwargs": COUNTS},
        {"raw": {"usage": None}, "additional_kwargs": {"usage": COUNTS}},
    ],
)
def test_the_tokens_are_found_wherever_a_model_of_ones_own_puts_them(told: Any) -> None:
    for response in (ChatResponse(message=ChatMessage("x"), **told), CompletionResponse(text="x", **told)):
        step = Step("run", Kind.LLM, "x")
        models.read(step, response)
        assert step.usage == Usage(7, 3)


def test_a_stream_tells_its_facts_piece_by_piece() -> None:
    step = Step("run", Kind.LLM, "x")
    for raw in (
        {"type": "message_start", "message": {"id": "m", "model": "claude-x", "usage": {"input_tokens": 5}}},
        {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "hi"}},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 7}},
    ):
        models.read(step, ChatResponse(message=ChatMessage("x"), raw=raw))
    assert (step.response_model, step.response_id, step.finish_reasons) == ("claude-x", "m", ("end_turn",))
    assert step.usage == Usage(5, 7)
    step = Step("run", Kind.LLM, "x")
    for raw in (
        {"choices": [{"finish_reason": None}], "usage": None},
        {"choices": [{"finish_reason": "stop"}], "usage": None},
        {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 4}},
    ):
        models.read(step, ChatResponse(message=ChatMessage("x"), raw=raw))
    assert (step.finish_reasons, step.usage) == (("stop",), Usage(3, 4))
    step = Step("run", Kind.LLM, "x")
    begun = {"id": "r", "object": "response", "model": "gpt-y", "status": "in_progress"}
    models.read(step, ChatResponse(message=ChatMessage("x"), raw={"type": "response.created", "response": begun}))
    assert step.finish_reasons == (), "it goes on"
    ended = {**begun, "status": "completed", "usage": {"input_tokens": 3, "output_tokens": 4}}
    models.read(step, ChatResponse(message=ChatMessage("x"), raw={"type": "response.completed", "response": ended}))
    assert (step.response_id, step.finish_reasons, step.usage) == ("r", ("completed",), Usage(3, 4))


@pytest.mark.parametrize(
    ("class_name", "provider"),
    [
        ("openai_llm", "openai"),
        ("azure_openai_llm", "azure.ai.openai"),
        ("Anthropic_LLM", "anthropic"),
        ("Bedrock_Converse_LLM", "aws.bedrock"),
        ("GenAI", "gcp.gemini"),
        ("Vertex", "gcp.vertex_ai"),
        ("MistralAI_LLM", "mistral_ai"),
        ("Cohere_LLM", "cohere"),
        ("FakeLLM", None),
    ],
)
def test_the_provider_comes_from_the_models_class(class_name: str, provider: str | None) -> None:
    step = Step("run", Kind.LLM, "x")
    models.describe(step, Object(class_name=lambda: class_name, model="m", api_base="https://api.example.com/v1"))
    assert (step.provider, step.request_model) == (provider, "m")
    assert (step.server_address, step.server_port) == ("api.example.com", 443)


def test_messages_keep_their_parts() -> None:
    given = [
        ChatMessage(
            role="user",
            blocks=[TextBlock(text="look"), ImageBlock(url="https://x.example/a.png", image_mimetype="image/png")],
        ),
        ChatMessage(role="assistant", blocks=[ThinkingBlock(content="hm"), TextBlock(text="nice")]),
        ChatMessage(
            role="assistant",
            content=None,
            additional_kwargs={"tool_calls": [{"id": "c1", "function": {"name": "add", "arguments": '{"a": 1}'}}]},
        ),
        ChatMessage(role="tool", content="3", additional_kwargs={"tool_call_id": "c1", "name": "add"}),
    ]
    read = translate.messages(given)
    assert read[0].parts == (Text("look"), Media("image", "image/png", "https://x.example/a.png"))
    assert read[1].parts == (Reasoning("hm"), Text("nice"))
    assert read[2].parts == (ToolCall("add", {"a": 1}, "c1"),)
    assert (read[3].role, read[3].parts) == ("tool", (ToolCallResponse("3", "c1"),))


def test_tool_definitions_of_several_providers_are_one() -> None:
    schema = {"type": "object"}
    found = translate.tool_definitions(
        [
            {"type": "function", "function": {"name": "a", "description": "A", "parameters": schema}},
            {"name": "a", "description": "A", "input_schema": schema},
            {"toolSpec": {"name": "a", "description": "A", "inputSchema": schema}},
        ]
    )
    assert set(map(repr, found)) == {repr(ToolDefinition("a", "A", schema))}


class Answer(BaseModel, extra="allow"):
    """A provider's own object, as most clients have it today."""

    model: Any = None
    usage: Any = None
    _private: Any = PrivateAttr(default=None)
    stands_in_the_class: ClassVar[str] = "here"

    @property
    def made(self) -> str:
        return f"of {self.model}"


class Strange(Answer):
    """A class of its own mind."""

    def __getattr__(self, name: str) -> Any:
        return f"no {name}"


NAMES = ("model", "usage", "_private", "stands_in_the_class", "made", "extra", "missing")


@given(
    kind=st.sampled_from([Answer, Strange]),
    values=st.dictionaries(st.sampled_from(["model", "usage", "extra"]), st.none() | st.integers(0, 9)),
    private=st.none() | st.integers(0, 9),
    names=st.lists(st.sampled_from(NAMES), min_size=1, max_size=4),
)
def test_an_objects_fields_are_its_attributes(kind: Any, values: Any, private: Any, names: list[str]) -> None:
    answer = kind(**values)
    answer._private = private
    first = (value for name in names if (value := getattr(answer, name, None)) is not None)
    assert field(answer, *names) == next(first, None)


COUNT_NAMES = (
    *("prompt_tokens", "completion_tokens", "total_tokens", "input_tokens", "output_tokens", "inputTokens"),
    *("cache_read_input_tokens", "cache_creation_input_tokens", "outputTokens", "cacheReadInputTokens"),
    *("prompt_token_count", "candidates_token_count", "thoughts_token_count", "prompt_eval_count", "eval_count"),
)
COUNTS = st.dictionaries(
    st.sampled_from(COUNT_NAMES), st.none() | st.integers(-1, 99) | st.sampled_from([True, 2.0, "7", float("nan")])
)


@given(
    counts=COUNTS,
    cached=COUNTS | st.none(),
    thought=st.none() | st.fixed_dictionaries({"reasoning_tokens": st.integers(0, 9)}),
)
def test_a_usage_is_the_same_as_a_mapping_as_an_object_and_as_a_model(counts: Any, cached: Any, thought: Any) -> None:
    details = {"prompt_tokens_details": cached, "completion_tokens_details": thought}
    usage = usage_of(counts | details)
    assert usage == usage_of(MappingProxyType(counts | details))
    assert usage == usage_of(Object(**counts, **{k: v and Object(**v) for k, v in details.items()}))
    assert usage == usage_of(Answer(**counts, **{k: v and Answer(**v) for k, v in details.items()}))
