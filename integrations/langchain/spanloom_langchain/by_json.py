"""What is written out again with every call, such as a model's tools and a prompt's template: it is read once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Generic, TypeVar

import orjson

_MOST, _MOST_BYTES = 256, 16_384
_EXACT = orjson.OPT_PASSTHROUGH_SUBCLASS | orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_DATACLASS

_Read = TypeVar("_Read")


class ByJson(Generic[_Read]):
    """What `make` makes of dicts of JSON's values, of the last 256 of up to 16 kB. Safe between threads."""

    def __init__(self, make: Callable[[Any], _Read]) -> None:
        self._make = make
        self._known: OrderedDict[bytes, _Read] = OrderedDict()

    def read(self, value: Any) -> _Read:
        if type(value) is not dict:
            return self._make(value)
        try:
            written = orjson.dumps(value, option=_EXACT)
        except TypeError:  # not made of JSON's values
            return self._make(value)
        if (known := self._known.get(written)) is not None:
            return known
        made = self._make(value)
        if len(written) <= _MOST_BYTES:
            self._known[written] = made
            if len(self._known) > _MOST:
                with suppress(KeyError):  # another thread was faster
                    self._known.popitem(last=False)
        return made
