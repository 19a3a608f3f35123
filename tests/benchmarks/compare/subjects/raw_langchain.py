"""LangChain's callbacks to spans, by hand."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.documents import Document
from langchain_core.messages import BaseMessage
from opentelemetry.trace import SpanKind, Status, StatusCode, Tracer, set_span_in_context

_ROLES = {"human": "user", "ai": "assistant", "system": "system", "tool": "tool"}


def _message(message: BaseMessage) -> dict[str, Any]:
    if message.type == "tool":
        parts = [{"type": "tool_call_response", "id": message.tool_call_id, "response": message.content}]
    else:
        parts = [{"type": "text", "content": message.content}]
        for call in getattr(message, "tool_calls", ()):
            parts.append({"type": "tool_call", "id": call["id"], "name": call["name"], "arguments": call["args"]})
    return {"role": _ROLES.get(message.type, message.type), "parts": parts}


def _plain(value: Any) -> Any:
    if isinstance(value, BaseMessage):
        return _message(value)
    if isinstance(value, Document):
        return {"id": value.id, "content": value.page_content, **value.metadata}
    for name in ("messages", "update"):  # a prompt's value, LangGraph's Command
        said = getattr(value, name, None)
        if isinstance(said, (list, dict)):
            return said
    return str(value)


def _json(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=_plain)


class ByHand(BaseCallbackHandler):
    run_inline = True

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer
        self._open: dict[UUID, Any] = {}
        self._streamed: set[UUID] = set()

    def _start(
        self, name: str, run_id: UUID, parent: UUID | None, attributes: Any, kind: SpanKind = SpanKind.INTERNAL
    ) -> None:
        above = self._open.get(parent) if parent else None
        context = set_span_in_context(above) if above is not None else None
        self._open[run_id] = self._tracer.start_span(name, context, kind, attributes)

    def _end(self, run_id: UUID, attributes: Any) -> None:
        span = self._open.pop(run_id, None)
        if span is not None:
            span.set_attributes(attributes)
            span.end()

    def _fail(self, error: BaseException, *, run_id: UUID, **_: Any) -> None:
        self._streamed.discard(run_id)
        span = self._open.pop(run_id, None)
        if span is not None:
            span.record_exception(error)
            span.set_status(Status(StatusCode.ERROR, str(error)))
            span.end()

    on_chain_error = on_llm_error = on_tool_error = on_retriever_error = _fail

    def on_chain_start(
        self, serialized: Any, inputs: Any, *, run_id: UUID, parent_run_id: UUID | None = None, **more: Any
    ) -> None:
        self._start(more.get("name") or "chain", run_id, parent_run_id, {"step.input": _json(inputs)})

    def on_chain_end(self, outputs: Any, *, run_id: UUID, **_: Any) -> None:
        self._end(run_id, {"step.output": _json(outputs)})

    def on_chat_model_start(
        self, serialized: Any, messages: Any, *, run_id: UUID, parent_run_id: UUID | None = None, **more: Any
    ) -> None:
        about = more.get("metadata") or {}
        model = about.get("ls_model_name", "")
        attributes = {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": about.get("ls_provider", ""),
            "gen_ai.request.model": model,
            "gen_ai.request.temperature": about.get("ls_temperature", 1.0),
            "gen_ai.input.messages": json.dumps([_message(m) for m in messages[0]]),
        }
        self._start(f"chat {model}", run_id, parent_run_id, attributes, SpanKind.CLIENT)

    def on_llm_new_token(self, token: str, *, run_id: UUID, **_: Any) -> None:
        if run_id not in self._streamed:
            self._streamed.add(run_id)
            self._open[run_id].add_event("first_token")

    def on_llm_end(self, response: Any, *, run_id: UUID, **_: Any) -> None:
        self._streamed.discard(run_id)
        message = response.generations[0][0].message
        usage, about = message.usage_metadata or {}, message.response_metadata
        attributes = {
            "gen_ai.response.model": about.get("model_name", ""),
            "gen_ai.response.finish_reasons": [about.get("finish_reason", "")],
            "gen_ai.usage.input_tokens": usage.get("input_tokens", 0),
            "gen_ai.usage.output_tokens": usage.get("output_tokens", 0),
            "gen_ai.output.messages": json.dumps([_message(message)]),
        }
        self._end(run_id, attributes)

    def on_tool_start(
        self, serialized: Any, input_str: str, *, run_id: UUID, parent_run_id: UUID | None = None, **more: Any
    ) -> None:
        name = serialized.get("name", "tool")
        attributes = {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": name,
            "gen_ai.tool.description": serialized.get("description", ""),
            "gen_ai.tool.call.arguments": _json(more.get("inputs") or input_str),
        }
        self._start(f"execute_tool {name}", run_id, parent_run_id, attributes)

    def on_tool_end(self, output: Any, *, run_id: UUID, **_: Any) -> None:
        self._end(run_id, {"gen_ai.tool.call.result": _json(output)})

    def on_retriever_start(
        self, serialized: Any, query: str, *, run_id: UUID, parent_run_id: UUID | None = None, **_: Any
    ) -> None:
        attributes = {"gen_ai.operation.name": "retrieval", "gen_ai.retrieval.query.text": query}
        self._start("retrieval", run_id, parent_run_id, attributes, SpanKind.CLIENT)

    def on_retriever_end(self, documents: Any, *, run_id: UUID, **_: Any) -> None:
        self._end(run_id, {"gen_ai.retrieval.documents": json.dumps(documents, default=_plain)})

    def on_interrupt(self, *args: Any, **kwargs: Any) -> None:  # without them LangGraph warns
        pass

    on_resume = on_interrupt
