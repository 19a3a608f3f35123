"""A long life of a tail sampler: whatever comes late, never ends or has a name of its own, memory is flat."""

from __future__ import annotations

import pytest
import spanloom
from sinks import wait_until
from spanloom import TailSampling
from spanloom.step import Kind, Outcome, Step

from tests.benchmarks.memory import Nothing, growth


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_many_thousand_traces_leave_memory_flat(monkeypatch):
    monkeypatch.setattr("spanloom.sampling.deciding.MOST_DECISIONS", 5_000)
    destination = Nothing()
    destination.sampling = TailSampling(
        always=lambda view: view.duration > 60, low_score=0.5, max_spans=2_000, hold_seconds=0.5
    )
    with spanloom.configure(destination, max_open_steps=500) as loom:

        def run(n):
            top = loom.recorder.open(Step((n, "top"), Kind.CHAIN, f"GET /users/{n}" if n % 3 else "chat"))
            loom.recorder.open(Step((n, "below"), Kind.TOOL, "tool"), (n, "top"))
            if n % 7 != 0:  # else it comes late, or never
                loom.recorder.close((n, "below"), Outcome.ERROR if n % 11 == 0 else Outcome.OK)
            loom.score("helpful", (n % 20) / 20, step=top.span)
            if n % 13 != 0:
                loom.recorder.close((n, "top"))
            if n % 1_000 == 0:
                loom.flush(60)

        def counts():
            return loom.stats()["destinations"]["nothing"]

        def settle():
            loom.flush(60)
            wait_until(lambda: counts()["waiting"] < 500, "the end of what is held")

        grown, before = growth(run, settle, warm_up=30_000, runs=60_000)
        found = counts()
    parts = ("exported", "dropped", "failed", "queued", "sampled_out", "waiting")
    assert found["offered"] == sum(found[part] for part in parts)
    assert grown < before * 0.03 + 100_000, f"{before} bytes and then {grown} more"
