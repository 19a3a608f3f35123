"""A span as it is stored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Row:
    """A span as it is stored: the columns that are listed and filtered by, and the whole record as JSON values.

    Ids are lower-case hexadecimal, times nanoseconds since the epoch. `kind` is a step's, or `"span"` for a span of
    another library. The token counts are inclusive. `model` (the one that answered, else the one requested) and `cost`
    (US dollars, a decimal text) are those of a call; a call whose price is unknown has no cost.
    """

    trace_id: str
    span_id: str
    parent_id: str | None
    name: str
    kind: str
    outcome: str | None
    start_ns: int
    end_ns: int
    input_tokens: int | None = None
    output_tokens: int | None = None
    error_type: str | None = None
    error_message: str | None = None
    service: str | None = None
    user_id: str | None = None
    session_id: str | None = None
    model: str | None = None
    cost: str | None = None
    record: dict[str, Any] | None = None

    @property
    def duration_ns(self) -> int:
        return max(0, self.end_ns - self.start_ns)


@dataclass(frozen=True, slots=True)
class Call:
    """A model call as far as its cost is concerned.

    `identity` is as in the record: user, tenant, tags, prompt, metadata.
    """

    start_ns: int
    model: str | None
    cost: str | None
    input_tokens: int | None
    output_tokens: int | None
    user_id: str | None
    identity: dict[str, Any]


COLUMNS = Row.__slots__
LIGHT = COLUMNS[:-1]
