"""Whose fault is it? A tool asks a slow HTTP service: its span lies under the tool, beside a quick model.

Any OpenTelemetry instrumentation works like httpx's here: Redis, SQLAlchemy, boto3.
"""

import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import httpx
import spanloom
from langchain_core.language_models import FakeListChatModel
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import tool
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
from spanloom.cli import print_newest
from spanloom_langchain import SpanloomCallbackHandler


class SlowStock(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        time.sleep(0.2)
        self.send_response(200)
        self.send_header("Content-Length", "1")
        self.end_headers()
        self.wfile.write(b"7")

    def log_message(self, *_: Any) -> None:
        pass


def main() -> None:
    service = HTTPServer(("127.0.0.1", 0), SlowStock)
    threading.Thread(target=service.serve_forever, daemon=True).start()

    @tool
    def stock(article: str) -> str:
        """How many of an article are left."""
        return httpx.get(f"http://127.0.0.1:{service.server_port}/stock/{article}").text

    chain = stock | RunnableLambda(lambda left: f"Say that {left} are left.") | FakeListChatModel(responses=["7 left!"])
    with spanloom.configure(spanloom.Local("spanloom.db"), service_name="shop") as loom:
        HTTPXClientInstrumentor().instrument(tracer_provider=loom.tracer_provider)
        print(chain.invoke({"article": "umbrella"}, config={"callbacks": [SpanloomCallbackHandler()]}).text)
    service.shutdown()
    service.server_close()
    print_newest("spanloom.db")


if __name__ == "__main__":
    main()
