from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
FIGURES = Path(os.environ.get("SPANLOOM_FAULTS_JSON", "fault-table.json"))


class Process:
    """The application, in a process of its own; attributes are its commands."""

    def __init__(self, destinations, cwd, **environment):
        self.log = (cwd / f"app-{len(list(cwd.glob('app-*.log')))}.log").open("w")
        self._process = subprocess.Popen(
            [sys.executable, str(HERE / "app.py"), json.dumps(destinations)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, text=True, cwd=cwd,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path), **environment},
        )  # fmt: skip
        self._answer()

    def __getattr__(self, command):
        def run(*arguments):
            self._process.stdin.write(json.dumps([command, *arguments]) + "\n")
            self._process.stdin.flush()
            return self._answer()

        return run

    def _answer(self):
        line = self._process.stdout.readline()
        assert line, f"the application has ended: {Path(self.log.name).read_text()[-2000:]}"
        return json.loads(line)

    @property
    def said(self):
        """What it has logged."""
        return Path(self.log.name).read_text()

    def kill(self):
        """`kill -9`."""
        self._process.kill()
        self._process.wait(10)

    def wait(self):
        assert self._process.wait(60) == 0, self.said[-2000:]

    def close(self):
        self._process.kill()
        self._process.wait(10)
        self._process.stdin.close()
        self._process.stdout.close()
        self.log.close()


@pytest.fixture
def start(tmp_path):
    """Start an application with these destinations: `start(["Otlp", {…}], …)`."""
    processes = []

    def begin(*destinations, **environment):
        processes.append(Process(list(destinations), tmp_path, **environment))
        return processes[-1]

    yield begin
    for process in processes:
        process.close()


class Table:
    """The figures, printed at the end and written as JSON."""

    def __init__(self):
        self.rows = []
        self.healthy = {}

    def add(self, fault, spool, **figures):
        self.rows.append({"fault": fault, "spool": spool, **figures})


_table = Table()


@pytest.fixture
def table():
    return _table


COLUMNS = ("fault", "spool", "p99 ratio", "offered", "delivered", "dropped", "failed", "twice", "reasons")


def pytest_terminal_summary(terminalreporter):
    if not _table.rows:
        return
    FIGURES.write_text(json.dumps(_table.rows, indent=1))
    lines = [[_text(row.get(column, "")) for column in COLUMNS] for row in _table.rows]
    widths = [max(len(line[n]) for line in [COLUMNS, *lines]) for n in range(len(COLUMNS))]
    terminalreporter.section("faults")
    for line in [COLUMNS, *lines]:
        terminalreporter.write_line("  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)))


def _text(value):
    if isinstance(value, dict):
        return ", ".join(f"{name} {count}" for name, count in sorted(value.items()))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.1f}" if isinstance(value, float) else str(value)
