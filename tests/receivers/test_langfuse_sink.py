"""A LangChain agent and a LlamaIndex query, as a Langfuse server reads them off the wire."""

import json

import pytest
import spanloom
from click.testing import CliRunner
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langfuse import Langfuse as LangfuseClient
from langfuse._client.resource_manager import LangfuseResourceManager
from opentelemetry.sdk.trace import TracerProvider
from spanloom import ContentPolicy, Langfuse
from spanloom.cli import main
from spanloom.testing import strict
from spanloom_langchain import SpanloomCallbackHandler, prompt_from_langfuse

from tests.receivers import application, langfuse_server
from tests.receivers.application import ANSWER, ANSWERING, CALLING, HOPELESS, QUESTION
from tests.receivers.langfuse_server import PUBLIC, SECRET

ANN, BOB = "session-ann", "session-bob"
TYPES = {"AGENT": "agent", "CHAIN": "chain", "LLM": "generation", "TOOL": "tool", "RETRIEVER": "retriever"}


def sent(**settings):
    server = langfuse_server.Langfuse()
    loom = application.run(Langfuse(PUBLIC, SECRET, server.url, **settings), ann=ANN, bob=BOB)
    return server, loom


@pytest.fixture(scope="module")
def received():
    server, loom = sent(environment="Staging", release="r1")
    server.stats = loom.stats()["destinations"]["langfuse"]
    yield server
    server.close()


@pytest.fixture(scope="module")
def traces(received):
    """Ann's answer, Ann's failure, Bob's query."""
    return received.traces()


def as_read(tree):
    return [(name, TYPES[kind], as_read(below)) for name, kind, below in tree]


def test_everything_is_taken_and_nothing_refused(received, traces):
    assert received.refused == []
    assert len(received.rows) == application.SPANS
    assert received.stats["exported"] == application.SPANS + len(received.scores)
    assert len(traces) == 3


def test_no_key_of_another_dialect_goes_over_the_wire(received):
    """Some of them the server misreads: `gen_ai.prompt.name` becomes the input."""
    assert not [
        key for key in received.keys if key.startswith(("gen_ai.", "llm.", "openinference.", "input.", "output."))
    ]


def test_the_trees_and_their_types(traces):
    assert [trace.tree() for trace in traces] == [[tree] for tree in as_read(application.TREES)]


def test_each_trace_has_one_top_that_is_the_app_root_and_names_it(traces):
    for trace in traces:
        assert len(trace.roots) == 1
        assert [o.id for o in trace.rows if o.app_root] == [trace.root.id]
        assert trace.name == trace.root.name


def test_users_sessions_tags_and_environment_are_on_every_observation(traces):
    whose = [("ann", ANN, ["beta"]), ("ann", ANN, ["beta"]), ("bob", BOB, [])]
    assert [(t.user, t.session, t.tags) for t in traces] == whose
    for trace, who in zip(traces, whose, strict=True):
        assert {(o.user, o.session, tuple(o.tags)) for o in trace.rows} == {(*who[:2], tuple(who[2]))}
        assert {o.environment for o in trace.rows} == {"staging"}
    assert traces[0].root.metadata["feature"] == "stock"


def test_input_and_output_stand_on_the_root_and_on_the_generations(traces):
    answered, _, queried = traces
    assert answered.root.input[-1]["content"] == QUESTION
    assert answered.root.output["content"] == ANSWER
    assert (queried.root.input, queried.root.output) == (QUESTION, ANSWER)
    calling, answering = answered.named("ChatOpenAI")
    assert [m["role"] for m in calling.input["messages"]] == ["system", "user"]
    assert calling.input["tools"][0]["function"]["name"] == "stock"
    (call,) = calling.output["tool_calls"]
    assert call["function"]["name"] == "stock"
    assert json.loads(call["function"]["arguments"]) == {"query": QUESTION}
    assert answering.output["content"] == ANSWER


def test_the_tools_and_the_retrievers(traces):
    (tool,), (shelf,) = traces[0].named("stock"), traces[0].named("Shelf")
    assert tool.input == {"query": QUESTION}
    assert tool.output == "There are 12 cups.\nThere are no plates."
    assert shelf.input == QUESTION
    assert [(d["id"], d["score"]) for d in shelf.output] == [("cups.md", 0.9), ("plates.md", 0.4)]
    assert len(traces[2].named("LlamaShelf.retrieve")[0].output) == 2


def disjoint(counts):
    """Reasoning is split off, since its price is known and sent along."""
    buckets = {
        "input": counts["prompt"] - counts["cached"],
        "input_cached_tokens": counts["cached"],
        "output": counts["completion"] - counts["reasoning"],
        "output_reasoning_tokens": counts["reasoning"],
    }
    return {name: count for name, count in buckets.items() if count}


def test_models_and_tokens_in_buckets_that_do_not_overlap(traces):
    calling, answering = traces[0].named("ChatOpenAI")
    (asked,) = traces[2].named("OpenAI.stream_chat")
    for generation, counts in ((calling, CALLING), (answering, ANSWERING), (asked, ANSWERING)):
        assert generation.model == "gpt-4o-mini-2024-07-18"
        assert generation.parameters["temperature"] == 0.2
        assert generation.usage == disjoint(counts)
        assert sum(generation.usage.values()) == counts["prompt"] + counts["completion"]
    assert answering.metadata["reasoning_tokens"] == ANSWERING["reasoning"]


def test_usage_and_cost_stand_on_generations_alone(traces):
    for trace in traces:
        for one in trace.rows:
            if one.type != "generation":
                assert not one.usage, one.name
                assert not one.cost, one.name


def test_cost_is_what_genai_prices_says(traces):
    assert [t.cost for t in traces] == pytest.approx([
        application.price(CALLING, ANSWERING), application.price(CALLING), application.price(ANSWERING)
    ], rel=1e-9)  # fmt: skip
    for trace in traces:
        for one in trace.rows:
            assert ("total" in one.cost) == bool(one.cost)


def test_the_first_token_lies_between_start_and_end(traces):
    generations = [o for t in traces for o in t.rows if o.type == "generation"]
    assert len(generations) == 4
    for one in generations:
        assert one.start_ns - 1_000 <= one.first_token <= one.end_ns + 1_000  # the time on the wire is in microseconds


def test_an_error_is_told_where_it_arose_and_above(traces):
    failed = traces[1]
    (tool,) = failed.named("stock")
    assert (tool.level, tool.status_message) == ("ERROR", f"LookupError: nothing known of {HOPELESS!r}")
    assert "LookupError" in tool.metadata["exception_stack"]
    assert failed.root.level == "ERROR"
    assert [o.level for o in failed.named("ChatOpenAI")] == ["DEFAULT"]
    assert {o.level for t in (traces[0], traces[2]) for o in t.rows} == {"DEFAULT"}


def test_the_prompt_is_linked_to_the_generation_alone(traces):
    linked = [(o.name, o.prompt) for t in traces for o in t.rows if o.prompt]
    assert linked == [("OpenAI.stream_chat", ("rag", 3))]


def test_scores_stand_on_their_trace_and_their_step(received, traces):
    scores = {score["name"]: score for score in received.scores.values()}
    helpful, fresh = scores["helpful"], scores["fresh"]
    assert (helpful["traceId"], helpful["value"], helpful["dataType"]) == (traces[0].id, 1, "BOOLEAN")
    assert "observationId" not in helpful
    assert helpful["comment"] == "short and clear"
    (tool,) = traces[0].named("stock")
    assert (fresh["traceId"], fresh["observationId"]) == (traces[0].id, tool.id)
    assert (fresh["value"], fresh["dataType"], fresh["environment"]) == (0.9, "NUMERIC", "staging")


def test_the_agents_graph(traces):
    nodes = [
        (o.metadata.get("langgraph_node"), o.metadata.get("langgraph_step")) for o in traces[0].named("ChatOpenAI")
    ]
    assert nodes == [("model", 1), ("model", 3)]


def test_without_content_nothing_that_was_said_goes_over_the_wire():
    server, _ = sent(content=ContentPolicy.none())
    try:
        said = json.dumps([o.attributes for o in server.rows.values()] + list(server.scores.values()), default=str)
    finally:
        server.close()
    for content in (QUESTION, HOPELESS, ANSWER, "There are 12 cups", "You know the shop", "short and clear"):
        assert content not in said
    assert len(server.rows) == application.SPANS


def test_the_doctor_finds_it_well(monkeypatch):
    server = langfuse_server.Langfuse()
    monkeypatch.setenv("LANGFUSE_PUBLIC_KEY", PUBLIC)
    monkeypatch.setenv("LANGFUSE_SECRET_KEY", SECRET)
    try:
        done = CliRunner().invoke(main, ["doctor", "--langfuse", server.url])
    finally:
        server.close()
    assert done.exit_code == 0, done.output
    assert "The trace came back" in done.output
    assert server.refused == []


def test_a_prompt_got_by_the_sdk_is_linked_to_the_generation_that_comes_from_us():
    server, provider = langfuse_server.Langfuse(), TracerProvider(shutdown_on_exit=False)
    loom = spanloom.configure(Langfuse(PUBLIC, SECRET, server.url), tracer_provider=provider)
    client = LangfuseClient(public_key=PUBLIC, secret_key=SECRET, base_url=server.url, tracer_provider=provider)
    try:
        with strict():
            model = GenericFakeChatModel(messages=iter(["Fine."]))
            chain = prompt_from_langfuse(client.get_prompt("support")) | model
            chain.invoke({"question": "why"}, {"callbacks": [SpanloomCallbackHandler(loom)]})
            assert loom.shutdown(10.0)
            client.flush()
        (trace,) = server.traces()
        (generation,) = trace.named("GenericFakeChatModel")
        assert generation.prompt == ("support", 5)
        assert generation.input == [{"role": "user", "content": "Answer why"}]
        assert generation.metadata["prompt_variables"] == {"question": "why"}
        assert server.refused == []
    finally:
        client.shutdown()
        LangfuseResourceManager._instances.clear()
        server.close()
