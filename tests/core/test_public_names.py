"""The names that applications may rely on, and the walls between the rooms."""

import ast
import inspect
import subprocess
import sys
from pathlib import Path

import pytest
import spanloom

CORE = Path(spanloom.__file__).parent


def test_the_public_names_of_spanloom():
    assert sorted(spanloom.__all__) == [
        "AwsKms",
        "ConfigurationError",
        "ContentPolicy",
        "Datadog",
        "Dynatrace",
        "GrafanaCloud",
        "Honeycomb",
        "Keyring",
        "LangSmith",
        "Langfuse",
        "Local",
        "Loom",
        "MLflow",
        "NewRelic",
        "Otlp",
        "Phoenix",
        "Presidio",
        "Prices",
        "Prompt",
        "StepHandle",
        "TailSampling",
        "Vault",
        "actions",
        "configure",
        "current_step",
        "using",
    ]
    assert all(hasattr(spanloom, name) for name in spanloom.__all__)


def test_the_public_arguments():
    def arguments(function):
        return list(inspect.signature(function).parameters)

    assert arguments(spanloom.configure) == [
        "destinations", "service_name", "tracer_provider", "max_open_steps", "max_step_seconds",
        "prices", "meter_provider",
    ]  # fmt: skip
    assert arguments(spanloom.using) == ["user_id", "session_id", "tags", "metadata", "tenant", "prompt"]
    assert arguments(spanloom.Otlp)[:3] == ["endpoint", "headers", "protocol"]
    assert arguments(spanloom.Langfuse)[:3] == ["public_key", "secret_key", "base_url"]
    assert arguments(spanloom.Local)[:1] == ["path"]
    for destination in (spanloom.Otlp, spanloom.Langfuse, spanloom.Local, spanloom.Phoenix):
        destination(content=spanloom.ContentPolicy.none(), queue_spans=1, batch_spans=1, name="other")
        with pytest.raises(TypeError, match=f"{destination.__name__}.*que_spans"):
            destination(que_spans=1)
    with pytest.raises(TypeError, match=r"Local.*timeout"):
        spanloom.Local(timeout=1)
    assert {"flush", "shutdown", "stats", "tracer_provider"} <= set(dir(spanloom.Loom))


def modules_of(*rooms):
    for room in rooms:
        path = CORE / room
        yield from path.rglob("*.py") if path.is_dir() else [path]


@pytest.mark.parametrize(
    "path", [*modules_of("dialects", "content", "step.py")], ids=lambda p: str(p.relative_to(CORE))
)
def test_dialects_and_content_know_no_sdk(path):
    for node in ast.walk(ast.parse(path.read_text())):
        names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        assert not [n for n in names if n.startswith(("opentelemetry.sdk", "opentelemetry.exporter"))]


def test_importing_spanloom_imports_no_framework_and_no_exporter():
    code = (
        "import sys, spanloom; "
        "print([m for m in sys.modules if m.split('.')[0] in ('langchain_core', 'llama_index', 'grpc', 'requests')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"
