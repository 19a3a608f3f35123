"""Other instrumentations record the model call that a step is: it counts once."""

import logging

import pytest
from opentelemetry import trace
from spanloom import ContentPolicy, Langfuse, Local, Otlp
from spanloom.dialects.foreign import REPEATS, demoted, is_model_call
from spanloom.guard import _told
from spanloom.step import Kind, Step
from spanloom.store import Reading
from spanloom.testing import Memory
from spanloom.usage import Usage

FOREIGN = {  # scope -> a span of that library, by its own source
    "opentelemetry.instrumentation.openai_v2": {
        "gen_ai.operation.name": "chat", "gen_ai.system": "openai", "gen_ai.request.model": "gpt-4o-mini",
        "gen_ai.response.model": "gpt-4o-mini-2024-07-18", "gen_ai.response.id": "chatcmpl-1",
        "gen_ai.usage.input_tokens": 1000, "gen_ai.usage.output_tokens": 200, "server.address": "api.openai.com",
    },
    "com.anthropic.sdk.python": {
        "gen_ai.operation.name": "chat", "gen_ai.provider.name": "anthropic",
        "gen_ai.request.model": "claude-sonnet-4-5",
        "gen_ai.response.model": "claude-sonnet-4-5", "gen_ai.usage.input_tokens": 1000,
        "gen_ai.usage.cache_read.input_tokens": 400, "gen_ai.usage.output_tokens": 200, "url.path": "/v1/messages",
    },
    "litellm": {
        "llm.request.type": "completion", "gen_ai.system": "openai", "gen_ai.request.model": "gpt-4o-mini",
        "gen_ai.usage.prompt_tokens": 1000, "gen_ai.usage.completion_tokens": 200, "gen_ai.cost.total_cost": 0.1,
        "metadata.user_api_key": "k",
    },
    "openinference.instrumentation.openai": {
        "openinference.span.kind": "LLM", "llm.model_name": "gpt-4o-mini", "llm.token_count.prompt": 1000,
        "llm.token_count.completion": 200, "llm.input_messages.0.message.content": "hi", "input.value": "hi",
    },
    "opentelemetry.instrumentation.openai.v1": {  # Traceloop
        "llm.request.type": "chat", "gen_ai.system": "OpenAI", "gen_ai.request.model": "gpt-4o-mini",
        "gen_ai.usage.input_tokens": 1000, "gen_ai.usage.output_tokens": 200, "llm.usage.total_tokens": 1200,
        "gen_ai.prompt.0.content": "hi",
    },
}  # fmt: skip
FULL = ContentPolicy.full()
COUNTED = ("gen_ai.", "llm.", "openinference.", "langfuse.observation.model", "langfuse.observation.usage",
           "langfuse.observation.cost")  # fmt: skip


@pytest.fixture(autouse=True)
def _told_nothing_yet():
    before = set(_told)
    _told.clear()
    yield
    _told.clear()
    _told.update(before)


def twice(loom, provider, scope, kind=Kind.LLM, attributes=None):
    """A step of ours, and below it another instrumentation's span of the same call."""
    usage = Usage(1000, 200, 400)
    step = loom.recorder.open(Step("m", kind, "m", provider="openai", request_model="gpt-4o-mini", usage=usage))
    with trace.use_span(step.span, end_on_exit=False):
        attributes = FOREIGN[scope] if attributes is None else attributes
        provider.get_tracer(scope).start_span("theirs", attributes=attributes).end()
    loom.recorder.close("m")
    assert loom.flush()


@pytest.mark.parametrize("scope", FOREIGN)
def test_the_call_counts_once_in_langfuse(configured, provider, http_sink, second_sink, scope, caplog, tmp_path):
    path = tmp_path / "spanloom.db"
    loom = configured(
        Langfuse("pk", "sk", http_sink.url, include=["*"]), Otlp(second_sink.url, content=FULL), Local(path)
    )
    with caplog.at_level(logging.WARNING, "spanloom"):
        twice(loom, provider, scope)

    theirs, ours = http_sink.named("theirs"), http_sink.named("m")
    assert theirs.parent == ours.span_id
    assert theirs.attributes["langfuse.observation.type"] == "span"
    assert not [key for key in theirs.attributes if key.startswith(COUNTED)]
    assert "langfuse.observation.usage_details" in ours.attributes
    assert "langfuse.observation.cost_details" in ours.attributes
    assert [key for key in FOREIGN[scope] if not key.startswith(COUNTED) and key not in theirs.attributes] == []

    (told,) = [r.getMessage() for r in caplog.records if scope in r.getMessage()]
    assert REPEATS in told
    elsewhere = second_sink.named("theirs").attributes
    assert {**FOREIGN[scope], REPEATS: True}.items() <= elsewhere.items()
    assert REPEATS not in second_sink.named("chat gpt-4o-mini").attributes
    with Reading(path) as reading:
        assert [call.cost for call in reading.calls()] == ["0.00024"]
        assert [row.input_tokens for row in reading.spans(reading.find()[0]) if row.kind == "span"] == [None]


def test_it_is_told_once(configured, provider, caplog):
    loom = configured(Memory())
    with caplog.at_level(logging.WARNING, "spanloom"):
        for _ in range(3):
            twice(loom, provider, "litellm")
            loom.recorder._ended.clear()
    assert len([r for r in caplog.records if "litellm" in r.getMessage()]) == 1


def test_what_is_no_model_call_stays_as_it_is(configured, provider, http_sink):
    loom = configured(Langfuse("pk", "sk", http_sink.url, include=["*"]))
    attributes = {"http.request.method": "POST", "server.address": "api.openai.com", "gen_ai.tool.name": "t"}
    twice(loom, provider, "httpx", attributes=attributes)
    assert attributes.items() <= http_sink.named("theirs").attributes.items()


def test_a_call_that_no_step_is_keeps_its_word(configured, provider, http_sink):
    """The application's own call of a provider inside a tool: nobody else tells of it."""
    loom = configured(Langfuse("pk", "sk", http_sink.url, include=["*"]))
    twice(loom, provider, "opentelemetry.instrumentation.openai_v2", kind=Kind.TOOL)
    theirs = http_sink.named("theirs").attributes
    assert theirs["gen_ai.usage.input_tokens"] == 1000
    assert "langfuse.observation.type" not in theirs


@pytest.mark.parametrize(
    "scope", ["openinference.instrumentation.langchain", "opentelemetry.instrumentation.llamaindex"]
)
def test_an_instrumentation_of_the_framework_repeats_it_beside_the_step(configured, provider, http_sink, scope):
    loom = configured(Langfuse("pk", "sk", http_sink.url, include=["*"]))
    twice(loom, provider, scope, kind=Kind.CHAIN, attributes=FOREIGN["openinference.instrumentation.openai"])
    assert http_sink.named("theirs").attributes["langfuse.observation.type"] == "span"


def test_demoted_attributes_are_no_model_call():
    for attributes in FOREIGN.values():
        assert is_model_call(attributes)
        assert not is_model_call(demoted(attributes))
    assert not is_model_call({"db.system": "redis", "gen_ai.conversation.id": "c"})
