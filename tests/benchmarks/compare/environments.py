"""An environment a subject, made once of `requirements/` and kept in `.venvs/bench-…`.

`SPANLOOM_BENCH_VENVS` names another folder for them, so that several checkouts can share the peers'. Spanloom itself is
never installed: its dependencies are, by `pyproject.toml`, and the package is imported from the checkout that the
command runs in.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

HERE = Path(__file__).resolve().parent
CHECKOUT = HERE.parents[2]
_CONSTRAINTS = CHECKOUT / "constraints.txt"
_OURS = "spanloom"
_SETTINGS = ("OTEL_", "LANGFUSE_", "LANGSMITH_", "LANGCHAIN_", "TRACELOOP_", "PYTHONDONTWRITEBYTECODE")
SOURCES = (
    CHECKOUT / "core/spanloom",
    CHECKOUT / "integrations/langchain/spanloom_langchain",
    CHECKOUT / "integrations/llama_index/spanloom_llama_index",
)


def folder(name: str) -> Path:
    """Where environment `name` is. Ours is one for each set of dependencies: checkouts share it or not."""
    called = f"bench-{name}-{_digest(name)[:8]}" if name == _OURS else f"bench-{name}"
    return Path(os.environ.get("SPANLOOM_BENCH_VENVS", CHECKOUT / ".venvs")).resolve() / called


def python(name: str) -> Path:
    """The interpreter of environment `name`, which is made or brought up to date where it has to be."""
    made, digest = folder(name), _digest(name)
    stamp = made / "requirements.sha256"
    if not (stamp.exists() and stamp.read_text(encoding="ascii") == digest):
        print(f"making {made}", file=sys.stderr, flush=True)
        _make(made, _requirements(name))
        stamp.write_text(digest, encoding="ascii")
    return made / "bin/python"


def variables(name: str) -> dict[str, str]:
    """The environment variables of a process of environment `name`: ours is on its path, settings of yours are not."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(_SETTINGS)}
    paths = [HERE.parent, *(source.parent for source in SOURCES if name == _OURS)]
    return {
        **kept,
        "PYTHONPATH": os.pathsep.join(map(str, paths)),
        "PYTHONHASHSEED": "0",
        "TRACELOOP_TELEMETRY": "false",
        "LANGSMITH_TRACING": "false",
    }


def size(name: str) -> int:
    """Bytes of what is installed in environment `name`, without compiled bytecode; ours counts the checkout's files."""
    roots = list((folder(name) / "lib").glob("python*/site-packages"))
    roots += SOURCES if name == _OURS else []
    files = (path for root in roots for path in root.rglob("*") if path.is_file() and not path.is_symlink())
    return sum(path.stat().st_size for path in files if "__pycache__" not in path.parts)


def _requirements(name: str) -> list[str]:
    if name != _OURS:
        return ["-r", str(HERE / f"requirements/{name}.txt")]
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return ["-r", str(HERE / "requirements/framework.txt"), *project["dependencies"]]


def _digest(name: str) -> str:
    """Of all that decides what is installed."""
    files = [*sorted((HERE / "requirements").glob("*.txt")), _CONSTRAINTS]
    wanted = [w for w in _requirements(name) if not w.startswith("/")]
    texts = [sys.version, name, *wanted, *(file.read_text(encoding="utf-8") for file in files)]
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()


def versions(name: str) -> dict[str, str]:
    """What is installed in environment `name`: package to version."""
    found = (
        path.name.removesuffix(".dist-info")
        for path in (folder(name) / "lib").glob("python*/site-packages/*.dist-info")
    )
    return dict(sorted(tuple(f.rsplit("-", 1)) for f in found))


def _make(made: Path, wanted: list[str]) -> None:
    shutil.rmtree(made, ignore_errors=True)
    made.parent.mkdir(parents=True, exist_ok=True)
    variables = {**os.environ, "UV_LINK_MODE": "copy"}
    wanted = [*wanted, "-c", str(_CONSTRAINTS)]
    if uv := shutil.which("uv"):
        commands = [
            [uv, "venv", "--quiet", "--python", sys.executable, str(made)],
            [uv, "pip", "install", "--quiet", "--python", str(made / "bin/python"), *wanted],
        ]
    else:
        commands = [
            [sys.executable, "-m", "venv", "--without-pip", str(made)],
            [sys.executable, "-m", "pip", "--python", str(made / "bin/python"), "install", "--quiet", *wanted],
        ]
    for command in commands:
        subprocess.run(command, check=True, env=variables)
