"""What was found in texts that were read before.

The same document stands in a retriever's, a chain's and a model's step, and the same chat in each of its turns.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Hashable, Sequence
from contextlib import suppress
from functools import lru_cache
from hashlib import blake2b

from .finding import Finding, Redactor
from .outline import Outline
from .patterns import Patterns

_TEXTS = 20_000
_LEAST_CHARACTERS = 64  # below, looking is as quick as remembering, unless there is something to look at
_MOST_FINDINGS = 200
_DIGEST_BYTES = 16
_NAMES = 4_000
_MOST_OF_A_NAME = 64  # characters


class Remembered:
    """A redactor that asks `redactor` about each text once. Bounded; threads may share it.

    It remembers where the findings are and a keyed hash of each text (BLAKE2b, a random key that dies with the
    process), never a text; but of names (`is_bare`) the short ones in which nothing is found.
    """

    def __init__(self, redactor: Redactor, *, texts: int = _TEXTS) -> None:
        self.redactor = redactor
        self._texts = texts
        self._key = secrets.token_bytes(_DIGEST_BYTES)
        # No lock: each of their methods is done at once, and two threads that look at one text find the same.
        self._found: OrderedDict[bytes, Sequence[Finding]] = OrderedDict()
        self._bare: set[str] = set()
        self._quick = type(redactor) is Patterns

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
            if not self._quick:
                return self.redactor.find(text)
            if not Outline(text).promises():
                return ()
        data = text.encode("utf-8", "surrogatepass")
        digest = blake2b(data, key=self._key, digest_size=_DIGEST_BYTES).digest()
        found = self._found.get(digest)
        if found is not None:
            try:  # noqa: SIM105 - `suppress` costs as much as all of the rest
                self._found.move_to_end(digest)
            except KeyError:  # another thread has just let go of it
                pass
            return found
        found = self.redactor.find(text)
        if len(found) <= _MOST_FINDINGS:
            self._found[digest] = found
            if len(self._found) > self._texts:
                with suppress(KeyError):
                    self._found.popitem(last=False)
        return found


def remembered(redactor: Redactor) -> Remembered:
    """What remembers for `redactor`: one for all that are equal to it."""
    return _shared(redactor) if isinstance(redactor, Hashable) else Remembered(redactor)


@lru_cache(maxsize=64)
def _shared(redactor: Redactor) -> Remembered:
    return Remembered(redactor)
