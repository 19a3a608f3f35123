"""`Langfuse` against a local receiver: its transport, its copy of each span, and the trace without infrastructure."""

import base64

import pytest
import samples
import spanloom
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags
from spanloom import ConfigurationError, ContentPolicy, Langfuse, Otlp, using
from spanloom.destinations.session import own_session
from spanloom.step import Kind, Step

APP_ROOT = "langfuse.internal.is_app_root"


def langfuse(sink, **settings):
    return Langfuse("pk-lf-1", "sk-lf-1", sink.url, **settings)


@pytest.mark.parametrize("suffix", ["", "/", "/api/public/otel", "/api/public/otel/v1/traces"])
def test_transport(configured, http_sink, suffix):
    loom = configured(Langfuse("pk-lf-1", "sk-lf-1", http_sink.url + suffix))
    samples.trace(loom)
    assert loom.flush()
    (request,) = http_sink.requests
    assert request.path == "/api/public/otel/v1/traces"
    assert request.headers["authorization"] == "Basic " + base64.b64encode(b"pk-lf-1:sk-lf-1").decode()
    assert request.headers["x-langfuse-ingestion-version"] == "4"
    assert request.headers["content-encoding"] == "gzip"
    assert request.headers["content-type"] == "application/x-protobuf"
    assert "x-langfuse-sdk-name" not in request.headers


def test_its_own_variables_fill_what_is_left_out(configured, http_sink, monkeypatch):
    monkeypatch.setenv("LANGFUSE_PUBLIC_KEY", "pk-env")
    monkeypatch.setenv("LANGFUSE_SECRET_KEY", "sk-env")
    monkeypatch.setenv("LANGFUSE_HOST", http_sink.url)
    monkeypatch.setenv("LANGFUSE_TRACING_ENVIRONMENT", "Staging")
    monkeypatch.setenv("LANGFUSE_RELEASE", "r1")
    loom = configured(Langfuse())
    samples.trace(loom)
    assert loom.flush()
    (request,) = http_sink.requests
    assert request.headers["authorization"] == "Basic " + base64.b64encode(b"pk-env:sk-env").decode()
    for span in request.spans:
        assert span.attributes["langfuse.environment"] == "staging"
        assert span.attributes["langfuse.release"] == "r1"


def test_the_other_receivers_keys_do_not_come_here(configured, http_sink, second_sink, monkeypatch, tmp_path):
    certificate = tmp_path / "ca.pem"
    certificate.write_text("no certificate at all")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "api-key=s3cret,authorization=Bearer s3cret")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "x-team=s3cret")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_CERTIFICATE", str(certificate))
    loom = configured(Otlp(second_sink.url), langfuse(http_sink))
    samples.trace(loom)
    assert loom.flush()
    assert second_sink.requests[0].headers["x-team"] == "s3cret"
    for request in http_sink.requests:
        assert "s3cret" not in repr(request.headers)
        assert request.headers["authorization"].startswith("Basic ")
    session = own_session({})
    session.verify, session.cert = str(certificate), str(certificate)  # as the exporter does
    assert (session.verify, session.cert) == (True, None)


def test_both_destinations_get_the_same_ids_each_in_its_own_words(configured, http_sink, second_sink):
    loom = configured(Otlp(http_sink.url), langfuse(second_sink))
    samples.trace(loom)
    assert loom.flush()
    ids = [
        {(s.trace_id, s.span_id, s.parent, s.start_ns, s.end_ns, s.step) for s in k.spans}
        for k in (http_sink, second_sink)
    ]
    assert ids[0] == ids[1]
    assert len(ids[0]) == len(samples.ALL) + 1
    assert not [k for s in second_sink.spans for k in s.attributes if k.startswith(("gen_ai.", "error."))]
    assert not [k for s in http_sink.spans for k in s.attributes if k.startswith("langfuse.")]
    assert {s.attributes["langfuse.trace.name"] for s in second_sink.spans} == {"Top"}


def with_infrastructure(loom, provider):
    """web request ▸ agent ▸ http call ▸ (tool ▸ redis) : steps and other libraries' spans by turns."""
    web, http, redis = (provider.get_tracer(n).start_span for n in ("web", "lib.http", "lib.redis"))
    request = web("POST /chat")
    with trace.use_span(request, end_on_exit=False), using(user_id="u", session_id="s"):
        agent = loom.recorder.open(Step("agent", Kind.AGENT, "agent", agent_name="agent"))
    with trace.use_span(agent.span, end_on_exit=False):
        call = http("POST")
    with trace.use_span(call, end_on_exit=False):
        tool = loom.recorder.open(Step("tool", Kind.TOOL, "tool", tool_name="tool"))
    with trace.use_span(tool.span, end_on_exit=False):
        redis("GET").end()
    loom.recorder.close("tool")
    call.end()
    loom.recorder.close("agent")
    request.end()
    assert loom.flush()


def test_infrastructure_stays_out_and_steps_hang_under_the_nearest_step(configured, provider, http_sink, second_sink):
    loom = configured(Otlp(http_sink.url), langfuse(second_sink))
    with_infrastructure(loom, provider)
    assert {s.name for s in http_sink.spans} == {"POST /chat", "invoke_agent agent", "POST", "execute_tool tool", "GET"}
    assert {s.name for s in second_sink.spans} == {"agent", "tool"}
    agent, tool = second_sink.named("agent"), second_sink.named("tool")
    assert agent.parent == ""
    assert agent.attributes[APP_ROOT] is True
    assert tool.parent == agent.span_id
    assert APP_ROOT not in tool.attributes
    assert http_sink.named("agent").parent == http_sink.named("POST /chat").span_id
    assert loom.stats()["destinations"]["langfuse"]["offered"] == 2


def test_include_lets_infrastructure_in(configured, provider, http_sink):
    loom = configured(langfuse(http_sink, include=["lib.*"]))
    with_infrastructure(loom, provider)
    assert {s.name for s in http_sink.spans} == {"agent", "POST", "tool", "GET"}
    tree = {s.name: s.parent for s in http_sink.spans}
    ids = {s.name: s.span_id for s in http_sink.spans}
    assert tree == {"agent": "", "POST": ids["agent"], "tool": ids["POST"], "GET": ids["tool"]}
    redis = http_sink.named("GET").attributes
    assert redis["langfuse.observation.type"] == "span"
    assert (redis["user.id"], redis["session.id"], redis["langfuse.trace.name"]) == ("u", "s", "agent")


def test_an_included_span_that_says_what_it_is_keeps_its_word(configured, provider, http_sink):
    loom = configured(langfuse(http_sink, include="openai"))
    span = provider.get_tracer("openai").start_span("chat", attributes={"gen_ai.operation.name": "chat"})
    span.end()
    assert loom.flush()
    assert "langfuse.observation.type" not in http_sink.named("chat").attributes


@pytest.mark.parametrize("same_project", [False, True])
def test_a_parent_in_another_process(configured, http_sink, same_project):
    loom = configured(langfuse(http_sink, remote_parents=same_project))
    remote = SpanContext(0xABC, 0xDEF, is_remote=True, trace_flags=TraceFlags(1))
    with trace.use_span(NonRecordingSpan(remote)):
        loom.recorder.open(Step("a", Kind.CHAIN, "a"))
    loom.recorder.close("a")
    assert loom.flush()
    sent = http_sink.named("a")
    assert int(sent.trace_id, 16) == 0xABC
    assert sent.parent == (f"{0xDEF:016x}" if same_project else "")
    assert sent.attributes.get(APP_ROOT) is (None if same_project else True)


def test_a_step_below_a_step_that_has_ended_still_hangs_there(configured, http_sink):
    loom = configured(langfuse(http_sink))
    early = loom.recorder.open(Step("early", Kind.CHAIN, "early"))
    loom.recorder.close("early")
    with trace.use_span(early.span, end_on_exit=False):
        loom.recorder.open(Step("late", Kind.TOOL, "late"))
    loom.recorder.close("late")
    assert loom.flush()
    assert http_sink.named("late").parent == http_sink.named("early").span_id


def test_content_goes_by_the_policy(configured, http_sink, second_sink):
    loom = configured(langfuse(http_sink), langfuse(second_sink, content=ContentPolicy.none(), name="bare"))
    samples.trace(loom)
    assert loom.flush()
    assert http_sink.named("search").attributes["langfuse.observation.output"] == f"found {samples.CANARY}"
    assert "langfuse.observation.output" not in second_sink.named("search").attributes


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"public_key": "pk"}, "secret_key"),
        ({"secret_key": "sk"}, "public_key"),
        ({}, "no keys"),
        ({"public_key": "sk-lf-1", "secret_key": "pk-lf-1"}, "wrong way round"),
        ({"public_key": "pk", "secret_key": "sk", "base_url": "cloud.langfuse.com"}, "no address"),
        ({"public_key": "pk", "secret_key": "sk", "environment": "langfuse-x"}, "environment"),
        ({"public_key": "pk", "secret_key": "sk\n"}, "key pair"),
        ({"public_key": "pk", "secret_key": "sk", "content": "none"}, "ContentPolicy"),
    ],
)
def test_a_setting_that_cannot_work_is_one_sentence_at_configure(settings, said):
    with pytest.raises(ConfigurationError, match=said) as caught:
        spanloom.configure(Langfuse(**settings), tracer_provider=TracerProvider(shutdown_on_exit=False))
    assert "\n" not in str(caught.value)


def test_the_secret_key_is_in_no_repr():
    assert "s3cret" not in repr(Langfuse("pk", "s3cret"))
