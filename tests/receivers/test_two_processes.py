"""A trace that goes on in another process: LangServe's RemoteRunnable, LangGraph's RemoteGraph, a WSGI service."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from wsgiref.simple_server import WSGIRequestHandler, make_server

import httpx
import pytest
import spanloom
from langchain_core.runnables import RunnableLambda
from langgraph.graph import START, StateGraph
from langgraph.pregel.remote import RemoteGraph
from langgraph_sdk import get_sync_client
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
from opentelemetry.instrumentation.wsgi import OpenTelemetryMiddleware
from sinks import HttpSink, wait_until
from spanloom.testing import strict
from spanloom_langchain import SpanloomCallbackHandler

from tests.integrations.langchain.fakes import Chat
from tests.receivers.remote_server import State

pytestmark = pytest.mark.receiver


@pytest.fixture
def sink() -> Iterator[HttpSink]:
    with closing(HttpSink()) as sink:
        yield sink


@pytest.fixture
def far(sink) -> Iterator[str]:
    """The address of a service in a process of its own, which sends its spans to the same sink."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    script = Path(__file__).parent / "remote_server.py"
    process = subprocess.Popen([sys.executable, str(script), str(port), sink.url])
    url = f"http://127.0.0.1:{port}"
    deadline = time.monotonic() + 60
    while True:
        try:
            httpx.get(f"{url}/ready").raise_for_status()
            break
        except httpx.TransportError:
            assert process.poll() is None, "the service has ended"
            assert time.monotonic() < deadline, "the service did not start"
            threading.Event().wait(0.05)
    yield url
    process.terminate()
    process.wait(20)


@pytest.fixture
def loom(sink):
    with strict(), spanloom.configure(spanloom.Otlp(sink.url), service_name="near") as loom:
        yield loom


@pytest.fixture
def outgoing(loom):
    HTTPXClientInstrumentor().instrument(tracer_provider=loom.tracer_provider)
    yield
    HTTPXClientInstrumentor().uninstrument()


def line_above(sink, name) -> list[str]:
    """The names from the span `name` up to its root."""
    by_id = {s.span_id: s for s in sink.spans}
    span, names = sink.named(name), []
    while span is not None:
        names.append(span.step or span.name)
        span = by_id.get(span.parent)
    return names


@pytest.mark.filterwarnings("ignore")  # importing LangServe's client warns of its own dependencies
def test_a_remote_runnable_goes_on_in_the_same_trace(sink, loom, far, outgoing):
    from langserve import RemoteRunnable

    remote = RemoteRunnable(f"{far}/chain/")
    near = RunnableLambda(lambda x: remote.invoke(x), name="near_chain")
    assert near.invoke("x", {"callbacks": [SpanloomCallbackHandler()]}) == "far x"
    remote.sync_client.close()
    assert loom.flush(5)
    wait_until(lambda: any(s.step == "/chain" for s in sink.spans), "the far chain's span")
    wait_until(lambda: any(s.name.startswith("POST /chain") for s in sink.spans), "the far server's span")
    names = line_above(sink, "/chain")
    assert names[0] == "/chain"  # LangServe names the run after its path
    assert names[-3:] == ["POST", "RemoteRunnable", "near_chain"]
    assert len({s.trace_id for s in sink.spans if s.step}) == 1


def test_a_remote_graph_in_a_node_goes_on_in_the_same_trace(sink, loom, far, outgoing):
    client = get_sync_client(url=far, api_key=None)
    remote = RemoteGraph("far_graph", url=far, sync_client=client)
    graph = StateGraph(State)
    graph.add_node("near_node", lambda state: remote.invoke(state))
    graph.add_edge(START, "near_node")
    out = graph.compile(name="near_graph").invoke({"seen": []}, {"callbacks": [SpanloomCallbackHandler()]})
    client.close()
    assert out == {"seen": ["far"]}
    assert loom.flush(5)
    wait_until(lambda: any(s.name == "POST /runs/stream" for s in sink.spans), "the far server's span")
    wait_until(lambda: any(s.step == "far_node" for s in sink.spans), "the far node's span")
    names = line_above(sink, "far_node")
    assert names[:2] == ["far_node", "far_graph"]
    assert names[-3:] == ["POST", "near_node", "near_graph"]


def test_a_chain_behind_wsgi_hangs_below_the_request_and_its_remote_parent(sink, loom):
    def app(environ, start_response):
        Chat().invoke("x", {"callbacks": [SpanloomCallbackHandler()]})
        start_response("200 OK", [("Content-Length", "2")])
        return [b"ok"]

    class Quiet(WSGIRequestHandler):
        def log_message(self, *_):
            pass

    traced_app = OpenTelemetryMiddleware(app, tracer_provider=loom.tracer_provider)
    with make_server("127.0.0.1", 0, traced_app, handler_class=Quiet) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        httpx.get(f"http://127.0.0.1:{server.server_port}/", headers={"traceparent": parent})
        thread.join()
    assert loom.flush(5)
    step = sink.named("Chat")
    assert step.trace_id == "0af7651916cd43dd8448eb211c80319c"
    assert line_above(sink, "Chat")[0] == "Chat"
    assert len(line_above(sink, "Chat")) == 2
