"""`spanloom doctor`: does each destination work, and what does it get to see."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.text import Text

from .words import one_line


@click.command()
@click.option("--otlp", metavar="URL", help="An OTLP receiver; OTEL_EXPORTER_OTLP_* fill what is left out.")
@click.option("--protocol", type=click.Choice(["http/protobuf", "grpc"]), help="Of the OTLP receiver.")
@click.option("--langfuse", metavar="URL", help="A Langfuse server; its keys are in LANGFUSE_*.")
@click.option("--phoenix", metavar="URL", help="A Phoenix server; its key is in PHOENIX_API_KEY.")
@click.option("--local", metavar="FILE", type=click.Path(path_type=Path), help="A local file.")
@click.option("--timeout", type=click.FloatRange(min=0.1), default=10.0, show_default=True, help="Seconds a request.")
@click.option(
    "--wait", type=click.FloatRange(min=0), default=30.0, show_default=True,
    help="Seconds for a trace to come back; 0 does not read it back.",
)  # fmt: skip
def doctor(
    otlp: str | None, protocol: Any, langfuse: str | None, phoenix: str | None, local: Path | None, timeout: float,
    wait: float,
) -> None:  # fmt: skip
    """Check the destinations that the environment names, or those given, with one synthetic trace each.

    Exits with 1 where one does not work.
    """
    # All of it costs 200 ms: only where used.
    from ..destinations import Langfuse, Local, Otlp, Phoenix  # noqa: PLC0415
    from ..doctor import examine, recorded  # noqa: PLC0415
    from ..setup import destinations_in_environment  # noqa: PLC0415

    chosen: list[Any] = []
    if otlp is not None or protocol is not None:
        chosen.append(Otlp(otlp, protocol=protocol))
    if langfuse is not None:
        chosen.append(Langfuse(base_url=langfuse))
    if phoenix is not None:
        chosen.append(Phoenix(phoenix))
    if local is not None:
        chosen.append(Local(local))
    console = Console(highlight=False)
    failed = False
    destinations: list[Any] = chosen or [*destinations_in_environment()]
    for destination in destinations:
        console.print(Text.assemble((destination.name, "bold"), f"  {one_line(repr(destination))}"), soft_wrap=True)
        for finding in examine(destination, timeout=timeout, wait=wait):
            failed |= not finding.ok
            mark = ("ok      ", "green") if finding.ok else ("FAILED  ", "bold red")
            console.print(Text.assemble("  ", mark, one_line(finding.sentence)), soft_wrap=True)
        console.print(Text(f"  records {recorded(destination.content)}", style="dim"), soft_wrap=True)
    raise SystemExit(1 if failed else 0)
