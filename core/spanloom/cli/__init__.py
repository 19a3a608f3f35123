"""The command line: `spanloom traces` lists the traces of a local file, `spanloom show` prints one as a tree,
`spanloom costs` sums what they cost. `spanloom doctor` checks destinations, `spanloom vault` reads and erases content,
`spanloom collector-config` writes what a Collector needs.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from rich.console import Console

from .. import __version__
from ..store import Reading, StoreError
from . import costs as cost_of
from .collector import collector_config
from .doctor import doctor
from .listing import print_listing
from .scores import print_scores
from .trace import summarise
from .tree import print_newest, print_trace
from .vault import vault

__all__ = ["main", "print_newest"]

_path = click.option(
    "--path",
    type=click.Path(path_type=Path),
    default=Path("spanloom.db"),
    show_default=True,
    help="The file that Local(path=…) writes.",
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="spanloom")
def main() -> None:
    """Look at traces and costs in a local file, check destinations, read and erase content, configure a Collector."""
    if isinstance(sys.stdout, io.TextIOWrapper):  # content in letters that this terminal has not is no reason to fail
        sys.stdout.reconfigure(errors="replace")


@main.command()
@_path
@click.option("--limit", "-n", type=click.IntRange(min=1), default=20, show_default=True, help="At most so many.")
@click.option("--errors", is_flag=True, help="Only traces with an error.")
@click.option("--user", help="Only traces of this user.")
@click.option("--session", help="Only traces of this session.")
@click.option(
    "--template",
    metavar="ID",
    help="Only traces that called a model with this prompt template: `spanloom show --content` tells its id.",
)
def traces(path: Path, limit: int, errors: bool, user: str | None, session: str | None, template: str | None) -> None:
    """List the newest traces, newest first."""
    console = Console(highlight=False)
    with _reading(path) as reading:
        chosen = reading.traces(limit, errors=errors, user=user, session=session, template=template)
        found = [summarise(rows) for rows in chosen if rows]
    if found:
        print_listing(found, console)
    elif errors or any(wanted is not None for wanted in (user, session, template)):
        console.print(f"No trace in {path} matches.", soft_wrap=True)
    else:
        console.print(f"{path} holds no traces yet: they arrive when their spans end.", soft_wrap=True)


@main.command()
@click.argument("trace", default="")
@_path
@click.option("--content", is_flag=True, help="Show prompts, answers, documents and tool calls too, long ones cut.")
@click.option("--full", is_flag=True, help="Show them whole.")
def show(trace: str, path: Path, content: bool, full: bool) -> None:
    """Print one trace as a tree: the newest, or the one whose id begins with TRACE."""
    with _reading(path) as reading:
        found = reading.find(trace, limit=1 if not trace else 6)
        if not found:
            raise click.ClickException(
                f"No trace in {path} begins with {trace!r}: `spanloom traces` lists them."
                if trace
                else f"{path} holds no traces yet: they arrive when their spans end."
            )
        if len(found) > 1:
            raise click.ClickException(f"Several traces begin with {trace!r}: {', '.join(i[:12] for i in found)}.")
        rows, console = reading.spans(found[0]), Console(highlight=False)
        print_trace(rows, console, content=content, full=full)
        print_scores(reading.scores(found[0]), rows, console, content=content or full)


@main.command()
@_path
@click.option(
    "--by", type=click.Choice(list(cost_of.GROUPS)), default="model", show_default=True, help="One line each."
)
@click.option("--since", help="Only calls since then: 30m, 24h, 7d, 2w ago, or a day or time such as 2026-11-01.")
def costs(path: Path, by: str, since: str | None) -> None:
    """Sum the tokens and the cost of model calls.

    A feature is the metadata `feature`: using(metadata={"feature": "search"}).
    """
    try:
        start = cost_of.since_ns(since) if since is not None else 0
    except (ValueError, OverflowError) as error:
        raise click.BadParameter(
            f"{since!r} is no time: write 30m, 24h, 7d, 2w, or a day such as 2026-11-01.", param_hint="--since"
        ) from error
    console = Console(highlight=False)
    with _reading(path) as reading:
        sums, total = cost_of.added_up(reading.calls(start), by)
    if total.calls:
        cost_of.print_costs(sums, total, by, console)
    else:
        when = f" since {since}" if since is not None else ""
        console.print(f"{path} holds no model calls{when}.", soft_wrap=True)


@contextmanager
def _reading(path: Path) -> Iterator[Reading]:
    try:
        with Reading(path) as reading:
            yield reading
    except StoreError as error:
        hint = ""
        if not path.exists():
            hint = (
                " An application that calls spanloom.configure() and names no destination writes spanloom.db where it "
                "runs; --path names another file."
            )
        raise click.ClickException(f"{error}{hint}") from error


main.add_command(doctor)
main.add_command(collector_config)
main.add_command(vault)
