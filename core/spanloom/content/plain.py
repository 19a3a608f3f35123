"""Any Python value as plain JSON values, whatever it is: circular, unprintable, not text, not a number.

The result holds only None, bool, int, finite float, str without lone surrogates, list, and dict with str keys.
"""

from __future__ import annotations

import dataclasses
import enum
import math
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from traceback import TracebackException
from typing import Any

_MAX_DEPTH = 16
_MAX_NODES = 20_000
_MAX_VECTOR = 16
_VECTOR_KEYS = frozenset({"embedding", "embeddings", "vector", "embedding_vector"})

Convert = Callable[[Any], Any]
"""An adapter's own reading of an object; returns it unchanged where it has none."""


def plain(value: Any, convert: Convert | None = None) -> Any:
    """`value` as plain JSON values. Vectors are replaced by their length, bytes by their size, cycles by a mark.

    At most 16 levels and 20,000 values are read; what is left out is marked in place.
    """
    return _Reader(convert).read(value, 0)


def clean(text: str) -> str:
    """`text` without lone surrogates, which no UTF-8 encoder takes: each becomes its escape, such as `\\ud800`."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace").decode()
    return str(text)  # a str, also where it was a subclass


def text_of(value: Any) -> str:
    """`str(value)`, or a mark where that raises."""
    try:
        return clean(str(value))
    except Exception:  # another library's __str__ may raise anything
        return f"<unprintable {type(value).__name__}>"


class _Reader:
    def __init__(self, convert: Convert | None) -> None:
        self.convert = convert
        self.nodes = 0
        self.path: set[int] = set()

    def read(self, value: Any, depth: int) -> Any:
        if value is None or value is True or value is False:
            return value
        self.nodes += 1
        if self.nodes > _MAX_NODES:
            return "<more left out>"
        kind = type(value)
        if kind is str:
            return clean(value)
        if kind is int:
            return value
        if kind is float:
            return value if math.isfinite(value) else str(value)
        if isinstance(value, (bytes, bytearray, memoryview)):
            return f"<{len(value)} bytes>"
        if isinstance(value, enum.Enum):
            return self.read(value.value, depth)
        if isinstance(value, str):
            return clean(str.__str__(value))
        if isinstance(value, (int, float)):
            return self.read(float(value) if isinstance(value, float) else int(value), depth)
        if depth >= _MAX_DEPTH:
            return "<too deep>"
        if id(value) in self.path:
            return "<circular>"
        self.path.add(id(value))
        try:
            return self._compound(value, depth + 1)
        except Exception:  # another library's iterator or property may raise anything
            return f"<unreadable {kind.__name__}>"
        finally:
            self.path.discard(id(value))

    def _compound(self, value: Any, depth: int) -> Any:
        if self.convert is not None:
            converted = self.convert(value)
            if converted is not value:
                return self.read(converted, depth)
        if isinstance(value, Mapping):
            return {self._key(k): self._field(k, v, depth) for k, v in value.items()}
        if isinstance(value, (list, tuple)):
            if len(value) > _MAX_VECTOR and all(type(x) is float for x in value):
                return f"<vector of {len(value)} numbers>"
            return [self.read(x, depth) for x in value]
        if isinstance(value, (AbstractSet, frozenset)):
            return [self.read(x, depth) for x in value]
        if hasattr(value, "shape") and hasattr(value, "dtype"):
            return f"<array of shape {value.shape}>"
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            return {f.name: self._field(f.name, getattr(value, f.name, None), depth) for f in dataclasses.fields(value)}
        if hasattr(type(value), "model_fields"):  # pydantic keeps its fields there; no serializer of the model's runs
            return {k: self._field(k, v, depth) for k, v in vars(value).items()}
        return text_of(value)

    def _field(self, key: Any, value: Any, depth: int) -> Any:
        if isinstance(key, str) and key in _VECTOR_KEYS and isinstance(value, (list, tuple)) and value:
            if all(isinstance(x, (int, float)) for x in value):
                return f"<vector of {len(value)} numbers>"
        return self.read(value, depth)

    def _key(self, key: Any) -> str:
        return clean(key) if isinstance(key, str) else text_of(key)


# ---------------------------------------------------------------- exceptions
def describe_error(error: BaseException) -> tuple[str, TracebackException | None]:
    """The text of `error` and its stack, held without the frames, whose locals would be kept alive with them."""
    try:
        stack = TracebackException(type(error), error, error.__traceback__, lookup_lines=False, compact=True)
    except Exception:  # an exception whose own attributes raise
        stack = None
    return text_of(error), stack


def stack_text(stack: TracebackException) -> str:
    """The formatted stack, as Python prints it. Reads source files: for the worker."""
    return clean("".join(stack.format()))
