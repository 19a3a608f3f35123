"""What a subject takes for good: bytes on the disk, the most memory, and what a long life leaves behind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import environments
from .sink import Sink
from .subjects import NOOP, SUBJECTS
from .workers import Crew, Process

_WARM_UP, _AT_ONCE = 0.1, 200  # a share of the runs, and runs


def sizes(subjects: list[str]) -> dict[str, int]:
    """Installed bytes over the frameworks', by subject."""
    frameworks = environments.size("framework")
    return {s: environments.size(SUBJECTS[s].environment) - frameworks for s in subjects if s != NOOP}


def peaks(crew: Crew, subjects: list[str], frameworks: list[str]) -> dict[str, dict[str, int]]:
    """The most bytes that were resident over those of the no-op handler, after the same work, by framework."""
    out = {}
    for framework in frameworks:
        peak = {subject: crew[subject, framework].ask("memory")["peak"] for subject in subjects}
        out[framework] = {subject: most - peak[NOOP] for subject, most in peak.items() if subject != NOOP}
    return out


def growth(
    subject: str,
    framework: str,
    workload: str,
    runs: int,
    sink: Sink,
    tell: Callable[[str], None] = lambda _: None,
    **settings: Any,
) -> dict[str, int]:
    """Bytes that `runs` runs leave behind after a warm-up: resident, and of objects. Nothing else runs meanwhile."""
    process = Process(subject, framework, sink.url, **settings)
    try:
        process.ready()
        _live(
            process,
            workload,
            round(runs * _WARM_UP),
            sink,
            lambda done: tell(f"growth of {subject}: warming up, {done}"),
        )
        before = process.ask("state")
        _live(process, workload, runs, sink, lambda done: tell(f"growth of {subject}: {done} of {runs} runs"))
        after = process.ask("state")
    finally:
        process.close()
    return {"runs": runs, **{key: after[key] - before[key] for key in ("resident", "objects")}}


def _live(process: Process, workload: str, runs: int, sink: Sink, tell: Callable[[int], None]) -> None:
    for done in range(0, runs, _AT_ONCE):
        tell(done)
        process.ask("many", workload=workload, runs=min(_AT_ONCE, runs - done))
        sink.forget()
