"""A step's content, read once and made plain. Runs on the worker."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice, takewhile
from typing import Any

from ..guard import GUARD
from ..identity import NOBODY, Identity, Prompt
from ..step import (
    Content,
    Deferred,
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
from .digest import canonical_messages, digest
from .plain import label, plain
from .visible import Visible

_MOST_ITEMS = 10_000
_MOST_TAGS = 100
_MOST_METADATA = 1_000
_SYSTEM = frozenset({"system", "developer"})


def read(content: Content, identity: Identity, tool_description: str | None = None) -> Visible:
    """Everything of `content`, as plain values, before any policy. A field that cannot be read is left empty."""
    visible = Visible(identity=_bounded(identity))
    visible.input = _field("input", content.input, _marked)
    visible.output = _field("output", content.output, _marked)
    visible.input_messages = _field("input_messages", content.input_messages, _messages) or ()
    visible.output_messages = _field("output_messages", content.output_messages, _messages) or ()
    visible.tool_definitions = _field("tool_definitions", content.tool_definitions, _tools) or ()
    visible.tool_description = _field("tool_description", tool_description, _text)
    visible.arguments = _field("arguments", content.arguments, _marked)
    visible.result = _field("result", content.result, _marked)
    visible.query = _field("query", content.query, _text)
    visible.documents = _field("documents", content.documents, _documents) or ()
    visible.prompt_variables = _field("prompt_variables", content.prompt_variables, _marked)
    visible.error_message = _field("error_message", content.error_message, _text)
    visible.error_stack = _field("error_stack", content.error_stack, _text)
    visible.metadata = _field("metadata", identity.metadata, metadata) or {}
    if visible.input_messages:
        visible.prompt_hash = digest(canonical_messages(visible.input_messages))
    if template := _field("template", content.template, _messages) or _system_prompt(visible.input_messages):
        visible.template, visible.template_hash = template, digest(canonical_messages(template))
    if visible.output_messages:
        visible.completion_hash = digest(canonical_messages(visible.output_messages))
    return visible


def _bounded(identity: Identity) -> Identity:
    """The identity as attribute values: short, and text in any encoder."""
    if identity is NOBODY:
        return identity
    prompt = identity.prompt
    version = prompt.version if prompt is not None else None
    return replace(
        identity,
        user_id=label(identity.user_id),
        session_id=label(identity.session_id),
        tags=tuple(label(tag) or "" for tag in islice(identity.tags, _MOST_TAGS)),
        tenant=label(identity.tenant),
        prompt=Prompt(label(prompt.name) or "", version if isinstance(version, int) else label(version))
        if prompt is not None
        else None,
    )


def _system_prompt(messages: tuple[Message, ...]) -> tuple[Message, ...]:
    """What stands in for the template of a prompt that was made from none: what is the same from request to request."""
    return tuple(takewhile(lambda m: m.role in _SYSTEM, messages))


def _field(name: str, value: Any, make: Any) -> Any:
    if value is None:
        return None
    with GUARD.watching(f"spanloom.content.read.{name}"):
        return make(value.resolve() if isinstance(value, Deferred) else value)
    return None


def _marked(value: Any) -> Any:
    return plain(value, marks=True)


def _text(value: Any) -> str | None:
    if value is None:
        return None
    value = plain(value)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _messages(value: Any) -> tuple[Message, ...]:
    return tuple(
        Message(label(m.role) or "user", tuple(_part(p) for p in _each(m.parts)), label(m.name), label(m.finish_reason))
        for m in _each(value)
    )


def _part(part: Part) -> Part:
    match part:
        case Text(content):
            return Text(_text(content) or "")
        case Reasoning(content):
            return Reasoning(_text(content) or "")
        case ToolCall(name, arguments, id):
            return ToolCall(label(name) or "", plain(arguments), label(id))
        case ToolCallResponse(response, id):
            return ToolCallResponse(plain(response), label(id))
        case Media(modality, mime_type, uri, file_id, size):
            if isinstance(uri, str) and uri.startswith("data:"):  # the thing itself, written as an address
                size = len(uri) if size is None else size
                uri = None
            return Media(label(modality) or "file", label(mime_type), label(uri), label(file_id), size)
        case OtherPart(type, value):
            return OtherPart(label(type) or "other", plain(value))
    return OtherPart("other", plain(part))


def _tools(value: Any) -> tuple[ToolDefinition, ...]:
    return tuple(ToolDefinition(label(t.name) or "", _text(t.description), plain(t.parameters)) for t in _each(value))


def _documents(value: Any) -> tuple[Document, ...]:
    return tuple(
        Document(_text(d.content), label(d.id), _number(d.score), _object(plain(d.metadata))) for d in _each(value)
    )


def _each(value: Any) -> Iterator[Any]:
    """The items of `value`, one by one: at most so many as a budget could ever show."""
    return islice(value or (), _MOST_ITEMS)


def _number(value: Any) -> float | None:
    value = plain(value)
    return value if isinstance(value, (int, float)) else None


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {} if value is None else {"value": value}


def metadata(given: Any) -> dict[str, Any]:
    """Plain values under short names. Each is read for itself: one that is vast does not cost the others."""
    return {label(key) or "": plain(value) for key, value in islice(dict(given or {}).items(), _MOST_METADATA)}
