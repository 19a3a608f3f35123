"""The two tiers, and the Collector that is both."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import ConfigurationError
from . import ottl, policies, privacy, routes, yaml
from .settings import LangfuseBackend, OtlpBackend, Place, Samplers, Sampling, Tier
from .yaml import Env, Noted

_STORAGE = "file_storage/queue"
_BATCH_BYTES = 4 * 1024 * 1024  # at most, in one request
_MESSAGE_MIB = 20  # what a receiver takes: the exporters' batches, and one span more
_MIB = 1024 * 1024
_LANGFUSE = "https://cloud.langfuse.com"
_HEADS: Mapping[Tier, str] = {
    "gateway": "Tier 1: takes spans of applications and sends all of a trace to one sampler. Run as many as you like.",
    "sampler": "Tier 2: decides which traces to keep, hides what is to be hidden, and sends to the backends.",
    "single": "Decides which traces to keep, hides what is to be hidden, and sends to the backends.",
}


def configuration(
    tier: Tier,
    *,
    place: Place | None = None,
    sampling: Sampling | None = None,
    samplers: Samplers | None = None,
    otlp: OtlpBackend | None = None,
    langfuse: LangfuseBackend | None = None,
) -> dict[str, Any]:
    """The tree of a Collector's configuration, its comments included.

    A gateway needs `samplers`; the others a backend. Raises `ConfigurationError` where these are missing.
    """
    place, sampling = place or Place(), sampling or Sampling()
    if tier == "gateway":
        if samplers is None:
            raise ConfigurationError("A gateway needs samplers: write --sampler host:4317 for each of them.")
        return _common(place) | _gateway(place, samplers)
    if otlp is None and langfuse is None:
        raise ConfigurationError(
            "There is no backend to send to: write --otlp-endpoint URL, or leave out --no-langfuse."
        )
    made = _common(place)
    made["extensions"] |= _keys(langfuse)
    return made | _deciding(made, place, sampling, otlp, langfuse)


def written(tier: Tier, said: str, **settings: Any) -> str:
    """The file. `said` is the command that made it; `settings` are those of `configuration()`."""
    head = f"{_HEADS[tier]}\n\nFor the OpenTelemetry Collector, contrib distribution. Written by:\n  {said}"
    return yaml.text(configuration(tier, **settings), head)


def _common(place: Place) -> dict[str, Any]:
    http, grpc = (f"{place.listen}:{port}" for port in (place.http_port, place.grpc_port))
    return {
        "extensions": {
            "health_check": {"endpoint": f"{place.listen}:{place.health_port}"},
            _STORAGE: Noted(
                "What waits for a receiver waits on disk, through a kill and a start. `fsync: true` keeps it through\n"
                "the loss of power too, at a price in speed.",
                {
                    "directory": place.queue,
                    "create_directory": True,
                    "fsync": False,
                    "recreate": Noted("A damaged file is put aside; the Collector starts anew beside it.", True),
                    "compaction": {"on_start": True, "on_rebound": True, "directory": place.queue},
                },
            ),
        },
        "receivers": {
            "otlp": {
                "protocols": {
                    "http": {"endpoint": http},
                    "grpc": {"endpoint": grpc, "max_recv_msg_size_mib": _MESSAGE_MIB},
                }
            }
        },
        "processors": {
            "memory_limiter": Noted(
                "Beyond this, applications are told to try again later.",
                {
                    "check_interval": "1s",
                    "limit_mib": place.memory_mib,
                    "spike_limit_mib": max(1, place.memory_mib // 5),
                },
            )
        },
    }


def _service(place: Place, extensions: Mapping[str, Any], pipelines: Mapping[str, Any]) -> dict[str, Any]:
    reader = {"pull": {"exporter": {"prometheus": {"host": place.listen, "port": place.metrics_port}}}}
    return {
        "extensions": list(extensions),
        "pipelines": dict(pipelines),
        "telemetry": {"metrics": {"readers": [reader]}},
    }


# ---------------------------------------------------------------- tier 1
def _gateway(place: Place, samplers: Samplers) -> dict[str, Any]:
    made = _common(place)
    into = {"receivers": ["otlp"], "processors": ["memory_limiter"]}
    if samplers.balance == "loadbalancing":
        exporter = {
            "routing_key": "traceID",
            **_sending(place, enabled=True),
            "protocol": {
                "otlp": {
                    **_tls(samplers),
                    "sending_queue": Noted(
                        "One queue, before a sampler is chosen: a span finds another if its own is gone.",
                        {"enabled": False},
                    ),
                    "retry_on_failure": {"enabled": False},
                }
            },
            "resolver": _resolver(samplers),
        }
        pipelines = {"traces": {**into, "exporters": ["loadbalancing"]}}
        return {
            "exporters": {"loadbalancing": exporter},
            "service": _service(place, made["extensions"], pipelines),
        }
    return _routed(place, samplers, made, into)


def _routed(place: Place, samplers: Samplers, made: dict[str, Any], into: dict[str, Any]) -> dict[str, Any]:
    addresses = samplers.addresses
    pipelines = [f"traces/sampler-{index}" for index in range(len(addresses))]
    table = [
        {"context": "span", "condition": ottl.is_share(index, len(addresses)), "pipelines": [pipeline]}
        for index, pipeline in enumerate(pipelines[1:], 1)
    ]
    exporters = {
        f"otlp/sampler-{index}": {"endpoint": address, **_tls(samplers), **_sending(place, of=len(addresses))}
        for index, address in enumerate(addresses)
    }
    connector = {"default_pipelines": pipelines[:1], "error_mode": "ignore", "table": table}
    if not table:
        return {
            "exporters": exporters,
            "service": _service(place, made["extensions"], {"traces": {**into, "exporters": list(exporters)}}),
        }
    return {
        "connectors": {
            "routing": Noted(
                "Each trace to one sampler, by the last digits of its id. The list must be the same, in the same\n"
                "order, in every gateway; a sampler that is down is waited for.",
                connector,
            )
        },
        "exporters": exporters,
        "service": _service(
            place,
            made["extensions"],
            {
                "traces/in": {**into, "exporters": ["routing"]},
                **{
                    pipeline: {"receivers": ["routing"], "exporters": [exporter]}
                    for pipeline, exporter in zip(pipelines, exporters, strict=True)
                },
            },
        ),
    }


def _resolver(samplers: Samplers) -> dict[str, Any]:
    if samplers.addresses:
        return {"static": {"hostnames": list(samplers.addresses)}}
    if samplers.dns is not None:
        host, _, port = samplers.dns.partition(":")
        return {"dns": {"hostname": host, "port": port or "4317"}}
    return {"k8s": {"service": samplers.kubernetes, "ports": [4317]}}


# ---------------------------------------------------------------- tier 2
def _deciding(
    made: Mapping[str, Any],
    place: Place,
    sampling: Sampling,
    otlp: OtlpBackend | None,
    langfuse: LangfuseBackend | None,
) -> dict[str, Any]:
    ways: dict[str, dict[str, Any]] = {}  # by backend: the processors of its pipeline
    exporters: dict[str, Any] = {}
    count = (otlp is not None) + (langfuse is not None)
    if otlp is not None:
        ways["otlp"] = {**routes.to_otlp(), **privacy.processors("otlp", otlp.content)}
        exporters[f"{'otlp' if otlp.grpc else 'otlphttp'}/backend"] = _otlp(otlp) | _sending(place, of=count)
    if langfuse is not None:
        hidden = privacy.processors("langfuse", langfuse.content)
        ways["langfuse"] = {**routes.only(langfuse.spans), **hidden, **routes.to_langfuse(langfuse.spans)}
        exporters["otlphttp/langfuse"] = _langfuse(langfuse) | _sending(place, of=count)
    processors = dict(made["processors"])
    if not sampling.keeps_all:
        processors["tail_sampling"] = policies.processor(sampling)
    pipelines: dict[str, Any] = {
        "traces/in": {
            "receivers": ["otlp"],
            "processors": list(processors),
            "exporters": [f"forward/{backend}" for backend in ways],
        }
    }
    for (backend, way), exporter in zip(ways.items(), exporters, strict=True):
        pipelines[f"traces/{backend}"] = {
            "receivers": [f"forward/{backend}"], "processors": list(way), "exporters": [exporter]
        }  # fmt: skip
        processors |= way
    return {
        "processors": processors,
        "connectors": {f"forward/{backend}": {} for backend in ways},
        "exporters": exporters,
        "service": _service(place, made["extensions"], pipelines),
    }


def _otlp(backend: OtlpBackend) -> dict[str, Any]:
    headers = {name: Env(f"${{env:{variable}}}") for name, variable in backend.headers.items()}
    endpoint = backend.endpoint.rstrip("/")
    if backend.grpc:
        made: dict[str, Any] = {"endpoint": endpoint}
    else:
        made = {"traces_endpoint": endpoint if endpoint.endswith("/v1/traces") else f"{endpoint}/v1/traces"}
    return made | ({"headers": headers} if headers else {})


def _langfuse(backend: LangfuseBackend) -> dict[str, Any]:
    address = (backend.base_url or f"${{env:LANGFUSE_BASE_URL:-{_LANGFUSE}}}").rstrip("/")
    made = f"{address}/api/public/otel/v1/traces"
    return {
        "traces_endpoint": made if backend.base_url else Env(made),
        "auth": {"authenticator": "basicauth/langfuse"},
        "headers": {"x-langfuse-ingestion-version": "4"},
    }


def _keys(langfuse: LangfuseBackend | None) -> dict[str, Any]:
    if langfuse is None:
        return {}
    pair = {"username": Env("${env:LANGFUSE_PUBLIC_KEY}"), "password": Env("${env:LANGFUSE_SECRET_KEY}")}
    return {"basicauth/langfuse": Noted("From the environment of the Collector.", {"client_auth": pair})}


# ---------------------------------------------------------------- both
def _tls(samplers: Samplers) -> dict[str, Any]:
    return {"tls": {"insecure": samplers.insecure}}


def _sending(place: Place, *, of: int = 1, enabled: bool = False) -> dict[str, Any]:
    """Queue and retries of one exporter out of `of`, which share what the queues may hold."""
    size = max(1, place.queue_mib // of) * _MIB
    return {
        "timeout": "10s",
        "retry_on_failure": Noted(
            "Until it is there, or the queue is full.", {"max_interval": "10s", "max_elapsed_time": "0s"}
        ),
        "sending_queue": {
            **({"enabled": True} if enabled else {}),
            "storage": _STORAGE,
            "sizer": "bytes",
            "queue_size": size,
            "batch": {"flush_timeout": "1s", "min_size": min(size, _BATCH_BYTES // 8), "max_size": _BATCH_BYTES},
        },
    }
