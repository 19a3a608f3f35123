"""The Collector itself reads what the command writes."""

from __future__ import annotations

import subprocess

import pytest
import yaml

from tests.collector.binary import built
from tests.collector.servers import KEYS, configuration

pytestmark = pytest.mark.collector

BACKEND = ("--otlp-endpoint", "https://otel.example.com:4318")
GATEWAY = ("--tier", "gateway", "--sampler", "s0:4317", "--sampler", "s1:4317")


def complaints(text, path):
    """What `otelcol validate` has against it."""
    path.write_text(text)
    command = [built(), "validate", f"--config={path}"]
    ran = subprocess.run(command, env=KEYS, capture_output=True, text=True, timeout=60, check=False)
    return "" if ran.returncode == 0 else ran.stderr or ran.stdout or "it ended in failure"


@pytest.mark.parametrize(
    "options",
    [
        *((*BACKEND, "--content", content, "--langfuse-content", content) for content in ("none", "hashed", "full")),
        (*BACKEND, "--content", "redacted", "--langfuse-spans", "all"),
        (*BACKEND, "--slower-than", "0.5", "--always", 'a.b="c"', "--never", "url.path=/$x", "--keep", "0.001"),
        (*BACKEND, "--keep", "1", "--no-langfuse", "--otlp-header", "api-key=OTLP_API_KEY"),
        ("--otlp-endpoint", "http://otel:4317", "--otlp-protocol", "grpc", "--no-langfuse"),
        ("--tier", "sampler"),
        (*GATEWAY, "--balance", "routing"),
        (*GATEWAY[:4], "--balance", "routing", "--insecure"),
    ],
)
def test_the_collector_takes_it(options, tmp_path):
    assert complaints(configuration("--queue", tmp_path / "queue", *options), tmp_path / "config.yaml") == ""


def test_and_says_no_to_what_is_wrong(tmp_path):
    wrong = configuration("--queue", tmp_path / "queue", *BACKEND).replace("SHA256(", "SHA257(")
    assert "SHA257" in complaints(wrong, tmp_path / "config.yaml")


def test_the_load_balancing_exporters_parts_are_those_of_the_exporter_that_it_wraps(tmp_path):
    """That exporter is in no binary that can be built here: what it shares with the OTLP exporter is checked so."""
    made = yaml.safe_load(configuration("--queue", tmp_path / "queue", *GATEWAY))
    whole = made["exporters"].pop("loadbalancing")
    assert whole.keys() == {"routing_key", "protocol", "resolver", "timeout", "retry_on_failure", "sending_queue"}
    own = {key: whole[key] for key in ("timeout", "retry_on_failure", "sending_queue")}
    made["exporters"] = {
        "otlp/own": {"endpoint": "s0:4317", **own},
        "otlp/each": {"endpoint": "s1:4317", **whole["protocol"]["otlp"]},
    }
    made["service"]["pipelines"]["traces"]["exporters"] = list(made["exporters"])
    assert complaints(yaml.safe_dump(made), tmp_path / "config.yaml") == ""
