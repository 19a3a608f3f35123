"""From rounds to figures: medians over the no-op handler, how far they spread, and ratios to the floor."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import median, quantiles
from typing import Any

from .rounds import Measured, Results, Round
from .subjects import FLOOR, NOOP, TWO_FLOORS
from .workloads import CHUNKS, WORKLOADS

Figures = dict[str, Any]
MEDIAN, MINIMUM = "median", "min"
_One = Callable[[list[float]], float]
_ONE: dict[str, _One] = {MEDIAN: median, MINIMUM: min}


def figures(results: Results, of: str = MEDIAN) -> dict[str, Figures]:
    """Of each workload and subject, all per run and over the no-op handler:

    `app_us` and `all_us`, microseconds of CPU of the application's threads and of all threads; the same with `_low` and
    `_high`, the quartiles of the rounds, and with `_rounds`, each round; `p50_us` and `p99_us`, microseconds that the
    median run and the slowest of a hundred take longer by the clock; `bytes`, on the wire, and `requests`, by path;
    `spans`, by path; `lost`, spans that did not come; `app_ratio`, to one export by hand, and `all_ratio`, to two.
    The no-op handler's own figures are not over anything. `app_us` and `all_us` are medians of the rounds, or their
    minima: what others do on a machine only ever makes CPU time longer, so that where they do much the minimum varies
    less.
    """
    one = _ONE[of]
    return {name: _workload(name, subjects, one) for name, subjects in results.items()}


def _workload(name: str, of: dict[str, Measured], one: _One) -> Figures:
    nothing = _plain(of[NOOP], one)
    subjects = {subject: _over(_plain(measured, one), nothing) for subject, measured in of.items() if subject != NOOP}
    for figure in subjects.values():
        figure["app_ratio"] = _ratio(figure["app_us"], subjects.get(FLOOR, {}).get("app_us"))
        figure["all_ratio"] = _ratio(figure["all_us"], subjects.get(TWO_FLOORS, {}).get("all_us"))
    workload = WORKLOADS[name]
    return {"title": workload.title, "subjects": {NOOP: nothing, **subjects}}


def _plain(measured: Measured, one: _One) -> Figures:
    rounds = measured.rounds
    wall = sorted(second * 1e6 for r in rounds for second in r.wall)
    return {
        **_spread(one, "app", [r.thread / r.runs * 1e6 for r in rounds]),
        **_spread(one, "all", [r.process / r.runs * 1e6 for r in rounds]),
        "p50_us": median(wall),
        "p99_us": wall[min(len(wall) - 1, len(wall) * 99 // 100)],
        "bytes": _each(rounds, "bytes"),
        "requests": _each(rounds, "requests"),
        "spans": measured.spans,
        "names": measured.names,
        "lost": sum(r.lost for r in rounds),
        "runs": sum(r.runs for r in rounds),
    }


def _spread(one: _One, name: str, rounds: list[float]) -> Figures:
    low, high = quartiles(rounds)
    return {f"{name}_us": one(rounds), f"{name}_us_low": low, f"{name}_us_high": high, f"{name}_us_rounds": rounds}


def quartiles(values: Sequence[float]) -> tuple[float, float]:
    """The lower and the upper quartile."""
    if len(values) < 2:
        return values[0], values[0]
    low, _, high = quantiles(values, method="inclusive")
    return low, high


def _each(rounds: list[Round], what: str) -> dict[str, float]:
    """Per run, by path."""
    total: dict[str, float] = {}
    for one in rounds:
        for path, count in getattr(one, what).items():
            total[path] = total.get(path, 0) + count
    runs = sum(one.runs for one in rounds)
    return {path: count / runs for path, count in total.items()}


def _over(figure: Figures, nothing: Figures) -> Figures:
    out = dict(figure)
    for name in ("app_us", "all_us"):
        for key in (name, f"{name}_low", f"{name}_high"):
            out[key] = figure[key] - nothing[name]
        out[f"{name}_rounds"] = [value - nothing[name] for value in figure[f"{name}_rounds"]]
    for key in ("p50_us", "p99_us"):
        out[key] = figure[key] - nothing[key]
    return out


def _ratio(cost: float, floor: float | None) -> float | None:
    return cost / floor if floor is not None and floor > 0 else None


def tokens(workloads: dict[str, Figures]) -> dict[str, dict[str, dict[str, float]]]:
    """Microseconds of CPU for each streamed token after the first, over the no-op handler, by workload and subject.

    The stream's cost less that of the same answer in one piece, by its other tokens: the spans around it cost the same.
    """
    out: dict[str, dict[str, dict[str, float]]] = {}
    for name, of in workloads.items():
        whole = WORKLOADS[name].whole
        if whole not in workloads:
            continue
        out[name] = {
            subject: {
                "app_us": (figure["app_us"] - one["app_us"]) / (CHUNKS - 1),
                "all_us": (figure["all_us"] - one["all_us"]) / (CHUNKS - 1),
            }
            for subject, figure in of["subjects"].items()
            if (one := workloads[whole]["subjects"].get(subject)) is not None and subject != NOOP
        }
    return out
