"""A step's content, read once and made plain. Runs on the worker."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import fields
from itertools import compress, islice, takewhile
from math import isfinite
from operator import attrgetter, is_, is_not
from typing import Any, TypeVar

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
from .batch import COPYING
from .digest import canonical_messages, digest
from .plain import clean, label, plain, text_of
from .visible import CONTENT, Visible

_MOST_ITEMS = 10_000
_MOST_TAGS = 100
_MOST_METADATA = 1_000
_SYSTEM = frozenset({"system", "developer"})


class Reading(Visible):
    """A step's content, each field of which is read when it is first asked for: what every policy drops is never read.

    It reads without locks: one thread at a time. A field that cannot be read is left empty.
    """

    __slots__ = ("_content", "_metadata", "_tool_description", "told")

    def __init__(self, content: Content, identity: Identity, tool_description: str | None = None) -> None:
        self._content, self._metadata, self._tool_description = content, identity.metadata, tool_description
        self.identity = identity if identity is NOBODY else _once(identity, _bounded)
        # What is not there, as most is, need not be asked for.
        given = (*_first(content), tool_description, *_then(content), identity.metadata or None, content.template)
        self.told = [*compress(_GIVEN, map(is_not, given, _NOTHING_GIVEN))]  # type: ignore[misc]  # there worked out

    def __getattr__(self, name: str) -> Any:  # a field that is not set yet
        make = _FIELDS.get(name)
        if make is None:
            raise AttributeError(name)
        value = make(self)
        setattr(self, name, value)
        return value

    def given(self, name: str) -> Any:
        """The raw value of a field of the content."""
        return getattr(self._content, name)


def read(content: Content, identity: Identity, tool_description: str | None = None) -> Visible:
    """Everything of `content`, as plain values, before any policy. A field that cannot be read is left empty."""
    reading = Reading(content, identity, tool_description)
    return Visible(**{f.name: getattr(reading, f.name) for f in fields(Visible)})


_Made = TypeVar("_Made")


def _once(given: Any, make: Callable[[Any], _Made]) -> _Made:
    """What `make` makes of an object that stands beside all spans of a trace: once for a batch."""
    batch = COPYING.batch
    if batch is None:
        return make(given)
    known = batch.read(make)
    before = known.get(id(given))
    if before is None:
        before = known[id(given)] = given, make(given)
    return before[1]  # type: ignore[no-any-return]


def _bounded(identity: Identity) -> Identity:
    """The identity as attribute values: text in any encoder."""
    if identity is NOBODY:
        return identity
    prompt = identity.prompt
    version = prompt.version if prompt is not None else None
    return Identity(
        user_id=_name(identity.user_id),
        session_id=_name(identity.session_id),
        tags=tuple([_name(tag) or "" for tag in islice(identity.tags, _MOST_TAGS)]),
        metadata=identity.metadata,
        tenant=_name(identity.tenant),
        prompt=Prompt(_name(prompt.name) or "", version if isinstance(version, int) else _name(version))
        if prompt is not None
        else None,
    )


def _system_prompt(messages: tuple[Message, ...]) -> tuple[Message, ...]:
    """What stands in for the template of a prompt that was made from none: what is the same from request to request."""
    return tuple(takewhile(lambda m: m.role in _SYSTEM, messages))


def _field(name: str, value: Any, make: Callable[[Any], Any]) -> Any:
    """None for what is empty, and for what cannot be read."""
    if value is None:
        return None
    try:
        if isinstance(value, Deferred):
            build, value = value.build, value.build(*value.args)
            if make is _marked and getattr(build, "makes_plain", False):
                return value
        return make(value)
    except Exception as error:
        GUARD.caught(f"spanloom.content.read.{name}", error)
    return None


def _marked(value: Any) -> Any:
    return plain(value, marks=True)


def _text(value: Any) -> str | None:
    if value is None:
        return None
    if type(value) is str:
        return value if value.isascii() else clean(value)
    value = plain(value)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _name(value: Any) -> str | None:
    """A name, an id or an address as text, whole: a policy must see it before it is cut to a label."""
    if type(value) is str and value.isascii():
        return value
    return None if value is None else clean(value) if isinstance(value, str) else text_of(value)


def _messages(value: Any) -> tuple[Message, ...]:
    # A chat is told anew in each of its turns: what was read before costs no call.
    return tuple([m if type(m) is Message and m.made.get("plain") is _ITSELF else _message(m) for m in _each(value)])


def _message(given: Any) -> Message:
    """The message in plain values, made once; `given` itself, where it has nothing else."""
    if type(given) is not Message:
        return _plain_message(given)
    known = given.made.get("plain")
    if known is _ITSELF:
        return given
    if known is not None:
        return known  # type: ignore[no-any-return]
    if _is_plain(given) or _is(made := _plain_message(given), given):
        given.made["plain"] = _ITSELF  # not the message: it would be a circle, for the collector
        return given
    given.made["plain"] = made
    made.made["plain"] = _ITSELF
    return made


_ITSELF = object()


def _is_plain(m: Message) -> bool:
    """Whether a message has nothing but short names and ASCII text, as most have. It may say no of a plain one."""
    role, parts, name, reason = m.role, m.parts, m.name, m.finish_reason
    if type(role) is not str or not role or label(role) is not role or (name is not None and _name(name) is not name):
        return False
    if label(reason) is not reason or type(parts) is not tuple or len(parts) > _MOST_ITEMS:
        return False
    for part in parts:
        if type(part) is Text:
            said = part.content
        elif type(part) is ToolCallResponse and label(part.id) is part.id:
            said = part.response
        else:
            return False
        if type(said) is not str or not said.isascii():
            return False
    return True


def _is(made: Message, given: Message) -> bool:
    return (
        made.role is given.role
        and made.name is given.name
        and made.finish_reason is given.finish_reason
        and type(given.parts) is tuple
        and len(made.parts) == len(given.parts)
        and all(map(is_, made.parts, given.parts))
    )


def _plain_message(m: Any) -> Message:
    parts = tuple([_part(p) for p in _each(m.parts)])
    return Message(_name(m.role) or "user", parts, _name(m.name), label(m.finish_reason))


def _part(part: Part) -> Part:
    if type(part) is Text and type(part.content) is str and part.content.isascii():
        return part
    match part:
        case Text(content):
            said = _text(content) or ""
            return part if said is content else Text(said)
        case Reasoning(content):
            return Reasoning(_text(content) or "")
        case ToolCall(name, arguments, id):
            return ToolCall(_name(name) or "", plain(arguments), label(id))
        case ToolCallResponse(response, id):
            said, call = plain(response), label(id)
            return part if said is response and call is id else ToolCallResponse(said, call)
        case Media(modality, mime_type, uri, file_id, size):
            if isinstance(uri, str) and uri.startswith("data:"):  # the thing itself, written as an address
                size = len(uri) if size is None else size
                uri = None
            return Media(label(modality) or "file", label(mime_type), _name(uri), _name(file_id), size)
        case OtherPart(what, value):
            return OtherPart(label(what) or "other", plain(value))
    return OtherPart("other", plain(part))


def _tools(value: Any) -> tuple[ToolDefinition, ...]:
    return tuple([ToolDefinition(_name(t.name) or "", _text(t.description), plain(t.parameters)) for t in _each(value)])


def _documents(value: Any) -> tuple[Document, ...]:
    return tuple(
        [Document(_text(d.content), _name(d.id), _number(d.score), _object(plain(d.metadata))) for d in _each(value)]
    )


def _each(value: Any) -> Iterator[Any]:
    """The items of `value`, one by one: at most so many as a budget could ever show."""
    return islice(value or (), _MOST_ITEMS)


def _number(value: Any) -> float | None:
    if value is None or (type(value) is float and isfinite(value)):
        return value
    value = plain(value)
    return value if isinstance(value, (int, float)) else None


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {} if value is None else {"value": value}


def metadata(given: Any) -> dict[str, Any]:
    """Plain values under their names. Each is read for itself: one that is vast does not cost the others."""
    return _once(given, _metadata) if given else {}


def _metadata(given: Any) -> dict[str, Any]:
    return {_name(key) or "": plain(value) for key, value in islice(dict(given).items(), _MOST_METADATA)}


# ---------------------------------------------------------------- fields
def _of(name: str, make: Callable[[Any], Any], empty: Any = None) -> Callable[[Reading], Any]:
    if empty is None:
        return lambda reading: _field(name, reading.given(name), make)
    return lambda reading: empty if (value := reading.given(name)) is empty else _field(name, value, make) or empty


def _template(reading: Reading) -> tuple[Message, ...]:
    """Where a prompt was made from no template, what is the same from request to request stands in for it."""
    return _field("template", reading.given("template"), _messages) or _system_prompt(reading.input_messages)


def _hash(name: str) -> Callable[[Reading], str | None]:
    def make(reading: Reading) -> str | None:
        messages = getattr(reading, name)
        return digest(canonical_messages(messages)) if messages else None

    return make


_GIVEN = (*CONTENT, "template")
_first, _then = attrgetter(*CONTENT[:5]), attrgetter(*CONTENT[6:-1])  # of a `Content`, which has no `tool_description`
_NOTHING_GIVEN = [None if name in ("tool_description", "metadata") else getattr(Content(), name) for name in _GIVEN]
_FIELDS: dict[str, Callable[[Reading], Any]] = {
    "input": _of("input", _marked),
    "output": _of("output", _marked),
    "input_messages": _of("input_messages", _messages, ()),
    "output_messages": _of("output_messages", _messages, ()),
    "tool_definitions": _of("tool_definitions", _tools, ()),
    "tool_description": lambda r: _field("tool_description", r._tool_description, _text),
    "arguments": _of("arguments", _marked),
    "result": _of("result", _marked),
    "query": _of("query", _text),
    "documents": _of("documents", _documents, ()),
    "prompt_variables": _of("prompt_variables", _marked),
    "error_message": _of("error_message", _text),
    "error_stack": _of("error_stack", _text),
    "metadata": lambda r: _field("metadata", r._metadata, metadata) or {},
    "prompt_hash": _hash("input_messages"),
    "completion_hash": _hash("output_messages"),
    "template": _template,
    "template_hash": _hash("template"),
    "truncated": lambda _: 0,
    "kept": lambda _: [],
    "vault_status": lambda _: None,
}
