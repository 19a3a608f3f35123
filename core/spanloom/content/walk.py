"""Every text of a piece of content, wherever it stands: one walk for cutting, cleaning and redacting."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from ..step import Document, Media, Message, OtherPart, Reasoning, Text, ToolCall, ToolCallResponse, ToolDefinition


def map_text(value: Any, change: Callable[[str], str]) -> Any:
    """`value` with `change` applied to every text in it. Roles, names, ids and keys stay as they are."""
    return map_leaves(value, lambda leaf: change(leaf) if isinstance(leaf, str) else leaf)


def map_leaves(value: Any, change: Callable[[Any], Any]) -> Any:
    """`value` with `change` applied to everything in it that is neither a container nor a part of a record."""
    match value:
        case dict():
            return {k: map_leaves(v, change) for k, v in value.items()}
        case list():
            return [map_leaves(v, change) for v in value]
        case tuple():
            return tuple(map_leaves(v, change) for v in value)
        case Message(role, parts, name, finish_reason):
            return Message(role, tuple(map_leaves(p, change) for p in parts), name, finish_reason)
        case Text(content):
            return Text(change(content))
        case Reasoning(content):
            return Reasoning(change(content))
        case ToolCall(name, arguments, id):
            return ToolCall(name, map_leaves(arguments, change), id)
        case ToolCallResponse(response, id):
            return ToolCallResponse(map_leaves(response, change), id)
        case OtherPart(type, inner):
            return OtherPart(type, map_leaves(inner, change))
        case Document(content, id, score, metadata):
            return Document(map_leaves(content, change), id, score, map_leaves(metadata, change))
        case ToolDefinition(name, description, parameters):
            return ToolDefinition(name, map_leaves(description, change), map_leaves(parameters, change))
        case Media():
            return value
    return change(value)


def texts(value: Any) -> Iterator[str]:
    """Every text in `value`, in order."""
    found: list[str] = []

    def note(text: str) -> str:
        found.append(text)
        return text

    map_text(value, note)
    return iter(found)
