"""What was found in texts that were read before.

The same document stands in a retriever's, a chain's and a model's step, and the same chat in each of its turns.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import threading
import weakref
from collections import OrderedDict
from collections.abc import Hashable, Sequence
from functools import lru_cache

from .finding import Finding, Redactor

_TEXTS = 20_000
_LEAST_CHARACTERS = 64  # below, looking is as quick as remembering
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
        self._found: OrderedDict[bytes, Sequence[Finding]] = OrderedDict()
        self._bare: set[str] = set()
        self.after_fork()
        if hasattr(os, "register_at_fork"):
            again = weakref.WeakMethod(self.after_fork)
            os.register_at_fork(after_in_child=lambda: (unlock := again()) and unlock())

    def __repr__(self) -> str:
        return repr(self.redactor)

    def after_fork(self) -> None:
        """In a forked child: whatever thread held the lock is gone."""
        self._lock = threading.Lock()

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
            return self.redactor.find(text)
        data = text.encode("utf-8", "surrogatepass")
        digest = hashlib.blake2b(data, key=self._key, digest_size=_DIGEST_BYTES).digest()
        with self._lock:
            if (found := self._found.get(digest)) is not None:
                self._found.move_to_end(digest)
                return found
        found = self.redactor.find(text)
        if len(found) <= _MOST_FINDINGS:
            with self._lock:
                self._found[digest] = found
                if len(self._found) > self._texts:
                    self._found.popitem(last=False)
        return found


def remembered(redactor: Redactor) -> Remembered:
    """What remembers for `redactor`: one for all that are equal to it."""
    return _shared(redactor) if isinstance(redactor, Hashable) else Remembered(redactor)


@lru_cache(maxsize=64)
def _shared(redactor: Redactor) -> Remembered:
    return Remembered(redactor)
