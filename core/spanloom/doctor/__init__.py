"""Is each destination reachable, do its credentials and its path work, does a trace come back. One sentence each."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from ..content import Category, ContentPolicy
from ..destinations.langfuse import Langfuse
from ..destinations.local import Local
from ..destinations.otlp import Otlp
from ..destinations.phoenix import Phoenix
from ..errors import ConfigurationError
from ..store import Reading, StoreError
from . import langfuse, otlp
from .asking import ask
from .finding import Finding, TroubleError
from .sample import RESOURCE, Sample, make_sample

_ALWAYS = {Category.NAMES, Category.IDENTITY, Category.TAGS}

__all__ = ["Finding", "examine", "recorded"]


def examine(destination: Any, *, timeout: float = 10.0, wait: float = 30.0) -> Iterator[Finding]:
    """What works and, up to the first that does not, what is found. `timeout` is seconds for one request, `wait` for a
    trace to come back (0: it is not read back)."""
    sample = make_sample()
    try:
        if not isinstance(destination, Local):
            destination._check()
        if isinstance(destination, Langfuse):
            yield from langfuse.examine(destination, sample, timeout, wait)
        elif isinstance(destination, Local):
            yield from _local(destination, sample)
        elif isinstance(destination, Otlp):
            yield from otlp.examine(destination, sample, timeout)
            if isinstance(destination, Phoenix) and wait > 0:
                yield _from_phoenix(destination, sample, timeout, wait)
    except (TroubleError, ConfigurationError) as trouble:
        yield Finding(False, str(trouble))


def recorded(policy: ContentPolicy) -> str:
    """What a destination gets to see of prompts and answers."""
    if policy.rules == ContentPolicy.full().rules:
        return "everything, prompts and answers included"
    if policy.rules == ContentPolicy.redacted().rules:
        return "prompts and answers, with placeholders for personal data and secrets"
    if shown := sorted(c for c in Category if c not in _ALWAYS and policy.shows(c)):
        return f"structure, and of the content: {', '.join(shown)}"
    return "structure, and hashes of prompts and answers" if policy.hashes else "structure alone"


def _local(destination: Local, sample: Sample) -> Iterator[Finding]:
    delivery = destination.open(RESOURCE, lambda: None)
    for ended in sample.spans:
        delivery.put(ended)
    delivery.stop(10.0)
    try:
        with Reading(destination.path) as reading:
            found = len(reading.spans(sample.trace_id))
    except StoreError as error:
        raise TroubleError(str(error)) from error
    if found != len(sample.spans):
        raise TroubleError(f"{destination.path} lost a trace while it was written: is the disk full?")
    yield Finding(True, f"{destination.path} took one synthetic trace, and it came back: {sample.trace_id}.")


def _from_phoenix(destination: Phoenix, sample: Sample, timeout: float, wait: float) -> Finding:
    url = f"{destination.address}/v1/projects/{destination.project_name or 'default'}/spans?limit=100"
    deadline = time.monotonic() + wait
    while time.monotonic() < deadline:
        answer = ask("GET", url, headers=destination.headers, timeout=timeout)
        if answer.ok and sample.trace_id in answer.text:
            return Finding(True, f"The trace came back: {sample.trace_id}.")
        time.sleep(0.5)
    return Finding(False, f"Phoenix took the trace, but does not show it after {wait:g} s: look at its log.")
