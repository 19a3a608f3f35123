"""A LangChain agent and a LlamaIndex query, read back from an MLflow tracking server through its REST API."""

import time
import uuid

import pytest
from spanloom import ContentPolicy, MLflow, Otlp

from tests.receivers import application
from tests.receivers.application import ANSWER, ANSWERING, CALLING, HOPELESS, QUESTION
from tests.receivers.servers import READ_DEADLINE, Server, environment, free_ports, tree

pytestmark = [pytest.mark.receiver, pytest.mark.timeout(1800)]

PACKAGE = "mlflow==3.17.2"


@pytest.fixture(scope="module")
def mlflow(tmp_path_factory):
    command = environment("mlflow", PACKAGE) / "mlflow"
    home = tmp_path_factory.mktemp("mlflow")
    (port,) = free_ports(1)
    with Server(
        [
            command, "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
            "--backend-store-uri", f"sqlite:///{home}/mlflow.db",
        ],
        home,
        port,
        ready="/health",
        MLFLOW_SERVER_ENABLE_JOB_EXECUTION="false",
        MLFLOW_DISABLE_TELEMETRY="true",
    ) as server:  # fmt: skip
        yield server


def value_of(value):
    """An OTLP `AnyValue` in JSON as a plain value."""
    ((kind, held),) = value.items() or [(None, None)]
    if kind == "array_value":
        return [value_of(v) for v in held.get("values", [])]
    if kind == "kvlist_value":
        return pairs(held.get("values", []))
    return int(held) if kind == "int_value" else held


def pairs(listed):
    return {pair["key"]: value_of(pair.get("value") or {None: None}) for pair in listed}


def received(server, experiment, ann, bob):
    """The traces of these two sessions, oldest first, as `(facts, spans)`, once all spans are there."""
    place = [{"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": experiment}}]
    deadline = time.monotonic() + READ_DEADLINE
    while True:
        listed = server.json("/api/3.0/mlflow/traces/search", {"locations": place})
        traces = []
        for facts in sorted(listed.get("traces", []), key=lambda t: t["request_time"]):
            if facts["trace_metadata"].get("mlflow.trace.session") in (ann, bob):
                whole = server.json(f"/api/3.0/mlflow/traces/get?trace_id={facts['trace_id']}")
                spans = sorted(whole["trace"].get("spans", []), key=lambda s: int(s["start_time_unix_nano"]))
                traces.append((facts, [{**s, "attributes": pairs(s["attributes"])} for s in spans]))
        if sum(len(spans) for _, spans in traces) == application.SPANS:
            return traces
        assert time.monotonic() < deadline, f"{[len(spans) for _, spans in traces]} spans arrived"
        time.sleep(0.1)


@pytest.fixture(scope="module")
def traces(mlflow):
    ann, bob = f"ann-{uuid.uuid4().hex}", f"bob-{uuid.uuid4().hex}"
    application.run(MLflow(mlflow.url), ann=ann, bob=bob)
    return received(mlflow, "0", ann, bob)


def named(traces, name):
    return [s["attributes"] for _, spans in traces for s in spans if s["name"] == name]


def test_kinds_and_tree(traces):
    trees = []
    for _, spans in traces:
        said = {s["span_id"]: (s["name"], s["attributes"]["mlflow.spanType"]) for s in spans}
        trees += tree({s["span_id"]: s.get("parent_span_id") for s in spans}, said.__getitem__)
    assert trees == application.TREES


def test_who_it_belongs_to_what_was_asked_and_answered(traces):
    users = [(facts["trace_metadata"]["mlflow.trace.user"], facts["state"]) for facts, _ in traces]
    assert users == [("ann", "OK"), ("ann", "ERROR"), ("bob", "OK")]
    asked = [facts["request_preview"].strip('"') for facts, _ in traces]
    assert asked == [QUESTION, HOPELESS, QUESTION]
    answered = [facts["response_preview"].strip('"') for facts, _ in traces if "response_preview" in facts]
    assert answered == [ANSWER, ANSWER]


def test_model_tokens_and_cost(traces):
    """MLflow prices the calls itself, from the model, the provider and the kinds of tokens that we name."""
    calls = [(a, counts) for a, counts in zip(named(traces, "ChatOpenAI"), (CALLING, ANSWERING, CALLING), strict=True)]
    calls += [(a, ANSWERING) for a in named(traces, "OpenAI.stream_chat")]
    assert len(calls) == 4
    for said, counts in calls:
        assert said["mlflow.llm.model"] == "gpt-4o-mini-2024-07-18"
        assert said["mlflow.llm.provider"] == "openai"
        assert said["mlflow.chat.tokenUsage"] == {
            "input_tokens": counts["prompt"],
            "output_tokens": counts["completion"],
            "total_tokens": counts["prompt"] + counts["completion"],
            "cache_read_input_tokens": counts["cached"],
        }
        assert said["llm.token_count.completion_details.reasoning"] == counts["reasoning"]
        assert said["mlflow.llm.cost"]["total_cost"] == pytest.approx(application.price(counts), abs=1e-9)


def test_inputs_and_outputs(traces):
    calling, answering, _ = named(traces, "ChatOpenAI")
    assert [m["role"] for m in calling["mlflow.spanInputs"]["messages"]] == ["system", "user"]
    assert calling["mlflow.spanOutputs"]["tool_calls"][0]["function"]["name"] == "stock"
    assert answering["mlflow.spanOutputs"] == ANSWER
    tool, _ = named(traces, "stock")
    assert tool["mlflow.spanInputs"] == {"query": QUESTION}
    assert tool["mlflow.spanOutputs"] == "There are 12 cups.\nThere are no plates."
    for name in ("Shelf", "LlamaShelf.retrieve"):
        (found,) = named(traces, name)
        assert found["mlflow.spanInputs"] == QUESTION
        shelves = [(d["content"], d["id"], d["score"]) for d in found["mlflow.spanOutputs"]]
        assert shelves == application.SHELVES


def test_the_first_token(traces):
    calls = [s for _, spans in traces for s in spans if s["name"] in ("ChatOpenAI", "OpenAI.stream_chat")]
    assert len(calls) == 4
    for call in calls:
        (first,) = (e for e in call["events"] if e["name"] == "first_token_received")
        times = [int(call["start_time_unix_nano"]), int(first["time_unix_nano"]), int(call["end_time_unix_nano"])]
        assert times == sorted(times)


def test_an_error_is_where_it_arose_and_above(traces):
    _, spans = traces[1]
    failed = [s for s in spans if s["status"].get("code") == "STATUS_CODE_ERROR"]
    assert [s["name"] for s in failed] == ["shopkeeper", "tools", "stock"]
    assert {s["status"]["message"] for s in failed} == {f"nothing known of {HOPELESS!r}"}
    (exception,) = (pairs(e["attributes"]) for e in failed[-1]["events"] if e["name"] == "exception")
    assert exception["exception.type"] == "LookupError"


def test_opentelemetrys_conventions_arrive_too(mlflow):
    """`Otlp` with MLflow's header: the calls, agents and tools are known; what has no operation there is not."""
    made = mlflow.json("/api/2.0/mlflow/experiments/create", {"name": f"otlp-{uuid.uuid4().hex}"})["experiment_id"]
    ann, bob = f"ann-{uuid.uuid4().hex}", f"bob-{uuid.uuid4().hex}"
    headers = {"x-mlflow-experiment-id": made}
    application.run(Otlp(mlflow.url, headers, content=ContentPolicy.full()), ann=ann, bob=bob)
    types = {
        (s["attributes"]["spanloom.step.kind"], s["attributes"].get("mlflow.spanType"))
        for _, spans in received(mlflow, made, ann, bob)
        for s in spans
    }
    assert types >= {("agent", "AGENT"), ("llm", "CHAT_MODEL"), ("tool", "TOOL")}
