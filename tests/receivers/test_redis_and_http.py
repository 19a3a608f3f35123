"""Real Redis and HTTP clients under OpenTelemetry's own instrumentations: their spans lie in the step that called."""

from __future__ import annotations

import asyncio
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest
import redis
import redis.asyncio
import spanloom
from langchain.agents import create_agent
from langchain_core.documents import Document
from langchain_core.messages import AIMessage
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import tool
from opentelemetry import trace
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
from opentelemetry.instrumentation.redis import RedisInstrumentor
from spanloom.testing import Memory, strict
from spanloom_langchain import SpanloomCallbackHandler

from tests.integrations.langchain.fakes import Chat

pytestmark = pytest.mark.receiver


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


@pytest.fixture(scope="module")
def redis_port() -> Iterator[int]:
    binary = shutil.which("redis-server")
    assert binary, "redis-server is not installed: apt-get install redis-server"
    port = free_port()
    process = subprocess.Popen(
        [binary, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"],
        stdout=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 10
    with redis.Redis(port=port) as client:
        while True:
            try:
                client.ping()
                break
            except redis.ConnectionError:
                assert time.monotonic() < deadline, "redis-server did not start"
                threading.Event().wait(0.02)
    yield port
    process.terminate()
    process.wait(10)


@pytest.fixture(scope="module")
def web() -> Iterator[tuple[str, list[str]]]:
    """A local HTTP server, and the traceparent of each request that it got."""
    got: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            got.append(self.headers.get("traceparent", ""))
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}", got
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def memory() -> Iterator[Memory]:
    with strict():
        memory = Memory()
        with spanloom.configure(memory) as loom:
            RedisInstrumentor().instrument(tracer_provider=loom.tracer_provider)
            HTTPXClientInstrumentor().instrument(tracer_provider=loom.tracer_provider)
            before = trace.get_current_span()
            yield memory
            assert trace.get_current_span() is before
            RedisInstrumentor().uninstrument()
            HTTPXClientInstrumentor().uninstrument()


def parents(memory: Memory) -> list[tuple[str, str]]:
    """(span of a library, step right above it), in alphabetical order."""
    steps = {s.span_id: s.name for s in memory.steps}
    return sorted((e.span.name, steps.get(e.span.parent.span_id, "?")) for e in memory.spans if e.step is None)


class Cached(BaseRetriever):
    """Looks into Redis, as a retriever with a cache does."""

    port: int

    def _get_relevant_documents(self, query, *, run_manager):
        with redis.Redis(port=self.port) as client:
            client.get(query)
        return [Document(query)]

    async def _aget_relevant_documents(self, query, *, run_manager):
        async with redis.asyncio.Redis(port=self.port) as client:
            await client.get(query)
        return [Document(query)]


def tools_for(url, port):
    @tool
    def fetch(q: str) -> str:
        """Fetch a page."""
        return httpx.get(url).text

    @tool
    async def afetch(q: str) -> str:
        """Fetch a page, asynchronously."""
        async with httpx.AsyncClient() as client:
            return (await client.get(url)).text

    @tool
    def count(q: str) -> str:
        """Count in Redis."""
        with redis.Redis(port=port) as client:
            return str(client.incr(q))

    return [fetch, afetch, count]


ASK = AIMessage(
    "",
    tool_calls=[{"name": n, "args": {"q": "x"}, "id": n} for n in ("fetch", "afetch", "count")],
)


@pytest.mark.parametrize("asynchronous", [False, True])
def test_calls_of_parallel_tools_retrievers_prompts_and_nodes_lie_in_them(memory, web, redis_port, asynchronous):
    url, got = web
    got.clear()
    fetch, afetch, count = tools_for(url, redis_port)
    tools = [afetch, fetch, count] if asynchronous else [fetch, count]
    ask = AIMessage("", tool_calls=[c for c in ASK.tool_calls if c["name"] in {t.name for t in tools}])
    agent = create_agent(Chat(answers=[ask, AIMessage("done")]), tools, name="helper")

    def prompt(x):
        httpx.get(url)
        return ChatPromptTemplate.from_messages([("human", "{q}")]).invoke({"q": x})

    chain = RunnableLambda(prompt, name="prompt") | RunnableLambda(lambda m: m.messages[0].content, name="text")
    chain = (
        chain | Cached(port=redis_port) | RunnableLambda(lambda d: {"messages": [("user", d[0].page_content)]}) | agent
    )
    config = {"callbacks": [SpanloomCallbackHandler()]}
    if asynchronous:
        asyncio.run(chain.ainvoke("x", config))
    else:
        chain.invoke("x", config)
    assert spanloom.setup.current_loom().flush(5)
    expected = [("GET", "Cached"), ("GET", "fetch"), ("GET", "prompt"), ("INCRBY", "count")]
    if asynchronous:
        expected += [("GET", "afetch")]
    assert parents(memory) == sorted(expected)
    assert len({s.trace_id for s in memory.steps}) == 1
    trace_id = trace.format_trace_id(memory.steps[0].trace_id)
    assert all(trace_id in traceparent for traceparent in got), "outgoing calls carry the trace"


def test_a_consumers_calls_between_the_items_of_a_stream_are_its_own(memory, web):
    url, _ = web
    for _ in Chat().stream("x", {"callbacks": [SpanloomCallbackHandler()]}):
        httpx.get(url)
    assert spanloom.setup.current_loom().flush(5)
    assert {e.span.parent for e in memory.spans if e.step is None} == {None}
