"""How much one gateway and one sampler take on this machine: `python tests/collector/sizing.py`, about two minutes.

Requests are encoded beforehand and sent by two threads as fast as they are acknowledged; the backends only answer. Each
trace has ten spans, among them two model calls with a kilobyte of prompt and answer, as Spanloom sends them behind a
Collector. Processor time is told for each tier, so that it can be scaled to other machines.
"""

from __future__ import annotations

import argparse
import http.client
import os
import secrets
import sys
import tempfile
import threading
import time
from collections import deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parents[1])]

import spanloom  # noqa: E402
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest  # noqa: E402
from opentelemetry.sdk.trace import TracerProvider  # noqa: E402
from sinks import HttpSink  # noqa: E402
from spanloom.step import Content, Kind, Message, Step, Text  # noqa: E402
from spanloom.usage import Usage  # noqa: E402

from tests.collector.servers import Collector  # noqa: E402

SPANS, SENDERS, TRACES = 10, 2, 40  # of one trace; threads; traces in one request
WAIT = ("--decision-wait", 10, "--after-root", 2)


class Answering(ThreadingHTTPServer):
    """A backend that reads a request, counts it and says yes."""

    daemon_threads = True

    def __init__(self):
        self.bytes = self.count = 0
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                server.bytes += len(self.rfile.read(int(self.headers["Content-Length"])))
                server.count += 1
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        threading.Thread(target=self.serve_forever, daemon=True).start()


def sample() -> ExportTraceServiceRequest:
    """One trace as an application sends it, all in one request."""
    sink = HttpSink()
    destination = spanloom.Otlp(sink.url, behind_collector=True, compression="none")
    with spanloom.configure(destination, tracer_provider=TracerProvider(shutdown_on_exit=False)) as loom:
        recorder = loom.recorder
        said = "What is in the shop today, and what does it cost? " * 20
        recorder.open(Step("top", Kind.AGENT, "agent", agent_name="shop"))
        for index in range(SPANS - 3):
            recorder.open(Step(f"s{index}", Kind.CHAIN, "node"), parent="top")
            recorder.close(f"s{index}")
        for index in range(2):
            recorder.open(
                Step(
                    f"m{index}", Kind.LLM, "model", provider="openai", request_model="gpt-4o", usage=Usage(300, 200),
                    content=Content(
                        input_messages=(Message("user", (Text(said),)),),
                        output_messages=(Message("assistant", (Text(said),)),),
                    ),
                ),
                parent="top",
            )  # fmt: skip
            recorder.close(f"m{index}")
        recorder.close("top")
        assert loom.flush(10)
    message = ExportTraceServiceRequest()
    for request in sink.requests:
        message.MergeFrom(ExportTraceServiceRequest.FromString(request.body))
    sink.close()
    return message


class Load:
    """Requests of new traces; every two-hundredth trace has an error."""

    def __init__(self, one: ExportTraceServiceRequest):
        self.message = ExportTraceServiceRequest()
        for _ in range(TRACES):
            self.message.MergeFrom(one)
        body = self.message.SerializeToString()
        first = next(s for r in one.resource_spans for sc in r.scope_spans for s in sc.spans)
        self.old, self.body = first.trace_id, body
        self.bytes = len(body) / TRACES / SPANS

    def next(self) -> bytes:
        """The same request with other trace ids in place of the old: encoding would cost more than receiving."""
        pieces = self.body.split(self.old)
        ids = [secrets.token_bytes(16) for _ in range(TRACES)]
        out = [pieces[0]]
        for index, piece in enumerate(pieces[1:]):
            out += [ids[min(TRACES - 1, index // SPANS)], piece]
        return b"".join(out)


def drive(collector: Collector, load: Load, seconds: float) -> tuple[int, float]:
    """Spans acknowledged, and the seconds it took."""
    ready = deque(load.next() for _ in range(400))
    end, counts = time.monotonic() + seconds, [0] * SENDERS

    def send(index):
        connection = http.client.HTTPConnection("127.0.0.1", collector.http, timeout=30)
        while time.monotonic() < end:
            body = ready.popleft() if ready else load.next()
            try:
                connection.request("POST", "/v1/traces", body, {"Content-Type": "application/x-protobuf"})
                answer = connection.getresponse()
                answer.read()
                took = answer.status == 200
            except OSError:
                took = False
                connection.close()
            if took:
                counts[index] += TRACES * SPANS
            else:
                time.sleep(0.05)
        connection.close()

    started = time.monotonic()
    threads = [threading.Thread(target=send, args=(index,)) for index in range(SENDERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts), time.monotonic() - started


def told(name, collector, spans, seconds, before):
    cpu = collector.cpu_seconds() - before
    print(
        f"{name:34} {spans / seconds:9,.0f} spans/s   {cpu / spans * 1e6:6.1f} CPU s a million spans   "
        f"{cpu / seconds:4.2f} cores   {collector.memory_mib():5.0f} MiB at most",
        flush=True,
    )


def main(seconds: float) -> None:
    load = Load(sample())
    model = next((line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")), "")
    print(
        f"{os.cpu_count()} cores, {model.partition(': ')[2]}; {load.bytes:,.0f} bytes a span; {seconds:g} s each\n",
        flush=True,
    )
    backend = Answering()
    to = ("--otlp-endpoint", backend.url, "--langfuse-url", backend.url, "--memory-mib", 4096, "--max-traces", 200_000)
    with tempfile.TemporaryDirectory() as home:
        cases = {
            "sampler, keeps 5%": ("--tier", "sampler", *to, *WAIT),
            "sampler, keeps 20%": ("--tier", "sampler", *to, *WAIT, "--keep", 0.2),
            "keeps all, redacted": ("--tier", "sampler", *to, "--keep", 1, "--content", "redacted"),
            "keeps all, content as it is": (
                "--tier", "sampler", *to, "--keep", 1, "--content", "full", "--langfuse-content", "full",
            ),
        }  # fmt: skip
        for index, (name, options) in enumerate(cases.items()):
            with Collector(Path(home) / str(index), *options) as collector:
                before = collector.cpu_seconds()
                spans, took = drive(collector, load, seconds)
                told(name, collector, spans, took, before)
        sampler_options = ("--tier", "sampler", *to, *WAIT)
        with Collector(Path(home) / "s", *sampler_options) as sampler:
            options = ("--tier", "gateway", "--balance", "routing", "--insecure", "--sampler", sampler.address)
            with Collector(Path(home) / "g", *options, "--memory-mib", 4096) as gateway:
                before, theirs = gateway.cpu_seconds(), sampler.cpu_seconds()
                spans, took = drive(gateway, load, seconds)
                told("both tiers: the gateway", gateway, spans, took, before)
                told("both tiers: the sampler, keeps 5%", sampler, spans, took, theirs)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=15.0)
    main(parser.parse_args().seconds)
