"""What others write on spans: which of it is structure, which is content, and what nobody knows."""

import pytest
from spanloom import Otlp
from spanloom.dialects.others import bare_url, categories_of, in_event, is_measure

NEEDED = [  # by whoever is on call, also where no content goes out
    "http.method", "http.request.method", "http.status_code", "http.response.status_code", "http.route", "http.host",
    "url.scheme", "server.address", "server.port", "net.peer.name", "net.peer.port", "network.protocol.version",
    "db.system", "db.system.name", "db.name", "db.namespace", "db.operation", "db.operation.name", "db.collection.name",
    "db.response.status_code", "db.redis.database_index", "rpc.system", "rpc.method", "rpc.grpc.status_code",
    "messaging.system", "messaging.destination.name", "messaging.operation.type", "error.type", "exception.type",
    "gen_ai.operation.name", "gen_ai.system", "gen_ai.provider.name", "gen_ai.request.model", "gen_ai.response.model",
    "gen_ai.request.temperature", "gen_ai.request.max_tokens", "gen_ai.request.choice.count", "gen_ai.response.id",
    "gen_ai.response.finish_reasons", "gen_ai.usage.input_tokens", "gen_ai.usage.cache_read.input_tokens",
    "gen_ai.tool.call.id", "gen_ai.tool.type", "gen_ai.output.type", "gen_ai.openai.response.service_tier",
    "openai.response.service_tier", "openinference.span.kind", "llm.model_name", "llm.token_count.prompt_details.audio",
    "llm.cost.total", "llm.usage.total_tokens", "llm.request.type", "traceloop.span.kind", "langfuse.observation.type",
    "langfuse.observation.usage_details", "langfuse.environment", "ai.model.id", "ai.usage.promptTokens",
    "ai.response.finishReason", "code.function.name", "code.lineno", "thread.name", "celery.state", "aws.request_id",
    "faas.trigger", "cloud.region", "asgi.event.type", "spanloom.step.kind", "peer.service",
]  # fmt: skip


@pytest.mark.parametrize("key", NEEDED)
def test_what_tells_how_a_call_went_is_structure(key):
    assert categories_of(key) is None


@pytest.mark.parametrize(
    "key",
    [
        "serverless", "dbx", "gen_ai.systematic", "gen_ai.request.modelled", "codeword", "hostile", "services.note",
        "http.methodology", "cloudy.words", "spanloom.note", "gen_ai.request.unheard_of", "openai.request.body",
    ],
)  # fmt: skip
def test_what_only_begins_like_structure_is_none(key):
    assert categories_of(key) is not None


def test_numbers_that_nobody_knows_are_measures_and_everything_else_is_content():
    nobody_knows = categories_of("app.x")
    assert all(is_measure(nobody_knows, v) for v in (1, 2.5, True, [1, 2, 3], (0.5,), []))
    assert not any(is_measure(nobody_knows, v) for v in ("x", b"x", {"a": 1}, ["x"], [[1]], [0.1] * 17))
    assert not is_measure(categories_of("embedding.vector"), 0.5)


def test_an_unknown_word_of_a_genai_event_is_of_the_conversation():
    assert set(in_event("gen_ai.user.message", "content")) > set(categories_of("gen_ai.input.messages"))
    assert in_event("app.log", "content") == categories_of("content")


@pytest.mark.parametrize(
    ("key", "url", "bare"),
    [
        ("url.full", "https://ann:pw@h:8443/a/b?c=d#e", "https://h:8443/a/b"),
        ("http.target", "/a?b=c", "/a"),
        ("url.query", "b=c", None),
        ("url.full", "http://[::1/a", None),
        ("url.full", "ann:pw@h/a", None),
        ("url.path", "/@ann/posts", "/@ann/posts"),
    ],
)
def test_an_address_without_credentials_and_query(key, url, bare):
    assert bare_url(key, url) == bare


def test_a_span_of_another_library_keeps_its_structure_under_the_default_of_otlp(configured, provider, http_sink):
    loom = configured(Otlp(http_sink.url))
    attributes = {
        "http.request.method": "GET", "url.full": "https://a:b@h/p?q=1", "db.statement": "SELECT 1", "app.rows": 3,
        "app.vector": [0.5] * 20, "app.sizes": [1, 2], "app.map": {"a": "b"}, "app.bytes": b"x",
    }  # fmt: skip
    provider.get_tracer("x").start_span("GET", attributes=attributes).end()
    assert loom.flush()
    sent = http_sink.named("GET").attributes
    assert sent == {"http.request.method": "GET", "url.full": "https://h/p", "app.rows": 3, "app.sizes": [1, 2]}
