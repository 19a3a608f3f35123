"""A policy applied to the content of one span."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import replace
from itertools import pairwise
from operator import is_
from typing import Any

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
from .acting import DROPPED, Action, Custom, Drop, Redact, Situation
from .bare import Bare
from .batch import Known
from .category import ROLES, Categories, Category, of_block, of_role
from .digest import canonical_value
from .failures import FAILURES
from .marked import Marked
from .plain import label

Chain = Callable[[Categories], tuple[Action, ...]]


class Application:
    """One pass of a policy's actions (`chain` tells them by category) over the content of the span `at`.

    `lasting` stands for what the actions do to a message where that depends on nothing but the message and its trace:
    what was decided on a message is then noted on it under that key, for the next turn of the same chat. `shown` is
    what it leaves of objects with marks, where that is the same again within the batch. `leaves` may know names that go
    out as they are, without a question to the actions.
    """

    __slots__ = ("_chain", "_failed", "_lasting", "_shown", "at", "leaves")

    def __init__(
        self,
        chain: Chain,
        at: Situation,
        lasting: Hashable = None,
        shown: Known | None = None,
        leaves: Bare | None = None,
    ) -> None:
        self._chain, self.at, self._lasting, self._shown, self.leaves = chain, at, lasting, shown, leaves
        self._failed = False

    def value(self, categories: Categories, value: Any) -> Any:
        """What of `value` goes out: a plain value, or `DROPPED`; `value` itself where nothing is done to it.

        A message or a document inside of it passes the actions for its own category first.
        """
        if value is None:
            return None
        chain = self._chain(categories)
        if type(value) is not str and (value := self._unmarked(value)) is DROPPED:
            return DROPPED
        for action in chain:
            try:
                value = action(value, self.at)
            except Exception as error:  # a policy fails closed
                self._failed = True
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

    def once(self, value: Any, decide: Callable[[Any], Any]) -> Any:
        """What `decide` makes of an object that stands in many spans of a trace: once for the batch, where that is the
        same again."""
        known = self._shown
        if known is None:
            return decide(value)
        key = ~id(value)  # what `_unmarked` notes under its id is not decided yet
        if (before := known.get(key)) is not None:
            return before[1]
        failed, self._failed = self._failed, False
        shown = decide(value)
        if not self._failed:
            known[key] = value, shown
        self._failed = failed or self._failed
        return shown

    def drops(self, category: Category) -> bool:
        """Whether nothing of the category can ever go out."""
        return not shows(self._chain((category,)))

    def each(self, category: Category, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """The values of an object, each for itself."""
        if not values:
            return values
        categories = (category,)
        out: dict[str, Any] = {}
        same = True
        for name, value in values.items():
            shown = self.named(name, categories, value)
            if shown is DROPPED:
                same = False
                continue
            key = self.key(categories, name)
            out[key] = shown
            same = same and shown is value and key is name
        return values if same else out

    def key(self, categories: Categories, key: str) -> str:
        """What a value stands under, redacted where the value would be: people write addresses there too."""
        for action in self._chain(categories):
            if isinstance(action, Redact):
                try:
                    key = action.name(str(key), self.at)
                except Exception as error:  # as for the value
                    self._failed = True
                    FAILURES.note(action, error)
                    return "…"
        return key

    def called(self, name: Any) -> Any:
        """What of a name goes out, whole: of code and of configuration, which come again with every span."""
        if self.leaves is not None and type(name) is str and self.leaves.one(name):
            return name
        return self.of(_NAMES, name)

    def name(self, name: str | None) -> str | None:
        """A name as far as it goes out, and None where it does not."""
        if not name:
            return None
        shown = self.of(_NAMES, name)
        return label(shown) if isinstance(shown, str) else None

    def named(self, name: str, categories: Categories, value: Any) -> Any:
        """As `value`, for what stands under `name`, which may say what it is (`password`)."""
        self.at.name = name
        try:
            return self.value(categories, value)
        finally:
            self.at.name = ""

    def _unmarked(self, value: Any) -> Any:
        """`value` without marks, each piece that had one as its own category's actions leave it."""
        kind = type(value)
        if kind is dict:
            known = self._shown if not self.at.name else None  # which is asked of everything below it
            if known is not None and (before := known.get(id(value))) is not None:
                return before[1]
            inner = [self._unmarked(v) if type(v) in _MAY_HOLD_MARKS else v for v in value.values()]
            if all(map(is_, inner, value.values())):
                shown = value
            else:
                shown = {k: v for k, v in zip(value, inner, strict=True) if v is not DROPPED}
            if known is not None and not self._failed:
                known[id(value)] = value, shown
            return shown
        if kind is list:
            inner = [self._unmarked(v) if type(v) in _MAY_HOLD_MARKS else v for v in value]
            return value if all(map(is_, inner, value)) else [v for v in inner if v is not DROPPED]
        if kind is Marked:
            return self.value((value.category,), value.value)
        return value

    # ---------------------------------------------------------------- messages
    def messages(self, messages: Iterable[Message]) -> tuple[Message, ...]:
        """Each message with the parts that go out; one that had parts and has none left is no message any more."""
        if self._lasting is None:
            return tuple([shown for m in messages if (shown := self._message(m)) is not None])
        lasting = self._lasting
        return tuple(
            [
                shown
                for m in messages
                if (shown := m if m.made.get(lasting) is _ITSELF else self._remembered(m)) is not None
            ]
        )

    def _remembered(self, message: Message) -> Message | None:
        """As `_message`, noted on the message: for good where nothing was done to it, else for its trace, whose
        placeholders are in it."""
        known = message.made.get(self._lasting)
        if known is _ITSELF:
            return message
        if known is not None and known[0] == self.at.trace_id:
            return known[1]  # type: ignore[no-any-return]
        failed, self._failed = self._failed, False
        shown = self._message(message)
        if not self._failed:
            message.made[self._lasting] = _ITSELF if shown is message else (self.at.trace_id, shown)
        self._failed = failed or self._failed
        return shown

    def _message(self, message: Message) -> Message | None:
        said = of_role(message.role)
        parts = message.parts
        if len(parts) > 1 and any(isinstance(a, (Redact, Custom)) for a in self._chain((said,))):
            parts = _joined(parts)
        shown = tuple([part for p in parts if (part := self._part(p, said)) is not None])
        if not shown and (parts or self.drops(said)):
            return None
        name, role = self.name(message.name), self._role(message.role)
        is_same = role is message.role and name is message.name and len(shown) == len(message.parts)
        if is_same and all(map(is_, shown, message.parts)):
            return message
        return Message(role, shown, name, message.finish_reason)

    def _role(self, role: str) -> str:
        """A role that no convention knows is what somebody is called."""
        return role if role in ROLES else self.name(role) or "user"

    def _text(self, category: Category, text: str | None) -> Any:
        """As `value`, for a field that holds a text: what an action makes another kind of value of is its JSON."""
        shown = self.value((category,), text)
        plain_text = shown is None or shown is DROPPED or isinstance(shown, str)
        return shown if plain_text else canonical_value(shown)

    def _piece(self, category: Category, value: Any) -> Any:
        """As `value`; what is empty is dropped too where nothing can go out, since it would tell of its part."""
        return DROPPED if value is None and self.drops(category) else self.value((category,), value)

    def _part(self, part: Part, said: Category) -> Part | None:
        match part:
            case Text(content):
                shown = self._text(said, content)
                return part if shown is content else None if shown is DROPPED else Text(shown)
            case Reasoning(content):
                shown = self._text(Category.REASONING, content)
                return part if shown is content else None if shown is DROPPED else Reasoning(shown)
            case ToolCall(name, arguments, id):
                shown = self._piece(Category.TOOL_ARGUMENTS, arguments)
                if shown is DROPPED:
                    if self.drops(said):
                        return None
                    shown = None
                called = self.name(name) or ""
                return part if shown is arguments and called is name else ToolCall(called, shown, id)
            case ToolCallResponse(response, id):
                shown = self._piece(Category.TOOL_RESULTS, response)
                if shown is not DROPPED:
                    return part if shown is response else ToolCallResponse(shown, id)
                return None if self.drops(Category.USER_PROMPT) else ToolCallResponse(None, id)
            case Media():
                return self._media(part, said)
            case OtherPart(type, value):
                beside = of_block(type)
                shown = self.value((said, *beside), value) if beside else self._piece(said, value)
                return part if shown is value else None if shown is DROPPED else OtherPart(type, shown)

    def _media(self, part: Media, said: Category) -> Media | None:
        """Its type and size stay where anything of the message may; its address is content."""
        if self.drops(said):
            return None
        uri, file_id = self._text(said, part.uri), self._text(said, part.file_id)
        if DROPPED in (uri, file_id):
            return None
        uri, file_id = label(uri), label(file_id)
        return part if uri is part.uri and file_id is part.file_id else replace(part, uri=uri, file_id=file_id)

    # ---------------------------------------------------------------- documents and tools
    def _one_text(self, category: Category, text: str | None) -> Any:
        shown = self._text(category, text)
        return None if shown is DROPPED else shown

    def documents(self, documents: Iterable[Document]) -> tuple[Document, ...]:
        """Each document with what goes out of its text and its metadata; none where nothing can."""
        if self.drops(Category.DOCUMENTS):
            return ()
        return tuple([self._document(d) for d in documents])

    def _document(self, document: Document) -> Document:
        known = self.name(document.id)
        content = self._one_text(Category.DOCUMENTS, document.content)
        metadata = self.each(Category.DOCUMENTS, document.metadata)
        if known is document.id and content is document.content and metadata is document.metadata:
            return document
        return Document(content, known, document.score, metadata)

    def tools(self, tools: Iterable[ToolDefinition]) -> tuple[ToolDefinition, ...]:
        if self.drops(Category.TOOL_DEFINITIONS):
            return ()
        return tuple([self._tool(tool) for tool in tools])

    def _tool(self, tool: ToolDefinition) -> ToolDefinition:
        name = self.name(tool.name) or ""
        description = self._one_text(Category.TOOL_DEFINITIONS, tool.description)
        parameters = self.one(Category.TOOL_DEFINITIONS, tool.parameters)
        if name is tool.name and description is tool.description and parameters is tool.parameters:
            return tool
        return ToolDefinition(name, description, parameters)


_NAMES: Categories = (Category.NAMES,)
_MAY_HOLD_MARKS = frozenset({dict, list, Marked})
_ITSELF = object()  # for a message that goes out as it is


def shows(chain: tuple[Action, ...]) -> bool:
    """Whether anything can go out through these actions."""
    for action in chain:  # noqa: SIM110 - asked for every piece, and a generator costs more than the answer
        if isinstance(action, Drop):
            return False
    return True


def _joined(parts: tuple[Part, ...]) -> tuple[Part, ...]:
    """Texts that follow one another as one: what is to be found may lie across their border."""
    if not any(isinstance(one, Text) and isinstance(next_, Text) for one, next_ in pairwise(parts)):
        return parts
    out: list[Part] = []
    for part in parts:
        if out and isinstance(part, Text) and isinstance(out[-1], Text):
            out[-1] = Text(out[-1].content + part.content)
        else:
            out.append(part)
    return tuple(out)
