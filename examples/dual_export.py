"""One trace, two backends, each under its own content policy: OTLP gets hashes, Langfuse the texts.

With `OTEL_EXPORTER_OTLP_ENDPOINT` and the `LANGFUSE_…` keys set it sends there. Without them it starts a receiver on
this machine that stands in for both, and prints what arrived.
"""

import gzip
import os
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import spanloom
from langchain_core.language_models import FakeListChatModel
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from spanloom import ContentPolicy, Langfuse, Local, Otlp
from spanloom.cli import print_newest
from spanloom_langchain import SpanloomCallbackHandler


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        body = gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body
        who = "Langfuse" if "/api/public/" in self.path else "OTLP"
        for scope in ExportTraceServiceRequest.FromString(body).resource_spans[0].scope_spans:
            for span in scope.spans:
                print(f"\n{who} received {span.name!r} of trace {span.trace_id.hex()}")
                for attribute in span.attributes:
                    if any(word in attribute.key for word in ("prompt.hash", "messages", "observation.input")):
                        print(f"  {attribute.key} = {attribute.value.string_value}")
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


def main() -> None:
    if os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT") and os.environ.get("LANGFUSE_PUBLIC_KEY"):
        otlp, langfuse = Otlp(content=ContentPolicy.hashed()), Langfuse()
    else:
        server = HTTPServer(("127.0.0.1", 0), Receiver)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        here = f"http://127.0.0.1:{server.server_port}"
        otlp = Otlp(here, content=ContentPolicy.hashed())
        langfuse = Langfuse("pk-lf-example", "sk-lf-example", here, content=ContentPolicy.full())
    with spanloom.configure(otlp, langfuse, Local("spanloom.db"), service_name="shop") as loom:
        model = FakeListChatModel(responses=["Within thirty days."])
        model.invoke("How long may I send it back?", config={"callbacks": [SpanloomCallbackHandler()]})
        loom.flush()
        print("\nDelivered:", {name: counts["exported"] for name, counts in loom.stats()["destinations"].items()})
    print_newest("spanloom.db")


if __name__ == "__main__":
    main()
