"""What a redactor finds, and what it is called."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable


class Entity(enum.StrEnum):
    """What `Patterns` finds."""

    EMAIL = "EMAIL"
    PHONE = "PHONE"
    CARD = "CARD"  # payment cards
    IBAN = "IBAN"
    NATIONAL_ID = "NATIONAL_ID"  # of persons: social security, tax, identity card and passport numbers
    IP = "IP"
    SECRET = "SECRET"  # noqa: S105 - keys, tokens, passwords, credentials in URLs


@dataclass(frozen=True, slots=True)
class Finding:
    """`text[start:end]` is of `kind`: an `Entity`, or another redactor's upper-case label."""

    start: int
    end: int
    kind: str


@runtime_checkable
class Redactor(Protocol):
    """Finds what must not be shown. It runs on the workers of destinations, on several threads at once."""

    def find(self, text: str) -> Sequence[Finding]:
        """The findings in `text`, in order, without overlaps. Placeholders of earlier redactions are none."""
        ...
