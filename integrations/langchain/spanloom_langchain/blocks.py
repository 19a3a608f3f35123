"""Content blocks as parts of a message, be they in OpenAI's, Anthropic's, Google's or LangChain's shape. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from spanloom.content.plain import plain
from spanloom.step import Media, OtherPart, Part, Reasoning, Text, ToolCallResponse

_ROLES = {"human": "user", "ai": "assistant", "AIMessageChunk": "assistant", "function": "tool"}
_MEDIA = {"image": "image", "image_url": "image", "audio": "audio", "input_audio": "audio", "video": "video"}
REASONING = frozenset({"thinking", "reasoning", "reasoning_content", "redacted_thinking"})
CALLS = frozenset({"tool_use", "tool_call", "tool_call_chunk", "function_call", "input_json_delta"})


def role_of(type: str) -> str:
    """The role that a message of LangChain's `type` has."""
    return _ROLES.get(type, type)


def parts_of(content: Any) -> Iterator[Part]:
    """The parts of a message's content, be it a text or a list of blocks."""
    if isinstance(content, str):
        if content:
            yield Text(content)
        return
    if not isinstance(content, (list, tuple)):
        yield OtherPart("value", content)
        return
    for block in content:
        if isinstance(block, str):
            yield Text(block)
        elif isinstance(block, Mapping):
            yield from _block(block)
        else:
            yield OtherPart(type(block).__name__, block)


def _block(block: Mapping[str, Any]) -> Iterator[Part]:
    """A content block in OpenAI's, Anthropic's, Google's or LangChain's own shape."""
    kind = str(block.get("type", "other"))
    if kind in ("text", "output_text", "input_text"):
        yield Text(str(block.get("text", "")))
    elif kind in REASONING:
        said = block.get("thinking") or block.get("reasoning") or block.get("text") or block.get("summary")
        yield Reasoning(said if isinstance(said, str) else str(plain(said)) if said else "")
    elif kind in CALLS:
        return  # LangChain lists them in `tool_calls` too
    elif kind == "tool_result":
        yield ToolCallResponse(plain(block.get("content")), block.get("tool_use_id"))
    elif kind in _MEDIA or kind in ("file", "media", "document"):
        yield _media(kind, block)
    else:
        yield OtherPart(kind, {k: v for k, v in block.items() if k != "type"})


def _media(kind: str, block: Mapping[str, Any]) -> Media:
    source = block.get("source") or block.get("image_url") or block.get("input_audio") or block.get("file") or block
    if isinstance(source, str):
        source = {"url": source}
    if not isinstance(source, Mapping):
        source = {}
    url = source.get("url") or source.get("image_url")
    data = source.get("data") or source.get("base64") or source.get("file_data")
    mime = source.get("media_type") or source.get("mime_type") or block.get("mime_type")
    if isinstance(data, str) and data.startswith("data:"):
        url, data = data, None
    if isinstance(url, str) and url.startswith("data:"):
        head, _, data = url.partition(",")
        mime, url = mime or head[5:].split(";")[0], None
    return Media(
        _MEDIA.get(kind, "document"),
        mime if isinstance(mime, str) else None,
        url if isinstance(url, str) else None,
        source.get("file_id") if isinstance(source.get("file_id"), str) else None,
        len(data) * 3 // 4 if isinstance(data, str) else len(data) if isinstance(data, bytes) else None,
    )
