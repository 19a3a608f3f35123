"""A policy applied to the content of one span."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from ..guard import warn_once
from ..step import (
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
from .acting import DROPPED, PLACEHOLDERS, Action, Custom, Drop, Redact, Situation
from .category import Categories, Category, of_role
from .digest import canonical_value
from .marked import Marked

Chain = Callable[[Categories], tuple[Action, ...]]


class Failures:
    """Content that was dropped because the action that was to decide on it raised, by action."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._lock = threading.Lock()

    def note(self, action: Action, error: Exception) -> None:
        name = type(action).__name__.lower()
        with self._lock:
            self.counts[name] += 1
        warn_once(
            f"content:{name}",
            "spanloom: a content policy's %s(…) failed (%s): what it was to decide on is dropped, and counted",
            name,
            type(error).__name__,  # the type alone: an exception's text may hold content
        )

    def after_fork(self) -> None:
        self._lock = threading.Lock()


FAILURES = Failures()


def content_after_fork() -> None:
    """In a forked child: whatever lock another thread of the parent held, nobody will let go of."""
    FAILURES.after_fork()
    PLACEHOLDERS.after_fork()


class Application:
    """One pass of a policy's actions (`chain` tells them by category) over the content of the span `at`."""

    def __init__(self, chain: Chain, at: Situation) -> None:
        self._chain, self.at = chain, at

    def value(self, categories: Categories, value: Any) -> Any:
        """What of `value` goes out: a plain value, or `DROPPED`.

        A message or a document inside of it passes the actions for its own category first.
        """
        if value is None:
            return None
        chain = self._chain(categories)
        value = self._unmarked(value)
        for action in chain:
            try:
                value = action(value, self.at)
            except Exception as error:  # a policy fails closed
                FAILURES.note(action, error)
                return DROPPED
            if value is DROPPED:
                return DROPPED
        return value

    def one(self, category: Category, value: Any) -> Any:
        """As `value`, for a field of its own: None where it is dropped."""
        return self.of((category,), value)

    def of(self, categories: Categories, value: Any) -> Any:
        shown = self.value(categories, value)
        return None if shown is DROPPED else shown

    def drops(self, category: Category) -> bool:
        """Whether nothing of the category can ever go out."""
        return not shows(self._chain((category,)))

    def each(self, category: Category, values: Mapping[str, Any]) -> dict[str, Any]:
        """The values of an object, each for itself."""
        shown = ((key, self.named(key, (category,), value)) for key, value in values.items())
        return {self.key((category,), key): value for key, value in shown if value is not DROPPED}

    def key(self, categories: Categories, key: str) -> str:
        """What a value stands under, redacted where the value would be: people write addresses there too."""
        for action in self._chain(categories):
            if isinstance(action, Redact):
                try:
                    key = str(action(key, self.at))
                except Exception as error:  # as for the value
                    FAILURES.note(action, error)
                    return "…"
        return key

    def name(self, name: str | None) -> str | None:
        """A name as far as it goes out, and None where it does not."""
        shown = self.of((Category.NAMES,), name or None)
        return shown if isinstance(shown, str) else None

    def named(self, name: str, categories: Categories, value: Any) -> Any:
        """As `value`, for what stands under `name`, which may say what it is (`password`)."""
        self.at.name = name
        try:
            return self.value(categories, value)
        finally:
            self.at.name = ""

    def _unmarked(self, value: Any) -> Any:
        if isinstance(value, Marked):
            return self.value((value.category,), value.value)
        if isinstance(value, dict):
            pairs = ((k, self._unmarked(v)) for k, v in value.items())
            return {k: v for k, v in pairs if v is not DROPPED}
        if isinstance(value, list):
            return [v for v in map(self._unmarked, value) if v is not DROPPED]
        return value

    # ---------------------------------------------------------------- messages
    def messages(self, messages: Iterable[Message]) -> tuple[Message, ...]:
        """Each message with the parts that go out; one that had parts and has none left is no message any more."""
        return tuple(shown for m in messages if (shown := self._message(m)) is not None)

    def _message(self, message: Message) -> Message | None:
        said = of_role(message.role)
        parts = message.parts
        if len(parts) > 1 and any(isinstance(a, (Redact, Custom)) for a in self._chain((said,))):
            parts = _joined(parts)
        shown = tuple(part for p in parts if (part := self._part(p, said)) is not None)
        if not shown and (parts or self.drops(said)):
            return None
        return replace(message, parts=shown, name=self.name(message.name))

    def _text(self, category: Category, text: str | None) -> Any:
        """As `value`, for a field that holds a text: what an action makes another kind of value of is its JSON."""
        shown = self.value((category,), text)
        plain_text = shown is None or shown is DROPPED or isinstance(shown, str)
        return shown if plain_text else canonical_value(shown)

    def _part(self, part: Part, said: Category) -> Part | None:
        match part:
            case Text(content):
                shown = self._text(said, content)
                return None if shown is DROPPED else Text(shown)
            case Reasoning(content):
                shown = self._text(Category.REASONING, content)
                return None if shown is DROPPED else Reasoning(shown)
            case ToolCall(name, arguments, id):
                shown = self.value((Category.TOOL_ARGUMENTS,), arguments)
                if shown is DROPPED:
                    if self.drops(said):
                        return None
                    shown = None
                return ToolCall(self.name(name) or "", shown, id)
            case ToolCallResponse(response, id):
                shown = self.value((Category.TOOL_RESULTS,), response)
                if shown is not DROPPED:
                    return ToolCallResponse(shown, id)
                return None if self.drops(Category.USER_PROMPT) else ToolCallResponse(None, id)
            case Media():
                return self._media(part, said)
            case OtherPart(type, value):
                shown = self.value((said,), value)
                return None if shown is DROPPED else OtherPart(type, shown)

    def _media(self, part: Media, said: Category) -> Media | None:
        """Its type and size stay where anything of the message may; its address is content."""
        if self.drops(said):
            return None
        uri, file_id = self._text(said, part.uri), self._text(said, part.file_id)
        if DROPPED in (uri, file_id):
            return None
        return replace(part, uri=uri, file_id=file_id)

    # ---------------------------------------------------------------- documents and tools
    def _one_text(self, category: Category, text: str | None) -> Any:
        shown = self._text(category, text)
        return None if shown is DROPPED else shown

    def documents(self, documents: Iterable[Document]) -> tuple[Document, ...]:
        """Each document with what goes out of its text and its metadata; none where nothing can."""
        if self.drops(Category.DOCUMENTS):
            return ()
        return tuple(
            replace(
                d,
                id=self.name(d.id),
                content=self._one_text(Category.DOCUMENTS, d.content),
                metadata=self.each(Category.DOCUMENTS, d.metadata),
            )
            for d in documents
        )

    def tools(self, tools: Iterable[ToolDefinition]) -> tuple[ToolDefinition, ...]:
        if self.drops(Category.TOOL_DEFINITIONS):
            return ()
        return tuple(
            replace(
                t,
                name=self.name(t.name) or "",
                description=self._one_text(Category.TOOL_DEFINITIONS, t.description),
                parameters=self.one(Category.TOOL_DEFINITIONS, t.parameters),
            )
            for t in tools
        )


def shows(chain: tuple[Action, ...]) -> bool:
    """Whether anything can go out through these actions."""
    return not any(isinstance(action, Drop) for action in chain)


def _joined(parts: tuple[Part, ...]) -> tuple[Part, ...]:
    """Texts that follow one another as one: what is to be found may lie across their border."""
    out: list[Part] = []
    for part in parts:
        if out and isinstance(part, Text) and isinstance(out[-1], Text):
            out[-1] = Text(out[-1].content + part.content)
        else:
            out.append(part)
    return tuple(out)


__all__ = ["FAILURES", "Application", "shows"]
