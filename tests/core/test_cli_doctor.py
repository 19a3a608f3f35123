"""`spanloom doctor` against receivers that work, and that fail in every way that people meet."""

from __future__ import annotations

import base64
import json
import socket
import ssl
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import grpc
import pytest
import sinks
from click.testing import CliRunner
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from spanloom.cli import main
from spanloom.doctor import langfuse
from spanloom.store import Reading

KEYS = "Basic " + base64.b64encode(b"pk-lf-1:sk-lf-1").decode()


class Server:
    """Answers with what `answer(method, path, headers)` says: a status, or a status and a body. None: not at all."""

    def __init__(self, answer, context=None):
        self.asked, self.gone = [], threading.Event()
        server = self

        class Handler(BaseHTTPRequestHandler):
            def _any(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                headers = {k.lower(): v for k, v in self.headers.items()}
                server.asked.append((self.command, self.path, headers, body))
                said = answer(self.command, self.path, headers)
                if said is None:
                    server.gone.wait(10)
                    return
                status, payload, kind = (*said, "application/json")[:3] if isinstance(said, tuple) else (said, b"", "")
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(payload)))
                self.end_headers()
                self.wfile.write(payload)

            do_GET = do_POST = _any

            def log_message(self, *_):
                pass

        class Quiet(ThreadingHTTPServer):
            daemon_threads = True
            block_on_close = False

            def handle_error(self, *_):
                pass

        self.server = Quiet(("127.0.0.1", 0), Handler)
        if context is not None:
            self.server.socket = context.wrap_socket(
                self.server.socket, server_side=True, do_handshake_on_connect=False
            )
        self.port = self.server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True)
        self.thread.start()

    def close(self):
        self.gone.set()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def serve():
    servers = []

    def start(answer, **settings):
        servers.append(Server(answer if callable(answer) else lambda *_: answer, **settings))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.fixture(autouse=True)
def _keys(monkeypatch, tmp_path):
    monkeypatch.setenv("LANGFUSE_PUBLIC_KEY", "pk-lf-1")
    monkeypatch.setenv("LANGFUSE_SECRET_KEY", "sk-lf-1")
    monkeypatch.chdir(tmp_path)


def doctor(*arguments, timeout="5", wait="5"):
    done = CliRunner().invoke(main, ["doctor", "--timeout", timeout, "--wait", wait, *arguments])
    assert not done.exception or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.output


def failure(*arguments, **settings):
    """The one sentence of the one destination that fails."""
    code, output = doctor(*arguments, **settings)
    assert code == 1
    (line,) = [line for line in output.splitlines() if "FAILED" in line]
    return line


# ---------------------------------------------------------------- OTLP
def test_a_receiver_that_works(http_sink):
    code, output = doctor("--otlp", http_sink.url)
    assert code == 0
    assert "FAILED" not in output
    assert "records structure, and hashes of prompts and answers" in output
    assert {s.name for s in http_sink.spans} == {"spanloom doctor", "chat none"}
    assert all(s.resource["service.name"] == "spanloom-doctor" for s in http_sink.spans)


@pytest.mark.parametrize(
    ("status", "fix"),
    [
        (400, "is /v1/traces its OTLP path"),
        (401, "check the key"),
        (403, "give the key that permission"),
        (404, "correct the path"),
        (405, "correct the path"),
        (413, "too large"),
        (415, "no binary protobuf"),
        (429, "limits the rate"),
        (500, "look at its log"),
        (503, "look at its log"),
        (301, "redirects elsewhere"),
        (418, "refuses the trace (418)"),
    ],
)
def test_a_status_is_one_sentence_with_the_fix(serve, status, fix):
    server = serve(status)
    assert fix in failure("--otlp", server.url)


def test_a_path_that_is_missing_is_named(serve, monkeypatch):
    server = serve(lambda _, path, __: 200 if path == "/v1/traces" else 404)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", server.url)  # taken as it stands
    assert f"write {server.url}/v1/traces" in failure("--protocol", "http/protobuf")


def test_a_path_that_is_doubled_is_named(serve, monkeypatch):
    server = serve(lambda _, path, __: 200 if path == "/v1/traces" else 404)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"{server.url}/v1/traces")
    assert f"no traces at /v1/traces/v1/traces: write {server.url}/v1/traces" in failure("--protocol", "http/protobuf")


def test_a_path_too_many_is_named(serve):
    server = serve(lambda _, path, __: 200 if path == "/v1/traces" else 405)
    assert f"no traces at /otel/v1/traces: write {server.url}/v1/traces" in failure("--otlp", f"{server.url}/otel")


def test_langfuses_own_path_is_named(serve):
    server = serve(lambda _, path, __: 401 if path == "/api/public/otel/v1/traces" else 404)
    assert f"write {server.url}/api/public/otel/v1/traces" in failure("--otlp", server.url)


def test_a_web_page_is_no_receiver(serve):
    server = serve((200, b"<html>", "text/html; charset=utf-8"))
    assert "is a web page" in failure("--otlp", server.url)


def test_spans_that_are_rejected_in_part(serve):
    answer = trace_service_pb2.ExportTraceServiceResponse()
    answer.partial_success.rejected_spans = 2
    server = serve((200, answer.SerializeToString(), "application/x-protobuf"))
    assert "rejected 2 of its spans" in failure("--otlp", server.url)


def test_one_that_hangs(serve):
    server = serve(lambda *_: None)
    assert "does not answer within 0.2 s" in failure("--otlp", server.url, timeout="0.2")


def test_nobody_there_and_no_such_host():
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        assert "Nobody listens at" in failure("--otlp", f"http://127.0.0.1:{held.getsockname()[1]}")
    assert "There is no host nowhere.invalid" in failure("--otlp", "http://nowhere.invalid:4318")


def test_tls_where_there_is_none(serve):
    server = serve(200)
    assert "write http:// in place of https://" in failure("--otlp", server.url.replace("http", "https"))


def test_a_certificate_that_nobody_knows(serve, tmp_path, monkeypatch):
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    subprocess.run(
        [
            "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", certificate, "-days",
            "1", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1",
        ],
        check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server = serve(200, context=context)
    url = f"https://127.0.0.1:{server.port}"
    assert "OTEL_EXPORTER_OTLP_CERTIFICATE" in failure("--otlp", url)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_CERTIFICATE", str(certificate))
    assert doctor("--otlp", url)[0] == 0


def test_headers_of_the_environment_go_along(serve, monkeypatch):
    server = serve(lambda _, __, headers: 200 if headers.get("api-key") == "k" else 401)
    assert "refuses the credentials" in failure("--otlp", server.url)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "api-key=k")
    assert doctor("--otlp", server.url)[0] == 0


# ---------------------------------------------------------------- gRPC and HTTP mixed up
def test_grpc_works(grpc_sink):
    assert doctor("--otlp", grpc_sink.address, "--protocol", "grpc")[0] == 0
    assert {s.name for s in grpc_sink.spans} == {"spanloom doctor", "chat none"}


def test_http_against_a_grpc_port(grpc_sink):
    assert 'protocol="grpc"' in failure("--otlp", f"http://{grpc_sink.address}")


def test_grpc_against_an_http_port(serve):
    server = serve(404)
    assert "speaks HTTP, not gRPC" in failure("--otlp", server.url, "--protocol", "grpc")


def test_grpc_against_nobody():
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{held.getsockname()[1]}"
        assert "Nobody listens at" in failure("--otlp", address, "--protocol", "grpc", timeout="2")


@pytest.mark.parametrize("url", ["https://cloud.langfuse.com", "http://10.0.0.1:3000/api/public/otel"])
def test_langfuse_over_grpc(url):
    assert "Langfuse takes no gRPC: use Langfuse(…)" in failure("--otlp", url, "--protocol", "grpc")


@pytest.mark.parametrize(
    ("code", "fix"),
    [
        (grpc.StatusCode.UNAUTHENTICATED, "check the key"),
        (grpc.StatusCode.PERMISSION_DENIED, "give the key that permission"),
        (grpc.StatusCode.UNIMPLEMENTED, "takes no traces over gRPC"),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "limits size or rate"),
        (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_ARGUMENT"),
    ],
)
def test_a_grpc_status_is_one_sentence(code, fix):
    class Refusing(trace_service_pb2_grpc.TraceServiceServicer):
        def Export(self, request, context):
            context.abort(code, "no")

    server = grpc.server(ThreadPoolExecutor(1))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(Refusing(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        assert fix in failure("--otlp", f"127.0.0.1:{port}", "--protocol", "grpc")
    finally:
        server.stop(None).wait()


# ---------------------------------------------------------------- Langfuse
class Project:
    """A Langfuse server with one project; a trace shows up when it has been asked for `late` times."""

    def __init__(self, late=0, keys=KEYS, traces=200):
        self.late, self.keys, self.traces = late, keys, traces

    def __call__(self, method, path, headers):
        if path == "/api/public/health":
            return 200, b'{"status":"OK"}'
        if headers.get("authorization") != self.keys:
            return 401
        if path == "/api/public/projects":
            return 200, json.dumps({"data": [{"name": "demo"}]}).encode()
        if method == "POST":
            return self.traces if path == "/api/public/otel/v1/traces" else 404
        self.late -= 1
        return 200 if self.late < 0 else 404


def test_langfuse_works_and_the_trace_comes_back(serve):
    server = serve(Project(late=1))
    code, output = doctor("--langfuse", server.url)
    assert code == 0
    assert "knows the keys (project demo)" in output
    assert "The trace came back" in output
    assert "records prompts and answers, with placeholders for personal data and secrets" in output
    sent = next(headers for method, _, headers, _ in server.asked if method == "POST")
    assert sent["x-langfuse-ingestion-version"] == "4"


def test_langfuse_refuses_the_keys(serve):
    server = serve(Project(keys="others"))
    assert "refuses the keys: check LANGFUSE_PUBLIC_KEY" in failure("--langfuse", server.url)


def test_langfuse_keys_of_another_region(serve, monkeypatch):
    eu, us = serve(Project(keys="others")), serve(Project())
    monkeypatch.setattr(langfuse, "REGIONS", {"EU": eu.url, "US": us.url})
    assert f"belong to the region US, not to {eu.url}: set LANGFUSE_BASE_URL={us.url}" in failure("--langfuse", eu.url)


def test_keys_are_shown_to_no_server_but_langfuses_own(serve, monkeypatch):
    mine, us = serve(Project(keys="others")), serve(Project())
    monkeypatch.setattr(langfuse, "REGIONS", {"US": us.url})
    failure("--langfuse", mine.url)
    assert us.asked == []


def test_no_langfuse_at_that_address(serve):
    server = serve(404)
    assert "No Langfuse answers at" in failure("--langfuse", server.url)


@pytest.mark.parametrize(("status", "fix"), [(413, "too large"), (500, "look at its log")])
def test_langfuse_takes_no_trace(serve, status, fix):
    server = serve(Project(traces=status))
    assert fix in failure("--langfuse", server.url)


def test_langfuse_loses_the_trace(serve):
    server = serve(Project(late=10**6))
    assert "does not show it after 0.3 s" in failure("--langfuse", server.url, wait="0.3")
    assert doctor("--langfuse", server.url, wait="0")[0] == 0


def test_half_a_key_pair(monkeypatch):
    monkeypatch.delenv("LANGFUSE_SECRET_KEY")
    assert "only half of its key pair" in failure("--langfuse", "http://127.0.0.1:1")


# ---------------------------------------------------------------- the rest
def test_phoenix_shows_the_trace(serve):
    seen = []

    def phoenix(method, path, headers):
        if method == "POST":
            seen.append(path)
            return 200
        return 200, json.dumps({"data": [{"context": {"trace_id": trace_in(server)}}]}).encode()

    def trace_in(server):
        body = next(body for method, _, _, body in server.asked if method == "POST")
        return sinks.spans_of(trace_service_pb2.ExportTraceServiceRequest.FromString(body))[0].trace_id

    server = serve(phoenix)
    code, output = doctor("--phoenix", server.url)
    assert code == 0
    assert "The trace came back" in output
    assert seen == ["/v1/traces"]


def test_the_local_file(tmp_path):
    code, output = doctor("--local", str(tmp_path / "s.db"))
    assert code == 0
    with Reading(tmp_path / "s.db") as reading:
        (trace_id,) = reading.find()
    assert trace_id in output
    assert "its folder does not exist" in failure("--local", str(tmp_path / "no" / "s.db"))


def test_without_options_the_environment_names_the_destinations(serve, http_sink, monkeypatch):
    server = serve(Project())
    monkeypatch.setenv("LANGFUSE_BASE_URL", server.url)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", http_sink.url)
    code, output = doctor()
    assert code == 0
    assert [line.split()[0] for line in output.splitlines() if not line.startswith(" ")] == ["otlp", "langfuse"]


def test_one_that_fails_leaves_the_others_to_be_examined(serve, http_sink):
    server = serve(500)
    code, output = doctor("--otlp", server.url, "--local", "s.db")
    assert code == 1
    assert "FAILED" in output
    assert "it came back" in output
