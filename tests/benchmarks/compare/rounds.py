"""Subjects take turns, and each round says what came of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from .sink import Sink
from .subjects import FLOOR, SUBJECTS, TWO_FLOORS
from .workers import Crew, Process
from .workloads import WORKLOADS, Workload

_FEW = 3  # runs whose spans are counted before anything is measured


class NothingArrivedError(Exception):
    """A subject does not deliver what it should: its figures would say nothing."""


@dataclass(frozen=True, slots=True)
class Round:
    """One round of one subject: seconds of CPU and of each run, and what the sink got of it.

    `lost` are spans that a run of the warm-up sent and runs of the round did not.
    """

    runs: int
    thread: float
    process: float
    wall: list[float]
    bytes: dict[str, int]
    requests: dict[str, int]
    lost: int


@dataclass
class Measured:
    """All rounds of one subject on one workload. `spans` are those of one run, by path; `names` how many of a name."""

    spans: dict[str, int] = field(default_factory=dict)
    names: dict[str, int] = field(default_factory=dict)
    rounds: list[Round] = field(default_factory=list)


Results = dict[str, dict[str, Measured]]
"""Workload to subject to what was measured."""


def take_turns(
    crew: Crew,
    sink: Sink,
    subjects: list[str],
    workloads: list[str],
    rounds: int,
    share: float = 1.0,
    tell: Callable[[str], None] = lambda _: None,
) -> Results:
    """`rounds` rounds of each workload: A B C, then B C A, and so on. `share` of the usual number of runs make a round.

    Raises `NothingArrivedError` where a subject sends none, or the floor not all of its spans.
    """
    chosen = [WORKLOADS[name] for name in workloads]
    results: Results = {w.name: {s: Measured() for s in subjects} for w in chosen}
    for workload in chosen:
        for subject in subjects:
            tell(f"warming up: {workload.name} {subject}")
            _warm_up(crew[subject, workload.framework], sink, workload, results[workload.name][subject], share)
    for process in crew:
        process.ask("settled")
    for number in range(rounds):
        for workload in chosen:
            for subject in subjects[number % len(subjects) :] + subjects[: number % len(subjects)]:
                tell(f"round {number + 1} of {rounds}: {workload.name} {subject}")
                measured = results[workload.name][subject]
                runs = _runs(workload, share)
                answer = crew[subject, workload.framework].ask("round", workload=workload.name, runs=runs)
                measured.rounds.append(_round(runs, answer, sink.take(), measured.spans))
    return results


def _runs(workload: Workload, share: float) -> int:
    return max(1, round(workload.runs * share))


def _warm_up(process: Process, sink: Sink, workload: Workload, measured: Measured, share: float) -> None:
    """Some runs for the caches; then a few, whose spans are what each run has to send."""
    process.ask("round", workload=workload.name, runs=max(1, _runs(workload, share) // 4))
    sink.forget()
    process.ask("round", workload=workload.name, runs=_FEW)
    taken = {path: got for path, got in sink.take().items() if got["names"]}
    subject = SUBJECTS[process.subject]
    if len(taken) != subject.exports:
        raise NothingArrivedError(
            f"{subject.name} sent {workload.name} to {sorted(taken)}, not to {subject.exports} paths"
        )
    for path, got in taken.items():
        each, rest = divmod(sum(got["names"].values()), _FEW)
        wrong = each != workload.spans if subject.name in (FLOOR, TWO_FLOORS) else rest
        if wrong:
            raise NothingArrivedError(f"{subject.name}: {_FEW} runs of {workload.name} sent {got['names']} to {path}")
        measured.spans[path] = each
        measured.names = {name: count // _FEW for name, count in got["names"].items()}


def _round(runs: int, answer: dict[str, Any], taken: dict[str, Any], spans: dict[str, int]) -> Round:
    came = {path: sum(taken[path]["names"].values()) if path in taken else 0 for path in spans}
    return Round(
        runs=runs,
        thread=answer["thread"],
        process=answer["process"],
        wall=answer["wall"],
        bytes={path: got["bytes"] for path, got in taken.items()},
        requests={path: got["requests"] for path, got in taken.items()},
        lost=sum(spans[path] * runs - came[path] for path in spans),
    )
