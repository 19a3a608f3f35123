"""Datadog's test agent, for all tests; the larger receivers are started by the tests that need them."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
import urllib.request

import pytest

from tests.receivers.servers import environment, free_ports

START_DEADLINE = 60.0


class TestAgent:
    """Datadog's test agent, which takes OTLP over HTTP and gRPC and shows what it received."""

    __test__ = False

    def __init__(self, command, log):
        agent, self.http, self.grpc = free_ports(3)
        self.log = log
        with log.open("w") as output:
            self.process = subprocess.Popen(
                [
                    command, "--host", "127.0.0.1", "--port", str(agent), "--otlp-http-port", str(self.http),
                    "--otlp-grpc-port", str(self.grpc), "--disable-llmobs-data-forwarding",
                ],
                stdout=output,
                stderr=subprocess.STDOUT,
                env={"PATH": os.environ["PATH"]},
                cwd=log.parent,
            )  # fmt: skip

    def wait(self):
        deadline = time.monotonic() + START_DEADLINE
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                break
            try:
                self.get("/test/session/traces", "readiness")
                with socket.create_connection(("127.0.0.1", self.grpc), timeout=1):
                    return
            except OSError:
                time.sleep(0.05)
        pytest.fail(f"the test agent did not start:\n{self.log.read_text()[-2000:]}")

    def get(self, path, token):
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.http}{path}", headers={"X-Datadog-Test-Session-Token": token}
        )
        with urllib.request.urlopen(request, timeout=5) as answer:
            return json.load(answer)

    def end(self):
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(10)


@pytest.fixture(scope="session")
def agent(tmp_path_factory):
    command = environment("ddapm", "ddapm-test-agent==1.69.1") / "ddapm-test-agent"
    agent = TestAgent(command, tmp_path_factory.mktemp("ddapm") / "agent.log")
    try:
        agent.wait()
        yield agent
    finally:
        agent.end()
