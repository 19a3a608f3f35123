"""Ways to trace: nothing at all, spans by hand, the peers, and Spanloom.

`SUBJECTS` are those that a benchmark knows, by name. A subject's class lives in `module`, and is made in a process of
its own: see `subject.py` for what it does.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .subject import Subject

NOOP, FLOOR, TWO_FLOORS, OURS, DUAL = "noop", "raw1", "raw2", "spanloom", "dual"


@dataclass(frozen=True, slots=True)
class Entry:
    """`environment` is the file in `requirements/` that its environment is made of; `exports` are its destinations."""

    name: str
    title: str
    environment: str
    module: str
    exports: int


SUBJECTS = {
    e.name: e
    for e in (
        Entry(NOOP, "no-op handler", "framework", "noop", 0),
        Entry(FLOOR, "raw SDK by hand, one export", "raw", "raw", 1),
        Entry(TWO_FLOORS, "raw SDK by hand, two exports", "raw", "raw", 2),
        Entry("openinference", "OpenInference", "openinference", "openinference", 1),
        Entry("openllmetry", "OpenLLMetry", "openllmetry", "openllmetry", 1),
        Entry("genai", "OpenTelemetry's GenAI instrumentation", "genai", "genai", 1),
        Entry("langfuse", "Langfuse's handler", "langfuse", "langfuse", 1),
        Entry(DUAL, "OpenInference beside Langfuse's handler", "dual", "dual", 2),
        Entry(OURS, "Spanloom", "spanloom", "spanloom", 2),
    )
}

PEERS = [e.name for e in SUBJECTS.values() if e.module not in {"noop", "raw", "spanloom"} and e.exports == 1]
"""Single-destination tools of others."""


def make(name: str) -> Subject:
    """The subject `name`; what it imports must be installed where it is loaded."""
    entry = SUBJECTS[name]
    subject: Subject = importlib.import_module(f"{__name__}.{entry.module}").Subject(entry.exports)
    return subject
