"""One benchmark from its beginning to its JSON."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from . import environments, footprint
from .figures import MEDIAN, figures, tokens
from .imports import import_times
from .rounds import take_turns
from .sink import Sink
from .subjects import NOOP, OURS, SUBJECTS
from .targets import as_json, targets
from .workers import Crew
from .workloads import FRAMEWORKS, WORKLOADS

FORMAT = 2
"""Of the report. Before it had one, a subject's CPU time was held against the no-op handler's of another process."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to measure. `share` of the usual runs make a block; `imports` is how many fresh interpreters each subject
    starts, 0 for none; `growth` is how many runs of the first workload of each framework, 0 for none, of all subjects
    where `growth_all`. `of` says which of the rounds is the figure. `local` uses the running interpreter for all."""

    subjects: list[str]
    workloads: list[str]
    rounds: int
    share: float = 1.0
    imports: int = 0
    growth: int = 0
    growth_all: bool = False
    of: str = MEDIAN
    local: bool = False
    loud: bool = False


def measure(plan: Plan, tell: Callable[[str], None] = lambda _: None) -> dict[str, Any]:
    """The report: `workloads` and `tokens` (figures.py), `imports`, `installed_bytes`, `peak_bytes` and `growth`
    (footprint.py), `targets`, and what they are of: `format`, `commit`, `machine`, `versions`, `plan`."""
    subjects = list(dict.fromkeys([NOOP, *plan.subjects]))
    workloads = _with_wholes(plan.workloads)
    frameworks = [f for f in FRAMEWORKS if any(WORKLOADS[w].framework == f for w in workloads)]
    began = datetime.now(UTC)
    with Sink() as sink:
        with Crew(subjects, frameworks, sink.url, local=plan.local, loud=plan.loud) as crew:
            results = take_turns(crew, sink, subjects, workloads, plan.rounds, plan.share, tell)
            peaks = footprint.peaks(crew, subjects, frameworks)
        imports = (
            import_times(subjects, frameworks, sink.url, plan.imports, tell, local=plan.local) if plan.imports else {}
        )
        growth = _growth(plan, workloads, frameworks, sink, tell) if plan.growth else {}
    measured = figures(results, plan.of)
    report: dict[str, Any] = {
        "format": FORMAT,
        "taken_at": began.isoformat(timespec="seconds"),
        "seconds": (datetime.now(UTC) - began).total_seconds(),
        "commit": _commit(),
        "machine": _machine(),
        "versions": {} if plan.local else {s: environments.versions(SUBJECTS[s].environment) for s in subjects},
        "plan": {key: getattr(plan, key) for key in plan.__dataclass_fields__},
        "workloads": measured,
        "tokens": tokens(measured),
        "imports": imports,
        "installed_bytes": {} if plan.local else footprint.sizes(subjects),
        "peak_bytes": peaks,
        "growth": growth,
    }
    report["targets"] = [as_json(target) for target in targets(report)]
    return report


def _with_wholes(workloads: list[str]) -> list[str]:
    """With those that the cost of a token is told from."""
    wholes = [w.whole for name in workloads if (w := WORKLOADS[name]).whole]
    return list(dict.fromkeys([*workloads, *wholes]))


def _growth(
    plan: Plan, workloads: list[str], frameworks: list[str], sink: Sink, tell: Callable[[str], None]
) -> dict[str, dict[str, Any]]:
    """By framework and subject."""
    out: dict[str, dict[str, Any]] = {}
    for framework in frameworks:
        first = next(w for w in workloads if WORKLOADS[w].framework == framework)
        for subject in [s for s in plan.subjects if plan.growth_all or s == OURS]:
            grown = footprint.growth(
                subject, framework, first, plan.growth, sink, tell, local=plan.local, loud=plan.loud
            )
            out.setdefault(framework, {})[subject] = grown
    return out


def _commit() -> str:
    """Of the checkout, with a plus where it is changed."""
    try:
        said = [
            subprocess.run(
                ["git", "-C", environments.CHECKOUT, *command], stdout=subprocess.PIPE, check=True, text=True
            ).stdout.strip()
            for command in (("rev-parse", "--short", "HEAD"), ("status", "--porcelain", "--untracked-files=no"))
        ]
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return said[0] + ("+" if said[1] else "")


def _machine() -> dict[str, Any]:
    return {
        "python": platform.python_version(),
        "system": platform.platform(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "load": list(os.getloadavg()),
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.processor()
    )
