"""A text with placeholders for what a redactor finds in it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from ..batch import Labels
from .finding import Finding, Redactor
from .placeholders import Placeholders
from .view import PLACEHOLDER


def redacted(text: str, redactor: Redactor, placeholders: Placeholders, trace_id: int) -> tuple[str, Counter[str]]:
    """`text` with placeholders, and how many findings of each kind they stand for.

    Placeholders that are in `text` already stay as they are. Raises what the redactor raises.
    """
    counted: Counter[str] = Counter()
    return replaced(text, redactor.find(text), placeholders, trace_id, counted), counted


def replaced(
    text: str,
    found: Sequence[Finding],
    placeholders: Labels,
    trace_id: int,
    counted: Counter[str] | None = None,
) -> str:
    """`text` with placeholders for what was `found` in it; `counted` takes how many findings of each kind they are."""
    if not found:
        return text
    standing = [m.span() for m in PLACEHOLDER.finditer(text)] if "<" in text else []
    pieces: list[str] = []
    at = 0
    for finding in found:
        if finding.start < at or any(finding.start < end and start < finding.end for start, end in standing):
            continue
        label = placeholders.label(trace_id, finding.kind, text[finding.start : finding.end])
        pieces += text[at : finding.start], label
        at = finding.end
        if counted is not None:
            counted[finding.kind] += 1
    pieces.append(text[at:])
    return "".join(pieces)
