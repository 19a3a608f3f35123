"""LlamaIndex's messages, nodes, responses and tools as the neutral record. Pure; runs on the worker."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import singledispatch
from typing import Any

from llama_index.core.agent.workflow.workflow_events import AgentOutput, AgentStream, ToolCallResult
from llama_index.core.agent.workflow.workflow_events import ToolCall as ToolCallEvent
from llama_index.core.base.llms.types import (
    AudioBlock,
    ChatMessage,
    ChatResponse,
    CompletionResponse,
    DocumentBlock,
    ImageBlock,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
    VideoBlock,
)
from llama_index.core.base.response.schema import (
    AsyncStreamingResponse,
    PydanticResponse,
    Response,
    StreamingResponse,
)
from llama_index.core.chat_engine.types import AgentChatResponse, StreamingAgentChatResponse
from llama_index.core.schema import BaseComponent, BaseNode, NodeWithScore, QueryBundle
from llama_index.core.tools import ToolSelection
from llama_index.core.tools.types import BaseTool, ToolOutput
from llama_index.core.workflow import Context, Event, StopEvent, Workflow
from spanloom.content import Category
from spanloom.content.category import of_role
from spanloom.content.marked import Marked
from spanloom.content.plain import plain
from spanloom.providers import field
from spanloom.step import (
    Document,
    Media,
    Message,
    OtherPart,
    Part,
    Reasoning,
    Text,
    ToolCall,
    ToolCallResponse,
    ToolDefinition,
)


# ---------------------------------------------------------------- messages
def messages(given: Iterable[Any]) -> tuple[Message, ...]:
    """Chat messages; what is no `ChatMessage` is read as a user's text."""
    return tuple(message(m) for m in given)


def message(given: Any, finish_reason: str | None = None) -> Message:
    if not isinstance(given, ChatMessage):
        return Message("user", (Text(text(given)),))
    extra = given.additional_kwargs or {}
    role = str(getattr(given.role, "value", given.role))
    if role in ("tool", "function"):
        answer = "\n".join(b.text for b in given.blocks if isinstance(b, TextBlock))
        return Message("tool", (ToolCallResponse(answer, extra.get("tool_call_id")),), extra.get("name"))
    parts = [part for block in given.blocks if (part := _part(block)) is not None]
    if not any(isinstance(p, ToolCall) for p in parts):
        parts += tool_calls(given)
    return Message("assistant" if role == "chatbot" else role, tuple(parts), extra.get("name"), finish_reason)


def _part(block: Any) -> Part | None:
    match block:
        case TextBlock():
            return Text(block.text) if block.text else None
        case ThinkingBlock():
            return Reasoning(block.content) if block.content else None
        case ToolCallBlock():
            return ToolCall(block.tool_name, _arguments(block.tool_kwargs), block.tool_call_id)
        case ImageBlock():
            return _media("image", block, block.image, block.image_mimetype)
        case AudioBlock():
            return _media("audio", block, block.audio, f"audio/{block.format}" if block.format else None)
        case VideoBlock():
            return _media("video", block, block.video, block.video_mimetype)
        case DocumentBlock():
            return _media("file", block, block.data, block.document_mimetype)
    return OtherPart(str(getattr(block, "block_type", type(block).__name__)), block)


def _media(modality: str, block: Any, data: Any, mime_type: str | None) -> Media:
    where = getattr(block, "url", None) or getattr(block, "path", None)
    uri = str(where) if where is not None and not str(where).startswith("data:") else None
    return Media(modality, mime_type, uri, size=len(data) if isinstance(data, (bytes, str)) else None)


def tool_calls(given: Any) -> list[ToolCall]:
    """The tools that a message asks for: as blocks, or, in older integrations, as the provider's own objects."""
    if not isinstance(given, ChatMessage):
        return []
    found = [b for b in given.blocks if isinstance(b, ToolCallBlock)]
    if found:
        return [ToolCall(b.tool_name, _arguments(b.tool_kwargs), b.tool_call_id) for b in found]
    calls = []
    for raw in (given.additional_kwargs or {}).get("tool_calls") or ():
        function = field(raw, "function") or raw
        name = field(function, "name")
        if isinstance(name, str):
            calls.append(ToolCall(name, _arguments(field(function, "arguments", "input")), field(raw, "id")))
    return calls


def _arguments(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value


def prompt(given: Any) -> tuple[Message, ...]:
    """A string model's prompt."""
    return (Message("user", (Text(text(given)),)),)


def answer(response: Any, finish_reason: str | None = None) -> tuple[Message, ...]:
    """What a model said: a `ChatResponse`, a `CompletionResponse`, or a custom model's own object."""
    if isinstance(response, ChatResponse):
        return (message(response.message, finish_reason),)
    if isinstance(response, ChatMessage):
        return (message(response, finish_reason),)
    if response is None:
        return ()
    said = response.text if isinstance(response, CompletionResponse) else text(response)
    return (Message("assistant", (Text(said or ""),), finish_reason=finish_reason),)


def tool_definitions(given: Iterable[Any]) -> tuple[ToolDefinition, ...]:
    """The tools that a model was offered, in OpenAI's shape, in Anthropic's, in Bedrock's, or as LlamaIndex tools."""
    found = []
    for tool in given:
        if isinstance(tool, BaseTool):
            meta = tool.metadata
            found.append(ToolDefinition(meta.get_name(), meta.description, meta.get_parameters_dict()))
            continue
        inner = field(tool, "function", "toolSpec") or tool
        name = field(inner, "name")
        if isinstance(name, str):
            schema = field(inner, "parameters", "input_schema", "inputSchema")
            found.append(ToolDefinition(name, field(inner, "description"), schema))
    return tuple(found)


# ---------------------------------------------------------------- documents
def snapshot(nodes: Any) -> tuple[tuple[Any, ...], ...]:
    """What of `nodes` may change after this step: postprocessors set scores and texts in place. Cheap: references."""
    if not isinstance(nodes, (list, tuple)):
        return ()
    out = []
    for found in nodes:
        node, score = (found.node, found.score) if isinstance(found, NodeWithScore) else (found, None)
        if isinstance(node, BaseNode):
            out.append((node, score, getattr(node, "text", None), dict(node.metadata)))
    return tuple(out)


def documents(snapshots: Iterable[tuple[Any, ...]]) -> tuple[Document, ...]:
    """The documents of a `snapshot`."""
    return tuple(
        Document(said if isinstance(said, str) else node.get_content(), node.node_id, score, metadata)
        for node, score, said, metadata in snapshots
    )


# ---------------------------------------------------------------- everything else
def text(value: Any) -> str:
    """`value` as one text."""
    value = plain(value, shown)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def joined(pieces: Iterable[Any]) -> str:
    """The text of a stream, of texts or of a model's responses."""
    return "".join(
        p if isinstance(p, str) else p.delta or "" if isinstance(p, ChatResponse) else text(p) for p in pieces
    )


def readable(value: Any) -> Any:
    """Any value as plain JSON values, with LlamaIndex's own objects shown by what they say.

    What messages say and nodes hold is marked by its category, so that a policy knows it wherever it stands.
    """
    return plain(value, shown, marks=True)


@singledispatch
def shown(value: Any) -> Any:
    """What an object of LlamaIndex says; every other value as it is."""
    return value


@shown.register
def _(value: QueryBundle) -> Any:
    return value.query_str


@shown.register
def _(value: Response | PydanticResponse | AgentChatResponse | StreamingAgentChatResponse) -> Any:
    return Marked(Category.COMPLETION, value.response)


@shown.register
def _(value: StreamingResponse | AsyncStreamingResponse) -> Any:
    return Marked(Category.COMPLETION, value.response_txt)  # never its generator


@shown.register
def _(value: ChatMessage) -> Any:
    role = str(getattr(value.role, "value", value.role))
    out: dict[str, Any] = {"role": role, "content": Marked(of_role(role), value.content)}
    calls = tool_calls(value)
    if calls:
        out["tool_calls"] = [
            {
                "name": Marked(Category.NAMES, c.name),
                "arguments": Marked(Category.TOOL_ARGUMENTS, c.arguments),
                "id": c.id,
            }
            for c in calls
        ]
    return out


@shown.register
def _(value: ChatResponse) -> Any:
    return value.message


@shown.register
def _(value: CompletionResponse) -> Any:
    return Marked(Category.COMPLETION, value.text)


@shown.register
def _(value: NodeWithScore) -> Any:
    return {
        "id": value.node.node_id,
        "score": value.score,
        "text": Marked(Category.DOCUMENTS, value.node.get_content()),
    }


@shown.register
def _(value: BaseNode) -> Any:
    return {
        "id": value.node_id,
        "text": Marked(Category.DOCUMENTS, value.get_content()),
        "metadata": Marked(Category.DOCUMENTS, value.metadata),
    }


@shown.register
def _(value: ToolOutput) -> Any:
    return Marked(Category.TOOL_RESULTS, value.content)


@shown.register
def _(value: BaseTool) -> Any:
    return Marked(Category.NAMES, value.metadata.name)


@shown.register
def _(value: AgentOutput) -> Any:
    answer = Marked(Category.COMPLETION, value.response.content)
    if not value.tool_calls:
        return answer
    return {
        "response": answer,
        "tool_calls": [
            {
                "name": Marked(Category.NAMES, c.tool_name),
                "arguments": Marked(Category.TOOL_ARGUMENTS, c.tool_kwargs),
            }
            for c in value.tool_calls
        ],
    }


@shown.register
def _(value: AgentStream) -> Any:
    return {**_fields(value), **{k: Marked(Category.COMPLETION, getattr(value, k)) for k in ("delta", "response")}}


@shown.register
def _(value: ToolCallEvent | ToolCallResult) -> Any:
    return {**_fields(value), "tool_kwargs": Marked(Category.TOOL_ARGUMENTS, value.tool_kwargs)}


@shown.register
def _(value: ToolSelection) -> Any:
    return {
        "tool_id": value.tool_id,
        "tool_name": Marked(Category.NAMES, value.tool_name),
        "tool_kwargs": Marked(Category.TOOL_ARGUMENTS, value.tool_kwargs),
    }


@shown.register
def _(value: StopEvent) -> Any:
    return value.result if type(value) is StopEvent else _fields(value)


@shown.register
def _(value: Event) -> Any:
    return _fields(value)


@shown.register
def _(value: Workflow | Context | BaseComponent) -> Any:  # models, indexes: settings, and maybe keys
    return f"<{type(value).__name__}>"


def _fields(event: Event) -> Any:
    said: Mapping[str, Any] = event._data or {}
    hidden = {name for name, field in type(event).model_fields.items() if field.exclude}  # the provider's own answer
    told = ((k, v) for k, v in {**vars(event), **said}.items() if v is not None and k not in hidden)
    return {k: Marked(Category.NAMES, v) if k in _NAMES else v for k, v in told}


_NAMES = frozenset({"current_agent_name", "tool_name"})  # fields of the agents' own events
