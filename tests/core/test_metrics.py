"""Metrics as a reader collects them: the conventions' names, units, buckets and attributes; and Spanloom's health."""

import subprocess
import sys

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from spanloom import ConfigurationError, Prices, configure, using
from spanloom.step import Kind, Outcome, Step
from spanloom.testing import Memory
from spanloom.usage import Usage

S = 1_000_000_000
T0 = 1_790_000_000 * S
DURATIONS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
ABOUT = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-4o-mini"}


class Meter:
    """A provider and what its reader collects: `{metric name: {attributes: point}}`."""

    def __init__(self):
        self.reader = InMemoryMetricReader()
        self.provider = MeterProvider([self.reader], shutdown_on_exit=False)
        self.about = {}

    def collect(self):
        found = {}
        data = self.reader.get_metrics_data()
        for resource in data.resource_metrics if data else ():
            for scope in resource.scope_metrics:
                assert scope.scope.name == "spanloom"
                for metric in scope.metrics:
                    self.about[metric.name] = (metric.unit, type(metric.data).__name__)
                    found[metric.name] = {frozenset((p.attributes or {}).items()): p for p in metric.data.data_points}
        return found


def only(points):
    (point,) = points.values()
    return point


@pytest.fixture
def meter():
    made = Meter()
    yield made
    made.provider.shutdown()


@pytest.fixture
def loom(configured, meter):
    return configured(Memory(), meter_provider=meter.provider)


def record(loom, kind, name="step", *, seconds=2.0, outcome=Outcome.OK, error=None, **fields):
    step = Step(name, kind, name, start_ns=T0, **fields)
    loom.recorder.open(step)
    loom.recorder.close(name, outcome, end_ns=T0 + int(seconds * S), error=error)


def chat(loom, **fields):
    record(loom, Kind.LLM, **{
        "provider": "openai", "request_model": "gpt-4o-mini", "response_model": "gpt-4o-mini-2024-07-18",
        "usage": Usage(1000, 200, 400), "first_token_ns": T0 + S // 2, "chunks": 16, "streaming": True, **fields,
    })  # fmt: skip


def test_a_call_of_a_model(loom, meter):
    chat(loom)
    found = meter.collect()
    about = {**ABOUT, "gen_ai.response.model": "gpt-4o-mini-2024-07-18"}
    duration = only(found["gen_ai.client.operation.duration"])
    assert dict(duration.attributes) == about
    assert (duration.count, duration.sum, duration.explicit_bounds) == (1, 2.0, DURATIONS)
    tokens = {dict(a)["gen_ai.token.type"]: p for a, p in found["gen_ai.client.token.usage"].items()}
    assert {kind: p.sum for kind, p in tokens.items()} == {"input": 1000, "output": 200}
    assert tokens["input"].explicit_bounds == tuple(4**n for n in range(14))
    assert only(found["gen_ai.client.operation.time_to_first_chunk"]).sum == 0.5
    assert only(found["gen_ai.client.operation.time_per_output_chunk"]).sum == pytest.approx(1.5 / 15)
    assert only(found["spanloom.cost"]).value == 0.00024
    assert "spanloom.cost.unknown" not in found


def test_units(loom, meter):
    chat(loom)
    record(loom, Kind.TOOL, "t")
    record(loom, Kind.AGENT, "a")
    record(loom, Kind.WORKFLOW, "w")
    chat(loom, name="mine", request_model="mine", response_model=None)
    meter.collect()
    seconds = [
        "gen_ai.client.operation.duration", "gen_ai.client.operation.time_to_first_chunk",
        "gen_ai.client.operation.time_per_output_chunk", "gen_ai.execute_tool.duration", "gen_ai.invoke_agent.duration",
        "gen_ai.invoke_workflow.duration",
    ]  # fmt: skip
    assert {name: meter.about[name] for name in seconds} == dict.fromkeys(seconds, ("s", "Histogram"))
    assert meter.about["gen_ai.client.token.usage"] == ("{token}", "Histogram")
    assert meter.about["spanloom.cost"] == ("{USD}", "Sum")
    assert meter.about["spanloom.cost.unknown"] == ("{call}", "Sum")


def test_tools_agents_and_workflows(loom, meter):
    record(loom, Kind.TOOL, "search", tool_name="search", agent_name="support", seconds=0.25)
    record(loom, Kind.AGENT, "agent", agent_name="support", request_model="gpt-4o-mini", usage=Usage(9, 9))
    record(loom, Kind.WORKFLOW, "flow", workflow_name="rag", seconds=45)
    record(loom, Kind.CHAIN, "chain")
    found = meter.collect()
    tool = only(found["gen_ai.execute_tool.duration"])
    assert dict(tool.attributes) == {
        "gen_ai.tool.name": "search", "gen_ai.tool.type": "function", "gen_ai.agent.name": "support",
    }  # fmt: skip
    assert (tool.sum, tool.explicit_bounds) == (0.25, DURATIONS)
    agent = only(found["gen_ai.invoke_agent.duration"])
    assert dict(agent.attributes) == {"gen_ai.agent.name": "support", "gen_ai.request.model": "gpt-4o-mini"}
    workflow = only(found["gen_ai.invoke_workflow.duration"])
    assert dict(workflow.attributes) == {"gen_ai.workflow.name": "rag"}
    assert workflow.explicit_bounds == (1, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200)
    assert "gen_ai.client.token.usage" not in found  # an agent's tokens are its models'
    assert "gen_ai.client.operation.duration" not in found


def test_embeddings_and_retrievals_are_client_operations(loom, meter):
    record(loom, Kind.EMBEDDING, "e", provider="openai", request_model="text-embedding-3-small", usage=Usage(12, 0))
    record(loom, Kind.RETRIEVER, "r")
    found = meter.collect()
    operations = {dict(a)["gen_ai.operation.name"] for a in found["gen_ai.client.operation.duration"]}
    assert operations == {"embeddings", "retrieval"}
    assert dict(only(found["gen_ai.client.token.usage"]).attributes)["gen_ai.token.type"] == "input"


def test_an_error_has_its_type_on_the_duration(loom, meter):
    chat(loom, outcome=Outcome.ERROR, error=TimeoutError("c4nary"), usage=None, first_token_ns=None)
    found = meter.collect()
    assert dict(only(found["gen_ai.client.operation.duration"]).attributes)["error.type"] == "TimeoutError"
    assert "gen_ai.client.token.usage" not in found
    assert "c4nary" not in repr(found)


def test_an_answer_from_a_cache_is_no_call(loom, meter):
    chat(loom, cache_hit=True, usage=None)
    assert not [name for name in meter.collect() if name.startswith("gen_ai.") or "cost" in name]


def test_tokens_without_a_price_are_counted_as_such(configured, meter):
    loom = configured(Memory(), meter_provider=meter.provider, prices=Prices("mine", input=1, output=1))
    chat(loom, name="other", request_model="theirs", response_model=None)
    chat(loom, request_model="mine", response_model=None)
    found = meter.collect()
    assert dict(only(found["spanloom.cost.unknown"]).attributes)["gen_ai.request.model"] == "theirs"
    assert only(found["spanloom.cost"]).value == pytest.approx(0.0012)


def test_no_metric_says_who_it_was(loom, meter):
    with using(user_id="c4nary", session_id="c4nary", tags=["c4nary"], tenant="c4nary", metadata={"c4nary": "c4nary"}):
        chat(loom)
        record(loom, Kind.TOOL, "t")
        record(loom, Kind.AGENT, "a", agent_name="support")
    assert "c4nary" not in repr(meter.collect())


def test_a_trace_that_is_not_sampled_is_measured_all_the_same(configured, meter):
    memory = Memory()
    provider = TracerProvider(sampler=ALWAYS_OFF, shutdown_on_exit=False)
    loom = configured(memory, tracer_provider=provider, meter_provider=meter.provider)
    chat(loom)
    found = meter.collect()
    assert not memory.spans
    assert only(found["gen_ai.client.operation.duration"]).count == 1
    assert only(found["spanloom.cost"]).value == 0.00024


def test_health(configured, meter):
    memory = Memory("here")
    loom = configured(memory, meter_provider=meter.provider)
    chat(loom)
    loom.recorder.open(Step("open", Kind.CHAIN, "open"))
    assert loom.flush()
    found = meter.collect()
    values = {name: only(points).value for name, points in found.items() if name.startswith("spanloom.s")}
    assert values == {
        "spanloom.spans.queued": 0, "spanloom.spans.exported": 1, "spanloom.spans.dropped": 0,
        "spanloom.spans.failed": 0, "spanloom.steps.open": 1, "spanloom.steps.opened": 2, "spanloom.steps.evicted": 0,
    }  # fmt: skip
    assert dict(only(found["spanloom.spans.exported"]).attributes) == {"spanloom.destination": "here"}


def test_what_spanloom_swallowed_is_a_metric(configured, meter, lenient):
    configured(Memory(), meter_provider=meter.provider)
    lenient.strict = False
    with lenient.watching("spanloom.somewhere"):
        raise ValueError
    point = meter.collect()["spanloom.errors.swallowed"]
    assert {dict(a)["spanloom.where"]: p.value for a, p in point.items()} == {"spanloom.somewhere": 1}
    lenient.strict = True


def test_a_second_configuration_goes_on_with_the_same_instruments(configured, meter):
    chat(configured(Memory("first"), meter_provider=meter.provider))
    with pytest.warns(RuntimeWarning, match="called again"):
        loom = configured(Memory("second"), meter_provider=meter.provider)
    chat(loom)
    found = meter.collect()
    assert only(found["gen_ai.client.operation.duration"]).count == 2
    assert dict(only(found["spanloom.spans.exported"]).attributes) == {"spanloom.destination": "second"}


def test_without_a_meter_provider_nothing_is_even_queued(configured):
    loom = configured(Memory())
    chat(loom)
    assert loom.flush()
    assert loom.metrics.delivery.counts()["offered"] == 0


def test_the_applications_provider_is_found_also_when_it_comes_later():
    code = """
from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
import spanloom
from spanloom.step import Kind, Step
from spanloom.testing import Memory
loom = spanloom.configure(Memory())
reader = InMemoryMetricReader()
metrics.set_meter_provider(MeterProvider([reader]))
loom.recorder.open(Step("t", Kind.TOOL, "t"))
loom.recorder.close("t")
(resource,) = reader.get_metrics_data().resource_metrics
print(*sorted(m.name for s in resource.scope_metrics for m in s.metrics if m.name.startswith("gen_ai")))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split() == ["gen_ai.execute_tool.duration"], done.stderr


def test_a_meter_provider_that_is_none_is_refused():
    with pytest.raises(ConfigurationError, match="meter_provider"):
        configure(Memory(), meter_provider=object())
