"""The real Collector, built once by OpenTelemetry's builder from Go modules and kept outside of the checkout.

`python tests/collector/binary.py` builds it where it is missing (two to three minutes on two cores) and prints where
it is: `$XDG_CACHE_HOME/spanloom/collector/<version>-<hash of the manifest>/otelcol`.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

MANIFEST = Path(__file__).with_name("manifest.yaml")
BUILDER = "go.opentelemetry.io/collector/cmd/builder"
BUILD_DEADLINE = 1800.0  # seconds


def place() -> Path:
    """Where the binary of this manifest is, or will be."""
    text = MANIFEST.read_bytes()
    kept = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "spanloom" / "collector"
    return kept / f"{_version()}-{hashlib.sha256(text).hexdigest()[:12]}" / "otelcol"


def built() -> Path:
    """The binary, built where it is missing. Two callers at once build it once."""
    path = place()
    if path.exists():
        return path
    if shutil.which("go") is None:
        sys.exit("The Collector is built from Go modules: install Go 1.25 or newer, and run `make collector` again.")
    path.parent.mkdir(parents=True, exist_ok=True)
    with (path.parent / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            _build(path)
    return path


def _build(path: Path) -> None:
    with tempfile.TemporaryDirectory(dir=path.parent) as work:
        variables = {**os.environ, "GOBIN": work}
        builder = f"{BUILDER}@v{_version()}"
        subprocess.run(["go", "install", builder], check=True, env=variables, timeout=BUILD_DEADLINE)
        subprocess.run([f"{work}/builder", f"--config={MANIFEST}"], check=True, cwd=work, timeout=BUILD_DEADLINE)
        Path(work, "build", "otelcol").rename(path)


def _version() -> str:
    found = re.search(r"^  version: (\S+)$", MANIFEST.read_text(), re.MULTILINE)
    assert found is not None
    return found[1]


if __name__ == "__main__":
    print(built())
