"""Real Collectors on 127.0.0.1, each with a configuration that `spanloom collector-config` wrote."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
import urllib.request
from pathlib import Path

import pytest
from click.testing import CliRunner
from spanloom.cli import main

from tests.collector.binary import built
from tests.receivers.servers import free_ports

START_DEADLINE = 60.0  # seconds
KEYS = {"LANGFUSE_PUBLIC_KEY": "pk-lf-1", "LANGFUSE_SECRET_KEY": "sk-lf-1", "OTLP_API_KEY": "k-1"}


def configuration(*options) -> str:
    """What the command writes."""
    made = CliRunner().invoke(main, ["collector-config", *map(str, options)])
    assert made.exit_code == 0, made.output
    return made.output


class Collector:
    """One Collector in the folder `home`; a context manager. `url` takes OTLP over HTTP, `address` over gRPC."""

    def __init__(self, home: Path, *options, edit=lambda text: text):
        home.mkdir(parents=True, exist_ok=True)
        self.http, self.grpc, self.health, self.metrics_port = free_ports(4)
        self.url, self.address = f"http://127.0.0.1:{self.http}", f"127.0.0.1:{self.grpc}"
        self.file, self.log, self.queue = home / "config.yaml", home / "otelcol.log", home / "queue"
        ports = {"http": self.http, "grpc": self.grpc, "health": self.health, "metrics": self.metrics_port}
        self.file.write_text(
            edit(
                configuration(
                    "--listen", "127.0.0.1", "--queue", self.queue, *options,
                    *(text for name, port in ports.items() for text in (f"--{name}-port", port)),
                )
            )
        )  # fmt: skip
        self.process: subprocess.Popen | None = None

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def start(self):
        with self.log.open("a") as log:
            self.process = subprocess.Popen(
                [built(), f"--config={self.file}"],
                stdout=log, stderr=subprocess.STDOUT, cwd=self.file.parent,
                env={"PATH": os.environ["PATH"], "HOME": str(self.file.parent), **KEYS},
            )  # fmt: skip
        deadline = time.monotonic() + START_DEADLINE
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.health}/", timeout=5):
                    return
            except OSError:
                time.sleep(0.02)
        self.stop()
        pytest.fail(f"the Collector did not start:\n{self.log.read_text()[-3000:]}")

    def kill(self):
        """As the system does: no chance to put anything away."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(20)

    def stop(self):
        """In order: what is undecided is decided, and what can be sent is."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.kill()

    def metric(self, name: str) -> float:
        """The sum of one of its own counters over all of its series; 0 before the first."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}/metrics", timeout=5) as answer:
            text = answer.read().decode()
        return sum(float(value) for value in re.findall(rf"^{name}(?:\{{.*\}})? (\S+)$", text, re.MULTILINE))

    def memory_mib(self) -> float:
        """Resident, at its highest."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 1024

    def cpu_seconds(self) -> float:
        """User and system time so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
