"""What a policy's rules say of every span, worked out once."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from .acting import Action, Drop, Hash, Keep, Redact, Reference
from .application import shows
from .category import Category
from .redaction.remembered import Remembered

Rules = Mapping[Category, tuple[Action, ...]]
"""The actions of each category."""

_C = Category
_SAID = (_C.SYSTEM_PROMPT, _C.USER_PROMPT, _C.COMPLETION, _C.REASONING, _C.TOOL_ARGUMENTS, _C.TOOL_RESULTS)
_PURE = (Drop, Keep, Hash, Redact)


class Plan:
    """What they say.

    `dropped` are the categories of which nothing can go out; `says` whether anything of a message can. `lasting` is the
    key under which a message keeps what was decided on it; None where that is not the same again within its trace, or
    leaves something elsewhere. `again` is the same for any object, which may hold what is of any category. `leaves`
    knows names that go out as they are; `keeps` says whether anything goes to a vault.
    """

    __slots__ = ("again", "dropped", "keeps", "lasting", "leaves", "says")

    def __init__(self, rules: Rules) -> None:
        self.dropped = frozenset(c for c in Category if not shows(rules[c]))
        self.says = not self.dropped.issuperset(_SAID)
        pure = all(isinstance(action, _PURE) for c in (*_SAID, _C.NAMES) for action in rules[c])
        self.lasting = object() if pure else None
        self.again = self.lasting if all(isinstance(a, _PURE) for chain in rules.values() for a in chain) else None
        self.leaves = _leaving(rules[_C.NAMES])
        self.keeps = any(isinstance(a, Reference) for chain in rules.values() for a in chain)


def _leaving(names: tuple[Action, ...]) -> Callable[[str], bool] | None:
    """What tells, of a name, that these actions leave it as it is; it may say no of one that they do leave."""
    if len(names) != 1:
        return None
    action = names[0]
    if type(action) is Keep:
        return _any_name
    return action.redactor.is_bare if type(action) is Redact and isinstance(action.redactor, Remembered) else None


def _any_name(name: str) -> bool:  # noqa: ARG001
    return True
