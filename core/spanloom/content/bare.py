"""Names in which nothing is found: those of code and of configuration come again with every span."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

_MOST = 1_000
_LONGEST = 512  # characters, of all that are known together


class Bare:
    """Tells of names that a policy leaves them as they are; it may say no of some that it does leave.

    `one` is asked of a name. What it says of one must be the same again.
    """

    __slots__ = ("_known", "one")

    def __init__(self, one: Callable[[str], bool]) -> None:
        self.one = one
        self._known: set[tuple[Any, ...]] = set()  # no lock: at the worst, names are asked for once more

    def all(self, names: tuple[Any, ...]) -> bool:
        """Whether it leaves every one of these, of which some may be None, empty or no text at all."""
        try:
            if names in self._known:
                return True
        except Exception:  # nothing that a set takes
            return False
        for name in names:
            if name and not (type(name) is str and self.one(name)):
                return False
        if sum([len(name) for name in names if name]) <= _LONGEST:
            if len(self._known) >= _MOST:  # names that are made up as they go
                self._known = set()
            self._known.add(names)
        return True
