"""A receiver that misbehaves as it is told: real sockets, OTLP over HTTP, and a note of every span that came."""

from __future__ import annotations

import gzip
import socket
import ssl
import subprocess
import threading
import time
import zlib
from collections import Counter
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1 import trace_service_pb2


class Receiver:
    """`mode` is how it answers from now on; see `_Handler`. `taken` counts how often each span came and was taken by
    its id; `unanswered` are ids that came without the sender hearing of it."""

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self.mode = "ok"
        self.most_bytes = 50_000
        self.retry_after = "1"
        self.until = 0.0  # of "too many": by the monotonic clock
        self.taken: Counter[str] = Counter()
        self.unanswered: Counter[str] = Counter()
        self.requests = 0
        self.largest = 0
        self.early = 0  # requests before the time that it asked to wait for
        self.gone = threading.Event()
        self._context = context
        self._open: set[socket.socket] = set()
        self._server: ThreadingHTTPServer | None = None
        self._port = 0
        self.listen()

    @property
    def url(self) -> str:
        return f"{'https' if self._context else 'http'}://127.0.0.1:{self._port}"

    def listen(self) -> None:
        receiver = self

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            block_on_close = False

            def process_request(self, request, address):
                receiver._open.add(request)
                super().process_request(request, address)

            def shutdown_request(self, request):
                receiver._open.discard(request)
                super().shutdown_request(request)

            def handle_error(self, *_):
                pass

        self._server = Server(("127.0.0.1", self._port), type("Handler", (_Handler,), {"receiver": self}))
        if self._context is not None:
            self._server.socket = self._context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self._port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def go(self) -> None:
        """Stop listening, and break all connections."""
        if self._server is None:
            return
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        for connection in list(self._open):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self._server = None

    def hold(self) -> socket.socket:
        """Keep the port, so that connections are refused and nobody else gets it."""
        held = socket.socket()
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind(("127.0.0.1", self._port))
        return held

    def close(self) -> None:
        self.gone.set()
        self.go()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    receiver: Receiver

    def do_POST(self):
        receiver, size = self.receiver, int(self.headers["Content-Length"])
        mode = receiver.mode
        if mode == "cut":  # the connection breaks in the middle of the request
            self.rfile.read(size // 2)
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        body = self.rfile.read(size)
        receiver.requests += 1
        if mode == "hang":
            receiver.gone.wait(30)
            self.close_connection = True
            return
        encoding = self.headers.get("Content-Encoding")
        body = {"gzip": gzip.decompress, "deflate": zlib.decompress}.get(encoding, bytes)(body)
        if mode == "busy" and time.monotonic() < receiver.until:
            self._answer(429, **{"Retry-After": receiver.retry_after})
        elif mode in ("500", "401", "503", "302"):
            self._answer(int(mode), **({"Location": "http://127.0.0.1:9/login"} if mode == "302" else {}))
        elif mode == "too large" and len(body) > receiver.most_bytes:
            self._answer(413)
        elif mode == "page":
            self._answer(200, b"<html>Please log in</html>", **{"Content-Type": "text/html"})
        elif mode == "slow":  # one byte a second
            self._note(body, receiver.unanswered)
            self.close_connection = True
            for byte in b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n":
                self.wfile.write(bytes([byte]))
                if receiver.gone.wait(1):
                    return
        elif mode == "deaf":  # takes it, and breaks the connection before it says so
            self._note(body, receiver.unanswered)
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
        elif mode == "partial":
            ids = _ids(body)
            receiver.taken.update(ids[1:])
            said = trace_service_pb2.ExportTraceServiceResponse()
            said.partial_success.rejected_spans = 1
            said.partial_success.error_message = "one is not wanted"
            self._answer(200, said.SerializeToString(), **{"Content-Type": "application/x-protobuf"})
        else:
            receiver.largest = max(receiver.largest, len(body))
            self._note(body, receiver.taken)
            self._answer(200)

    def _note(self, body, where):
        where.update(_ids(body))

    def _answer(self, status, body=b"", **headers):
        try:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        except OSError:
            self.close_connection = True

    def log_message(self, *_):
        pass


def _ids(body):
    message = trace_service_pb2.ExportTraceServiceRequest.FromString(body)
    return [span.span_id.hex() for r in message.resource_spans for s in r.scope_spans for span in s.spans]


def self_signed(folder) -> tuple[ssl.SSLContext, str]:
    """A context with a certificate that nobody knows, and the certificate's file."""
    key, certificate = folder / "key.pem", folder / "cert.pem"
    subprocess.run(
        [
            "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", certificate, "-days",
            "1", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1",
        ],
        check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context, str(certificate)
