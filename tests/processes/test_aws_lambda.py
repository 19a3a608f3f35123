"""AWS's own runtime client, its runtime API played by a server here, and the process frozen between invocations."""

import asyncio
import json
import os
import queue
import signal
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import spanloom
from opentelemetry.sdk.trace import TracerProvider
from sinks import DEADLINE
from spanloom import ConfigurationError
from spanloom.aws_lambda import flush_each_invocation
from spanloom.step import Kind, Step
from spanloom.testing import Memory, strict

ANSWER_DEADLINE = 60.0  # the cold start imports LlamaIndex


class RuntimeApi:
    """Lambda's runtime API: hands out events, takes answers, and freezes the process while nothing is to be done."""

    def __init__(self):
        self.events, self.answers = queue.Queue(), queue.Queue()
        self.restored = threading.Event()
        api = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                if self.path.endswith("/restore/next"):
                    api.answers.put(("snapshot", None))
                    api.restored.wait(ANSWER_DEADLINE)
                    self.answer(200, b"")
                elif (event := api.events.get()) is not None:
                    id, seconds, body = event
                    deadline = str(int((time.time() + seconds) * 1000))
                    self.answer(200, json.dumps(body).encode(), {
                        "Lambda-Runtime-Aws-Request-Id": id, "Lambda-Runtime-Deadline-Ms": deadline,
                        "Lambda-Runtime-Invoked-Function-Arn": "arn:aws:lambda:x:1:function:f",
                        "Content-Type": "application/json",
                    })  # fmt: skip

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                api.answers.put((self.path.rsplit("/", 1)[1], body))  # "response" or "error"
                self.answer(202, b"{}")

            def answer(self, status, body, headers=()):
                self.send_response(status)
                for name, value in dict(headers).items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            block_on_close = False

            def handle_error(self, request, client_address):
                pass  # a runtime that was killed

        self.server = Server(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def invoke(self, body, id, seconds=30.0):
        self.events.put((id, seconds, body))
        return self.answer()

    def answer(self):
        return self.answers.get(timeout=ANSWER_DEADLINE)

    def close(self):
        self.events.put(None)
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def api():
    api = RuntimeApi()
    yield api
    api.close()


def runtime(start, api, **variables):
    return start(
        "python", "-m", "awslambdaric", "lambda_handler.handler", AWS_LAMBDA_RUNTIME_API=api.address, **variables
    )


def queries(sink):
    return [span for span in sink.spans if span.step == "RetrieverQueryEngine.query"]


def test_all_that_an_invocation_traced_has_arrived_when_it_is_frozen(start, api, sink):
    process = runtime(start, api).process
    for n in range(3):
        said, answer = api.invoke({"question": "How long may I send it back?"}, f"id-{n}")
        os.kill(process.pid, signal.SIGSTOP)
        assert (said, answer["statusCode"]) == ("response", 200)
        assert len(queries(sink)) == n + 1
        os.kill(process.pid, signal.SIGCONT)
    cold = [span for span in sink.spans if span.step == "MockEmbedding.get_text_embedding_batch"]
    assert len(cold) == 1  # of the index, which was built before the first invocation
    assert len({span.span_id for span in sink.spans}) == len(sink.spans)
    said, error = api.invoke({"no": "question"}, "id-4")
    assert (said, error["errorType"]) == ("error", "KeyError")


@pytest.mark.receiver
def test_a_receiver_that_hangs_costs_an_invocation_no_more_than_its_time(start, api, sink):
    sink.hang()
    runtime(start, api)
    api.invoke({"question": "How long may I send it back?"}, "id-0")
    began = time.monotonic()
    said, _ = api.invoke({"question": "How long may I send it back?"}, "id-1", seconds=0.7)
    assert said == "response"
    assert time.monotonic() - began < DEADLINE
    sink.open.set()
    api.invoke({"question": "How long may I send it back?"}, "id-2")
    assert len(queries(sink)) == 3


@pytest.mark.receiver
def test_snap_start_sends_before_the_snapshot_and_makes_other_ids_after_it(start, api, sink, example):
    handler = example / "lambda_handler.py"
    seeded = "import random\nfrom spanloom import ids\nrandom.seed(7)\nids.seed(7)\nspanloom.configure("
    handler.write_text(handler.read_text().replace("spanloom.configure(", seeded))
    for _ in range(2):  # two environments, from one snapshot as it were
        started = runtime(start, api, AWS_LAMBDA_INITIALIZATION_TYPE="snap-start")
        assert api.answer() == ("snapshot", None)
        assert {span.step for span in sink.spans} >= {"MockEmbedding.get_text_embedding_batch"}
        api.restored.set()
        api.invoke({"question": "How long may I send it back?"}, "id")
        started.kill()
        api.restored.clear()
    cold = [span.trace_id for span in sink.spans if span.step == "MockEmbedding.get_text_embedding_batch"]
    warm = [span.trace_id for span in queries(sink)]
    assert len(cold) == len(warm) == 2
    assert len(set(cold)) == 1  # as the seed has it
    assert len(set(warm)) == 2


# ---------------------------------------------------------------- the decorator itself
class Context:
    """What the decorator asks of Lambda's context."""

    def __init__(self, seconds):
        self.seconds = seconds

    def get_remaining_time_in_millis(self):
        return self.seconds * 1000


@pytest.fixture
def memory():
    memory = Memory()
    with strict(), spanloom.configure(memory, tracer_provider=TracerProvider(shutdown_on_exit=False)):
        yield memory


def step(name):
    record = spanloom.setup.running_loom().recorder
    record.open(Step(name, Kind.CHAIN, name))
    record.close(name)


def test_a_coroutine_function_stays_one(memory):
    @flush_each_invocation(timeout=DEADLINE)
    async def handler(event, context):
        """Answers."""
        step(event)
        return event * 2

    assert handler.__doc__ == "Answers."
    assert asyncio.run(handler("ab", Context(60))) == "abab"
    assert [s.name for s in memory.steps] == ["ab"]


@pytest.mark.parametrize("asynchronous", [False, True])
def test_the_handlers_exception_is_its_own_and_what_it_traced_is_sent(memory, asynchronous):
    @flush_each_invocation(timeout=DEADLINE)
    def handler(event, context):
        step("before")
        raise LookupError(event)

    @flush_each_invocation(timeout=DEADLINE)
    async def async_handler(event, context):
        step("before")
        raise LookupError(event)

    with pytest.raises(LookupError, match="gone"):
        asyncio.run(async_handler("gone", None)) if asynchronous else handler("gone", context=None)
    assert [s.name for s in memory.steps] == ["before"]


@pytest.mark.parametrize(
    ("seconds", "asked"),
    [(60, 2.0), (1.5, 1.0), (0.2, 0.0), (None, 2.0)],
    ids=["long", "short", "none left", "no context"],
)
def test_the_flush_takes_no_more_than_what_lambda_leaves(memory, monkeypatch, seconds, asked):
    given = []
    monkeypatch.setattr(spanloom.Loom, "flush", lambda self, timeout: given.append(timeout) or True)
    flush_each_invocation(lambda event, context: None)({}, Context(seconds) if seconds is not None else object())
    assert given == [pytest.approx(asked)]


def test_what_goes_wrong_in_the_flush_is_not_the_handlers(monkeypatch):
    from spanloom.guard import GUARD

    def fail(self, timeout):
        raise RuntimeError("ours")

    class Odd:
        def get_remaining_time_in_millis(self):
            raise RuntimeError("its own")

    before = GUARD.swallowed.total()
    loom = spanloom.configure(Memory(), tracer_provider=TracerProvider(shutdown_on_exit=False))
    monkeypatch.setattr(spanloom.Loom, "flush", fail)
    assert flush_each_invocation(lambda event, context: "answer")({}, Odd()) == "answer"
    loom.shutdown()
    assert GUARD.swallowed.total() == before + 2
    GUARD.swallowed.clear()


def test_what_cannot_work_is_said():
    for wrong in ({"timeout": 0}, {"margin": -1}):
        with pytest.raises(ConfigurationError, match="timeout above 0"):
            flush_each_invocation(**wrong)
    with pytest.raises(ConfigurationError, match="decorate the handler"):
        flush_each_invocation({"statusCode": 200})
