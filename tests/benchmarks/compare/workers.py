"""The processes of the subjects, as the one that asks them sees them."""

from __future__ import annotations

import json
import subprocess
import sys
from types import TracebackType
from typing import Any, Self

from . import environments
from .subjects import SUBJECTS


class Process:
    """A worker that is being started; `ready` waits for it. Raises `RuntimeError` where it ends before its time.

    `local` runs it in the interpreter that runs this, which must have what the subject imports.
    """

    def __init__(self, subject: str, framework: str, url: str, *, local: bool = False, loud: bool = False) -> None:
        self.subject, self.framework = subject, framework
        environment = SUBJECTS[subject].environment
        python = sys.executable if local else str(environments.python(environment))
        self._process = subprocess.Popen(
            [python, "-m", "compare.worker", subject, framework, url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=None if loud else subprocess.DEVNULL,
            env=environments.variables(environment),
            text=True,
        )

    def ready(self) -> dict[str, Any]:
        return self._answer()

    def ask(self, do: str, **arguments: Any) -> dict[str, Any]:
        """Have `Worker.do(**arguments)` done, and wait for what it says."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": do, **arguments}) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            status = self._process.wait()
            raise RuntimeError(f"{self.subject} on {self.framework} ended with status {status}: --loud shows why")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def close(self) -> None:
        self._process.kill()  # the exit of some waits long for a receiver
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()


class Crew:
    """Workers for each subject and framework, started together; closed at the end of the block."""

    def __init__(
        self, subjects: list[str], frameworks: list[str], url: str, *, local: bool = False, loud: bool = False
    ) -> None:
        self._members: dict[tuple[str, str], Process] = {}
        try:
            for framework in frameworks:
                for subject in subjects:
                    member = Process(subject, framework, url, local=local, loud=loud)
                    self._members[subject, framework] = member
            for member in self._members.values():
                member.ready()
        except BaseException:
            self.close()
            raise

    def __getitem__(self, key: tuple[str, str]) -> Process:
        return self._members[key]

    def close(self) -> None:
        for member in self._members.values():
            member.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()
