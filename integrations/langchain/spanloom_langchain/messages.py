"""LangChain's messages as the neutral record. Runs on the worker."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from operator import attrgetter
from typing import Any, NamedTuple

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
    convert_to_messages,
)
from spanloom.content.plain import plain
from spanloom.step import Message, OtherPart, Part, Reasoning, Text, ToolCall, ToolCallResponse

from .blocks import described, parts_of, role_of
from .recall import Recall
from .snapshots import Answer, Fields, fields_of_answer
from .values import convert


# ---------------------------------------------------------------- messages
def messages_of(items: Iterable[Any]) -> tuple[Message, ...]:
    """LangChain messages, or whatever LangChain takes for one (`("user", "hi")`, `{"role": …}`, text).

    A message object that was read before, and says what it said then, is the same `Message` again.
    """
    return tuple([message_of(item) for item in items])


def message_of(item: Any) -> Message:
    """One message with its parts."""
    if (shape := _SHAPES.get(type(item))) is not None:
        return _recall.read(item, shape.fields, shape.read)
    if not isinstance(item, BaseMessage):
        try:
            (item,) = convert_to_messages([item])
        except Exception:  # not a message by LangChain's own rules: shown as it is
            return Message("user", tuple(parts_of(plain(item, convert))))
    shape = next(shape for kind, shape in _KINDS.items() if isinstance(item, kind))
    return shape.read(shape.fields(item))


def _spoken(fields: Fields) -> Message:
    type, content, name = fields
    return Message(role_of(type), _parts(content), name)


def _of_role(fields: Fields) -> Message:
    role, content, name = fields
    return Message(role, _parts(content), name)


def _tool_answer(fields: Fields) -> Message:
    content, name, call_id = fields
    return Message(
        "tool", (ToolCallResponse(content if isinstance(content, str) else plain(content, described), call_id),), name
    )


def _answer(fields: Fields, finish_reason: str | None = None) -> Message:
    type, content, name, calls, invalid_calls, additional = fields
    parts = _parts(content)
    if additional:
        if isinstance(thought := additional.get("reasoning_content"), str) and thought:
            parts = (Reasoning(thought), *parts)
        if isinstance(refusal := additional.get("refusal"), str) and refusal:
            parts += (OtherPart("refusal", {"refusal": refusal}),)
    if calls:
        parts += tuple([ToolCall(call["name"], call["args"], call.get("id")) for call in calls])
    if invalid_calls:
        parts += tuple([ToolCall(c.get("name") or "", c.get("args"), c.get("id")) for c in invalid_calls])
    elif not calls and additional and isinstance(call := additional.get("function_call"), Mapping):  # OpenAI's former
        parts += (ToolCall(str(call.get("name") or ""), call.get("arguments")),)
    return Message(role_of(type), parts, name, finish_reason)


def _parts(content: Any) -> tuple[Part, ...]:
    if type(content) is str:
        return (Text(content),) if content else ()
    return tuple(parts_of(content))


class _Shape(NamedTuple):
    """What is read of a kind of message, and the message that it makes."""

    fields: Callable[[Any], Fields]
    read: Callable[[Fields], Message]


_SPOKEN = _Shape(attrgetter("type", "content", "name"), _spoken)
_KINDS: dict[type, _Shape] = {  # a subclass has the first that fits
    ToolMessage: _Shape(attrgetter("content", "name", "tool_call_id"), _tool_answer),
    AIMessage: _Shape(fields_of_answer, _answer),
    ChatMessage: _Shape(attrgetter("role", "content", "name"), _of_role),
    BaseMessage: _SPOKEN,
}
_SHAPES = {**_KINDS, HumanMessage: _SPOKEN, SystemMessage: _SPOKEN}
_recall = Recall()


# ---------------------------------------------------------------- models
def answers_of(answers: Sequence[Answer], finish_reasons: Sequence[str]) -> tuple[Message, ...]:
    """What a model answered: one message a choice, with its finish reason."""
    out = []
    for n, answer in enumerate(answers):
        reason = finish_reasons[n] if n < len(finish_reasons) else None
        if isinstance(answer, tuple):
            out.append(_answer(answer, reason))
        elif isinstance(answer, str):
            out.append(Message("assistant", (Text(answer),), finish_reason=reason))
        else:
            out.append(replace(message_of(answer), finish_reason=reason))
    return tuple(out)


def prompt_of(text: str) -> tuple[Message, ...]:
    """The prompt of a string model, as one message of the user."""
    return (Message("user", (Text(text),)),)
