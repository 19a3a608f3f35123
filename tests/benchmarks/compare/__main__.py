"""`python -m compare run | diff | profile`: the commands of `make bench`, `make bench-compare` and `make profile`."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from . import difference, tables
from .figures import MEDIAN, MINIMUM
from .report import Plan, measure
from .rounds import NothingArrivedError, NotSwitchedOffError
from .subjects import SUBJECTS
from .targets import missed
from .workloads import WORKLOADS

_ROUNDS, _IMPORTS, _GROWTH = 9, 7, 20_000


def _names(known: dict[str, Any]) -> Any:
    def read(context: click.Context, parameter: click.Parameter, value: str | None) -> list[str] | None:
        if value is None:
            return None
        names = [name.strip() for name in value.split(",") if name.strip()]
        for name in names:
            if name not in known:
                raise click.BadParameter(f"{name} is none of {', '.join(known)}")
        return names

    return read


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """What tracing costs: Spanloom, spans by hand, and the peers."""


@main.command()
@click.option("--only", "--subjects", "subjects", callback=_names(SUBJECTS), help="Names, with commas. Default: all.")
@click.option("--workloads", callback=_names(WORKLOADS), help="Names, with commas. Default: all.")
@click.option(
    "--rounds", default=_ROUNDS, show_default=True, help="How often each subject has its turn on each workload."
)
@click.option("--share", default=1.0, show_default=True, help="Of the usual number of runs in a block.")
@click.option(
    "--imports", type=int, help=f"Fresh interpreters to time imports in; {_IMPORTS} if nothing is picked, else none."
)
@click.option("--growth", type=int, help=f"Runs of a long life, for ours; {_GROWTH:,} if nothing is picked, else none.")
@click.option("--growth-all", is_flag=True, help="A long life of all subjects: some minutes each.")
@click.option(
    "--of",
    type=click.Choice([MEDIAN, MINIMUM]),
    default=MEDIAN,
    show_default=True,
    help="Of the rounds' differences; or the least block of the subject less the least of the no-op handler.",
)
@click.option("--out", type=click.Path(path_type=Path), default=Path("benchmark.json"), show_default=True)
@click.option(
    "--assert-targets",
    type=float,
    metavar="FACTOR",
    help="Fail where a ratio to the floor is missed by more than FACTOR times its limit, or cannot be told.",
)
@click.option("--local", is_flag=True, help="All subjects in this interpreter, without environments of their own.")
@click.option("--loud", is_flag=True, help="Show what the subjects' processes print.")
def run(
    subjects: list[str] | None,
    workloads: list[str] | None,
    rounds: int,
    share: float,
    imports: int | None,
    growth: int | None,
    growth_all: bool,
    of: str,
    out: Path,
    assert_targets: float | None,
    local: bool,
    loud: bool,
) -> None:
    """Measure, print tables, and write them as JSON. Everything takes a quarter of an hour; a pick of it less."""
    picked = subjects is not None or workloads is not None
    plan = Plan(
        subjects=subjects or list(SUBJECTS),
        workloads=workloads or [w.name for w in WORKLOADS.values() if w.shown],
        rounds=rounds,
        share=share,
        imports=imports if imports is not None else 0 if picked else _IMPORTS,
        growth=growth if growth is not None else 0 if picked else _GROWTH,
        growth_all=growth_all,
        of=of,
        local=local,
        loud=loud,
    )
    console = Console(width=None if sys.stdout.isatty() else 170)
    waiting = Console(stderr=True)
    try:
        if waiting.is_terminal:
            with waiting.status("starting") as status:
                report = measure(plan, status.update)
        else:
            report = measure(plan, _Stages())
    except (NothingArrivedError, NotSwitchedOffError, RuntimeError) as error:
        raise click.ClickException(str(error)) from error
    out.write_text(json.dumps(report, indent=1, ensure_ascii=False), encoding="utf-8")
    tables.show(report, console)
    console.print(f"{report['seconds']:.0f} s; written to {out}")
    if assert_targets is not None and (said := missed(report["targets"], assert_targets)):
        raise click.ClickException(said)


class _Stages:
    """Prints where a benchmark is, for those that are no terminal: a line a round, not a line a turn."""

    def __init__(self) -> None:
        self._stage = ""

    def __call__(self, said: str) -> None:
        stage = said.partition(":")[0]
        if stage != self._stage:
            self._stage = stage
            print(f"{datetime.now(UTC):%H:%M:%S} {stage}", file=sys.stderr, flush=True)


@main.command()
@click.argument("a", type=click.Path(exists=True, path_type=Path))
@click.argument("b", type=click.Path(exists=True, path_type=Path))
def diff(a: Path, b: Path) -> None:
    """What changed from one benchmark's JSON to another's."""
    console = Console(width=None if sys.stdout.isatty() else 170)
    difference.show(*(json.loads(path.read_text(encoding="utf-8")) for path in (a, b)), console)


@main.command()
@click.argument("workload", type=click.Choice(sorted(WORKLOADS)), default="w1")
@click.option("--runs", type=int, help="Default: one round's.")
@click.option("--top", default=25, show_default=True, help="How many functions.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), default=Path("profile"), show_default=True)
def profile(workload: str, runs: int | None, top: int, out: Path) -> None:
    """Where our own time goes on WORKLOAD, by thread and function."""
    from .profiling import profile as measured

    measured(workload, runs or WORKLOADS[workload].runs, out, Console(width=None if sys.stdout.isatty() else 170), top)


if __name__ == "__main__":
    main()
