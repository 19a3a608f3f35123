"""From pairs of blocks to figures: medians of their differences, how far these spread, and ratios to the floor."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import median, quantiles
from typing import Any

from .rounds import Block, Measured, Pair, Results
from .subjects import FLOOR, NOOP, TWO_FLOORS
from .workloads import CHUNKS, WORKLOADS

Figures = dict[str, Any]
MEDIAN, MINIMUM = "median", "min"
ITSELF = "itself"


def figures(results: Results, of: str = MEDIAN) -> dict[str, Figures]:
    """Of each workload and subject, all per run and over the no-op handler in the same process:

    `app_us` and `all_us`, microseconds of CPU of the application's threads and of all threads; the same with `_pairs`,
    the differences of the pairs of blocks, with `_low` and `_high`, their quartiles, and with `_noop`, the median of
    what was subtracted; `p50_us` and `p99_us`, microseconds that the median run and the slowest of a hundred take
    longer by the clock; `bytes`, on the wire, and `requests`, by path; `spans`, by path; `lost` and `late`, spans that
    did not come, or not in time; `app_ratio`, to one export by hand, and `all_ratio`, to two, None where either was not
    measured or costs no more than nothing, as it may in few and short blocks.

    `app_us` and `all_us` are medians of these differences; or, `of` their minima, the least block of the subject
    less the least one of the no-op handler: what others do on a machine only ever makes CPU time longer.

    The no-op handler's own figures are not over anything. `itself` has those of a second no-op handler over it: what is
    not clearly more than these says nothing.
    """
    return {name: _workload(name, subjects, of) for name, subjects in results.items()}


def _workload(name: str, of_subjects: dict[str, Measured], of: str) -> Figures:
    over = {subject: _over(measured, of) for subject, measured in of_subjects.items()}
    nothing, itself = _plain(of_subjects[NOOP], of), over.pop(NOOP)
    for figure in over.values():
        figure["app_ratio"] = ratio(figure["app_us"], over.get(FLOOR, {}).get("app_us"))
        figure["all_ratio"] = ratio(figure["all_us"], over.get(TWO_FLOORS, {}).get("all_us"))
    return {"title": WORKLOADS[name].title, "subjects": {NOOP: nothing, **over}, ITSELF: itself}


def _over(measured: Measured, of: str) -> Figures:
    """The subject over the no-op handler beside it."""
    pairs = measured.pairs
    out: Figures = {}
    for name, subject, noop in _costs(pairs):
        differences = [a - b for a, b in zip(subject, noop, strict=True)]
        least = min(subject) - min(noop)
        out |= _spread(name, differences, median(differences) if of == MEDIAN else least)
        out[f"{name}_us_noop"] = median(noop)
    wall, nothing = _wall([p.subject for p in pairs]), _wall([p.noop for p in pairs])
    return {**out, **{key: wall[key] - nothing[key] for key in wall}, **_delivery(measured)}


def _plain(measured: Measured, of: str) -> Figures:
    """The subject's own, over nothing."""
    pairs = measured.pairs
    out: Figures = {}
    for name, subject, _ in _costs(pairs):
        out |= _spread(name, subject, median(subject) if of == MEDIAN else min(subject))
    return {**out, **_wall([p.subject for p in pairs]), **_delivery(measured)}


def _costs(pairs: list[Pair]) -> Iterator[tuple[str, list[float], list[float]]]:
    """Microseconds of CPU a run, in each pair: `app` or `all`, the subject's, the no-op handler's."""
    for name, clock in (("app", "thread"), ("all", "process")):
        yield (
            name,
            [getattr(p.subject, clock) / p.runs * 1e6 for p in pairs],
            [getattr(p.noop, clock) / p.runs * 1e6 for p in pairs],
        )


def _spread(name: str, each: list[float], one: float) -> Figures:
    low, high = quartiles(each)
    return {f"{name}_us": one, f"{name}_us_low": low, f"{name}_us_high": high, f"{name}_us_pairs": each}


def _wall(blocks: list[Block]) -> Figures:
    wall = sorted(second * 1e6 for block in blocks for second in block.wall)
    return {"p50_us": median(wall), "p99_us": wall[min(len(wall) - 1, len(wall) * 99 // 100)]}


def _delivery(measured: Measured) -> Figures:
    pairs = measured.pairs
    return {
        "bytes": _each(pairs, "bytes"),
        "requests": _each(pairs, "requests"),
        "spans": measured.spans,
        "names": measured.names,
        "lost": sum(p.lost for p in pairs),
        "late": sum(p.late for p in pairs),
        "runs": sum(p.runs for p in pairs),
    }


def quartiles(values: Sequence[float]) -> tuple[float, float]:
    """The lower and the upper quartile."""
    if len(values) < 2:
        return values[0], values[0]
    low, _, high = quantiles(values, method="inclusive")
    return low, high


def _each(pairs: list[Pair], what: str) -> dict[str, float]:
    """Per run, by path."""
    total: dict[str, float] = {}
    for one in pairs:
        for path, count in getattr(one, what).items():
            total[path] = total.get(path, 0) + count
    runs = sum(one.runs for one in pairs)
    return {path: count / runs for path, count in total.items()}


def ratio(cost: float, of: float | None) -> float | None:
    """None where one of them is not positive: what costs less than nothing drowned in what else the machine did."""
    return cost / of if of is not None and of > 0 and cost > 0 else None


def tokens(workloads: dict[str, Figures]) -> dict[str, dict[str, dict[str, float]]]:
    """Microseconds of CPU for each streamed token after the first, over the no-op handler, by workload and subject.

    The stream's cost less that of the same answer in one piece, by its other tokens: the spans around it cost the same.
    With `_low` and `_high`, the quartiles of the pairs. Those of the no-op handler are of it over itself.
    """
    out: dict[str, dict[str, dict[str, float]]] = {}
    for name, of in workloads.items():
        whole = WORKLOADS[name].whole
        if whole in workloads:
            streams, wholes = (x["subjects"] | {NOOP: x[ITSELF]} for x in (of, workloads[whole]))
            out[name] = {subject: _token(figure, wholes[subject]) for subject, figure in streams.items()}
    return out


def _token(stream: Figures, whole: Figures) -> dict[str, float]:
    out = {}
    for key in ("app_us", "all_us"):
        out[key] = (stream[key] - whole[key]) / (CHUNKS - 1)
        pairs = zip(stream[f"{key}_pairs"], whole[f"{key}_pairs"], strict=True)
        out[f"{key}_low"], out[f"{key}_high"] = quartiles([(a - b) / (CHUNKS - 1) for a, b in pairs])
    return out
