"""What a receiver said to one request, whatever protocol it speaks."""

from __future__ import annotations

import enum
import sys
from typing import NamedTuple, Protocol


def user_agent() -> str:
    """What every request says of its sender, as OTLP asks for."""
    spanloom = sys.modules[__name__.partition(".")[0]]  # its version stands at the top, which is not ours to import
    return f"Spanloom/{spanloom.__version__} OTLP-Exporter-Python"


class Verdict(enum.Enum):
    """What is to become of the batch."""

    TAKEN = "taken"
    LATER = "later"  # to be tried again: the receiver is away, busy, or asks for it
    TROUBLE = "trouble"  # OTLP says not to try again, yet another day it may be taken: only a spool keeps it
    TOO_LARGE = "too large"
    REFUSED = "refused"  # for good


class Answer(NamedTuple):
    """`reason` is a word for counts (`http_503`, `timeout`); `said` continues a log line after the receiver's name,
    and holds nothing of the answer's text, which may echo what was sent. `retry_after` is seconds that the receiver
    asks for; `rejected` of what it took it did not take; `remark` is its own text, for debugging alone."""

    verdict: Verdict
    reason: str = ""
    said: str = ""
    retry_after: float | None = None
    rejected: int = 0
    remark: str = ""


class Wire(Protocol):
    """A way to one receiver. Used by one thread, except for `abandon`."""

    def send(self, body: bytes, seconds: float) -> Answer:
        """Send one encoded request: it ends after about `seconds` at the latest. Never raises for the receiver's
        trouble."""
        ...

    def abandon(self) -> None:
        """End the attempt that is under way, from another thread."""
        ...

    def close(self) -> None: ...
