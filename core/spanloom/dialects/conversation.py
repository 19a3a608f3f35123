"""A conversation as JSON, put together of its messages' own, each of which is written once.

A chat is told anew in each of its turns: what was said before is the same `Message` again, and keeps what was made of
it. So a turn costs what is new in it, and a look at each message that is not.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..content.written import as_json
from ..step import Message, ToolCallResponse
from . import messages as shape

_GENAI = "dialects.genai"
_CHAT = "dialects.chat"


def in_genai(items: Sequence[Message]) -> str:
    """The JSON of `messages.messages(items)`."""
    texts: list[str] = []
    for m in items:
        text = m.made.get(_GENAI)
        if text is None:
            text = m.made[_GENAI] = as_json(shape.message(m))
        texts.append(text)
    return f"[{','.join(texts)}]"


def in_chat(items: Sequence[Message]) -> str:
    """The JSON of `messages.chat_messages(items)`."""
    return f"[{_chat(items)}]"


def answer_in_chat(items: Sequence[Message]) -> str:
    """The same; where it is one message, that alone."""
    alone = len(items) == 1 and (len(items[0].parts) <= 1 or not _has_answers(items[0]))
    return _chat(items) if alone else in_chat(items)


def _chat(items: Sequence[Message]) -> str:
    texts: list[str] = []
    for m in items:
        text = m.made.get(_CHAT)
        if text is None:  # without its brackets: a message may become several
            text = m.made[_CHAT] = as_json(shape.chat_messages((m,)))[1:-1]
        texts.append(text)
    return ",".join(texts)


def _has_answers(m: Message) -> bool:
    return any(isinstance(p, ToolCallResponse) for p in m.parts)
