"""What was found in texts that were read before.

The same document stands in a retriever's, a chain's and a model's step, and the same chat in each of its turns.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from functools import lru_cache

from .finding import Finding, Redactor
from .known import Known
from .outline import Outline
from .parts import Parts
from .patterns import Patterns

_TEXTS = 20_000
_LEAST_CHARACTERS = 64  # below, looking is as quick as remembering, unless there is something to look at
_MOST_FINDINGS = 200
_NAMES = 4_000
_MOST_OF_A_NAME = 64  # characters


class Remembered:
    """A redactor that asks `redactor` about each text once. Bounded; threads may share it.

    It remembers where the findings are and a keyed hash of each text, and of `Patterns` those of its parts too, never
    a text; but of names (`is_bare`) the short ones in which nothing is found.
    """

    def __init__(self, redactor: Redactor, *, texts: int = _TEXTS) -> None:
        self.redactor = redactor
        self._found: Known[Sequence[Finding]] = Known(texts)
        self._bare: set[str] = set()
        self._patterns = redactor if type(redactor) is Patterns else None
        self._parts = Parts(texts)

    def __repr__(self) -> str:
        return repr(self.redactor)

    def is_bare(self, name: str) -> bool:
        """Whether nothing is found in what a step, a tool or a key is called: the same names come with every span.
        False where the redactor raises."""
        if name in self._bare:
            return True
        if len(name) > _MOST_OF_A_NAME:
            return False
        try:
            bare = not self.redactor.find(name)
        except Exception:  # `find` raises it where the name is redacted
            return False
        if bare:
            if len(self._bare) >= _NAMES:  # names that are made up as they go: nothing is lost but time
                self._bare = set()
            self._bare.add(name)
        return bare

    def find(self, text: str) -> Sequence[Finding]:
        """The findings of the redactor, which may raise."""
        if len(text) < _LEAST_CHARACTERS:
            if self._patterns is None:
                return self.redactor.find(text)
            if not Outline(text).promises():
                return ()
        digest = self._found.digest(text)
        found = self._found.get(digest)
        if found is None:
            found = self.redactor.find(text) if self._patterns is None else self._patterns.find(text, self._parts)
            if len(found) <= _MOST_FINDINGS:
                self._found.put(digest, found)
        return found


def remembered(redactor: Redactor) -> Remembered:
    """What remembers for `redactor`: one for all that are equal to it."""
    return _shared(redactor) if isinstance(redactor, Hashable) else Remembered(redactor)


@lru_cache(maxsize=64)
def _shared(redactor: Redactor) -> Remembered:
    return Remembered(redactor)
