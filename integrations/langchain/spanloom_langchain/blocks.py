"""Content blocks as parts of a message, be they in OpenAI's, Anthropic's, Google's or LangChain's shape. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from spanloom.content.plain import plain
from spanloom.step import Media, OtherPart, Part, Reasoning, Text, ToolCallResponse

_ROLES = {"human": "user", "ai": "assistant", "AIMessageChunk": "assistant", "function": "tool"}
_MEDIA = {
    "image": "image",
    "image_url": "image",
    "input_image": "image",
    "image_generation_call": "image",
    "audio": "audio",
    "input_audio": "audio",
    "video": "video",
    "file": "document",
    "input_file": "document",
    "media": "document",
    "document": "document",
}
_SOURCES = ("source", "image_url", "input_audio", "file")
_DATA = ("data", "base64", "file_data")
_BASE64 = re.compile(r"[\w+/=-]{1,64}", re.ASCII)  # as it begins; texts have spaces
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
        yield ToolCallResponse(plain(block.get("content"), described), block.get("tool_use_id"))
    elif kind in _MEDIA:
        yield _media(kind, block)
    else:
        yield OtherPart(kind, plain({k: v for k, v in block.items() if k != "type"}, described))


def described(value: Any) -> Any:
    """A block that has a medium's bytes in it, with their size in their place; any other value as it is."""
    if not isinstance(value, dict) or not isinstance(kind := value.get("type"), str) or kind not in _MEDIA:
        return value
    data = _source_and_data(kind, value)[1]
    if isinstance(data, str) and _BASE64.fullmatch(data[:64]):
        return _without(data, value)
    return value  # bytes are never shown


def _without(data: str, value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without(data, inner) for key, inner in value.items()}
    if isinstance(value, str) and (value == data or (value.startswith("data:") and value.endswith(data))):
        return f"{value[: -len(data)]}<{_size(data)} bytes>"
    return value


def _size(data: Any) -> int | None:
    return len(data) * 3 // 4 if isinstance(data, str) else len(data) if isinstance(data, bytes) else None


def _source_and_data(kind: str, block: Mapping[str, Any]) -> tuple[Mapping[str, Any], Any]:
    """What of a block tells of the medium, and its bytes (or their base64) where it has them."""
    source = next((block[key] for key in _SOURCES if block.get(key)), block)
    if isinstance(source, str):
        source = {"url": source}
    if not isinstance(source, Mapping):
        source = {}
    if kind == "image_generation_call":
        return source, block.get("result")
    if (inline := _inline(source)) is not None:
        return source, inline.partition(",")[2]
    return source, next((source[key] for key in _DATA if source.get(key)), None)


def _inline(source: Mapping[str, Any]) -> str | None:
    """The address that has the medium itself in it, be it given as an address or as the medium."""
    given = (_url(source), *[source.get(key) for key in _DATA])
    return next((url for url in given if isinstance(url, str) and url.startswith("data:")), None)


def _url(source: Mapping[str, Any]) -> Any:
    return source.get("url") or source.get("image_url")


def _media(kind: str, block: Mapping[str, Any]) -> Media:
    source, data = _source_and_data(kind, block)
    url = _url(source)
    mime = source.get("media_type") or source.get("mime_type") or block.get("mime_type")
    if (inline := _inline(source)) is not None:
        mime, url = mime or inline.partition(",")[0][5:].split(";")[0], None
    return Media(
        _MEDIA[kind],
        mime if isinstance(mime, str) else None,
        url if isinstance(url, str) else None,
        source.get("file_id") if isinstance(source.get("file_id"), str) else None,
        _size(data),
    )
