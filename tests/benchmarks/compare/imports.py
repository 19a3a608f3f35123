"""How much longer an application takes to start: in fresh interpreters, the framework's own imports done before."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from statistics import median

from . import environments
from .subjects import NOOP, SUBJECTS

_FRAMEWORK = {
    "langchain": (
        "langchain_core.callbacks", "langchain_core.documents", "langchain_core.language_models",
        "langchain_core.messages", "langchain_core.output_parsers", "langchain_core.prompts",
        "langchain_core.retrievers", "langchain_core.runnables", "langchain_core.tools",
    ),
    "llama_index": ("llama_index.core",),
}  # fmt: skip

_PROGRAM = """
import importlib, json, sys, time
subject, framework, url, *modules = sys.argv[1:]
from compare import subjects
began = time.perf_counter()
for module in modules:
    importlib.import_module(module)
alone = time.perf_counter()
made = subjects.make(subject)
there = time.perf_counter()
made.load(framework)
loaded = time.perf_counter()
made.start(framework, url)
started = time.perf_counter()
print(json.dumps([alone - began, loaded - there, started - there]), flush=True)
import os
os._exit(0)
"""


def import_times(
    subjects: list[str],
    frameworks: list[str],
    url: str,
    repeats: int,
    tell: Callable[[str], None] = lambda _: None,
    *,
    local: bool = False,
) -> dict[str, dict[str, dict[str, float]]]:
    """By framework and subject, in milliseconds of `repeats` fresh processes each, in turns: the minimum and median of
    `import_ms`, what users import, and of `ready_ms`, that and the set-up; both after the framework. `framework_ms` is
    the framework's own import."""
    out: dict[str, dict[str, dict[str, float]]] = {}
    for framework in frameworks:
        times: dict[str, list[list[float]]] = {subject: [] for subject in subjects if subject != NOOP}
        for number in range(repeats + 1):
            for subject, seen in times.items():
                tell(f"importing, {number} of {repeats}: {framework} {subject}")
                one = _once(subject, framework, url, local)
                if number:  # the first writes the bytecode
                    seen.append(one)
        out[framework] = {
            subject: {
                f"{name}_ms_{word}": of([one[n] * 1e3 for one in seen])
                for n, name in enumerate(("framework", "import", "ready"))
                for word, of in (("min", min), ("median", median))
            }
            for subject, seen in times.items()
        }
    return out


def _once(subject: str, framework: str, url: str, local: bool) -> list[float]:
    environment = SUBJECTS[subject].environment
    done = subprocess.run(
        [
            sys.executable if local else environments.python(environment),
            "-c",
            _PROGRAM,
            subject,
            framework,
            url,
            *_FRAMEWORK[framework],
        ],
        env=environments.variables(environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        check=True,
        text=True,
    )
    times: list[float] = json.loads(done.stdout.strip().rpartition("\n")[2])
    return times
