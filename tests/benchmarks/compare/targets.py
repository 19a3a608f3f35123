"""Where we want to be, as ratios within one benchmark, and whether we are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from .figures import Figures, ratio
from .subjects import DUAL, FLOOR, OURS, PEERS, TWO_FLOORS
from .workloads import WORKLOADS

APP, ALL, TIMES_DUAL, TIMES_PEER = 0.8, 0.4, 8.0, 4.0
TOKEN_US, IMPORT_MS = 1.0, 60.0


@dataclass(frozen=True, slots=True)
class Target:
    """`value` is what was measured; `limit` is the most that it may be, or the least where `at_least`.

    `value` is None where no ratio could be told (figures.py): such a target is not met.
    `on` is a workload or a framework. `floor` is true for those that need nothing but the floor and us.
    """

    what: str
    on: str
    value: float | None
    limit: float
    at_least: bool = False
    floor: bool = False

    def met(self, factor: float = 1.0) -> bool:
        """Whether it is, if `factor` times the limit is still good enough."""
        if self.value is None:
            return False
        return self.value * factor >= self.limit if self.at_least else self.value <= self.limit * factor


def targets(report: Figures) -> list[Target]:
    """All targets that `report` has the figures of."""
    return [*_costs(report["workloads"]), *_tokens(report["tokens"]), *_imports(report["imports"])]


def as_json(target: Target) -> Figures:
    return {**asdict(target), "met": target.met()}


def missed(found: list[Figures], factor: float) -> str:
    """What is said of those ratios to the floor that are over `factor` times their limits, or could not be told; the
    empty text if there are none. `found` are as in a report: `as_json`."""
    known = [Target(**{key: value for key, value in target.items() if key != "met"}) for target in found]
    said = "; ".join(
        f"{t.what} on {t.on} " + ("cannot be told" if t.value is None else f"is {t.value:.2f}, not {t.limit:g}")
        for t in known
        if t.floor and not t.met(factor)
    )
    return said and f"missed by more than {factor:g} times: {said}"


def _costs(workloads: dict[str, Figures]) -> Iterator[Target]:
    for name, of in workloads.items():
        subjects: dict[str, Any] = of["subjects"]
        ours = subjects.get(OURS)
        if ours is None or not WORKLOADS[name].shown:
            continue
        if FLOOR in subjects:
            yield Target("application's threads, of the floor's", name, ours["app_ratio"], APP, floor=True)
        if TWO_FLOORS in subjects:
            yield Target("all threads, of the two-export floor's", name, ours["all_ratio"], ALL, floor=True)
        if DUAL in subjects:
            times = ratio(subjects[DUAL]["all_us"], ours["all_us"])
            yield Target("the usual dual set-up, times ours", name, times, TIMES_DUAL, at_least=True)
        if peers := [subjects[p]["all_us"] for p in PEERS if p in subjects and _spans(subjects[p]) >= _spans(ours)]:
            times = ratio(min(peers), ours["all_us"])
            yield Target("the cheapest peer, times ours", name, times, TIMES_PEER, at_least=True)


def _spans(figure: Figures) -> int:
    """Of a run, at one destination. Who makes fewer than we do saves by leaving out, and is no measure."""
    return max(figure["spans"].values())


def _tokens(tokens: dict[str, Any]) -> Iterator[Target]:
    for name, subjects in tokens.items():
        if OURS in subjects:
            yield Target("µs for a token after the first", name, subjects[OURS]["app_us"], TOKEN_US)


def _imports(imports: dict[str, Any]) -> Iterator[Target]:
    for framework, subjects in imports.items():
        if OURS in subjects:
            yield Target("ms of import over the framework", framework, subjects[OURS]["import_ms_median"], IMPORT_MS)
