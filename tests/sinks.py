"""Receivers for tests: real OTLP over HTTP and gRPC, decoded, with headers kept."""

from __future__ import annotations

import gzip
import json
import threading
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc

DEADLINE = 10.0


@dataclass
class Received:
    """One span as it came over the wire. Ids are hexadecimal; `parent` is empty at the top of a trace."""

    name: str
    trace_id: str
    span_id: str
    parent: str
    kind: int
    attributes: dict
    events: list
    links: int
    status: int
    description: str
    start_ns: int
    end_ns: int
    scope: str
    resource: dict
    tracestate: str = ""

    @property
    def step(self):
        return self.attributes.get("spanloom.step.name")


@dataclass
class Request:
    path: str
    headers: dict
    body: bytes
    spans: list = field(default_factory=list)


def wait_until(condition, what="the condition", deadline=DEADLINE):
    end = time.monotonic() + deadline
    while not (found := condition()):
        if time.monotonic() > end:
            raise AssertionError(f"{what} did not come true within {deadline} s")
        time.sleep(0.005)
    return found


def value_of(any_value):
    which = any_value.WhichOneof("value")
    if which == "array_value":
        return [value_of(v) for v in any_value.array_value.values]
    return getattr(any_value, which) if which else None


def spans_of(message):
    return [
        Received(
            span.name,
            span.trace_id.hex(),
            span.span_id.hex(),
            span.parent_span_id.hex(),
            span.kind,
            {a.key: value_of(a.value) for a in span.attributes},
            [(e.name, {a.key: value_of(a.value) for a in e.attributes}, e.time_unix_nano) for e in span.events],
            len(span.links),
            span.status.code,
            span.status.message,
            span.start_time_unix_nano,
            span.end_time_unix_nano,
            scoped.scope.name,
            {a.key: value_of(a.value) for a in resourced.resource.attributes},
            span.trace_state,
        )
        for resourced in message.resource_spans
        for scoped in resourced.scope_spans
        for span in scoped.spans
    ]


class _Sink:
    def __init__(self):
        self.requests: list[Request] = []

    @property
    def spans(self):
        return [span for request in self.requests for span in request.spans]

    def named(self, name):
        """The one span of that name, or of that step."""
        found = [s for s in self.spans if name in (s.name, s.step)]
        assert len(found) == 1, f"{len(found)} spans named {name!r} among {[s.name for s in self.spans]}"
        return found[0]

    @property
    def wire(self):
        """Everything that was received, as bytes."""
        return b"".join(request.body for request in self.requests)


class HttpSink(_Sink):
    """`status` is what it answers, after what stands in `statuses`; while `open` is not set it takes requests and
    answers none. `headers` and the body `answer` go out with each answer, which takes `seconds`. Requests to other
    paths than OTLP's are kept too, without spans."""

    def __init__(self):
        super().__init__()
        self.status = 200
        self.statuses: list[int] = []
        self.headers: dict[str, str] = {}
        self.answer = ("", b"")  # content type and body
        self.seconds = 0.0
        self.connections = 0
        self.open = threading.Event()
        self.open.set()
        self.arrived = threading.Semaphore(0)
        sink = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                encoding = self.headers.get("Content-Encoding")
                body = {"gzip": gzip.decompress, "deflate": zlib.decompress}.get(encoding, bytes)(body)
                sink.arrived.release()
                sink.open.wait(30)
                time.sleep(sink.seconds)
                request = Request(self.path, {k.lower(): v for k, v in self.headers.items()}, body)
                status = sink.statuses.pop(0) if sink.statuses else sink.status
                if status == 200 and self.path.endswith("/v1/traces"):
                    message = trace_service_pb2.ExportTraceServiceRequest.FromString(body)
                    request.spans = spans_of(message)
                sink.requests.append(request)
                try:
                    self.send_response(status)
                    for name, value in sink.headers.items():
                        self.send_header(name, value)
                    kind, said = sink.answer
                    if kind:
                        self.send_header("Content-Type", kind)
                    self.send_header("Content-Length", str(len(said)))
                    self.end_headers()
                    self.wfile.write(said)
                except OSError:  # the client has given up
                    self.close_connection = True

            def log_message(self, *_):
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            block_on_close = False

            def process_request(self, request, client_address):
                sink.connections += 1
                super().process_request(request, client_address)

            def handle_error(self, request, client_address):
                pass

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True)
        self.thread.start()

    def posted(self, path):
        """The JSON bodies of the requests to `path`, refused ones too."""
        return [json.loads(request.body) for request in self.requests if request.path == path]

    def hang(self):
        self.open.clear()

    def close(self):
        self.open.set()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


class GrpcSink(_Sink, trace_service_pb2_grpc.TraceServiceServicer):
    def __init__(self):
        super().__init__()
        self.server = grpc.server(ThreadPoolExecutor(2))
        trace_service_pb2_grpc.add_TraceServiceServicer_to_server(self, self.server)
        self.address = f"127.0.0.1:{self.server.add_insecure_port('127.0.0.1:0')}"
        self.server.start()

    def Export(self, request, context):
        headers = {k: v for k, v in context.invocation_metadata() if isinstance(v, str)}
        self.requests.append(Request("grpc", headers, request.SerializeToString(), spans_of(request)))
        return trace_service_pb2.ExportTraceServiceResponse()

    def close(self):
        self.server.stop(None).wait()
