"""A text with placeholders for what a redactor finds in it."""

from __future__ import annotations

from collections import Counter

from .finding import Redactor
from .placeholders import Placeholders
from .view import PLACEHOLDER


def redacted(text: str, redactor: Redactor, placeholders: Placeholders, trace_id: int) -> tuple[str, Counter[str]]:
    """`text` with placeholders, and how many findings of each kind they stand for.

    Placeholders that are in `text` already stay as they are. Raises what the redactor raises.
    """
    found = redactor.find(text)
    counted: Counter[str] = Counter()
    if not found:
        return text, counted
    standing = [m.span() for m in PLACEHOLDER.finditer(text)] if "<" in text else []
    pieces: list[str] = []
    at = 0
    for finding in found:
        if finding.start < at or any(finding.start < end and start < finding.end for start, end in standing):
            continue
        label = placeholders.label(trace_id, finding.kind, text[finding.start : finding.end])
        pieces += text[at : finding.start], label
        at = finding.end
        counted[finding.kind] += 1
    pieces.append(text[at:])
    return "".join(pieces), counted
