"""What becomes of a batch: cut to size, tried again where that may help, and every span of it accounted for."""

import gzip
import random
import sys
import threading
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import grpc
import pytest
import requests
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc import error_details_pb2, status_pb2
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from sinks import HttpSink, spans_of, wait_until
from spanloom import ConfigurationError, ContentPolicy, Langfuse, Otlp
from spanloom.destinations.wire import Verdict
from spanloom.destinations.wire.compression import compressed
from spanloom.destinations.wire.encoding import TRACES, Batch, encoded, halves, in_pieces
from spanloom.destinations.wire.grpc import answer_to, target
from spanloom.destinations.wire.http import _retry_after
from spanloom.step import Content, Kind, Step

from tests.faults.receiver import Receiver, self_signed


@pytest.fixture
def receiver():
    made = Receiver()
    yield made
    made.close()


def record(loom, count, text=0, start=0):
    for n in range(start, start + count):
        content = Content(input=random.Random(n).randbytes(text // 2).hex())
        loom.recorder.open(Step(n, Kind.CHAIN, f"s{n}", content=content))
        loom.recorder.close(n)


def counts_of(loom, name="otlp"):
    return loom.stats()["destinations"][name]


# ---------------------------------------------------------------- size
def test_requests_hold_at_most_batch_bytes(configured, http_sink):
    loom = configured(Otlp(http_sink.url, batch_bytes=20_000, content=ContentPolicy.full()))
    record(loom, 100, text=2_000)
    assert loom.flush()
    assert len(http_sink.requests) > 5
    assert max(len(request.body) for request in http_sink.requests) <= 20_000
    assert sorted(s.step for s in http_sink.spans) == sorted(f"s{n}" for n in range(100))


def test_a_413_teaches_the_limit(configured, receiver):
    receiver.mode, receiver.most_bytes = "too large", 600_000
    loom = configured(Otlp(receiver.url, content=ContentPolicy.full(), batch_bytes=2_000_000))
    record(loom, 300, text=4_000)
    assert loom.flush()
    requests = receiver.requests
    record(loom, 300, text=4_000, start=300)
    assert loom.flush()
    assert receiver.requests - requests < requests, "the second time they are small enough at once"
    assert counts_of(loom)["exported"] == 600


def test_the_parts_of_a_batch_are_the_batch(provider):
    made = [provider.get_tracer(f"lib{n % 3}").start_span(f"span {n}", attributes={"n": n}) for n in range(20)]
    for span in made:
        span.end()
    (whole,), unfit = encoded(made, 10**6)
    assert unfit == []
    names = [s.name for s in spans_of(trace_service_pb2.ExportTraceServiceRequest.FromString(whole.body))]
    for parts in (halves(whole), in_pieces(whole, 700), encoded(made, 700)[0]):
        assert len(parts) > 1
        assert sum(part.items for part in parts) == 20
        spans = [
            s for part in parts for s in spans_of(trace_service_pb2.ExportTraceServiceRequest.FromString(part.body))
        ]
        assert [s.name for s in spans] == names
        assert all(s.scope == f"lib{s.attributes['n'] % 3}" for s in spans)
    assert all(len(part.body) <= 700 for part in in_pieces(whole, 700))
    assert in_pieces(Batch(b"{}", 1, "scores"), 1) == [Batch(b"{}", 1, "scores")]


def test_a_span_that_cannot_be_encoded_costs_only_itself(configured, provider, http_sink, caplog):
    loom = configured(Otlp(http_sink.url))
    provider.get_tracer("odd").start_span("before the epoch", start_time=-5).end()
    record(loom, 10)
    assert not loom.flush()
    assert len(http_sink.spans) == 10
    counts = counts_of(loom)
    assert (counts["exported"], counts["reasons"]) == (10, {"not_encoded": 1})
    assert "'before the epoch'" in caplog.text
    assert "cannot be encoded" in caplog.text


# ---------------------------------------------------------------- what is tried again
@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 415, 500])
def test_what_otlp_calls_permanent_is_tried_once_and_told_once(configured, http_sink, caplog, status):
    http_sink.status = status
    loom = configured(Otlp(http_sink.url))
    for start in (0, 5):
        record(loom, 5, start=start)
        assert not loom.flush()
    assert len(http_sink.requests) == 2
    assert counts_of(loom)["reasons"] == {f"http_{status}": 10}
    told = [r.getMessage() for r in caplog.records if f"answers {status}" in r.getMessage()]
    assert len(told) == 1
    assert "spanloom doctor" in told[0]


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_what_passes_is_tried_again(configured, http_sink, monkeypatch, status):
    monkeypatch.setattr("spanloom.destinations.line.FIRST_WAIT", 0.01)
    http_sink.statuses = [status] * 4
    loom = configured(Otlp(http_sink.url))
    record(loom, 5)
    assert loom.flush()
    assert len(http_sink.requests) == 5
    assert len({request.body for request in http_sink.requests}) == 1
    assert counts_of(loom)["exported"] == 5


def test_retry_after_is_waited_for_beyond_the_timeout_of_a_batch(configured, http_sink):
    http_sink.statuses, http_sink.headers = [429], {"Retry-After": "1"}
    arrivals = []
    http_sink.arrived.release = lambda: arrivals.append(time.monotonic())
    loom = configured(Otlp(http_sink.url, timeout=0.3))
    record(loom, 5)
    assert loom.flush(10)
    assert arrivals[1] - arrivals[0] >= 1.0
    assert counts_of(loom)["exported"] == 5


def test_retry_after_in_all_its_forms():
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    past = format_datetime(datetime.now(UTC) - timedelta(days=1), usegmt=True)
    assert _retry_after("7") == 7
    assert 25 < _retry_after(soon) <= 30
    assert _retry_after(past) == 0
    assert [_retry_after(said) for said in (None, "", "soon", "nan", "inf", "Mon, 99 Foo")] == [None] * 6


def test_a_receiver_that_asks_for_an_hour_is_asked_again_in_five_minutes(monkeypatch):
    from spanloom.destinations.line import LONGEST_ASKED, Line, Pause
    from spanloom.destinations.wire import Answer

    class Busy:
        def send(self, body, seconds):
            return Answer(Verdict.LATER, "http_429", "answers 429", 3600.0)

    line = Line(Busy, Pause(), longest=8)
    line.attempt(b"", 1)
    assert LONGEST_ASKED - 5 < line.wait <= LONGEST_ASKED == 300


def test_somebody_who_waits_is_not_kept_by_a_backoff(configured, http_sink, monkeypatch):
    monkeypatch.setattr("spanloom.destinations.line.FIRST_WAIT", 3600.0)
    monkeypatch.setattr("spanloom.destinations.exporter._LONGEST_WAIT", 3600.0)
    monkeypatch.setattr(random, "uniform", lambda low, high: high)
    http_sink.statuses = [503]
    loom = configured(Otlp(http_sink.url, timeout=7200))
    record(loom, 5)
    wait_until(lambda: http_sink.requests, "the first attempt")
    assert loom.flush(), "a flush makes the next attempt at once"
    assert len(http_sink.requests) == 2


def test_who_comes_while_an_attempt_is_under_way_does_not_wait_for_its_backoff_either(monkeypatch):
    from spanloom.destinations.line import Line, Pause
    from spanloom.destinations.wire import Answer

    monkeypatch.setattr(random, "uniform", lambda low, high: high)

    class Failing:
        asked = None

        def send(self, body, seconds):
            line.hurry()
            return Answer(Verdict.LATER, "http_503", "answers 503", self.asked)

    line = Line(Failing, Pause(), longest=8)
    line.attempt(b"", 1)
    assert line.wait == 0
    Failing.asked = 60.0
    line.attempt(b"", 1)
    assert line.wait > 50, "but what the receiver asks for holds"


def test_a_shutdown_ends_the_waiting_at_once(configured, http_sink, monkeypatch):
    monkeypatch.setattr("spanloom.destinations.line.FIRST_WAIT", 3600.0)
    monkeypatch.setattr("spanloom.destinations.exporter._LONGEST_WAIT", 3600.0)
    http_sink.status = 503
    loom = configured(Otlp(http_sink.url, timeout=7200))
    record(loom, 5)
    wait_until(lambda: http_sink.requests, "the first attempt")
    assert not loom.shutdown(0.2)
    wait_until(lambda: counts_of(loom)["queued"] == 0, "the end of the waiting")
    assert counts_of(loom)["reasons"] == {"shutdown": 5}


def test_while_one_is_tried_again_the_other_goes_on(configured, http_sink, second_sink):
    http_sink.status = 503
    loom = configured(Otlp(http_sink.url, timeout=60), Langfuse("pk", "sk", second_sink.url))
    record(loom, 5)
    wait_until(lambda: len(second_sink.spans) == 5, "the other's spans")
    assert counts_of(loom)["queued"] == 5
    http_sink.status = 200
    assert loom.flush()


# ---------------------------------------------------------------- what an answer means
@pytest.mark.parametrize("form", ["protobuf", "json"])
def test_spans_that_are_rejected_in_part_are_counted_and_told_once(configured, caplog, form):
    sink = HttpSink()
    said = trace_service_pb2.ExportTraceServiceResponse()
    said.partial_success.rejected_spans, said.partial_success.error_message = 2, "I quote: c4nary"
    body, kind = said.SerializeToString(), "application/x-protobuf"
    if form == "json":
        body, kind = b'{"partialSuccess": {"rejectedSpans": "2", "errorMessage": "c4nary"}}', "application/json"
    sink.answer = (kind, body)
    try:
        loom = configured(Otlp(sink.url))
        for start in (0, 5):
            record(loom, 5, start=start)
            assert not loom.flush()
        assert counts_of(loom)["reasons"] == {"rejected": 4}
        assert counts_of(loom)["exported"] == 6
        told = [r.getMessage() for r in caplog.records if "rejected" in r.getMessage() and r.levelname == "WARNING"]
        assert len(told) == 1
        assert "c4nary" not in told[0]
    finally:
        sink.close()


def test_a_receiver_that_claims_to_reject_less_than_nothing_has_taken_all(configured, http_sink, caplog):
    http_sink.answer = ("application/json", b'{"partialSuccess": {"rejectedSpans": "-2"}}')
    loom = configured(Otlp(http_sink.url))
    record(loom, 5)
    assert loom.flush()
    assert counts_of(loom)["exported"] == 5
    assert "rejected" not in caplog.text


def test_a_web_page_with_200_is_no_success(configured, receiver):
    receiver.mode = "page"
    loom = configured(Otlp(receiver.url))
    record(loom, 5)
    assert not loom.flush()
    assert counts_of(loom)["reasons"] == {"web_page": 5}


def test_a_redirect_is_not_followed_with_the_keys(configured, http_sink, second_sink):
    http_sink.status, http_sink.headers = 302, {"Location": second_sink.url + "/login"}
    loom = configured(Otlp(http_sink.url, {"api-key": "s3cret"}))
    record(loom, 5)
    assert not loom.flush()
    assert counts_of(loom)["reasons"] == {"http_302": 5}
    assert second_sink.requests == []


def test_keys_are_sent_as_they_are_whatever_netrc_says(configured, http_sink, tmp_path, monkeypatch):
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login somebody password else\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    assert requests.utils.get_netrc_auth(http_sink.url) == ("somebody", "else")
    loom = configured(Otlp(http_sink.url, {"Authorization": "Bearer mine"}))
    record(loom, 1)
    assert loom.flush()
    assert http_sink.requests[0].headers["authorization"] == "Bearer mine"


def test_an_answer_of_a_byte_a_second_is_not_waited_for(configured, receiver):
    receiver.mode = "slow"
    loom = configured(Otlp(receiver.url, timeout=0.5))
    record(loom, 5)
    loom.flush(5)
    wait_until(lambda: counts_of(loom)["queued"] == 0, "the end of the attempt")
    assert counts_of(loom)["reasons"] == {"timeout": 5}


def test_a_client_certificate_of_the_environment(configured, tmp_path, monkeypatch):
    context, certificate = self_signed(tmp_path)
    context.verify_mode = __import__("ssl").CERT_REQUIRED
    context.load_verify_locations(certificate)
    receiver = Receiver(context)
    try:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_CERTIFICATE", certificate)
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", __import__("certifi").where())
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_CLIENT_CERTIFICATE", certificate)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_CLIENT_KEY", str(tmp_path / "key.pem"))
        loom = configured(Otlp(receiver.url))
        record(loom, 3)
        assert loom.flush()
        assert len(receiver.taken) == 3
    finally:
        receiver.close()


@pytest.mark.parametrize(
    ("variable", "value"),
    [("OTEL_EXPORTER_OTLP_TIMEOUT", "soon"), ("OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "zip")],
)
def test_a_variable_that_cannot_work_is_named(configured, monkeypatch, variable, value):
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigurationError, match=variable):
        configured(Otlp("http://127.0.0.1:1"))


class Provider:
    """An installed package's entry point that makes a session with a key."""

    def load(self):
        def make():
            session = requests.Session()
            session.headers["x-provided"] = "yes"
            return session

        return make


def test_a_credential_provider_of_the_environment(configured, http_sink, monkeypatch):
    def entry_points(*, group, name):
        return [Provider()] if (group, name) == ("opentelemetry_otlp_credential_provider", "mine") else []

    monkeypatch.setattr("importlib.metadata.entry_points", entry_points)
    monkeypatch.setenv("OTEL_PYTHON_EXPORTER_OTLP_HTTP_CREDENTIAL_PROVIDER", "mine")
    loom = configured(Otlp(http_sink.url))
    record(loom, 1)
    assert loom.flush()
    assert http_sink.requests[0].headers["x-provided"] == "yes"
    monkeypatch.setenv("OTEL_PYTHON_EXPORTER_OTLP_HTTP_CREDENTIAL_PROVIDER", "nobody's")
    with pytest.raises(ConfigurationError, match="nobody's"):
        configured(Otlp(http_sink.url, name="other"))


# ---------------------------------------------------------------- gRPC
@pytest.mark.parametrize(
    ("endpoint", "insecure", "found"),
    [
        ("http://h:1", None, ("h:1", True)),
        ("http://h:1", False, ("h:1", False)),
        ("https://h:1", True, ("h:1", False)),
        ("h:1", None, ("h:1", False)),
        ("h:1", True, ("h:1", True)),
    ],
)
def test_where_grpc_goes_and_whether_in_plain_text(endpoint, insecure, found):
    assert target(endpoint, insecure=insecure) == found


class Answering(trace_service_pb2_grpc.TraceServiceServicer):
    """Answers with what `said` gives next, an act on the context, and then takes everything."""

    def __init__(self, most_bytes=None):
        self.said, self.spans, self.calls = [], [], 0
        options = [("grpc.max_receive_message_length", most_bytes)] if most_bytes else []
        self.server = grpc.server(ThreadPoolExecutor(2), options=options)
        trace_service_pb2_grpc.add_TraceServiceServicer_to_server(self, self.server)
        self.address = f"127.0.0.1:{self.server.add_insecure_port('127.0.0.1:0')}"
        self.server.start()

    def Export(self, request, context):
        self.calls += 1
        answer = trace_service_pb2.ExportTraceServiceResponse()
        if self.said:
            self.said.pop(0)(context, answer)
        self.spans += spans_of(request)
        return answer

    def close(self):
        self.server.stop(None).wait()


@pytest.fixture
def grpc_server():
    made = []

    def begin(**options):
        made.append(Answering(**options))
        return made[-1]

    yield begin
    for server in made:
        server.close()


def refusing(code, details="no", seconds=None):
    def act(context, _):
        if seconds is not None:
            info = AnyMessage()
            asked = error_details_pb2.RetryInfo()
            asked.retry_delay.FromTimedelta(timedelta(seconds=seconds))
            info.Pack(asked)
            status = status_pb2.Status(code=code.value[0], message=details, details=[info])
            context.set_trailing_metadata([("grpc-status-details-bin", status.SerializeToString())])
        context.abort(code, details)

    return act


def over_grpc(server, **options):
    return Otlp(server.address, protocol="grpc", content=ContentPolicy.full(), **options)


@pytest.mark.parametrize(
    "code", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.ABORTED, grpc.StatusCode.DATA_LOSS], ids=lambda c: c.name
)
def test_grpc_tries_again_what_otlp_says(configured, grpc_server, code):
    server = grpc_server()
    server.said = [refusing(code)] * 2
    loom = configured(over_grpc(server))
    record(loom, 5)
    assert loom.flush()
    assert (server.calls, len(server.spans)) == (3, 5)


@pytest.mark.parametrize(
    "code", [grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.RESOURCE_EXHAUSTED],
    ids=lambda c: c.name,
)  # fmt: skip
def test_grpc_tries_the_others_once(configured, grpc_server, code):
    server = grpc_server()
    server.said = [refusing(code)] * 2
    loom = configured(over_grpc(server))
    record(loom, 5)
    assert not loom.flush()
    assert server.calls == 1
    assert counts_of(loom)["reasons"] == {f"grpc_{code.name.lower()}": 5}


def test_grpc_waits_as_long_as_the_receiver_asks(configured, grpc_server):
    server = grpc_server()
    server.said = [refusing(grpc.StatusCode.RESOURCE_EXHAUSTED, "quota", seconds=0.6)]
    loom = configured(over_grpc(server, timeout=0.3))
    before = time.monotonic()
    record(loom, 5)
    assert loom.flush(10)
    assert time.monotonic() - before >= 0.6
    assert (server.calls, len(server.spans)) == (2, 5)


def test_grpc_cuts_what_is_too_large_and_loses_only_the_culprit(configured, grpc_server, caplog):
    server = grpc_server(most_bytes=50_000)
    loom = configured(over_grpc(server))
    record(loom, 60, text=4_000)
    record(loom, 1, text=150_000, start=60)
    record(loom, 20, text=4_000, start=61)
    assert not loom.flush()
    assert len(server.spans) == 80
    assert counts_of(loom)["reasons"] == {"too_large": 1}
    assert "'s60'" in caplog.text


def test_grpc_partial_success(configured, grpc_server):
    server = grpc_server()
    server.said = [lambda _, answer: setattr(answer.partial_success, "rejected_spans", 2)]
    loom = configured(over_grpc(server))
    record(loom, 5)
    assert not loom.flush()
    assert counts_of(loom)["reasons"] == {"rejected": 2}


def test_grpc_away_for_a_while_and_back(configured, grpc_server):
    server = grpc_server()
    loom = configured(over_grpc(server, timeout=30))
    record(loom, 2)
    assert loom.flush()
    port = server.address
    server.server.stop(None).wait()
    record(loom, 5, start=2)
    assert not loom.flush(0.3)
    server.server = grpc.server(ThreadPoolExecutor(2))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(server, server.server)
    assert server.server.add_insecure_port(port)
    server.server.start()
    assert loom.flush(20)
    assert len(server.spans) == 7


def test_grpc_that_hangs_ends_in_its_time_and_shutdown_before(configured, grpc_server):
    hung = threading.Event()
    server = grpc_server()
    server.said = [lambda *_: hung.wait(20)] * 5
    loom = configured(over_grpc(server, timeout=0.4))
    record(loom, 5)
    assert not loom.flush(5)
    assert counts_of(loom)["reasons"] == {"grpc_deadline_exceeded": 5}
    hung.set()


def test_grpc_over_tls_with_the_certificate_of_the_environment(configured, tmp_path, monkeypatch):
    _, certificate = self_signed(tmp_path)
    key = (tmp_path / "key.pem").read_bytes()
    credentials = grpc.ssl_server_credentials([(key, Path(certificate).read_bytes())])
    server = Answering()
    secure = grpc.server(ThreadPoolExecutor(2))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(server, secure)
    port = secure.add_secure_port("127.0.0.1:0", credentials)
    secure.start()
    try:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_CERTIFICATE", certificate)
        loom = configured(Otlp(f"https://127.0.0.1:{port}", protocol="grpc"))
        record(loom, 3)
        assert loom.flush()
        assert len(server.spans) == 3
    finally:
        secure.stop(None).wait()
        server.close()


def test_a_closed_channel_is_no_trouble():
    assert answer_to(ValueError("Cannot invoke RPC on closed channel!")).verdict is Verdict.LATER
    assert TRACES == "traces"


@pytest.mark.parametrize("installed", [True, False], ids=["isal", "zlib alone"])
@pytest.mark.parametrize("compression", ["gzip", "deflate", "none"])
@given(body=st.binary(max_size=5_000))
def test_a_body_comes_out_as_it_went_in_whichever_library_is_there(compression, installed, body):
    with pytest.MonkeyPatch.context() as patch:
        if not installed:
            patch.setitem(sys.modules, "isal", None)
        sent = compressed(body, compression)
    read = {"gzip": gzip.decompress, "deflate": zlib.decompress, "none": bytes}[compression]
    assert read(sent) == body
