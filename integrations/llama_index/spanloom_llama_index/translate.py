"""LlamaIndex's messages, nodes and tools as the neutral record. Runs on the worker, on what `snapshots` holds."""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from llama_index.core.base.llms.types import (
    AudioBlock,
    ChatMessage,
    DocumentBlock,
    ImageBlock,
    VideoBlock,
)
from llama_index.core.tools.types import BaseTool
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

from .snapshots import REASONING, Found, Said, said_of
from .values import json_of, shown, text


# ---------------------------------------------------------------- messages
def messages(given: Iterable[Any]) -> tuple[Message, ...]:
    """Chat messages; what is no chat message is read as a user's text.

    A message that was read before and says the same is the same `Message` again, as long as LlamaIndex's lives.
    """
    return tuple([_again(m) if type(m) is Said else message(m) for m in given])


def message(given: Any, finish_reason: str | None = None) -> Message:
    if isinstance(given, ChatMessage):
        given = said_of(given)
    elif type(given) is not Said:
        return Message("user", (Text(text(given)),))
    name, extra = None, given.extra
    if extra:
        name = extra.get("name")
    role = str(getattr(given.role, "value", given.role))
    if role in ("tool", "function"):
        answer = ToolCallResponse("\n".join(given.texts()), extra.get("tool_call_id") if extra else None)
        return Message("tool", (answer,), name)
    blocks = given.blocks
    if type(blocks) is str:
        parts: list[Part] = [Text(blocks)] if blocks else []
    else:
        parts = [part for block in blocks if (part := _part(block)) is not None]
    if extra and not any(type(p) is ToolCall for p in parts):
        parts += given.tool_calls()
    return Message("assistant" if role == "chatbot" else role, tuple(parts), name, finish_reason)


def _part(block: Any) -> Part | None:
    """A part of what `Said.blocks` holds."""
    if type(block) is str:
        return Text(block) if block else None
    if type(block) is tuple:
        if block[0] == REASONING:
            return Reasoning(block[1]) if block[1] else None
        return ToolCall(block[1], json_of(block[2]), block[3])
    match block:
        case ImageBlock():
            return _media("image", block, block.image, block.image_mimetype)
        case AudioBlock():
            return _media("audio", block, block.audio, f"audio/{block.format}" if block.format else None)
        case VideoBlock():
            return _media("video", block, block.video, block.video_mimetype)
        case DocumentBlock():
            return _media("file", block, block.data, block.document_mimetype)
    return OtherPart(str(getattr(block, "block_type", type(block).__name__)), plain(block, shown))


def _media(modality: str, block: Any, data: Any, mime_type: str | None) -> Media:
    where = getattr(block, "url", None) or getattr(block, "path", None)
    uri = str(where) if where is not None and not str(where).startswith("data:") else None
    return Media(modality, mime_type, uri, size=len(data) if isinstance(data, (bytes, str)) else None)


def prompt(given: Any) -> tuple[Message, ...]:
    """A string model's prompt."""
    return (Message("user", (Text(text(given)),)),)


def answer(given: Any, finish_reason: str | None = None) -> tuple[Message, ...]:
    """What a model said, as `snapshots.answer` holds it."""
    if type(given) is Said:
        return (message(given, finish_reason),)
    return () if given is None else (Message("assistant", (Text(text(given)),), finish_reason=finish_reason),)


# ---------------------------------------------------------------- messages that come again
class _Read(weakref.ref[ChatMessage]):
    """A chat message that was read, what it said then, and the record of that. It lives no longer than the message."""

    __slots__ = ("blocks", "extra", "key", "made", "role")

    key: int
    role: Any
    blocks: Any
    extra: Any
    made: Message


_MOST_READ = 10_000
_read: dict[int, _Read] = {}  # by the id of the chat message


def _again(said: Said) -> Message:
    key = id(said.message)
    known = _read.get(key)
    if (
        known is not None
        and known() is said.message
        and known.role is said.role
        and _same(known.blocks, said.blocks)
        and _same(known.extra, said.extra)
    ):
        return known.made
    made = message(said)
    read = _Read(said.message, _gone)
    read.key, read.role, read.blocks, read.extra, read.made = key, said.role, said.blocks, said.extra, made
    _read[key] = read
    if len(_read) > _MOST_READ:
        with suppress(StopIteration, RuntimeError, KeyError):  # another worker was faster
            del _read[next(iter(_read))]
    return made


def _gone(read: _Read) -> None:
    if _read.get(read.key) is read:
        _read.pop(read.key, None)


def _same(one: Any, other: Any) -> bool:
    """Whether two snapshots of one message say the same. What is held by reference may say something else by now."""
    kind = type(one)
    if kind is not type(other):
        return False
    if kind in _PLAIN:
        return one is other or (kind is not float and bool(one == other))  # 0.0 is -0.0, but for its sign
    if kind is tuple or kind is list:
        return len(one) == len(other) and all(map(_same, one, other))
    if kind is dict:
        return list(one) == list(other) and all(map(_same, one.values(), other.values()))
    return False


_PLAIN = frozenset({str, int, float, bool, type(None)})


# ---------------------------------------------------------------- tools and documents
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


def documents(nodes: Iterable[Found]) -> tuple[Document, ...]:
    """Nodes as documents."""
    return tuple([Document(n.content(), n.id, n.score, n.metadata) for n in nodes])
