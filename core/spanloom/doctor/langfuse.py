"""Langfuse: is it there, do the keys fit it, or another region; does a trace come back."""

from __future__ import annotations

import time
from collections.abc import Iterator

from ..destinations.langfuse import Langfuse
from .asking import ask, place
from .finding import Finding, TroubleError
from .otlp import encoded, refusal, send
from .sample import RESOURCE, Sample

REGIONS = {
    "EU": "https://cloud.langfuse.com",
    "US": "https://us.cloud.langfuse.com",
    "Japan": "https://jp.cloud.langfuse.com",
    "HIPAA": "https://hipaa.cloud.langfuse.com",
}
_PAUSE = 0.5  # seconds between two attempts to read back


def examine(destination: Langfuse, sample: Sample, timeout: float, wait: float) -> Iterator[Finding]:
    """Address, keys, one trace there, and back within `wait` seconds (0: not read back)."""
    base, keys = destination.address, destination._keys()
    where = place(base)
    health = ask("GET", f"{base}/api/public/health", timeout=timeout)
    if health.status_code in (404, 405) or health.headers.get("Content-Type", "").startswith("text/html"):
        raise TroubleError(
            f"No Langfuse answers at {base}: LANGFUSE_BASE_URL is the address of its web page, without a path."
        )
    projects = ask("GET", f"{base}/api/public/projects", headers=keys, timeout=timeout)
    if projects.status_code in (401, 403):
        raise TroubleError(_refused(base, keys, timeout))
    if (sentence := refusal(projects.status_code, f"{base}/api/public/projects")) is not None:
        raise TroubleError(sentence)
    yield Finding(True, f"{where} knows the keys{_project(projects)}.")
    destination._resource = RESOURCE
    url = f"{base}/api/public/otel/v1/traces"
    send(url, {**keys, "x-langfuse-ingestion-version": "4"}, encoded(destination, sample), timeout)
    yield Finding(True, f"{where} took one synthetic trace.")
    if wait > 0:
        yield _read_back(base, keys, sample, timeout, wait)


def _refused(base: str, keys: dict[str, str], timeout: float) -> str:
    """Keys belong to one region: ask the others, which are all Langfuse's own, where this is one of them."""
    if base in REGIONS.values():
        for region, other in REGIONS.items():
            if other == base:
                continue
            try:
                known = ask("GET", f"{other}/api/public/projects", headers=keys, timeout=timeout).ok
            except TroubleError:
                continue
            if known:
                return f"The keys belong to the region {region}, not to {base}: set LANGFUSE_BASE_URL={other}."
    return (
        f"{place(base)} refuses the keys: check LANGFUSE_PUBLIC_KEY and LANGFUSE_SECRET_KEY, and that the project is "
        "of this server or region (LANGFUSE_BASE_URL)."
    )


def _project(answer: object) -> str:
    try:
        names = [project["name"] for project in answer.json()["data"]]  # type: ignore[attr-defined]
    except Exception:  # another version's answer
        return ""
    return f" (project {', '.join(names)})" if names else ""


def _read_back(base: str, keys: dict[str, str], sample: Sample, timeout: float, wait: float) -> Finding:
    deadline = time.monotonic() + wait
    status = 404
    while time.monotonic() < deadline:
        status = ask("GET", f"{base}/api/public/traces/{sample.trace_id}", headers=keys, timeout=timeout).status_code
        if status == 200:  # noqa: PLR2004
            return Finding(True, f"The trace came back: {sample.trace_id}.")
        time.sleep(_PAUSE)
    return Finding(
        False,
        f"{place(base)} took the trace, but does not show it after {wait:g} s ({status}): look at its worker, or "
        "wait longer with --wait.",
    )
