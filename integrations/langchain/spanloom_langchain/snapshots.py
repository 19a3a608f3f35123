"""What is held of a value until a worker reads it. Runs in the callback, so it copies only what others change.

Frameworks and applications go on with the objects that a callback saw: a node appends to the lists of its state, a
reranker writes scores into a document's metadata, an agent names the answer of its model, a node rewrites it. What the
functions here name is copied; whatever lies deeper is held by reference, and so are the messages that go into a model
or through a chain.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Any, TypeAlias

from langchain_core.documents import Document
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, Generation

_MOST_ITEMS = 64


def snapshot(value: Any) -> Any:
    """A copy of `value` where it is a list or a dict, and of each list and dict right inside it.

    Of a list, the first 64 items are looked into.
    """
    kind = type(value)
    if kind is dict:
        copy = value.copy()
        for key, item in copy.items():
            if (inner := type(item)) is list or inner is dict:
                copy[key] = item.copy()  # of a key that is there: the dict keeps its size
        return copy
    if kind is list:
        copy = value.copy()
        for n, item in enumerate(copy if len(copy) <= _MOST_ITEMS else copy[:_MOST_ITEMS]):
            if (inner := type(item)) is list or inner is dict:
                copy[n] = item.copy()
        return copy
    return value


Fields: TypeAlias = tuple[Any, ...]
"""The values of those fields of a message that are read."""

fields_of_answer = attrgetter("type", "content", "name", "tool_calls", "invalid_tool_calls", "additional_kwargs")

Answer: TypeAlias = Fields | str | Any
"""A model's answer: the fields of an `AIMessage`, a text, or a message of another kind."""


def hold_answers(generations: Iterable[Generation]) -> Sequence[Answer]:
    """The choices of a model, each with the fields that its message has now."""
    held: list[Answer] = []
    for generation in generations:
        if not isinstance(generation, ChatGeneration):
            held.append(generation.text)
        elif isinstance(message := generation.message, AIMessage):
            type, content, name, calls, invalid_calls, additional = fields_of_answer(message)
            if not isinstance(content, str):
                content = snapshot(content)
            calls = snapshot(calls) if calls else ()
            invalid_calls = snapshot(invalid_calls) if invalid_calls else ()
            additional = additional.copy() if additional else None
            held.append((type, content, name, calls, invalid_calls, additional))
        else:
            held.append(message)
    return held


def hold_documents(documents: Iterable[Any]) -> Sequence[tuple[Any, Mapping[Any, Any]]]:
    """Documents, each with the metadata that it has now."""
    return [(d, d.metadata.copy() if isinstance(d, Document) else {}) for d in documents]
