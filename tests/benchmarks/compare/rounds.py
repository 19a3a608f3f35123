"""Subjects take turns, and each round says what came of it.

A subject's turn is a pair of blocks of the same runs in its one process, or two pairs: under the no-op handler, and
under the subject; then the other way round. Two processes of one program differ by 5 % for as long as they live, which
on a stream is several times what tracing it costs: only what was measured in one process is subtracted.
"""

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


class NotSwitchedOffError(Exception):
    """A subject delivers while the no-op handler is at work: the difference would not be its cost."""


@dataclass(frozen=True, slots=True)
class Block:
    """Seconds of CPU of the application's threads and of all, and seconds of each run by the clock."""

    thread: float
    process: float
    wall: list[float]


@dataclass(frozen=True, slots=True)
class Pair:
    """A block under it and one under the no-op handler, and what the sink got of the first.

    `lost` are spans that a run of the warm-up sent and those of the block did not; `late` are those that came while the
    no-op handler was at work.
    """

    runs: int
    subject: Block
    noop: Block
    bytes: dict[str, int]
    requests: dict[str, int]
    lost: int
    late: int


@dataclass
class Measured:
    """All pairs of one subject on one workload. `spans` are those of one run, by path; `names` how many of a name."""

    spans: dict[str, int] = field(default_factory=dict)
    names: dict[str, int] = field(default_factory=dict)
    pairs: list[Pair] = field(default_factory=list)


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
    """`rounds` rounds of each workload: A B C, then B C A, and so on. `share` of the usual number of runs make a block.

    Raises `NothingArrivedError` where a subject sends none, or the floor not all of its spans, and
    `NotSwitchedOffError` where it sends any under the no-op handler.
    """
    chosen = [WORKLOADS[name] for name in workloads]
    results: Results = {w.name: {s: Measured() for s in subjects} for w in chosen}
    for workload in chosen:
        for subject in subjects:
            tell(f"warming up: {workload.name} {subject}")
            _warm_up(crew[subject, workload.framework], sink, workload, results[workload.name][subject], share)
    for number in range(rounds):
        for workload in chosen:
            for subject in subjects[number % len(subjects) :] + subjects[: number % len(subjects)]:
                tell(f"round {number + 1} of {rounds}: {workload.name} {subject}")
                process, measured = crew[subject, workload.framework], results[workload.name][subject]
                for pair in range(workload.pairs):
                    first = (number + pair) % 2 == 0
                    measured.pairs.append(
                        _pair(process, sink, workload, _runs(workload, share), measured.spans, noop_first=first)
                    )
    return results


def _runs(workload: Workload, share: float) -> int:
    return max(1, round(workload.runs * share))


def _warm_up(process: Process, sink: Sink, workload: Workload, measured: Measured, share: float) -> None:
    """Some runs for the caches; then a few, whose spans are what each run has to send; and as many that send none."""
    some = max(1, _runs(workload, share) // 4)
    _block(process, sink, workload, some, noop=False)
    _, taken = _block(process, sink, workload, _FEW, noop=False)
    _, none = _block(process, sink, workload, some + _FEW, noop=True)
    subject = SUBJECTS[process.subject]
    if none:
        raise NotSwitchedOffError(f"{subject.name} sent spans of {workload.name} under the no-op handler: {none}")
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


def _block(
    process: Process, sink: Sink, workload: Workload, runs: int, *, noop: bool
) -> tuple[Block, dict[str, dict[str, Any]]]:
    """The block, and what came of it, by path."""
    block = Block(**process.ask("block", workload=workload.name, runs=runs, noop=noop))
    return block, {path: got for path, got in sink.take().items() if got["names"]}


def _pair(
    process: Process, sink: Sink, workload: Workload, runs: int, spans: dict[str, int], *, noop_first: bool
) -> Pair:
    done = {noop: _block(process, sink, workload, runs, noop=noop) for noop in (noop_first, not noop_first)}
    (subject, taken), (nothing, late) = done[False], done[True]
    return Pair(
        runs=runs,
        subject=subject,
        noop=nothing,
        bytes={path: got["bytes"] for path, got in taken.items()},
        requests={path: got["requests"] for path, got in taken.items()},
        lost=sum(each * runs for each in spans.values()) - _spans(taken),
        late=_spans(late),
    )


def _spans(taken: dict[str, dict[str, Any]]) -> int:
    return sum(sum(got["names"].values()) for got in taken.values())
