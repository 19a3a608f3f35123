"""What an examination finds: one sentence each."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """`sentence` says what was found, and, where not `ok`, what to do."""

    ok: bool
    sentence: str


class TroubleError(Exception):
    """Ends the examination of one destination; its text is the sentence of the finding."""
