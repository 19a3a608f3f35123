"""Every text of a piece of content, wherever it stands: one walk for cutting, cleaning and redacting."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from ..step import Document, Message, OtherPart, Reasoning, Text, ToolCall, ToolCallResponse, ToolDefinition


def map_text(value: Any, change: Callable[[str], str]) -> Any:
    """`value` with `change` applied to every text in it. Roles, names, ids and keys stay as they are."""
    match value:
        case str():
            return change(value)
        case dict():
            return {k: map_text(v, change) for k, v in value.items()}
        case list():
            return [map_text(v, change) for v in value]
        case tuple():
            return tuple(map_text(v, change) for v in value)
        case Message(role, parts, name, finish_reason):
            return Message(role, tuple(map_text(p, change) for p in parts), name, finish_reason)
        case Text(content):
            return Text(change(content))
        case Reasoning(content):
            return Reasoning(change(content))
        case ToolCall(name, arguments, id):
            return ToolCall(name, map_text(arguments, change), id)
        case ToolCallResponse(response, id):
            return ToolCallResponse(map_text(response, change), id)
        case OtherPart(type, inner):
            return OtherPart(type, map_text(inner, change))
        case Document(content, id, score, metadata):
            return Document(map_text(content, change), id, score, map_text(metadata, change))
        case ToolDefinition(name, description, parameters):
            return ToolDefinition(name, map_text(description, change), map_text(parameters, change))
    return value


def texts(value: Any) -> Iterator[str]:
    """Every text in `value`, in order."""
    found: list[str] = []

    def note(text: str) -> str:
        found.append(text)
        return text

    map_text(value, note)
    return iter(found)
