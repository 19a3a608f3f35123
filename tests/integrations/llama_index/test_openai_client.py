"""The real OpenAI client of LlamaIndex against a transport that answers as OpenAI does."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.tools import FunctionTool
from spanloom.step import ToolCall
from spanloom.usage import Usage

from tests.integrations.llama_index.fakes import add

openai = pytest.importorskip("llama_index.llms.openai")

USAGE = {
    "prompt_tokens": 50,
    "completion_tokens": 9,
    "total_tokens": 59,
    "prompt_tokens_details": {"cached_tokens": 20},
    "completion_tokens_details": {"reasoning_tokens": 4},
}
HEAD = {"id": "chatcmpl-1", "created": 1, "model": "gpt-4o-mini-2024-07-18"}
CALL = {"id": "call_1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1, "b": 2}'}}


def answer(request: httpx.Request) -> httpx.Response:
    asked = json.loads(request.content)
    if not asked.get("stream"):
        said: dict[str, Any] = {"role": "assistant", "content": None if asked.get("tools") else "one two"}
        if asked.get("tools"):
            said["tool_calls"] = [CALL]
        reason = "tool_calls" if asked.get("tools") else "stop"
        choices = [{"index": 0, "message": said, "finish_reason": reason}]
        return httpx.Response(200, json={**HEAD, "object": "chat.completion", "choices": choices, "usage": USAGE})
    pieces = [
        {"choices": [{"index": 0, "delta": {"role": "assistant", "content": "one"}, "finish_reason": None}]},
        {"choices": [{"index": 0, "delta": {"content": " two"}, "finish_reason": None}]},
        {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
        {"choices": [], "usage": USAGE},
    ]
    lines = [json.dumps({**HEAD, "object": "chat.completion.chunk", **piece}) for piece in pieces]
    body = "".join(f"data: {line}\n\n" for line in [*lines, "[DONE]"])
    return httpx.Response(200, headers={"content-type": "text/event-stream"}, content=body.encode())


@pytest.fixture
def model() -> Any:
    return openai.OpenAI(
        model="gpt-4o-mini",
        api_key="none",
        temperature=0.2,
        max_tokens=64,
        http_client=httpx.Client(transport=httpx.MockTransport(answer)),
        async_http_client=httpx.AsyncClient(transport=httpx.MockTransport(answer)),
        additional_kwargs={"stream_options": {"include_usage": True}},
    )


@pytest.mark.parametrize("method", ["chat", "stream_chat", "achat", "astream_chat", "complete", "stream_complete"])
def test_every_way_to_call_it_tells_the_same(traced: Any, model: Any, method: str) -> None:
    given: Any = "hi" if "complete" in method else [ChatMessage("hi")]
    if "stream" not in method:
        model.additional_kwargs = {}

    async def run() -> None:
        out = await getattr(model, method)(given)
        if "stream" in method:
            async for _ in out:
                pass

    if method.startswith("a"):
        asyncio.run(run())
    else:
        out = getattr(model, method)(given)
        if "stream" in method:
            list(out)
    traced.flush()
    (step,) = traced.memory.steps
    assert step.name == f"OpenAI.{method}"
    assert (step.provider, step.request_model, step.server_address) == ("openai", "gpt-4o-mini", "api.openai.com")
    assert (step.response_model, step.response_id) == (HEAD["model"], "chatcmpl-1")
    assert step.parameters == {"temperature": 0.2, "max_tokens": 64}
    assert step.finish_reasons == ("stop",)
    assert step.usage == Usage(50, 9, cache_read_tokens=20, reasoning_tokens=4)
    assert step.streaming is ("stream" in method)
    assert not step.completion
    assert traced.memory.visible(step.name).output_messages[0].parts[0].content == "one two"


def test_tools_and_their_calls(traced: Any, model: Any) -> None:
    model.additional_kwargs = {}
    model.chat_with_tools([FunctionTool.from_defaults(add)], "1 + 2")
    traced.flush()
    (step,) = traced.memory.steps
    assert step.finish_reasons == ("tool_calls",)
    assert [e.data for e in step.events] == [{"name": "add", "id": "call_1"}]
    shown = traced.memory.visible(step.name)
    assert shown.output_messages[0].parts == (ToolCall("add", {"a": 1, "b": 2}, "call_1"),)
    assert [t.name for t in shown.tool_definitions] == ["add"]
