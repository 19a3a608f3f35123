"""A score in each receiver's words. Pure; `comment` is what the destination's policy shows of the score's own."""

from __future__ import annotations

from typing import Any

from ..scores import DataType, Score
from .rendered import Attributes, known

EVALUATION = "gen_ai.evaluation.result"
"""The name of the GenAI conventions' event."""


def genai(score: Score, comment: str | None = None) -> Attributes:
    """The attributes of the event `gen_ai.evaluation.result`: a number as `score.value`, a text as `score.label`, a
    boolean as both."""
    return known({
        "gen_ai.evaluation.name": score.name,
        "gen_ai.evaluation.score.value": _number(score),
        "gen_ai.evaluation.score.label": _label(score),
        "gen_ai.evaluation.explanation": comment,
    })  # fmt: skip


def langfuse(score: Score, comment: str | None = None, environment: str | None = None) -> dict[str, Any]:
    """The body of `POST /api/public/scores`: one object, whose own `id` lets it be sent again."""
    return _some({
        "id": score.id,
        "traceId": score.trace_id,
        "observationId": score.span_id,
        "name": score.name,
        "value": score.value if score.data_type is DataType.CATEGORICAL else _number(score),
        "dataType": score.data_type.value,
        "comment": comment,
        "environment": environment,
    })  # fmt: skip


def openinference(score: Score, comment: str | None = None, annotator: str = "CODE") -> dict[str, Any]:
    """One item of Phoenix's `POST /v1/span_annotations` (with a span) or `/v1/trace_annotations` (without one).

    `annotator` is CODE, LLM or HUMAN. The `identifier` makes an annotation that is sent again replace itself.
    """
    result = _some({"score": _number(score), "label": _label(score), "explanation": comment})
    place = {"span_id": score.span_id} if score.span_id is not None else {"trace_id": score.trace_id}
    return {**place, "name": score.name, "annotator_kind": annotator, "result": result, "identifier": score.id}


def neutral(score: Score, comment: str | None = None) -> dict[str, Any]:
    """The score as the local file keeps it."""
    return _some({
        "id": score.id,
        "trace_id": score.trace_id,
        "span_id": score.span_id,
        "name": score.name,
        "value": score.value,
        "data_type": score.data_type.value,
        "comment": comment,
        "time_ns": score.time_ns,
    })  # fmt: skip


def _number(score: Score) -> float | None:
    return None if isinstance(score.value, str) else float(score.value)


def _label(score: Score) -> str | None:
    if isinstance(score.value, str):
        return score.value
    return str(score.value).lower() if isinstance(score.value, bool) else None


def _some(values: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in values.items() if v is not None}
