"""Digests of content: the same content is recognised without being shown.

A plain SHA-256 of a short text can be guessed by trying; with a key, HMAC-SHA256 (RFC 2104), it cannot.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any

import orjson

from ..step import Message, OtherPart, Part, Reasoning, Text, ToolCall, ToolCallResponse


def digest(canonical: str, key: bytes | None = None) -> str:
    """SHA-256 of `canonical` in UTF-8, or HMAC-SHA256 under `key`, in hexadecimal."""
    data = canonical.encode("utf-8", "surrogatepass")
    return hashlib.sha256(data).hexdigest() if key is None else hmac.new(key, data, "sha256").hexdigest()


def canonical_value(value: Any) -> str:
    """The text that stands for a plain value: a text itself, else JSON with sorted keys and no spaces."""
    return value if isinstance(value, str) else _json(value)


def canonical_messages(messages: tuple[Message, ...]) -> str:
    """The text that stands for a conversation.

    The content itself where there is one message with one text; else the JSON of `[[role, part…]…]` without ids, with
    sorted keys and no spaces, each part as `[type, value…]`.
    """
    if len(messages) == 1 and len(messages[0].parts) == 1 and isinstance(messages[0].parts[0], Text):
        return messages[0].parts[0].content
    return f"[{','.join([m.made.get('canonical') or _message(m) for m in messages])}]"


_json = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode


def _text(text: str) -> str:
    """`_json` of a text, many times as fast."""
    try:
        return orjson.dumps(text).decode()
    except TypeError:  # lone surrogates
        return _json(text)


def _value(value: Any) -> str:
    """`_json` of a plain value. It is `json` that says how numbers with a point are spelt."""
    if type(value) is str:
        return _text(value)
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode() if _is_spelt_alike(value) else _json(value)
    except TypeError:
        return _json(value)


def _is_spelt_alike(value: Any) -> bool:
    kind = type(value)
    if kind is dict:
        return _ALIKE.issuperset(map(type, value)) and all(map(_is_spelt_alike, value.values()))
    if kind is list:
        return all(map(_is_spelt_alike, value))
    return kind in _ALIKE or kind is int or kind is bool or value is None


_ALIKE = frozenset({str})


def _message(message: Message) -> str:
    """The JSON of `[role, part…]`, kept on the message: what is said again in the next turn has it."""
    made = message.made["canonical"] = f"[{','.join([_text(message.role), *map(_part, message.parts)])}]"
    return made


def _part(part: Part) -> str:
    match part:
        case Text(content):
            return f'["text",{_text(content)}]'
        case Reasoning(content):
            return f'["reasoning",{_text(content)}]'
        case ToolCall(name, arguments):
            return f'["tool_call",{_text(name)},{_value(arguments)}]'
        case ToolCallResponse(response):
            return f'["tool_call_response",{_value(response)}]'
        case OtherPart(type, value):
            return _json([type, value])
    return _json([part.modality, part.mime_type, part.uri, part.file_id, part.size])
