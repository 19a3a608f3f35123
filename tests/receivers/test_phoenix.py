"""A LangChain agent and a LlamaIndex query, read back from Arize Phoenix through its REST and GraphQL APIs."""

import json
import re
import subprocess
import time
import uuid

import pytest
import samples
from spanloom import ContentPolicy, Phoenix
from spanloom.content.read import read
from spanloom.dialects import openinference

from tests.receivers import application
from tests.receivers.application import ANSWER, ANSWERING, CALLING, HOPELESS, QUESTION
from tests.receivers.servers import READ_DEADLINE, Server, environment, free_ports, tree

pytestmark = [pytest.mark.receiver, pytest.mark.timeout(1800)]

PACKAGE = "arize-phoenix==20.26.1"


@pytest.fixture(scope="module")
def phoenix(tmp_path_factory):
    command = environment("phoenix", PACKAGE) / "phoenix"
    home = tmp_path_factory.mktemp("phoenix")
    http, grpc = free_ports(2)
    with Server(
        [command, "serve"],
        home,
        http,
        ready="/healthz",
        PHOENIX_HOST="127.0.0.1",
        PHOENIX_PORT=str(http),
        PHOENIX_GRPC_PORT=str(grpc),
        PHOENIX_WORKING_DIR=str(home),
        PHOENIX_TELEMETRY_ENABLED="false",
    ) as server:
        yield server


class Received:
    """What Phoenix has of one project, once all of it is there."""

    def __init__(self, server, project, ann, bob):
        self.server, self.project, self.ann, self.bob = server, project, ann, bob
        deadline = time.monotonic() + READ_DEADLINE
        while len(spans := self._spans()) < application.SPANS:
            assert time.monotonic() < deadline, f"{len(spans)} of {application.SPANS} spans arrived"
            time.sleep(0.1)
        self.spans = sorted(spans, key=lambda s: s["start_time"])

    def _spans(self):
        try:
            return self.server.json(f"/v1/projects/{self.project}/spans?limit=100")["data"]
        except AssertionError:  # there is no such project yet
            return []

    def of(self, session, name):
        return [s for s in self.spans if s["name"] == name and s["attributes"].get("session.id") == session]


@pytest.fixture(scope="module")
def received(phoenix):
    project, ann, bob = (f"{name}-{uuid.uuid4().hex}" for name in ("shop", "ann", "bob"))
    application.run(Phoenix(phoenix.url, project_name=project), ann=ann, bob=bob)
    return Received(phoenix, project, ann, bob)


def test_kinds_and_tree(received):
    spans = {s["context"]["span_id"]: s for s in received.spans}
    parents = {id: s["parent_id"] for id, s in spans.items()}
    assert tree(parents, lambda i: (spans[i]["name"], spans[i]["span_kind"])) == application.TREES
    assert len({s["context"]["trace_id"] for s in received.spans}) == len(application.TREES)


def test_who_it_belongs_to(received):
    for session, user in ((received.ann, "ann"), (received.bob, "bob")):
        mine = [s["attributes"] for s in received.spans if s["attributes"]["session.id"] == session]
        assert {a["user.id"] for a in mine} == {user}
    said = received.of(received.ann, "shopkeeper")[0]["attributes"]
    assert (said["tag.tags"], said["metadata.feature"]) == (["beta"], "stock")


def test_model_and_tokens(received):
    calling, answering = (s["attributes"] for s in received.of(received.ann, "ChatOpenAI")[:2])
    (query,) = (s["attributes"] for s in received.of(received.bob, "OpenAI.stream_chat"))
    for said, counts in ((calling, CALLING), (answering, ANSWERING), (query, ANSWERING)):
        assert said["llm.model_name"] == "gpt-4o-mini-2024-07-18"
        assert said["llm.request.model_name"] == "gpt-4o-mini"
        assert (said["llm.provider"], said["llm.system"]) == ("openai", "openai")
        assert json.loads(said["llm.invocation_parameters"])["temperature"] == 0.2
        assert said["llm.token_count.prompt"] == counts["prompt"]
        assert said["llm.token_count.prompt_details.cache_read"] == counts["cached"]
        assert said["llm.token_count.completion"] == counts["completion"]
        assert said["llm.token_count.completion_details.reasoning"] == counts["reasoning"]
        assert said["llm.token_count.total"] == counts["prompt"] + counts["completion"]
        assert said["llm.cost.total"] == pytest.approx(application.price(counts), abs=1e-9)
    with_tokens = {s["name"] for s in received.spans if "llm.token_count.total" in s["attributes"]}
    assert with_tokens == {"ChatOpenAI", "OpenAI.stream_chat"}


def test_messages_tools_and_documents(received):
    calling, answering = (s["attributes"] for s in received.of(received.ann, "ChatOpenAI")[:2])
    assert calling["llm.input_messages.0.message.role"] == "system"
    assert calling["llm.input_messages.1.message.content"] == QUESTION
    assert calling["llm.tools.0.tool.name"] == "stock"
    of_call = "llm.output_messages.0.message.tool_calls.0.tool_call."
    assert calling[of_call + "function.name"] == "stock"
    assert json.loads(calling[of_call + "function.arguments"]) == {"query": QUESTION}
    assert answering["llm.input_messages.3.message.role"] == "tool"
    assert answering["llm.input_messages.3.message.tool_call_id"] == calling[of_call + "id"]
    assert answering["llm.output_messages.0.message.content"] == ANSWER
    for session, name in ((received.ann, "Shelf"), (received.bob, "LlamaShelf.retrieve")):
        (found,) = (s["attributes"] for s in received.of(session, name))
        assert found["input.value"] == QUESTION
        for n, (text, id, score) in enumerate(application.SHELVES):
            document = f"retrieval.documents.{n}.document."
            assert (found[document + "content"], found[document + "id"]) == (text, id)
            assert found[document + "score"] == score
    tool = received.of(received.ann, "stock")[0]["attributes"]
    assert (tool["tool.name"], json.loads(tool["input.value"])) == ("stock", {"query": QUESTION})
    assert tool["tool.description"] == "Looks up what is in stock."
    assert tool["output.value"] == "There are 12 cups.\nThere are no plates."


def test_the_prompt_is_on_the_call_of_the_model(received):
    (query,) = (s["attributes"] for s in received.of(received.bob, "OpenAI.stream_chat"))
    assert (query["prompt.id"], query["llm.prompt_template.version"]) == ("rag", "3")


def test_the_first_token(received):
    calls = received.of(received.ann, "ChatOpenAI") + received.of(received.bob, "OpenAI.stream_chat")
    assert len(calls) == 4
    for call in calls:
        (first,) = (e for e in call["events"] if e["name"] == "first_token_received")
        assert call["start_time"] < first["timestamp"] <= call["end_time"]
        assert call["attributes"]["spanloom.response.time_to_first_chunk"] > 0


def test_an_error_is_where_it_arose_and_above(received):
    failed = [s for s in received.spans if s["status_code"] == "ERROR"]
    assert [s["name"] for s in failed] == ["shopkeeper", "tools", "stock"]
    for span in failed:
        assert span["status_message"] == f"nothing known of {HOPELESS!r}"
        assert span["attributes"]["spanloom.step.outcome"] == "error"
    (exception,) = (e["attributes"] for e in failed[-1]["events"] if e["name"] == "exception")
    assert exception["exception.type"] == "LookupError"
    assert exception["exception.message"] == f"nothing known of {HOPELESS!r}"
    assert "in stock" in exception["exception.stacktrace"]


def annotations(received, kind, id):
    """The scores of one span or trace, by name, once there are any."""
    deadline = time.monotonic() + READ_DEADLINE
    path = f"/v1/projects/{received.project}/{kind}_annotations?{kind}_ids={id}"
    while not (found := received.server.json(path)["data"]):
        assert time.monotonic() < deadline, f"no score of {kind} {id} arrived"
        time.sleep(0.1)
    return {a["name"]: a["result"] for a in found}


def test_scores_of_a_trace_and_of_a_step(received):
    agent, tool = received.of(received.ann, "shopkeeper")[0], received.of(received.ann, "stock")[0]
    (of_trace,) = annotations(received, "trace", agent["context"]["trace_id"]).items()
    assert (of_trace[0], of_trace[1]["score"], of_trace[1]["label"]) == ("helpful", 1.0, "true")
    assert of_trace[1]["explanation"] == "short and clear"
    (of_step,) = annotations(received, "span", tool["context"]["span_id"]).items()
    assert (of_step[0], of_step[1]["score"]) == ("fresh", 0.9)


SESSIONS = """query ($project: String!) { getProjectByName(name: $project) { sessions(first: 10) { edges { node {
  sessionId numTraces firstInput { value } lastOutput { value } tokenUsage { total } costSummary { total { cost } }
} } } } }"""


def test_sessions_with_their_questions_tokens_and_cost(received):
    """Phoenix prices the calls itself, from model, provider and the kinds of tokens that we name."""

    def sessions():
        body = {"query": SESSIONS, "variables": {"project": received.project}}
        found = received.server.json("/graphql", body)["data"]["getProjectByName"]["sessions"]["edges"]
        return {edge["node"]["sessionId"]: edge["node"] for edge in found}

    deadline = time.monotonic() + READ_DEADLINE
    costs = {received.ann: application.price(CALLING, ANSWERING, CALLING), received.bob: application.price(ANSWERING)}
    while (found := sessions()) and {s: n["costSummary"]["total"]["cost"] for s, n in found.items()} != {
        s: pytest.approx(cost, abs=1e-9) for s, cost in costs.items()
    }:  # it does so after it has taken the spans
        assert time.monotonic() < deadline, f"{found} instead of {costs}"
        time.sleep(0.1)
    ann, bob = found[received.ann], found[received.bob]
    assert (ann["numTraces"], ann["firstInput"]["value"], ann["tokenUsage"]["total"]) == (2, QUESTION, 420)
    assert (bob["numTraces"], bob["lastOutput"]["value"], bob["tokenUsage"]["total"]) == (1, ANSWER, 180)


def test_without_content_the_structure_arrives(phoenix):
    project, ann, bob = (f"{name}-{uuid.uuid4().hex}" for name in ("bare", "ann", "bob"))
    application.run(Phoenix(phoenix.url, project_name=project, content=ContentPolicy.none()), ann=ann, bob=bob)
    bare = Received(phoenix, project, ann, bob)
    for text in (QUESTION, HOPELESS, ANSWER, "12 cups", "Looks up", "You know the shop"):
        assert text not in json.dumps(bare.spans)
    assert len(bare.of(ann, "ChatOpenAI")) == 3
    assert not [key for s in bare.spans for key in s["attributes"] if key.endswith(".value")]


NAMES = """
import importlib.metadata, json
from openinference.semconv import trace
classes = [value for name, value in vars(trace).items() if name.endswith("Attributes")]
names = [value for one in classes for name, value in vars(one).items() if name.isupper()]
kinds = [kind.value for kind in trace.OpenInferenceSpanKindValues]
version = importlib.metadata.version("openinference-semantic-conventions")
print(json.dumps([version, names, kinds]))
"""


def test_our_names_are_those_of_the_conventions_that_phoenix_brings():
    python = environment("phoenix", PACKAGE) / "python"
    done = subprocess.run([python, "-c", NAMES], capture_output=True, text=True, check=True, timeout=120)
    version, names, kinds = json.loads(done.stdout)
    known, own = set(names), ("spanloom.", "error.type")
    nested = {f"{outer}.{inner}" for outer in known for inner in known}  # message_content.image + image.url
    for make in samples.ALL.values():
        step = make()
        seen = ContentPolicy.full().apply(read(step.content, step.identity, step.tool_description))
        keys = [key for key in openinference.render(step, seen).attributes if not key.startswith(own)]
        unknown = [key for key in keys if not {*re.split(r"\.\d+\.", key)} <= known | nested]
        assert not unknown, f"not in openinference-semantic-conventions {version}"
    assert set(openinference.KINDS.values()) <= set(kinds)
