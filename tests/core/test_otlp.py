"""`Otlp` against a real receiver: over HTTP and gRPC, by arguments and by the standard variables."""

import base64

import pytest
import samples
import spanloom
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import StatusCode
from spanloom import ConfigurationError, ContentPolicy, Otlp
from spanloom.step import Event, Kind, Step


def one_step(loom, name="top", **fields):
    loom.recorder.open(Step(name, Kind.CHAIN, name, **fields))
    loom.recorder.close(name)
    assert loom.flush()


@pytest.mark.parametrize("suffix", ["", "/", "/v1/traces"])
def test_a_base_address_and_a_full_one_both_work(configured, http_sink, suffix):
    one_step(configured(Otlp(http_sink.url + suffix)))
    assert [r.path for r in http_sink.requests] == ["/v1/traces"]


def test_a_path_before_the_standard_one_stays(configured, http_sink):
    one_step(configured(Otlp(http_sink.url + "/otlp?tenant=a")))
    assert [r.path for r in http_sink.requests] == ["/otlp/v1/traces?tenant=a"]


@pytest.mark.parametrize("compression", ["gzip", "deflate", "none"])
def test_headers_and_compression(configured, http_sink, compression):
    one_step(configured(Otlp(http_sink.url, {"Api-Key": "k"}, compression=compression)))
    (request,) = http_sink.requests
    assert request.headers["api-key"] == "k"
    assert request.headers["content-type"] == "application/x-protobuf"
    assert request.headers.get("content-encoding") == (None if compression == "none" else compression)
    assert request.spans[0].name == "top"


def test_the_standard_variables_fill_what_is_left_out(configured, http_sink, monkeypatch):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", http_sink.url)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "api-key=from-env")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")
    one_step(configured(Otlp(), Otlp(headers={"api-key": "given"}, name="second")))
    for request in http_sink.requests:
        assert request.path == "/v1/traces"
    assert sorted(r.headers["api-key"] for r in http_sink.requests) == ["from-env", "given"]
    assert request.headers["content-encoding"] == "gzip"


def test_the_variable_for_traces_is_a_full_address(configured, http_sink, monkeypatch):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", http_sink.url + "/custom")
    one_step(configured(Otlp()))
    assert [r.path for r in http_sink.requests] == ["/custom"]


@pytest.mark.parametrize("scheme", ["", "http://"])
def test_grpc(configured, grpc_sink, scheme):
    loom = configured(Otlp(scheme + grpc_sink.address, {"Api-Key": "k"}, "grpc", compression="gzip"))
    samples.trace(loom)
    assert loom.flush()
    assert {r.headers["api-key"] for r in grpc_sink.requests} == {"k"}
    assert len(grpc_sink.spans) == len(samples.ALL) + 1
    assert grpc_sink.named("ChatOpenAI").name == "chat gpt-4o-mini"


def test_grpc_by_the_standard_variables(configured, grpc_sink, monkeypatch):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://" + grpc_sink.address)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "api-key=from-env")
    one_step(configured(Otlp()))
    assert grpc_sink.requests[0].headers["api-key"] == "from-env"


def test_a_whole_trace_arrives_as_it_was(configured, http_sink):
    loom = configured(Otlp(http_sink.url, content=ContentPolicy.full()), service_name="support-bot")
    samples.trace(loom)
    assert loom.flush()
    top = http_sink.named("Top")
    assert top.parent == ""
    others = [s for s in http_sink.spans if s is not top]
    assert {s.parent for s in others} == {top.span_id}
    assert {s.trace_id for s in others} == {top.trace_id}
    assert {s.scope for s in http_sink.spans} == {"spanloom"}
    assert {s.resource["service.name"] for s in http_sink.spans} == {"support-bot"}
    failed = http_sink.named("lookup")
    assert failed.status == StatusCode.ERROR.value
    assert [e[0] for e in failed.events] == ["exception"]
    assert failed.events[0][1]["exception.message"] == f"no such id {samples.CANARY}"
    model = http_sink.named("ChatOpenAI")
    assert [e[0] for e in model.events] == ["prompt_repeated", "first_token_received", "tool_call_dispatched"]
    assert model.attributes["gen_ai.usage.input_tokens"] == 100


def test_hashes_go_out_by_default_and_no_text(configured, http_sink):
    loom = configured(Otlp(http_sink.url))
    samples.trace(loom)
    assert loom.flush()
    assert len(http_sink.named("ChatOpenAI").attributes["spanloom.prompt.hash"]) == 64
    assert samples.CANARY.encode() not in http_sink.wire


def test_spans_of_other_libraries_go_along_with_their_own_attributes_and_the_traces_identity(
    configured, provider, http_sink
):
    loom = configured(Otlp(http_sink.url, content=ContentPolicy.hashed().replace(structure=["app.own"])))
    with spanloom.using(user_id="u", session_id="s"):
        step = loom.recorder.open(Step("top", Kind.TOOL, "top"))
    inside = trace.set_span_in_context(step.span)
    with provider.get_tracer("redis").start_as_current_span("GET", inside, attributes={"db.system": "redis"}) as span:
        span.add_event("hit", {"n": 1})
    step.span.set_attribute("app.own", "kept")
    loom.recorder.close("top")
    assert loom.flush()
    redis = http_sink.named("GET")
    assert redis.attributes == {"db.system": "redis", "user.id": "u", "session.id": "s"}
    assert redis.scope == "redis"
    assert redis.parent == http_sink.named("top").span_id
    assert redis.events[0][:2] == ("hit", {"n": 1})
    assert http_sink.named("top").attributes["app.own"] == "kept"


def test_text_that_is_no_utf_8_costs_no_batch(configured, provider, http_sink):
    bad = "bad \ud800 text"
    loom = configured(Otlp(http_sink.url, content=ContentPolicy.full()))
    foreign = provider.get_tracer("redis").start_span(bad)
    foreign.add_event(bad)
    foreign.set_status(StatusCode.ERROR, bad)
    foreign.end()
    with spanloom.using(user_id=bad, session_id=bad, tags=[bad], metadata={bad: bad}, tenant=bad, prompt=(bad, bad)):
        loom.recorder.open(
            Step(
                "s", Kind.TOOL, bad, provider=bad, request_model=bad, tool_name=bad, tool_description=bad,
                tool_call_id=bad, agent_name=bad, parameters={"seed": 10**40}, graph={"node": bad},
                events=[Event(bad, 1, {"k": bad})],
            )
        )  # fmt: skip
    step = loom.recorder.get("s")
    step.content.arguments, step.content.result = {bad: bad}, bad
    loom.recorder.close("s", spanloom.step.Outcome.ERROR, error=ValueError(bad))
    assert loom.flush()
    assert len(http_sink.spans) == 2
    sent = http_sink.named("execute_tool bad \\ud800 text")
    assert sent.attributes["user.id"] == "bad \\ud800 text"
    assert sent.attributes["gen_ai.tool.call.result"] == "bad \\ud800 text"


def test_a_step_whose_rendering_fails_goes_out_bare_and_its_batch_whole(configured, lenient, http_sink, monkeypatch):
    from spanloom.dialects import genai

    monkeypatch.setattr(genai, "content", lambda *_: 1 / 0)
    loom = configured(Otlp(http_sink.url))
    lenient.strict = False
    samples.trace(loom)
    assert loom.flush()
    assert len(http_sink.spans) == len(samples.ALL) + 1
    assert {s.attributes["spanloom.step.kind"] for s in http_sink.spans} > {"llm", "tool"}
    assert lenient.swallowed["spanloom.destinations.render"]


def test_content_that_cannot_be_read_leaves_the_rest_of_the_span(configured, lenient, http_sink):
    from spanloom.step import Deferred

    loom = configured(Otlp(http_sink.url, content=ContentPolicy.full()))
    lenient.strict = False
    step = samples.tool()
    step.content.arguments = Deferred(lambda: 1 / 0)
    loom.recorder.open(step)
    loom.recorder.close(step.run_id)
    assert loom.flush()
    sent = http_sink.named("search").attributes
    assert "gen_ai.tool.call.arguments" not in sent
    assert sent["gen_ai.tool.call.result"] == f"found {samples.CANARY}"


@pytest.mark.parametrize(
    ("destination", "said"),
    [
        (lambda: Otlp("localhost:4318"), "no address"),
        (lambda: Otlp("http://"), "no address"),
        (lambda: Otlp("http://host:port"), "no address"),
        (lambda: Otlp("ftp://host"), "no address"),
        (lambda: Otlp("http://my host"), "no address"),
        (lambda: Otlp(4318), "no address"),
        (lambda: Otlp("http://h", protocol="http/json"), "protocol"),
        (lambda: Otlp("http://h", compression="zip"), "compression"),
        (lambda: Otlp("http://h", protocol="grpc", compression="deflate"), "compression"),
        (lambda: Otlp("http://h", "api-key=k"), "headers"),
        (lambda: Otlp("http://h", {"k": "a\nb"}), "headers"),
        (lambda: Otlp("http://h", {"k": 1}), "headers"),
        (lambda: Otlp("http://h", {"k": "日本"}), "headers.*'k'"),
        (lambda: Otlp("http://h", {"k": " v"}), "headers.*'k'"),
        (lambda: Otlp("http://h", {"k": "a\x01b"}), "headers.*'k'"),
        (lambda: Otlp("http://h", {"k:": "v"}), "headers.*'k:'"),
        (lambda: Otlp("http://h", {"k": "\xfc"}, protocol="grpc"), "headers.*'k'"),
        (lambda: Otlp("http://h", {"k!": "v"}, protocol="grpc"), "headers.*'k!'"),
        (lambda: Otlp("http://h", {"k-bin": "v"}, protocol="grpc"), "headers.*'k-bin'"),
        (lambda: Otlp("http://me:pw@h", protocol="grpc"), "headers"),
        (lambda: Otlp("http://h", content="full"), "ContentPolicy"),
        (lambda: Otlp("http://h", timeout=0), "timeout"),
        (lambda: Otlp("http://h", queue_spans=0), "queue_spans"),
        (lambda: Otlp("http://h", batch_spans=1.5), "batch_spans"),
    ],
)
def test_a_setting_that_cannot_work_is_one_sentence_at_configure(destination, said):
    made = destination()
    with pytest.raises(ConfigurationError, match=said) as caught:
        spanloom.configure(made, tracer_provider=TracerProvider(shutdown_on_exit=False))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "nowhere"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "://"),
        ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/no/such/file"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"),
        ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "thrift"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "api-key=a%0Ab"),
        ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "api-key=%E6%97%A5"),
    ],
)
def test_a_variable_that_cannot_work_is_named(monkeypatch, variable, value):
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigurationError, match=f"{variable} (is '{value}'|has 'api-key')"):
        spanloom.configure(Otlp(), tracer_provider=TracerProvider(shutdown_on_exit=False))


@pytest.mark.parametrize("spelling", ["HTTP/Protobuf", " http/protobuf ", "GRPC"])
def test_a_protocol_in_the_environment_may_be_written_in_any_case(monkeypatch, spelling):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", spelling)
    assert Otlp().protocol == spelling.strip().lower()


def test_credentials_in_an_address_are_sent_and_seen_nowhere(configured, http_sink):
    made = Otlp(http_sink.url.replace("//", "//me%40home:p%3Aw@"))
    assert "p%3Aw" not in repr(made)
    given = Otlp(http_sink.url.replace("//", "//me:pw@"), {"Authorization": "Bearer t"}, name="given")
    one_step(configured(made, given))
    basic = f"Basic {base64.b64encode(b'me@home:p:w').decode()}"
    assert sorted(r.headers["authorization"] for r in http_sink.requests) == [basic, "Bearer t"]


def test_credentials_in_an_address_that_is_none_are_in_no_message():
    with pytest.raises(ConfigurationError, match="no address") as caught:
        spanloom.configure(Otlp("http://me:s3cret@my host"), tracer_provider=TracerProvider(shutdown_on_exit=False))
    assert "s3cret" not in str(caught.value)


def test_a_header_value_is_in_no_message_and_in_no_repr():
    made = Otlp("http://h", {"api-key": "s3cret\n"})
    with pytest.raises(ConfigurationError) as caught:
        spanloom.configure(made, tracer_provider=TracerProvider(shutdown_on_exit=False))
    assert "s3cret" not in str(caught.value) + repr(made)
