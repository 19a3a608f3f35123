"""Messages that were read before: a chat is told anew in each of its turns, mostly with the same objects."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from weakref import ref

from spanloom.step import Message

from .snapshots import Fields

_MOST = 10_000
_MOST_LEVELS = 16
_PLAIN = frozenset({str, int, float, bool, bytes, type(None)})


class _Read(ref[Any]):
    """A message that was read, for as long as the application keeps it: what its fields held, and what came of it."""

    __slots__ = ("fields", "key", "message")
    key: int
    fields: Fields
    message: Message


class Recall:
    """What came of message objects, the last `most` of them that live. Safe between threads.

    A message is read anew once a field that is read has another value, at any depth. So only messages made of texts,
    numbers, lists and dicts are recalled, and what came of them is made of copies.
    """

    def __init__(self, most: int = _MOST) -> None:
        self._most = most
        self._read: OrderedDict[int, _Read] = OrderedDict()  # by the object's id, while it lives

    def __len__(self) -> int:
        return len(self._read)

    def read(self, item: Any, fields_of: Callable[[Any], Fields], make: Callable[[Fields], Message]) -> Message:
        """What `make` makes of the fields of `item`, or has made of them."""
        fields = fields_of(item)
        before = self._read.get(id(item))
        try:
            if before is not None and before() is item and before.fields == fields:
                return before.message
            copied = _copy(fields)
        except Exception:  # other values than plain ones, which may do anything, or one that another thread changes
            return make(fields)
        read = _Read(item, self._forget)
        read.key, read.fields, read.message = id(item), copied, make(copied)
        self._read[read.key] = read
        if len(self._read) > self._most:
            with suppress(KeyError):  # another thread was faster
                self._read.popitem(last=False)
        return read.message

    def _forget(self, read: _Read) -> None:
        if self._read.get(read.key) is read:
            self._read.pop(read.key, None)


def _copy(value: Any, level: int = 0) -> Any:
    kind = type(value)
    if kind in _PLAIN:
        return value
    if level < _MOST_LEVELS:
        if kind is dict:
            if _PLAIN.issuperset(map(type, value.values())):
                return value.copy()
            return {key: _copy(item, level + 1) for key, item in value.items()}
        if kind is list:
            return [_copy(item, level + 1) for item in value]
        if kind is tuple:
            return value if _PLAIN.issuperset(map(type, value)) else tuple([_copy(item, level + 1) for item in value])
    raise TypeError(kind)
