"""Real servers and workers that run the examples, each in processes of their own, beside a receiver."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import suppress
from pathlib import Path

import pytest
import sinks

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "processes"
START_DEADLINE = 60.0
END_DEADLINE = 30.0
_KEPT = ("PATH", "PYTHONPATH", "VIRTUAL_ENV")


@pytest.fixture
def sink():
    sink = sinks.HttpSink()
    yield sink
    sink.close()


class Running:
    """One command of the environment's `bin`, in a copy of the examples' folder; killed at the end if it has to be."""

    def __init__(self, command, folder, sink, **variables):
        self.folder, self.log = folder, folder / f"{Path(command[0]).name}.log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                command,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=folder,
                env={k: os.environ[k] for k in _KEPT if k in os.environ}
                | {"OTEL_EXPORTER_OTLP_ENDPOINT": sink.url, "HOME": str(folder), "PYTHONUNBUFFERED": "1"}
                | variables,
                start_new_session=True,  # its children may outlive it: they are ended by their group
            )

    def says(self, text, times=1):
        """Wait until its log has `text` so many times."""
        deadline = time.monotonic() + START_DEADLINE
        while (found := self.log.read_text()).count(text) < times:
            assert self.process.poll() is None, f"it ended ({self.process.returncode}):\n{found[-4000:]}"
            assert time.monotonic() < deadline, f"it did not say {text!r}:\n{found[-4000:]}"
            time.sleep(0.01)

    def ends(self, number=signal.SIGTERM):
        """Send it the signal, and wait until it has ended: what it said."""
        self.process.send_signal(number)
        try:
            self.process.wait(END_DEADLINE)
        except subprocess.TimeoutExpired:
            pytest.fail(f"it did not end:\n{self.log.read_text()[-4000:]}")
        said = self.log.read_text()
        assert "Traceback" not in said, said[-4000:]
        assert "spanloom failed" not in said, said[-4000:]
        return said

    def kill(self):
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@pytest.fixture
def example(tmp_path):
    """The folder of the examples, to run and to write in."""
    return Path(shutil.copytree(EXAMPLES, tmp_path / "app", ignore=shutil.ignore_patterns("__pycache__")))


@pytest.fixture
def start(example, sink):
    running = []

    def start(name, *arguments, **variables):
        running.append(Running([Path(sys.executable).parent / name, *arguments], example, sink, **variables))
        return running[-1]

    yield start
    for one in running:
        one.kill()


class Served:
    """A web server; `get` asks it, waiting for it to be there."""

    def __init__(self, port):
        self.address = ("127.0.0.1", port)

    def connected(self):
        deadline = time.monotonic() + START_DEADLINE
        while True:
            try:
                return socket.create_connection(self.address, timeout=5)
            except OSError:
                assert time.monotonic() < deadline, "nobody listens"
                time.sleep(0.02)

    def get(self, path):
        self.connected().close()
        with urllib.request.urlopen(f"http://127.0.0.1:{self.address[1]}{path}", timeout=START_DEADLINE) as answer:
            return answer.read().decode()


@pytest.fixture
def served():
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return Served(held.getsockname()[1])
