"""Messages, documents and tools as JSON, in the GenAI conventions' shape and in OpenAI's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import isfinite
from typing import Any

from ..content.plain import plain
from ..content.visible import Visible
from ..content.written import as_json
from ..step import (
    Document,
    Kind,
    Media,
    Message,
    OtherPart,
    Part,
    Reasoning,
    Step,
    Text,
    ToolCall,
    ToolCallResponse,
    ToolDefinition,
)


def parameters(step: Step) -> str | None:
    """The step's sampling parameters as JSON; None where it has none."""
    given = step.parameters
    if not given:
        return None
    return as_json(given if all(map(_is_plain, given, given.values())) else plain(given))


def _is_plain(key: Any, value: Any) -> bool:
    """Whether the two are what `plain` leaves as they are; most parameters are."""
    kind = type(value)
    return (
        type(key) is str
        and key.isascii()
        and (
            kind is bool
            or (kind is int and -_LARGE < value < _LARGE)
            or (kind is float and isfinite(value))
            or (kind is str and value.isascii())
        )
    )


_LARGE = 1 << 63


# ---------------------------------------------------------------- the GenAI conventions
def part(p: Part) -> dict[str, Any]:
    """A message part by the conventions' JSON schema (`{"type": …, …}`)."""
    if isinstance(p, Text):  # as most are
        return {"type": "text", "content": p.content}
    match p:
        case Reasoning(content):
            return {"type": "reasoning", "content": content}
        case ToolCall(name, arguments, id):
            return _some({"type": "tool_call", "id": id, "name": name, "arguments": arguments})
        case ToolCallResponse(response, id):
            return _some({"type": "tool_call_response", "id": id, "response": response})
        case Media(modality, mime_type, uri, file_id, size):
            shape = "uri" if uri else "file" if file_id else "blob"
            return _some(
                {
                    "type": shape,
                    "modality": modality,
                    "mime_type": mime_type,
                    "uri": uri,
                    "file_id": file_id,
                    "size": size,
                }
            )
        case OtherPart(kind, value):
            return _some({"type": kind, "content": value})


def message(m: Message) -> dict[str, Any]:
    """`{role, parts, name?}`."""
    out: dict[str, Any] = {"role": m.role, "parts": [part(p) for p in m.parts]}
    if m.name is not None:
        out["name"] = m.name
    return out


def messages(items: Iterable[Message]) -> list[dict[str, Any]]:
    """`gen_ai.input.messages`: `[{role, parts, name?}]`."""
    return [message(m) for m in items]


def output_messages(items: Iterable[Message], *, broken: bool = False) -> list[dict[str, Any]]:
    """`gen_ai.output.messages`. `finish_reason` is always there: Phoenix drops a message without one (trap T10).

    `broken` says that the step ended before the model's answer was whole.
    """
    return [{**message(m), "finish_reason": finish_reason(m, broken=broken)} for m in items]


_FINISH_REASONS = {  # the providers' words in the conventions'
    "stop": "stop",
    "end_turn": "stop",
    "stop_sequence": "stop",
    "eos_token": "stop",
    "length": "length",
    "max_tokens": "length",
    "tool_call": "tool_call",
    "tool_calls": "tool_call",
    "tool_use": "tool_call",
    "function_call": "tool_call",
    "content_filter": "content_filter",
    "safety": "content_filter",
    "refusal": "content_filter",
}


def finish_reason(m: Message, *, broken: bool = False) -> str:
    """Why the message ended: stop, length, content_filter, tool_call, error; or a provider's own word."""
    if m.finish_reason:
        return _FINISH_REASONS.get(m.finish_reason.lower(), m.finish_reason)
    if broken:
        return "error"
    return "tool_call" if any(isinstance(p, ToolCall) for p in m.parts) else "stop"


def split_system(items: Sequence[Message]) -> tuple[list[Message], list[Message]]:
    """System messages apart from the conversation."""
    system: list[Message] = []
    conversation: list[Message] = []
    for m in items:
        (system if m.role == "system" else conversation).append(m)
    return system, conversation


def system_instructions(items: Iterable[Message]) -> list[dict[str, Any]]:
    """`gen_ai.system_instructions`: the parts of the system messages, in order."""
    return [part(p) for m in items for p in m.parts]


def tool_definitions(items: Iterable[ToolDefinition]) -> list[dict[str, Any]]:
    """`gen_ai.tool.definitions`."""
    return [
        _some({"type": "function", "name": t.name, "description": t.description, "parameters": t.parameters})
        for t in items
    ]


def documents(items: Iterable[Document]) -> list[dict[str, Any]]:
    """`gen_ai.retrieval.documents`: `[{id, score, content?, metadata?}]`."""
    return [_document(d) for d in items]


def _document(d: Document) -> dict[str, Any]:
    out: dict[str, Any] = {}
    if d.id is not None:
        out["id"] = d.id
    if d.score is not None:
        out["score"] = d.score
    if d.content is not None:
        out["content"] = d.content
    if d.metadata:
        out["metadata"] = d.metadata
    return out


def flat(values: Mapping[str, Any]) -> dict[str, Any]:
    """Plain values as attributes: scalars as they are, the rest as JSON."""
    return {
        key: value if isinstance(value, (str, bool, int, float)) else as_json(value)
        for key, value in values.items()
        if value is not None
    }


# ---------------------------------------------------------------- what a step was given, and what it answered
def given_and_answer(step: Step, visible: Visible) -> tuple[Any, Any]:
    """The two by the step's kind, messages apart; None for what there is not."""
    kind = step.kind
    if kind is Kind.TOOL:
        return visible.arguments, visible.result
    if kind is Kind.RETRIEVER or kind is Kind.RERANKER:
        return visible.query, documents(visible.documents) or None
    return visible.input, visible.output


# ---------------------------------------------------------------- OpenAI's shape, which Langfuse's view understands
def chat_messages(items: Iterable[Message]) -> list[dict[str, Any]]:
    """`[{role, content, tool_calls?, tool_call_id?}]`: a message with several tool answers becomes several."""
    out: list[dict[str, Any]] = []
    for m in items:
        if len(m.parts) == 1 and type(first := m.parts[0]) is Text:  # as most are
            said = first.content
            out.append(
                {"role": m.role, "content": said}
                if m.name is None
                else {"role": m.role, "name": m.name, "content": said}
            )
            continue
        answers = [p for p in m.parts if isinstance(p, ToolCallResponse)]
        out += [_some({"role": "tool", "tool_call_id": a.id, "content": _text(a.response)}) for a in answers]
        rest = [p for p in m.parts if not isinstance(p, ToolCallResponse)] if answers else m.parts
        if rest or not answers:
            out.append(_chat_message(m, rest))
    return out


def _chat_message(m: Message, parts: Sequence[Part]) -> dict[str, Any]:
    calls = [
        _some({
            "id": p.id,
            "type": "function",
            "function": {
                "name": p.name,
                "arguments": "{}" if p.arguments is None else _text(p.arguments),
            },
        })
        for p in parts
        if isinstance(p, ToolCall)
    ]  # fmt: skip
    said = [p for p in parts if not isinstance(p, ToolCall)]
    content: Any
    if all(isinstance(p, Text) for p in said):
        content = "".join(p.content for p in said if isinstance(p, Text))
    else:
        content = [_chat_part(p) for p in said]
    return {**_some({"role": m.role, "name": m.name}), "content": content, **({"tool_calls": calls} if calls else {})}


def _chat_part(p: Part) -> dict[str, Any]:
    match p:
        case Text(content):
            return {"type": "text", "text": content}
        case Media("image", uri=str() as uri):
            return {"type": "image_url", "image_url": {"url": uri}}
    return part(p)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else as_json(value)


def _some(value: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in value.items() if v is not None}
