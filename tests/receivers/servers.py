"""Third parties' servers: each installed once into an environment of its own under `.venvs/`, ended by its pid."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

VENVS = Path(__file__).parents[2] / ".venvs"
CONSTRAINTS = Path(__file__).parent / "constraints"  # what each was tested with: pip freeze of its environment
START_DEADLINE = 180.0  # seconds; the large ones take up to 60 on a busy machine
READ_DEADLINE = 60.0
INSTALL_DEADLINE = 1200.0  # 600 MB


def environment(name, *packages):
    """The `bin` folder of a virtual environment that holds `packages`, the rest as `constraints/<name>.txt` says."""
    venv, constraints = VENVS / name, CONSTRAINTS / f"{name}.txt"
    ready, wanted = venv / ".ready", "\n".join((*packages, constraints.read_text()))
    if not ready.exists() or ready.read_text() != wanted:
        subprocess.run([sys.executable, "-m", "venv", "--clear", venv], check=True, timeout=120)
        pip = [venv / "bin" / "pip", "install", "--quiet", "--constraint", constraints, *packages]
        subprocess.run(pip, check=True, timeout=INSTALL_DEADLINE)
        ready.write_text(wanted)
    return venv / "bin"


def free_ports(count):
    held = [socket.socket() for _ in range(count)]
    try:
        for one in held:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in held]
    finally:
        for one in held:
            one.close()


class Server:
    """A server in a process of its own, in the empty folder `home`; a context manager. `url` is its address."""

    def __init__(self, command, home, port, *, ready, **variables):
        self.url, self._ready = f"http://127.0.0.1:{port}", ready
        self._command, self._home, self._log = command, home, home / "server.log"
        self._variables = {"PATH": f"{command[0].parent}:{os.environ['PATH']}", "HOME": str(home), **variables}

    def __enter__(self):
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                self._command, stdout=log, stderr=subprocess.STDOUT, env=self._variables, cwd=self._home
            )
        deadline = time.monotonic() + START_DEADLINE
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                with urllib.request.urlopen(self.url + self._ready, timeout=5):
                    return self
            except OSError:
                time.sleep(0.1)
        self.__exit__()
        pytest.fail(f"{self._command[0].name} did not start:\n{self._log.read_text()[-2000:]}")

    def __exit__(self, *_):
        self._process.terminate()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(20)

    def json(self, path, body=None):
        """The answer to a GET of `path`, or to a POST of `body`."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{path}: {error.code} {error.read()[:500]!r}") from error


def tree(parents, label):
    """The nested `(*label(id), [children])` of `{id: parent id}`, whose order stays."""

    def below(parent):
        return [(*label(id), below(id)) for id, above in parents.items() if above == parent]

    return below(None)
