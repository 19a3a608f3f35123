"""What OpenInference spreads over numbered attributes: the lists of messages, tools, documents and embedded texts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ..content.visible import Visible
from ..content.written import as_json
from ..step import (
    Document,
    Kind,
    Media,
    Message,
    Part,
    Reasoning,
    Step,
    Text,
    ToolCall,
    ToolCallResponse,
    ToolDefinition,
)
from . import messages as shape
from .rendered import Attributes, known, put

# One for each field of each item: these bound how many there are.
MOST_ATTRIBUTES = 1_000
_MOST_ITEMS = 100

_MADE = "dialects.openinference"


def spread(step: Step, visible: Visible, out: Attributes) -> int:
    """The lists of the step's content; returns how many of their items were left out."""
    kind, cut = step.kind, 0
    if kind is Kind.LLM and step.completion:
        prompts = [{"prompt.text": _text(m)} for m in visible.input_messages]
        choices = [{"completion.text": _text(m)} for m in visible.output_messages]
        cut += _number("llm.prompts", prompts, _ends(prompts), out)
        cut += _number("llm.choices", choices, _ends(choices), out)
    else:
        if visible.input_messages:
            said = _said(visible.input_messages)
            cut += _number("llm.input_messages", said, _ends(said), out)
        if visible.output_messages:
            said = _said(visible.output_messages)
            cut += _number("llm.output_messages", said, _ends(said), out)
    if visible.tool_definitions:
        tools = [_tool(t) for t in visible.tool_definitions]
        cut += _number("llm.tools", tools, _ends(tools), out)
    if found := visible.documents:
        documents = [_document(d) for d in found[:_MOST_ITEMS]]
        name = "reranker.output_documents" if kind is Kind.RERANKER else "retrieval.documents"
        cut += _number(name, found, documents, out)
    if kind is Kind.EMBEDDING and visible.input is not None:
        given = visible.input if isinstance(visible.input, list) else [visible.input]
        texts = [{"embedding.text": _as_text(text)} for text in given[:_MOST_ITEMS]]
        cut += _number("embedding.embeddings", given, texts, out)
    return cut


def _number(name: str, items: Sequence[Any], kept: Sequence[Attributes], out: Attributes) -> int:
    """Write what is kept of `items`; returns how many are not."""
    for n, item in enumerate(kept):
        head = f"{name}.{n}."
        for key, value in item.items():
            put(out, head + key, value)
    return len(items) - len(kept)


def _said(items: Sequence[Message]) -> list[Attributes]:
    """`message.*` of each message. What is made of one stays with it, as in `conversation`."""
    out: list[Attributes] = []
    for m in items:
        made = m.made.get(_MADE)
        if made is None:
            made = m.made[_MADE] = tuple(_message(m))
        out += made
    return out


def _ends(items: list[Attributes]) -> list[Attributes]:
    """The first item, and as many of the last ones as there is room for."""
    room = MOST_ATTRIBUTES
    if sum(map(len, items)) <= room:
        return items
    room -= len(items[0])
    tail: list[Attributes] = []
    for item in reversed(items[1:]):
        room -= len(item)
        if room < 0:
            break
        tail.append(item)
    return [items[0], *reversed(tail)]


def _message(m: Message) -> Iterable[Attributes]:
    """`message.*` of one message; each answer of a tool in it is a message of its own."""
    if len(m.parts) == 1 and type(said := m.parts[0]) is Text:  # as most are
        yield known({"message.role": m.role, "message.name": m.name, "message.content": said.content})
        return
    rest: list[Part] = []
    for p in m.parts:
        if isinstance(p, ToolCallResponse):
            yield known({
                "message.role": "tool",
                "message.content": _as_text(p.response),
                "message.tool_call_id": p.id,
                "message.name": m.name,
            })  # fmt: skip
        else:
            rest.append(p)
    if not rest and m.parts:
        return
    out: Attributes = {"message.role": m.role, "message.name": m.name}
    words = [p for p in rest if not isinstance(p, ToolCall)]
    if all(isinstance(p, Text) for p in words):
        out["message.content"] = "".join(p.content for p in words if isinstance(p, Text))
    else:
        for n, p in enumerate(words[:_MOST_ITEMS]):
            out |= {f"message.contents.{n}.message_content.{key}": value for key, value in _part(p).items()}
    for n, call in enumerate([p for p in rest if isinstance(p, ToolCall)][:_MOST_ITEMS]):
        of_call = f"message.tool_calls.{n}.tool_call."
        out |= {
            f"{of_call}id": call.id,
            f"{of_call}function.name": call.name,
            f"{of_call}function.arguments": "{}" if call.arguments is None else _as_text(call.arguments),
        }
    yield known(out)


_MEDIA = {"image": "image.image.url", "audio": "audio.audio.url", "video": "video.video.url"}


def _part(p: Part) -> Attributes:
    match p:
        case Text(content):
            return {"type": "text", "text": content}
        case Reasoning(content):
            return {"type": "reasoning", "text": content}
        case Media(modality, mime_type, str() as uri):
            if key := _MEDIA.get(modality):
                mime = {"audio.audio.mime_type": mime_type} if modality == "audio" else {}
                return {"type": modality, key: uri, **mime}
            return {"type": "document", "document.document.url": uri, "document.document.mime_type": mime_type}
        case Media(_, mime_type, None, str() as file_id):
            return {"type": "document", "document.document.id": file_id, "document.document.mime_type": mime_type}
    return {"type": "text", "text": as_json(shape.part(p))}


def _text(m: Message) -> str:
    return _as_text(shape.chat_messages([m])[-1]["content"])


def _tool(t: ToolDefinition) -> Attributes:
    function = {"name": t.name, "description": t.description, "parameters": t.parameters}
    schema = {"type": "function", "function": {k: v for k, v in function.items() if v is not None}}
    return known({
        "tool.name": t.name,
        "tool.description": t.description,
        "tool.json_schema": as_json(schema),
    })  # fmt: skip


def _document(d: Document) -> Attributes:
    out: Attributes = {}
    put(out, "document.id", d.id)
    put(out, "document.score", d.score)
    put(out, "document.content", d.content)
    if d.metadata:
        put(out, "document.metadata", as_json(d.metadata))
    return out


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else as_json(value)
