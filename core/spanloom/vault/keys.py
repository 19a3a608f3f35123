"""Data keys: what a provider of them does, and which key this process writes with."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

_KEYS_HELD = 1_000  # in memory, for writing: the least recently used goes
_KEY_SECONDS = 900.0
_KEY_OBJECTS = 1 << 20  # far below the 2**32 random nonces that one key may see
_STRIPES = 16


@dataclass(frozen=True, slots=True)
class DataKey:
    """A key of 32 bytes, and its id: a random name that says nothing. Never printed."""

    id: str
    key: bytes = field(repr=False)


@runtime_checkable
class Keys(Protocol):
    """Where data keys live. `subject` is a pseudonym (32 hexadecimal digits), never a user's id.

    Called from several threads, and in forked children. Each method raises whatever it likes where it cannot work: the
    vault tries again, and then drops the content.

    A provider may have two more methods: `open()`, called before the first use, which raises `ConfigurationError` for
    settings that cannot work; and `holds(subject, key_id) -> bool`, which is asked in place of `get` after each write,
    where that is cheaper.
    """

    def create(self, subject: str) -> DataKey:
        """A new key, 32 random bytes under a new id of at most 64 ASCII characters; stored durably on return."""

    def get(self, subject: str, key_id: str) -> bytes | None:
        """The key; None where it was destroyed or never was. Never from a cache."""

    def ids(self, subject: str) -> list[str]:
        """The keys of the subject that can still be had. An erasure names them, and asks again afterwards."""

    def destroy(self, subject: str) -> int:
        """Destroy every key of the subject that there is, beyond recovery: how many there were. Idempotent."""


@dataclass(slots=True)
class _Held:
    key: DataKey
    erased_ns: int
    made: float
    uses: int = 0


class WritingKeys:
    """The keys that this process writes with: one of its own a subject, made when it is first needed.

    What was recorded before the subject's last erasure gets no key. That holds across processes, since the erasures are
    read *after* a key was made: a key that survives an erasure was made after the erasure was announced, so it knows of
    it. Keys that were destroyed elsewhere are found out by whoever wrote with one, and forgotten.
    """

    def __init__(self, keys: Keys, erased_ns: Callable[[str], int]) -> None:
        self._keys, self._erased_ns = keys, erased_ns
        self._held: OrderedDict[str, _Held] = OrderedDict()
        self._lock = threading.Lock()
        self._making = [threading.Lock() for _ in range(_STRIPES)]

    def key(self, subject: str, recorded_ns: int) -> DataKey | None:
        """The key to write content of that time with; None where the content was erased before it was written."""
        with self._making[hash(subject) % _STRIPES]:  # two threads need not make two keys
            held = self._usable(subject)
            if held is None:
                key = self._keys.create(subject)
                held = _Held(key, self._erased_ns(subject), time.monotonic())
                with self._lock:
                    self._held[subject] = held
                    while len(self._held) > _KEYS_HELD:
                        self._held.popitem(last=False)
        if recorded_ns <= held.erased_ns:
            return None
        held.uses += 1
        return held.key

    def forget(self, subject: str, key_id: str | None = None) -> None:
        """Hold the subject's key no longer; with `key_id` only where it is still that one."""
        with self._lock:
            held = self._held.get(subject)
            if held is not None and key_id in (None, held.key.id):
                del self._held[subject]

    def _usable(self, subject: str) -> _Held | None:
        with self._lock:
            held = self._held.get(subject)
            if held is None:
                return None
            if held.uses >= _KEY_OBJECTS or time.monotonic() - held.made > _KEY_SECONDS:
                del self._held[subject]
                return None
            self._held.move_to_end(subject)
            return held
