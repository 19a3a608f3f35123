"""`spanloom collector-config`: a configuration for the OpenTelemetry Collector."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Any, get_args

import click

from ..collector import Content, LangfuseBackend, OtlpBackend, Place, Samplers, Sampling, Tier, written
from ..errors import ConfigurationError

_CONTENT = click.Choice(get_args(Content))
_DEFAULT = Place()


def _pairs(_: click.Context, __: click.Parameter, given: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    out = []
    for one in given:
        name, _between, value = one.partition("=")
        if not (name and value):
            raise click.BadParameter(f"{one!r} is no pair: write NAME=VALUE.")
        out.append((name, value))
    return tuple(out)


def _seconds(_: click.Context, __: click.Parameter, given: str | None) -> float | None:
    if given is None:
        return None
    if given.lower() == "p99":
        raise click.BadParameter("the Collector knows no p99, only a fixed time: write seconds, such as 2.0.")
    try:
        return float(given)
    except ValueError as error:
        raise click.BadParameter(f"{given!r} is no number: write seconds, such as 2.0.") from error


@click.command("collector-config")
@click.option(
    "--tier",
    type=click.Choice(get_args(Tier)),
    default="single",
    show_default=True,
    help="gateway: tier 1, keeps traces together. sampler: tier 2, decides and sends. single: one Collector for all.",
)
@click.option(
    "--output", "-o", type=click.Path(path_type=Path, dir_okay=False), help="A file, instead of the terminal."
)
@click.option("--sampler", "addresses", multiple=True, metavar="HOST:PORT", help="Gateway: a sampler; once for each.")
@click.option("--sampler-dns", metavar="NAME", help="Gateway: a host name that resolves to all samplers.")
@click.option("--sampler-k8s", metavar="SERVICE.NAMESPACE", help="Gateway: the samplers' Kubernetes service.")
@click.option(
    "--balance",
    type=click.Choice(["loadbalancing", "routing"]),
    default="loadbalancing",
    show_default=True,
    help="Gateway: by the load-balancing exporter, or by the routing connector to a fixed list.",
)
@click.option("--insecure", is_flag=True, help="Gateway: no TLS to the samplers.")
@click.option("--errors/--no-errors", default=True, show_default=True, help="Keep every trace with an error.")
@click.option("--slower-than", callback=_seconds, metavar="SECONDS", help="Keep every trace that took longer.")
@click.option("--keep", type=float, default=0.05, show_default=True, help="Keep this share of the rest, by trace id.")
@click.option(
    "--always",
    callback=_pairs,
    multiple=True,
    metavar="NAME=VALUE",
    help="Keep every trace with this attribute; again for more.",
)
@click.option(
    "--never",
    callback=_pairs,
    multiple=True,
    metavar="NAME=VALUE",
    help="Keep a trace with this attribute for an error alone; again for more.",
)
@click.option(
    "--decision-wait",
    type=float,
    default=60.0,
    show_default=True,
    metavar="SECONDS",
    help="Decide so long after a trace's first span: as long as your longest trace takes.",
)
@click.option(
    "--after-root",
    type=float,
    default=5.0,
    show_default=True,
    metavar="SECONDS",
    help="Or so long after its top span.",
)
@click.option("--max-traces", type=int, default=50_000, show_default=True, help="So many may wait for a decision.")
@click.option("--otlp-endpoint", metavar="URL", help="An OTLP backend.")
@click.option("--otlp-protocol", type=click.Choice(["http", "grpc"]), default="http", show_default=True, help="Of it.")
@click.option(
    "--otlp-header",
    "headers",
    callback=_pairs,
    multiple=True,
    metavar="NAME=VARIABLE",
    help="A header for it, and the environment variable of the Collector that holds its value.",
)
@click.option(
    "--content", type=_CONTENT, default="hashed", show_default=True, help="What of prompts and answers it gets to see."
)
@click.option("--langfuse/--no-langfuse", default=True, show_default=True, help="Send to Langfuse.")
@click.option("--langfuse-url", metavar="URL", help="Its address, instead of LANGFUSE_BASE_URL of the Collector.")
@click.option(
    "--langfuse-content",
    type=_CONTENT,
    default="redacted",
    show_default=True,
    help="What of prompts and answers Langfuse gets to see.",
)
@click.option(
    "--langfuse-spans",
    type=click.Choice(["steps", "all"]),
    default="steps",
    show_default=True,
    help="Also the spans of other libraries, such as Redis and HTTP clients?",
)
@click.option("--listen", default=_DEFAULT.listen, show_default=True, metavar="ADDRESS", help="Where it listens.")
@click.option("--http-port", type=int, default=_DEFAULT.http_port, show_default=True, help="Of OTLP over HTTP.")
@click.option("--grpc-port", type=int, default=_DEFAULT.grpc_port, show_default=True, help="Of OTLP over gRPC.")
@click.option("--health-port", type=int, default=_DEFAULT.health_port, show_default=True, help="Of the health check.")
@click.option("--metrics-port", type=int, default=_DEFAULT.metrics_port, show_default=True, help="Of its own metrics.")
@click.option("--queue", default=_DEFAULT.queue, show_default=True, metavar="FOLDER", help="Of the file-backed queues.")
@click.option("--queue-mib", type=int, default=_DEFAULT.queue_mib, show_default=True, help="So much may wait there.")
@click.option("--memory-mib", type=int, default=_DEFAULT.memory_mib, show_default=True, help="So much memory it takes.")
def collector_config(**given: Any) -> None:
    """Write a configuration for the OpenTelemetry Collector, contrib distribution.

    The applications send to it with Otlp(..., behind_collector=True). Keys are read from the Collector's environment
    (LANGFUSE_PUBLIC_KEY, LANGFUSE_SECRET_KEY, and what --otlp-header names) and never written.
    """
    try:
        made = written(given["tier"], _said(), **_settings(given))
    except ConfigurationError as error:
        raise click.ClickException(str(error)) from error
    if given["output"] is None:
        click.echo(made, nl=False)
    else:
        try:
            given["output"].write_text(made, encoding="utf-8")
        except OSError as error:
            raise click.ClickException(f"{given['output']} cannot be written: {error.strerror}.") from error


def _settings(given: dict[str, Any]) -> dict[str, Any]:
    names = ("listen", "http_port", "grpc_port", "health_port", "metrics_port", "queue", "queue_mib", "memory_mib")
    place = Place(**{name: given[name] for name in names})
    if given["tier"] == "gateway":
        samplers = Samplers(
            given["addresses"], given["sampler_dns"], given["sampler_k8s"], given["balance"], given["insecure"]
        )
        return {"place": place, "samplers": samplers}
    sampling = Sampling(
        given["errors"], given["slower_than"], given["keep"], given["always"], given["never"],
        given["decision_wait"], given["after_root"], given["max_traces"],
    )  # fmt: skip
    otlp = langfuse = None
    if given["otlp_endpoint"] is not None:
        grpc = given["otlp_protocol"] == "grpc"
        otlp = OtlpBackend(given["otlp_endpoint"], grpc, dict(given["headers"]), given["content"])
    if given["langfuse"]:
        langfuse = LangfuseBackend(given["langfuse_url"], given["langfuse_content"], given["langfuse_spans"])
    return {"place": place, "sampling": sampling, "otlp": otlp, "langfuse": langfuse}


def _said() -> str:
    return f"spanloom {shlex.join(sys.argv[1:])}"
