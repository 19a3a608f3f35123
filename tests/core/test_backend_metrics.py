"""Metrics to a backend by its profile, and the ids that Datadog's evaluations want."""

from __future__ import annotations

import pytest
import sinks
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import AggregationTemporality
from opentelemetry.sdk.metrics import MeterProvider
from spanloom import ConfigurationError, Dynatrace, NewRelic
from spanloom.scores import StepHandle
from spanloom.step import Kind, Step
from spanloom.testing import Memory
from spanloom.usage import Usage


@pytest.fixture
def metrics_sink():
    sink = sinks.HttpSink()
    yield sink
    sink.close()


@pytest.mark.parametrize(
    ("make", "header", "temporality"),
    [
        (
            lambda url: Dynatrace(endpoint=url, api_token="t"),
            ("authorization", "Api-Token t"),
            AggregationTemporality.AGGREGATION_TEMPORALITY_DELTA,
        ),
        (
            lambda url: NewRelic("k", endpoint=url),
            ("api-key", "k"),
            AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE,
        ),
    ],
    ids=["Dynatrace", "NewRelic"],
)
def test_a_model_calls_metrics_arrive_with_the_profiles_headers_and_temporality(
    configured, metrics_sink, make, header, temporality
):
    provider = MeterProvider([make(metrics_sink.url).metric_reader(interval_seconds=3600)], shutdown_on_exit=False)
    loom = configured(Memory(), meter_provider=provider)
    step = Step("r", Kind.LLM, "m", request_model="m", usage=Usage(input_tokens=3, output_tokens=1))
    loom.recorder.open(step)
    loom.recorder.close("r")
    assert provider.force_flush()
    provider.shutdown()
    request = metrics_sink.requests[0]
    assert request.path == "/v1/metrics"
    assert request.headers[header[0]] == header[1]
    message = ExportMetricsServiceRequest.FromString(request.body)
    found = {m.name: m for r in message.resource_metrics for s in r.scope_metrics for m in s.metrics}
    assert found["gen_ai.client.token.usage"].histogram.aggregation_temporality == temporality


def test_a_reader_without_credentials_is_refused():
    with pytest.raises(ConfigurationError, match="api_token"):
        Dynatrace(endpoint="https://x.live.dynatrace.com/api/v2/otlp").metric_reader()


def test_ids_are_to_be_had_as_decimal_numbers():
    handle = StepHandle("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331")
    assert handle.decimal_trace_id == "14576827793038113322513871894673895836"
    assert handle.decimal_span_id == "13235353014750950193"
