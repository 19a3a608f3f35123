"""What is held of a value until a worker reads it. Runs in the callback, so it copies only what others go on to change.

Copied are dicts, lists and tuples, eight levels deep, the first 64 items of each, 256 of them in all; of LlamaIndex's
own objects, what they say: a message's role, texts, reasoning, tool calls and `additional_kwargs`, a node's text, score
and metadata, an event's fields, a query's and a response's text. Whatever else lies in them is held by reference:
images and other media, the tools that a model is offered, objects of the application and of providers, and a response
that is still being streamed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any

from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    CompletionResponse,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
)
from llama_index.core.base.response.schema import AsyncStreamingResponse, StreamingResponse
from llama_index.core.chat_engine.types import StreamingAgentChatResponse
from llama_index.core.schema import BaseNode, Node, NodeWithScore, TextNode
from spanloom.content import Category
from spanloom.content.category import of_role
from spanloom.content.marked import Marked
from spanloom.providers import field
from spanloom.step import ToolCall

from .values import json_of, shown

_MOST_LEVELS = 8
_MOST_ITEMS = 64
_MOST_COPIED = 256
_MOST_KINDS = 1_000

Hold = Callable[[Any, "Copies", int], Any]
Copies = dict[int, tuple[Any, Any]]
"""What was copied, and its copy, by its id. Held too, since ids of what is gone are given out again."""

_ATOMS: frozenset[type] = frozenset({str, int, float, bool, type(None), bytes})


# ---------------------------------------------------------------- any value
def held(value: Any) -> Any:
    """`value` as it is now."""
    kind = type(value)
    return value if kind in _ATOMS else _held(value, kind, {}, 0)


def _held(value: Any, kind: type, copies: Copies, level: int) -> Any:
    hold = _HOLD.get(kind, _learn)
    if hold is None:
        return value
    if (known := copies.get(id(value))) is not None:  # a cycle, or the same object again
        return known[1]
    if level >= _MOST_LEVELS or len(copies) >= _MOST_COPIED:
        return value
    return hold(value, copies, level + 1)


def _dict(value: dict[Any, Any], copies: Copies, level: int) -> Any:
    copy = value.copy()
    copies[id(value)] = value, copy
    for key, item in copy.items() if len(copy) <= _MOST_ITEMS else tuple(islice(copy.items(), _MOST_ITEMS)):
        if (kind := type(item)) not in _ATOMS:
            copy[key] = _held(item, kind, copies, level)  # the key is there: the dict keeps its size
    return copy


def _list(value: list[Any], copies: Copies, level: int) -> Any:
    copy = value.copy()
    copies[id(value)] = value, copy
    for n, item in enumerate(islice(value, _MOST_ITEMS)):
        if (kind := type(item)) not in _ATOMS:
            copy[n] = _held(item, kind, copies, level)
    return copy


def _tuple(value: tuple[Any, ...], copies: Copies, level: int) -> Any:
    return tuple(_list(list(value), copies, level))


def _marked(value: Marked, copies: Copies, level: int) -> Any:
    inner = value.value
    return value if (kind := type(inner)) in _ATOMS else Marked(value.category, _held(inner, kind, copies, level - 1))


def _telling(says: Callable[[Any], Any]) -> Hold:
    """How a class of LlamaIndex's objects is held: by what one says now."""

    def told(value: Any, copies: Copies, level: int) -> Any:
        try:
            told = says(value)
        except Exception:  # a class of the application's; the worker meets it again, and says so
            return value
        kind = type(told)
        if told is not value and kind not in _ATOMS:
            told = _held(told, kind, copies, level - 1)
        copies[id(value)] = value, told
        return told

    return told


def _learn(value: Any, copies: Copies, level: int) -> Any:
    """The first value of its class."""
    kind = type(value)
    hold = next((own for base, own in _KINDS if issubclass(kind, base)), None)
    if hold is None and kind not in _STREAMED and (says := shown.dispatch(kind)) is not shown.dispatch(object):
        hold = _telling(says)
    if len(_HOLD) >= _MOST_KINDS:  # classes made at run time
        _HOLD.clear()
        _HOLD.update(_OWN)
    _HOLD[kind] = hold
    return value if hold is None else hold(value, copies, level)


def _message(value: ChatMessage, *_: Any) -> Any:
    return said((value,))[0]


def _node(value: NodeWithScore | BaseNode, *_: Any) -> Any:
    nodes = found((value,))
    return nodes[0] if nodes else value


_STREAMED = frozenset({StreamingResponse, AsyncStreamingResponse, StreamingAgentChatResponse})
_KINDS: tuple[tuple[type, Hold], ...] = ((ChatMessage, _message), (NodeWithScore, _node), (BaseNode, _node))
_OWN: dict[type, Hold | None] = {dict: _dict, list: _list, tuple: _tuple, Marked: _marked, **dict.fromkeys(_ATOMS)}
_HOLD: dict[type, Hold | None] = dict(_OWN)


# ---------------------------------------------------------------- messages
REASONING, TOOL_CALL = "thinking", "tool_call"


class Said:
    """A chat message as it was. `blocks` is a text, or a tuple of what `_block` holds of each block."""

    __slots__ = ("blocks", "extra", "message", "role")

    def __init__(self, message: ChatMessage, role: Any, blocks: Any, extra: Any) -> None:
        self.message, self.role, self.blocks, self.extra = message, role, blocks, extra

    def tool_calls(self) -> list[ToolCall]:
        """The tools that it asks for: as blocks, or, in older integrations, as the provider's own objects."""
        if type(self.blocks) is not str:
            asked = [b for b in self.blocks if type(b) is tuple and b[0] == TOOL_CALL]
            if asked:
                return [ToolCall(name, json_of(arguments), call_id) for _, name, arguments, call_id in asked]
        calls = []
        for raw in (self.extra or {}).get("tool_calls") or ():
            function = field(raw, "function") or raw
            name = field(function, "name")
            if isinstance(name, str):
                calls.append(ToolCall(name, json_of(field(function, "arguments", "input")), field(raw, "id")))
        return calls

    def texts(self) -> list[str]:
        return [self.blocks] if type(self.blocks) is str else [b for b in self.blocks if type(b) is str]


def said(given: Iterable[Any]) -> tuple[Any, ...]:
    """Chat messages as they are now: a `Said` each; what is no message is held as any value is."""
    out: list[Any] = []
    for message in given:
        if type(message) is ChatMessage and not message.additional_kwargs:
            blocks = message.blocks
            if len(blocks) == 1 and type(block := blocks[0]) is TextBlock:  # most are: nothing else is looked at
                out.append(Said(message, message.role, block.text, None))
                continue
        out.append(said_of(message) if isinstance(message, ChatMessage) else held(message))
    return tuple(out)


def said_of(message: ChatMessage) -> Said:
    """`message` as it is now."""
    extra = message.additional_kwargs
    return Said(message, message.role, tuple([_block(b) for b in message.blocks]), held(extra) if extra else None)


def tools_asked_for(message: ChatMessage) -> list[tuple[str, str | None]]:
    """The names of the tools that `message` asks for, and the ids of its calls."""
    asked = [(b.tool_name, b.tool_call_id) for b in message.blocks if isinstance(b, ToolCallBlock)]
    if asked or not message.additional_kwargs:
        return asked
    return [(call.name, call.id) for call in said_of(message).tool_calls()]


def _block(block: Any) -> Any:
    """A text; `(REASONING, text)`; `(TOOL_CALL, name, arguments, id)`; a block of another class itself."""
    if isinstance(block, TextBlock):
        return block.text
    if isinstance(block, ThinkingBlock):
        return REASONING, block.content
    if isinstance(block, ToolCallBlock):
        return TOOL_CALL, block.tool_name, held(block.tool_kwargs), block.tool_call_id
    return block


def answer(response: Any) -> Any:
    """What a model answers now: a `Said`, a string model's text, or a custom model's own object."""
    if isinstance(response, ChatResponse):
        response = response.message
    if isinstance(response, ChatMessage):
        return said((response,))[0]
    return response.text or "" if isinstance(response, CompletionResponse) else held(response)


@shown.register
def _(value: ChatMessage) -> Any:
    return shown(said_of(value))


@shown.register
def _(value: Said) -> Any:
    role, texts = str(getattr(value.role, "value", value.role)), value.texts()
    content = "\n".join(texts) or (None if len(texts) != 1 else "")  # as `ChatMessage.content` has it
    out: dict[str, Any] = {"role": role, "content": Marked(of_role(role), content)}
    calls = value.tool_calls()
    if calls:
        out["tool_calls"] = [
            {
                "name": Marked(Category.NAMES, c.name),
                "arguments": Marked(Category.TOOL_ARGUMENTS, c.arguments),
                "id": c.id,
            }
            for c in calls
        ]
    return out


# ---------------------------------------------------------------- nodes
class Found:
    """A node as it was. `text` is None where only `node` can make it."""

    __slots__ = ("id", "metadata", "node", "score", "text", "with_score")

    def __init__(self, node: Any, score: float | None, with_score: bool) -> None:
        self.id, self.node, self.score, self.with_score = node.node_id, node, score, with_score
        self.metadata = node.metadata.copy()
        for value in self.metadata.values():
            if type(value) not in _ATOMS:
                self.metadata = held(node.metadata)
                break
        kind = type(node)
        if kind is TextNode:
            self.text = node.text
        elif kind is Node:  # it has no `text`, and pydantic is slow to say so
            self.text = node.text_resource.text or "" if node.text_resource is not None else ""
        else:
            text = getattr(node, "text", None)
            self.text = text if isinstance(text, str) else None

    def content(self) -> str:
        return str(self.node.get_content()) if self.text is None else self.text


def found(nodes: Any) -> tuple[Found, ...]:
    """Nodes as they are now: postprocessors set scores, texts and metadata in place."""
    if not isinstance(nodes, (list, tuple)):
        return ()
    out = []
    for node in nodes:
        if type(node) is NodeWithScore or isinstance(node, NodeWithScore):
            if isinstance(node.node, BaseNode):
                out.append(Found(node.node, node.score, True))
        elif isinstance(node, BaseNode):
            out.append(Found(node, None, False))
    return tuple(out)


@shown.register
def _(value: NodeWithScore | BaseNode) -> Any:
    nodes = found((value,))
    return shown(nodes[0]) if nodes else value


@shown.register
def _(value: Found) -> Any:
    told: dict[str, Any] = {"id": value.id}
    if value.with_score:
        return told | {"score": value.score, "text": Marked(Category.DOCUMENTS, value.content())}
    return told | {
        "text": Marked(Category.DOCUMENTS, value.content()),
        "metadata": Marked(Category.DOCUMENTS, value.metadata),
    }
