"""Scores: what somebody, or some model, thinks of a trace or of one step; and the handle that says which."""

from __future__ import annotations

import enum
import math
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass, field
from numbers import Real
from typing import Any


class DataType(enum.StrEnum):
    """What the value of a score is."""

    NUMERIC = "NUMERIC"
    BOOLEAN = "BOOLEAN"
    CATEGORICAL = "CATEGORICAL"


@dataclass(frozen=True, slots=True)
class StepHandle:
    """Which step: `trace_id` (32 hexadecimal digits), `span_id` (16), and the framework's `name` for it.

    `sampled` is False where the trace is not kept: then nothing is sent of its scores either.
    """

    trace_id: str
    span_id: str
    name: str = ""
    sampled: bool = True

    @property
    def decimal_trace_id(self) -> str:
        """The trace id as a decimal number, as Datadog's evaluations take it."""
        return str(int(self.trace_id, 16))

    @property
    def decimal_span_id(self) -> str:
        """The span id as a decimal number, as Datadog's evaluations take it."""
        return str(int(self.span_id, 16))


@dataclass(frozen=True, slots=True)
class Score:
    """One score. `value` is a float, a bool or a text, as `data_type` says. `comment` is content: each destination's
    policy decides on it. `id` makes sending it again harmless."""

    name: str
    value: float | bool | str
    data_type: DataType
    trace_id: str
    span_id: str | None = None
    comment: str | None = None
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    time_ns: int = field(default_factory=time.time_ns)
    route: frozenset[str] = frozenset()  # the routed destinations that its trace goes to


class ScoreError(ValueError):
    """A score that cannot be: the message says what to write instead, and quotes no value."""


def score_of(
    name: Any, value: Any, target: tuple[str, str | None], comment: Any, data_type: Any, score_id: str | None
) -> Score:
    """The score in its own types; `ScoreError` where it is none."""
    if not isinstance(name, str) or not name.strip():
        raise ScoreError('a score needs a name: score("helpful", True)')
    kind = _data_type(data_type)
    value, kind = _typed(value, kind)
    score = Score(name, value, kind, *target, comment=None if comment is None else str(comment))
    return score if score_id is None or score_id == "" else _with_id(score, str(score_id))


def target_of(step: Any, trace_id: Any, span_id: Any) -> tuple[str, str | None]:
    """The ids that `step` (a `StepHandle`, an OpenTelemetry span, anything with both ids) or the two ids name."""
    if step is not None:
        if callable(context := getattr(step, "get_span_context", None)):
            step = context()
        trace_id, span_id = getattr(step, "trace_id", None), getattr(step, "span_id", None)
    trace = _hexadecimal(trace_id, 32)
    if trace is None:
        raise ScoreError("a score needs a step=…, or a trace_id=… of 32 hexadecimal digits")
    if span_id is None:
        return trace, None
    span = _hexadecimal(span_id, 16)
    if span is None:
        raise ScoreError("span_id=… is no span's: write 16 hexadecimal digits, or leave it out")
    return trace, span


def _with_id(score: Score, score_id: str) -> Score:
    return Score(
        score.name, score.value, score.data_type, score.trace_id, score.span_id, score.comment, score_id, score.time_ns
    )


def _data_type(given: Any) -> DataType | None:
    if given is None:
        return None
    try:
        return DataType(str(given).upper())
    except ValueError:
        known = ", ".join(DataType)
        raise ScoreError(f"data_type={given!r} is not known: write one of {known}") from None


def _typed(value: Any, kind: DataType | None) -> tuple[float | bool | str, DataType]:
    """The value as its data type has it, which its own type tells where none is given."""
    if not isinstance(value, (bool, int, float, str)) and callable(item := getattr(value, "item", None)):
        with suppress(Exception):  # more than one value: said below
            value = item()  # NumPy's and PyTorch's scalars
    match kind:
        case None if isinstance(value, bool):
            return value, DataType.BOOLEAN
        case None | DataType.CATEGORICAL if isinstance(value, str):
            return value, DataType.CATEGORICAL
        case DataType.CATEGORICAL if isinstance(value, (bool, Real)):
            return str(value), DataType.CATEGORICAL
        case DataType.BOOLEAN if isinstance(value, (bool, int, float)) and value in (0, 1):
            return bool(value), DataType.BOOLEAN
        case None | DataType.NUMERIC if (number := _number(value)) is not None:
            return number, DataType.NUMERIC
    what = type(value).__name__
    if kind is None:
        raise ScoreError(f"a score's value is a finite number, a bool or a text, not this {what}")
    raise ScoreError(f"this {what} is no {kind.lower()} value: leave data_type=… out, or convert it")


def _number(value: Any) -> float | None:
    try:
        number = float(value) if isinstance(value, Real) or type(value).__name__ == "Decimal" else None
    except (TypeError, ValueError, OverflowError):
        return None
    return number if number is not None and math.isfinite(number) else None


def _hexadecimal(value: Any, digits: int) -> str | None:
    """An id as lower-case hexadecimal; None where it is none. A UUID's dashes are left out."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 16**digits:
        return f"{value:0{digits}x}"
    text = str(value).replace("-", "").lower() if value is not None else ""
    good = len(text) == digits and set(text) <= set("0123456789abcdef") and set(text) != {"0"}
    return text if good else None
