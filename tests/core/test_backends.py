"""`Phoenix` and the ready profiles: what goes over the wire, from arguments and from the environment."""

import base64
import json

import pytest
import samples
import spanloom
from opentelemetry.sdk.trace import TracerProvider
from spanloom import (
    ConfigurationError,
    ContentPolicy,
    Datadog,
    Dynatrace,
    GrafanaCloud,
    Honeycomb,
    LangSmith,
    MLflow,
    NewRelic,
    Otlp,
    Phoenix,
)
from spanloom.destinations.limits import Limits
from spanloom.step import Kind, Message, Step, Text

_PREFIXES = ("PHOENIX_", "DD_", "HONEYCOMB_", "NEW_RELIC_", "DT_", "GRAFANA_", "LANGSMITH_", "MLFLOW_")


@pytest.fixture(autouse=True)
def _no_backends_named(monkeypatch):
    import os

    for name in list(os.environ):
        if name.startswith(_PREFIXES):
            monkeypatch.delenv(name)


def sent(configured, sink, destination):
    """The one request in which a trace of every sample arrived."""
    loom = configured(destination, service_name="support-bot")
    samples.trace(loom)
    assert loom.flush()
    (request,) = sink.requests
    assert len(request.spans) == len(samples.ALL) + 1
    return request


def basic(text):
    return "Basic " + base64.b64encode(text.encode()).decode()


# ---------------------------------------------------------------- address and headers
PROFILES = {  # what makes it, its variables, and what is sent: path and headers
    "datadog": (
        lambda url: Datadog("k", endpoint=url),
        lambda url: (lambda: Datadog(endpoint=url), {"DD_API_KEY": "k"}),
        ("/v1/traces", {"dd-api-key": "k", "dd-otlp-source": "llmobs"}),
    ),
    "honeycomb": (
        lambda url: Honeycomb("k", endpoint=url, dataset="d"),
        lambda url: (
            Honeycomb,
            {"HONEYCOMB_API_KEY": "k", "HONEYCOMB_API_ENDPOINT": url, "HONEYCOMB_DATASET": "d"},
        ),
        ("/v1/traces", {"x-honeycomb-team": "k", "x-honeycomb-dataset": "d"}),
    ),
    "new-relic": (
        lambda url: NewRelic("k", endpoint=url),
        lambda url: (lambda: NewRelic(endpoint=url), {"NEW_RELIC_LICENSE_KEY": "k"}),
        ("/v1/traces", {"api-key": "k"}),
    ),
    "dynatrace": (
        lambda url: Dynatrace(f"{url}/api/v2/otlp", "t"),
        lambda url: (Dynatrace, {"DT_API_URL": f"{url}/api/v2/otlp", "DT_API_TOKEN": "t"}),
        ("/api/v2/otlp/v1/traces", {"authorization": "Api-Token t"}),
    ),
    "grafana-cloud": (
        lambda url: GrafanaCloud(f"{url}/otlp", "42", "t"),
        lambda url: (
            GrafanaCloud,
            {
                "GRAFANA_CLOUD_OTLP_ENDPOINT": f"{url}/otlp/v1/traces",
                "GRAFANA_CLOUD_INSTANCE_ID": "42",
                "GRAFANA_CLOUD_API_KEY": "t",
            },
        ),
        ("/otlp/v1/traces", {"authorization": basic("42:t")}),
    ),
    "langsmith": (
        lambda url: LangSmith("k", project="p", endpoint=url),
        lambda url: (
            LangSmith,
            {"LANGSMITH_API_KEY": "k", "LANGSMITH_PROJECT": "p", "LANGSMITH_ENDPOINT": f"{url}/otel/v1/traces"},
        ),
        ("/otel/v1/traces", {"x-api-key": "k", "langsmith-project": "p"}),
    ),
    "mlflow": (
        lambda url: MLflow(url, 7, username="u", password="p"),
        lambda url: (
            MLflow,
            {
                "MLFLOW_TRACKING_URI": url,
                "MLFLOW_EXPERIMENT_ID": "7",
                "MLFLOW_TRACKING_USERNAME": "u",
                "MLFLOW_TRACKING_PASSWORD": "p",
            },
        ),
        ("/v1/traces", {"x-mlflow-experiment-id": "7", "authorization": basic("u:p")}),
    ),
    "phoenix": (
        lambda url: Phoenix(f"{url}/s/space", "k", "shop"),
        lambda url: (
            Phoenix,
            {
                "PHOENIX_COLLECTOR_ENDPOINT": f"{url}/s/space",
                "PHOENIX_API_KEY": "k",
                "PHOENIX_PROJECT_NAME": "shop",
            },
        ),
        ("/s/space/v1/traces", {"authorization": "Bearer k", "x-project-name": "shop"}),
    ),
}


@pytest.mark.parametrize("name", PROFILES)
def test_a_profile_knows_address_and_headers(configured, http_sink, monkeypatch, name):
    make, _, (path, headers) = PROFILES[name]
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-of-another=secret")
    destination = make(http_sink.url)
    assert destination.name == name
    request = sent(configured, http_sink, destination)
    assert request.path == path
    assert {key: request.headers.get(key) for key in headers} == headers
    assert request.headers["content-type"] == "application/x-protobuf"
    assert "x-of-another" not in request.headers


@pytest.mark.parametrize("name", PROFILES)
def test_a_profile_reads_its_usual_variables(configured, http_sink, monkeypatch, name):
    _, by_environment, (path, headers) = PROFILES[name]
    make, variables = by_environment(http_sink.url)
    for variable, value in variables.items():
        monkeypatch.setenv(variable, value)
    request = sent(configured, http_sink, make())
    assert request.path == path
    assert {key: request.headers.get(key) for key in headers} == headers


@pytest.mark.parametrize("name", PROFILES)
def test_no_key_is_in_a_repr(name):
    destination = PROFILES[name][0]("http://host")
    assert repr(destination) == f"{type(destination).__name__}({destination.endpoint!r})"


@pytest.mark.parametrize(
    ("destination", "address"),
    [
        (lambda: Datadog("k"), "https://otlp.datadoghq.com"),
        (lambda: Datadog("k", site="datadoghq.eu"), "https://otlp.datadoghq.eu"),
        (lambda: Honeycomb("k"), "https://api.honeycomb.io"),
        (lambda: NewRelic("k"), "https://otlp.nr-data.net"),
        (lambda: NewRelic("eu01xx"), "https://otlp.eu01.nr-data.net"),
        (lambda: NewRelic("k", region="jp"), "https://otlp.jp.nr-data.net"),
        (lambda: LangSmith("k"), "https://api.smith.langchain.com/otel"),
        (lambda: LangSmith("k", endpoint="https://own/api/v1"), "https://own/api/v1/otel"),
        (MLflow, "http://localhost:5000"),
        (Phoenix, "http://localhost:6006"),
    ],
)
def test_where_it_goes_by_default(destination, address):
    assert destination().endpoint == address


# ---------------------------------------------------------------- refusals
@pytest.mark.parametrize(
    ("destination", "said"),
    [
        (Datadog, "no credentials: give api_key=.* DD_API_KEY"),
        (Honeycomb, "HONEYCOMB_API_KEY"),
        (NewRelic, "NEW_RELIC_LICENSE_KEY"),
        (lambda: NewRelic("k", region="mars"), "mars.* no address"),
        (lambda: Dynatrace("https://e.live.dynatrace.com/api/v2/otlp"), "only half of .* DT_API_TOKEN"),
        (lambda: Dynatrace(api_token="t"), "only half of .* DT_ENDPOINT"),
        (lambda: GrafanaCloud("https://g/otlp", "42"), "only half of .* GRAFANA_CLOUD_API_KEY"),
        (lambda: GrafanaCloud(), "GRAFANA_CLOUD_OTLP_ENDPOINT.* and instance_id=.* and token="),
        (LangSmith, "LANGSMITH_API_KEY"),
        (lambda: MLflow(username="u"), "only half of .* MLFLOW_TRACKING_PASSWORD"),
        (lambda: MLflow("sqlite:///mlflow.db"), "no address"),
        (lambda: MLflow("databricks"), "no address"),
        (lambda: Phoenix("localhost:6006"), "no address"),
        (lambda: Phoenix(api_key="s3cret\n"), "credentials"),
        (lambda: Phoenix(content="full"), "ContentPolicy"),
        (lambda: Phoenix(timeout=-1), "timeout"),
        (lambda: Otlp("http://h", dialect="langfuse"), "dialect"),
    ],
)
def test_what_cannot_work_is_one_sentence_at_configure_without_a_secret(destination, said):
    with pytest.raises(ConfigurationError, match=said) as caught:
        spanloom.configure(destination(), tracer_provider=TracerProvider(shutdown_on_exit=False))
    assert "\n" not in str(caught.value)
    assert "s3cret" not in str(caught.value)


# ---------------------------------------------------------------- dialect, project, content
def test_phoenix_gets_openinference_in_its_project(configured, http_sink):
    request = sent(configured, http_sink, Phoenix(http_sink.url, project_name="Läden"))
    assert {s.resource["openinference.project.name"] for s in request.spans} == {"Läden"}
    assert {s.resource["service.name"] for s in request.spans} == {"support-bot"}
    assert "x-project-name" not in request.headers  # a header holds no ä
    model = http_sink.named("ChatOpenAI")
    assert model.attributes["openinference.span.kind"] == "LLM"
    assert model.attributes["server.address"] == "127.0.0.1"
    assert not [key for s in request.spans for key in s.attributes if key.startswith("gen_ai.")]


@pytest.mark.parametrize(
    ("destination", "shows"),
    [
        (lambda url: Phoenix(url), True),
        (lambda url: MLflow(url), True),
        (lambda url: LangSmith("k", endpoint=url), True),
        (lambda url: Datadog("k", endpoint=url), True),
        (lambda url: Honeycomb("k", endpoint=url), False),
        (lambda url: NewRelic("k", endpoint=url), False),
        (lambda url: Dynatrace(url, "t"), False),
        (lambda url: GrafanaCloud(url, "1", "t"), False),
        (lambda url: Phoenix(url, content=ContentPolicy.hashed()), False),
        (lambda url: NewRelic("k", endpoint=url, content=ContentPolicy.full()), True),
    ],
)
def test_a_backend_for_models_shows_content_by_default_and_another_hashes(configured, http_sink, destination, shows):
    request = sent(configured, http_sink, destination(http_sink.url))
    assert (samples.CANARY in repr([(s.attributes, s.events) for s in request.spans])) is shows
    assert "spanloom.prompt.hash" in http_sink.named("ChatOpenAI").attributes


def test_any_otlp_receiver_can_have_openinference(configured, http_sink, second_sink):
    loom = configured(
        Otlp(http_sink.url, dialect="openinference", content=ContentPolicy.full()), Otlp(second_sink.url, name="second")
    )
    samples.trace(loom)
    assert loom.flush()
    assert http_sink.named("ChatOpenAI").attributes["llm.model_name"] == "gpt-4o-mini-2024-07-18"
    assert second_sink.named("ChatOpenAI").attributes["gen_ai.response.model"] == "gpt-4o-mini-2024-07-18"
    assert "llm.model_name" not in second_sink.named("ChatOpenAI").attributes


def test_langsmith_gets_its_run_types_on_every_step(configured, http_sink):
    request = sent(configured, http_sink, LangSmith("k", endpoint=http_sink.url))
    assert {s.attributes["langsmith.span.kind"] for s in request.spans} == {
        "llm", "tool", "retriever", "embedding", "chain",
    }  # fmt: skip


def test_a_long_chat_has_more_attributes_than_the_sdk_lets_a_live_span_have(configured, http_sink):
    loom = configured(Phoenix(http_sink.url))
    step = Step("chat", Kind.LLM, "Chat")
    step.content.input_messages = tuple(Message("user", (Text(f"m{n}"),)) for n in range(160))
    loom.recorder.open(step)
    loom.recorder.close("chat")
    assert loom.flush()
    said = http_sink.named("Chat").attributes
    assert [said[f"llm.input_messages.{n}.message.content"] for n in range(160)] == [f"m{n}" for n in range(160)]


# ---------------------------------------------------------------- limits
def long_chat(loom):
    step = Step("long", Kind.LLM, "Long", request_model="m")
    texts = ['"quoted" \\ and ünïcode ' * 400, "ok", "\x00" * 3000]
    step.content.input_messages = tuple(Message("user", (Text(t),)) for t in texts * 5)
    step.content.output_messages = (Message("assistant", (Text("日本" * 5_000),)),)
    loom.recorder.open(step)
    step.span.set_attributes({"app.own": "x" * 9_000, "app.list": ["a"] * 100, "n" * 300: "named"})
    loom.recorder.close("long")
    assert loom.flush()


def test_new_relic_gets_4095_characters_at_most_and_whole_json(configured, provider, http_sink):
    loom = configured(NewRelic("k", endpoint=http_sink.url, content=ContentPolicy.full()))
    with provider.get_tracer("redis").start_as_current_span("GET", attributes={"db.statement": "x" * 9_000}):
        pass
    long_chat(loom)
    for span in http_sink.spans:
        for key, value in span.attributes.items():
            assert len(key) <= 255
            assert len(value if isinstance(value, (str, list)) else "") <= 4_095, key
    said = http_sink.named("Long").attributes
    assert len(said["app.list"]) == 64
    assert said["app.own"] == "x" * (4_095 - 3) + "…"
    for key in ("gen_ai.input.messages", "gen_ai.output.messages"):
        assert json.loads(said[key])
    assert "日本" in said["gen_ai.output.messages"]
    assert said["spanloom.content.truncated"] > 0


def test_honeycomb_gets_64_kb_of_a_text_at_most(configured, http_sink):
    loom = configured(Honeycomb("k", endpoint=http_sink.url, content=ContentPolicy.full()))
    step = Step("vast", Kind.TOOL, "Vast")
    step.content.result = {"text": '"' * 200_000}
    loom.recorder.open(step)
    loom.recorder.close("vast")
    assert loom.flush()
    text = http_sink.named("Vast").attributes["gen_ai.tool.call.result"]
    assert 10_000 < len(text.encode()) <= 64_000
    json.loads(text)


def test_text_that_no_budget_makes_short_is_cut_between_characters():
    cut = Limits(text_bytes=10).within({"a": "日本語日本語", "b": "short", "c": 7, "d": ["日本語日本語", "x"]})
    assert cut == {"a": "日本…", "b": "short", "c": 7, "d": ["日本…", "x"]}
