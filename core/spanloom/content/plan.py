"""What a policy's rules say of every span, worked out once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..step import Kind
from .acting import Action, Drop, Hash, Keep, Redact, Reference
from .application import Application, shows
from .bare import Bare
from .category import Categories, Category, places
from .digest import canonical_value
from .plain import label
from .redaction.remembered import Remembered

Rules = Mapping[Category, tuple[Action, ...]]
"""The actions of each category."""

_C = Category
_SAID = (_C.SYSTEM_PROMPT, _C.USER_PROMPT, _C.COMPLETION, _C.REASONING, _C.TOOL_ARGUMENTS, _C.TOOL_RESULTS)
_PURE = (Drop, Keep, Hash, Redact)

_MOST_OF_A_NAME = 256  # characters: no label is cut there

Way = Callable[[Application, Categories, Any], Any]
"""How a field is decided on, which holds content of these categories."""


def _any(pass_: Application, categories: Categories, value: Any) -> Any:
    return pass_.of(categories, value)


def _text(pass_: Application, categories: Categories, value: Any) -> Any:
    """A field that is a text may be made something else of by `custom`."""
    shown = pass_.of(categories, value)
    return shown if shown is None or isinstance(shown, str) else canonical_value(shown)


def _messages(pass_: Application, categories: Categories, value: Any) -> Any:  # noqa: ARG001 - each of its own
    return pass_.messages(value)


def _tools(pass_: Application, categories: Categories, value: Any) -> Any:  # noqa: ARG001
    return pass_.tools(value)


def _documents(pass_: Application, categories: Categories, value: Any) -> Any:  # noqa: ARG001
    return pass_.documents(value)


def _each(pass_: Application, categories: Categories, value: Any) -> Any:
    """Under short names, which are cut only now: half an address is not recognised any more."""
    return pass_.once(value, lambda given: _short(pass_.each(categories[0], given)))


def _short(values: Mapping[str, Any]) -> Mapping[str, Any]:
    if all(len(name) <= _MOST_OF_A_NAME for name in values):
        return values
    return {label(name) or "": value for name, value in values.items()}


_WAYS: dict[str, tuple[Way, Categories]] = {
    "tool_definitions": (_tools, (_C.TOOL_DEFINITIONS,)),
    "tool_description": (_any, (_C.TOOL_DEFINITIONS,)),
    "arguments": (_any, (_C.TOOL_ARGUMENTS,)),
    "result": (_any, (_C.TOOL_RESULTS,)),
    "query": (_text, (_C.RETRIEVAL_QUERIES,)),
    "documents": (_documents, (_C.DOCUMENTS,)),
    "prompt_variables": (_any, (_C.PROMPT_VARIABLES,)),
    "error_message": (_text, (_C.EXCEPTION_TEXT,)),
    "error_stack": (_text, (_C.EXCEPTION_TEXT,)),
    "metadata": (_each, (_C.METADATA,)),
}


class Plan:
    """What they say.

    `dropped` are the categories of which nothing can go out; `says` whether anything of a message can. `lasting` is the
    key under which a message keeps what was decided on it; None where that is not the same again within its trace, or
    leaves something elsewhere. `again` is the same for any object, which may hold what is of any category. `leaves`
    knows names that go out as they are; `keeps` says whether anything goes to a vault.
    """

    __slots__ = ("_ways", "again", "dropped", "keeps", "lasting", "leaves", "says")

    def __init__(self, rules: Rules) -> None:
        self.dropped = frozenset(c for c in Category if not shows(rules[c]))
        self.says = not self.dropped.issuperset(_SAID)
        pure = all(isinstance(action, _PURE) for c in (*_SAID, _C.NAMES) for action in rules[c])
        self.lasting = object() if pure else None
        self.again = self.lasting if all(isinstance(a, _PURE) for chain in rules.values() for a in chain) else None
        self.leaves = _leaving(rules[_C.NAMES])
        self.keeps = any(isinstance(a, Reference) for chain in rules.values() for a in chain)
        self._ways: dict[Kind, dict[str, tuple[Way, Categories]]] = {}

    def ways(self, kind: Kind) -> Mapping[str, tuple[Way, Categories]]:
        """Of a step of that kind, the fields of which anything can go out: how each is decided on, and what it is."""
        known = self._ways.get(kind)
        if known is None:
            given, answered = places(kind)
            ways = {"input": (_any, given), "output": (_any, answered), **_WAYS}
            known = self._ways[kind] = {n: w for n, w in ways.items() if self.dropped.isdisjoint(w[1])}
            if self.says:
                known |= {"input_messages": (_messages, ()), "output_messages": (_messages, ())}
        return known


def _leaving(names: tuple[Action, ...]) -> Bare | None:
    """What tells, of names, that these actions leave them as they are."""
    if len(names) != 1:
        return None
    action = names[0]
    if type(action) is Keep:
        return Bare(_any_name)
    if type(action) is Redact and isinstance(action.redactor, Remembered):
        return Bare(action.redactor.is_bare)
    return None


def _any_name(name: str) -> bool:  # noqa: ARG001
    return True
