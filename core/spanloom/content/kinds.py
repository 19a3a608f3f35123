"""What a value is, as far as reading it depends on that: asked for every object, so most answers are kept by class."""

from __future__ import annotations

import dataclasses
import enum
import math
import numbers
from functools import lru_cache
from typing import Any

_MAX_VECTOR = 16
_MAX_INT_BITS = 63
SMALL_INT = 1 << _MAX_INT_BITS
_MAX_DIGITS_BITS = 4096  # beyond, CPython refuses to write the digits
_MOST_FLAT = 64


@lru_cache(maxsize=1_000)
def is_scalar(kind: type) -> bool:
    """Whether values of that kind are texts, bytes, members of an enum or numbers: it is asked for every object, and
    the numbers' own classes answer slowly."""
    return issubclass(kind, (str, bytes, bytearray, memoryview, enum.Enum, numbers.Integral, numbers.Real))


@lru_cache(maxsize=1_000)
def shown_of(kind: type) -> tuple[str, ...]:
    """The fields of a dataclass that it shows of itself."""
    return tuple([f.name for f in dataclasses.fields(kind) if f.repr])


def is_flat(values: dict[Any, Any]) -> bool:
    """Whether these are texts, numbers and None under texts, all as they would be read: as metadata mostly is."""
    if len(values) > _MOST_FLAT:
        return False
    for key, value in values.items():
        if type(key) is not str or not key.isascii():
            return False
        kind = type(value)
        if kind is str:
            if not value.isascii():
                return False
        elif kind is int:
            if not -SMALL_INT < value < SMALL_INT:
                return False
        elif kind is float:
            if not math.isfinite(value):
                return False
        elif kind is not bool and value is not None:
            return False
    return True


def whole(value: int) -> int | str:
    """`value`, or its digits, where it is larger than what OTLP carries."""
    bits = value.bit_length()
    if bits <= _MAX_INT_BITS:
        return value
    return str(value) if bits <= _MAX_DIGITS_BITS else f"<integer of {bits} bits>"


def real(value: float) -> float | str:
    """`value`, or its name, where it is no number or infinite, which JSON does not have."""
    return value if math.isfinite(value) else str(value)


def is_vector(value: list[Any] | tuple[Any, ...], *, named: bool) -> bool:
    """Whether `value` is an embedding: numbers only, and under a name that says so, or long and not all whole."""
    if len(value) <= (0 if named else _MAX_VECTOR):
        return False
    if not all(isinstance(x, numbers.Number) and not isinstance(x, bool) for x in value):
        return False
    return named or not all(isinstance(x, numbers.Integral) for x in value)  # whole ones are token ids, positions


def model_fields(model: Any, fields: dict[str, Any]) -> list[tuple[str, Any]]:
    """A pydantic model's fields from where it keeps them: no serializer of the model's own runs.

    What the model itself leaves out of its dumps or its repr (clients, keys) stays out.
    """
    values = {**vars(model), **(getattr(model, "__pydantic_extra__", None) or {})}
    return [
        (name, value)
        for name, value in values.items()
        if (declared := fields.get(name)) is None or (not getattr(declared, "exclude", None) and declared.repr)
    ]
