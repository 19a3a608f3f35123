"""OpenInference's dialect: the points that Phoenix and MLflow insist on. The golden files are in `test_dialects.py`."""

import dataclasses
import json
from decimal import Decimal

import pytest
import samples
from spanloom import ContentPolicy
from spanloom.content.read import read
from spanloom.dialects import langsmith, openinference
from spanloom.identity import Identity
from spanloom.step import Document, Kind, Media, Message, Outcome, Step, Text, ToolCall, ToolCallResponse
from spanloom.usage import Cost


def rendered(step, policy=None, render=openinference.render):
    policy = policy or ContentPolicy.full()
    return render(step, policy.apply(read(step.content, step.identity, step.tool_description)))


def attributes(step, policy=None):
    return rendered(step, policy).attributes


def test_kinds():
    assert {name: attributes(make())["openinference.span.kind"] for name, make in samples.ALL.items()} == {
        "llm": "LLM",
        "completion": "LLM",
        "tool": "TOOL",
        "retriever": "RETRIEVER",
        "reranker": "RERANKER",
        "embedding": "EMBEDDING",
        "agent": "AGENT",
        "workflow": "CHAIN",
        "chain": "CHAIN",
        "error": "TOOL",
    }


@pytest.mark.parametrize("kind", list(Kind))
def test_a_step_with_nothing_in_it_is_a_span(kind):
    said = attributes(Step("r", kind, "bare", start_ns=1, end_ns=2, outcome=Outcome.OK))
    assert said["openinference.span.kind"] == said["openinference.span.kind"].upper()
    assert said["spanloom.step.kind"] == kind.value


def test_no_key_of_the_genai_conventions_stands_beside():
    """Phoenix fills what is missing from those: an answer of `{"id", "model"}` where there is none to show."""
    for make in samples.ALL.values():
        assert not [key for key in attributes(make()) if key.startswith(("gen_ai.", "langfuse."))]


def test_tokens_and_models_stand_on_calls_only():
    counted = {
        name: {key for key in attributes(make()) if key.startswith(("llm.token_count", "llm.model_name"))}
        for name, make in samples.ALL.items()
    }
    assert {name for name, keys in counted.items() if keys} == {"llm", "completion", "embedding"}
    assert counted["embedding"] == {"llm.token_count.prompt", "llm.token_count.total"}


def test_the_totals_contain_their_details():
    said = attributes(samples.llm())
    assert said["llm.token_count.prompt"] == 100
    assert said["llm.token_count.prompt_details.cache_read"] == 30
    assert said["llm.token_count.prompt_details.cache_write"] == 10
    assert said["llm.token_count.completion"] == 50
    assert said["llm.token_count.completion_details.reasoning"] == 20
    assert said["llm.token_count.total"] == 150


def test_cost_is_in_us_dollars():
    step = dataclasses.replace(samples.llm(), cost=Cost(Decimal("0.0001"), Decimal("0.0002"), Decimal("0.0003")))
    said = attributes(step)
    assert (said["llm.cost.prompt"], said["llm.cost.completion"], said["llm.cost.total"]) == (0.0001, 0.0002, 0.0003)
    step.cost = dataclasses.replace(step.cost, currency="EUR")
    assert not [key for key in attributes(step) if key.startswith("llm.cost")]


@pytest.mark.parametrize(
    ("provider", "said", "system"),
    [
        ("openai", "openai", "openai"),
        ("azure.ai.openai", "azure", "openai"),
        ("aws.bedrock", "aws", None),
        ("gcp.gemini", "google", None),
        ("mistral_ai", "mistralai", "mistralai"),
        ("x_ai", "xai", None),
        ("ollama", "ollama", None),
        (None, None, None),
    ],
)
def test_providers_have_openinferences_names(provider, said, system):
    keys = attributes(dataclasses.replace(samples.llm(), provider=provider))
    assert (keys.get("llm.provider"), keys.get("llm.system")) == (said, system)


# ---------------------------------------------------------------- messages
def call_of(*messages, **fields):
    step = dataclasses.replace(samples.llm(), **fields)
    step.content = dataclasses.replace(step.content, input_messages=messages)
    return attributes(step)


def test_text_is_content_and_anything_else_a_list_of_contents():
    said = call_of(
        Message("user", (Text("one "), Text("two"))),
        Message("user", (Text("look"), Media("image", uri="https://x/a.png"), Media("audio", "audio/wav", size=9))),
    )
    assert said["llm.input_messages.0.message.content"] == "one two"
    contents = "llm.input_messages.1.message.contents."
    assert said[contents + "0.message_content.text"] == "look"
    assert said[contents + "1.message_content.type"] == "image"
    assert said[contents + "1.message_content.image.image.url"] == "https://x/a.png"
    assert json.loads(said[contents + "2.message_content.text"])["size"] == 9
    assert "llm.input_messages.1.message.content" not in said


def test_each_answer_of_a_tool_is_a_message():
    said = call_of(
        Message("assistant", (ToolCall("search", {"q": 1}, "c1"), ToolCall("search", None, "c2"))),
        Message("tool", (ToolCallResponse("one", "c1"), ToolCallResponse({"two": 2}, "c2"))),
    )
    calls = "llm.input_messages.0.message.tool_calls."
    assert said[calls + "0.tool_call.function.arguments"] == '{"q":1}'
    assert said[calls + "1.tool_call.function.arguments"] == "{}"
    answers = [(said[f"llm.input_messages.{n}.message.{k}"]) for n in (1, 2) for k in ("tool_call_id", "content")]
    assert answers == ["c1", "one", "c2", '{"two":2}']


def test_a_chat_of_160_messages_is_whole():
    said = call_of(*(Message("user", (Text(f"m{n}"),)) for n in range(160)))
    assert said["llm.input_messages.159.message.content"] == "m159"
    assert "spanloom.content.truncated" not in said


def test_a_chat_without_end_keeps_its_first_and_last_messages_within_a_bound():
    said = call_of(*(Message("user", (Text(f"m{n}"),)) for n in range(2_000)))
    flat = {key: value for key, value in said.items() if key.startswith("llm.input_messages.")}
    assert len(flat) <= openinference.MOST_ATTRIBUTES
    assert said["llm.input_messages.0.message.content"] == "m0"
    assert max(flat.values(), key=len) == "m1999" or "m1999" in flat.values()
    assert said["spanloom.content.truncated"] >= 2_000 - len(flat) // 2
    json.loads(said["input.value"])


def test_documents_tools_and_texts_are_bounded():
    step = samples.retriever()
    step.content.documents = tuple(Document(f"d{n}", score=0.0) for n in range(300))
    said = attributes(step)
    assert said["retrieval.documents.99.document.score"] == 0.0
    assert "retrieval.documents.100.document.content" not in said
    assert said["spanloom.content.truncated"] == 200


def test_an_embedding_has_its_texts_and_never_a_vector():
    step = samples.embedding()
    step.content.output = [[0.1] * 1536] * 2
    said = attributes(step)
    assert said["embedding.model_name"] == "text-embedding-3-small"
    assert said["embedding.embeddings.1.embedding.text"] == f"second {samples.CANARY}"
    assert not [key for key in said if "vector" in key]
    assert "0.1" not in repr(said)


# ---------------------------------------------------------------- what tables show
def test_an_agent_shows_what_was_asked_and_answered_as_text():
    said = attributes(samples.agent())
    assert (said["input.value"], said["input.mime_type"]) == (f"Help {samples.CANARY}", "text/plain")
    assert (said["output.value"], said["output.mime_type"]) == (f"Done {samples.CANARY}", "text/plain")


def test_a_call_shows_its_whole_conversation_and_an_answer_of_words_as_text():
    said = call_of(Message("user", (Text("hi"),)))
    assert json.loads(said["input.value"]) == {"messages": [{"role": "user", "content": "hi"}]}
    step = samples.llm()
    step.content.output_messages = (Message("assistant", (Text("yes"),)),)
    assert (attributes(step)["output.value"], attributes(step)["output.mime_type"]) == ("yes", "text/plain")
    step.content.output_messages = (Message("assistant", (ToolCall("search", {"q": 1}, "c1"),)),)
    assert json.loads(attributes(step)["output.value"])["tool_calls"][0]["function"]["name"] == "search"


def test_who_it_belongs_to_and_the_users_metadata_as_one_object():
    said = attributes(samples.llm())
    assert (said["user.id"], said["session.id"], said["tag.tags"]) == ("u1", "s1", ["beta", "eu"])
    assert json.loads(said["metadata"])["tenant"] == "acme"
    assert (said["prompt.id"], said["llm.prompt_template.version"]) == ("rag", "3")
    assert "prompt.id" not in attributes(samples.tool())
    nobody = attributes(dataclasses.replace(samples.llm(), identity=Identity()))
    assert not {"metadata", "session.id", "tag.tags"} & set(nobody)


def test_content_stays_away_where_the_policy_says_so():
    for make in samples.ALL.values():
        made = rendered(make(), ContentPolicy.none())
        assert samples.CANARY not in repr(made)
        assert "input.value" not in made.attributes


# ---------------------------------------------------------------- LangSmith
def in_langsmith(step):
    return rendered(step, render=langsmith.render).attributes


def test_langsmith_has_its_run_types():
    assert {name: in_langsmith(make())["langsmith.span.kind"] for name, make in samples.ALL.items()} == {
        "llm": "llm",
        "completion": "llm",
        "tool": "tool",
        "retriever": "retriever",
        "reranker": "retriever",
        "embedding": "embedding",
        "agent": "chain",
        "workflow": "chain",
        "chain": "chain",
        "error": "tool",
    }


def test_langsmith_has_inputs_and_outputs_as_objects_once():
    for make in samples.ALL.values():
        said = in_langsmith(make())
        for key in ("gen_ai.prompt", "gen_ai.completion"):
            assert isinstance(json.loads(said.get(key, "{}")), dict)
        assert not {"gen_ai.input.messages", "gen_ai.output.messages", "spanloom.step.input"} & set(said)
    said = in_langsmith(samples.llm())
    assert [m["role"] for m in json.loads(said["gen_ai.prompt"])["messages"]] == ["system", "user", "assistant", "tool"]
    assert json.loads(in_langsmith(samples.chain())["gen_ai.completion"]) == {"output": samples.CANARY}


def test_langsmith_groups_conversations_by_metadata_not_by_its_own_session_which_is_a_project():
    said = in_langsmith(samples.llm())
    assert said["langsmith.metadata.session_id"] == "s1"
    assert said["langsmith.span.tags"] == "beta, eu"
    assert said["langsmith.trace.name"] == "ChatOpenAI"
    assert said["gen_ai.usage.total_tokens"] == 150
    assert "langsmith.trace.session_id" not in said
