"""What a step said and read, as labelled blocks of text."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any


def blocks(record: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Labels and texts of what `record` holds, in the order of a conversation."""
    content = record.get("content", {})
    for message in content.get("input_messages", ()):
        yield from _message(message, message.get("role", "?"))
    for message in content.get("output_messages", ()):
        yield from _message(message, "answer")
    for name in ("input", "output", "arguments", "result", "query"):
        if (value := content.get(name)) is not None and not _said(name, content):
            yield name, _text(value)
    for i, document in enumerate(content.get("documents", ()), 1):
        score = document.get("score")
        yield (
            f"document {i}",
            (f"[{score:.3f}] " if isinstance(score, float) else "")
            + _text(document.get("content") or document.get("id") or ""),
        )
    attributes = record.get("attributes", {})
    if "scope" in record:
        for name, value in attributes.items():
            yield name, _text(value)
    if stack := record.get("error", {}).get("stack"):
        yield "stack", stack.rstrip()


def _said(name: str, content: dict[str, Any]) -> bool:
    """Whether the messages say it already."""
    return f"{name}_messages" in content


def _message(message: dict[str, Any], label: str) -> Iterator[tuple[str, str]]:
    for part in message.get("parts", ()):
        match part.get("type"):
            case "text":
                yield label, part.get("content", "")
            case "reasoning":
                yield "reasoning", part.get("content", "")
            case "tool_call":
                yield "calls", f"{part.get('name')} {_text(part.get('arguments') or {})}"
            case "tool_call_response":
                yield "tool", _text(part.get("response"))
            case kind:
                yield label, f"<{kind} {_text({k: v for k, v in part.items() if k != 'type'})}>"


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
