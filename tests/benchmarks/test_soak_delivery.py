"""A long life of delivery: many threads and tasks, receivers that come and go, and memory stays flat.

`SPANLOOM_SOAK_SPANS` is how many spans: 100,000 by default; the figures in docs/delivery.md are of 1,000,000.
"""

from __future__ import annotations

import asyncio
import os
import random
import threading
import time
from pathlib import Path

import pytest
import spanloom
from sinks import wait_until
from spanloom import ContentPolicy, Langfuse, Otlp
from spanloom.step import Content, Kind, Message, Outcome, Step, Text
from spanloom.usage import Usage

from tests.benchmarks.flapping import Flapping

SPANS = int(os.environ.get("SPANLOOM_SOAK_SPANS", "100000"))
RATE = float(os.environ.get("SPANLOOM_SOAK_RATE", "2000"))  # spans a second
THREADS, TASKS, TRACE = 32, 500, 5


class Load:
    """Traces of five spans, from threads and tasks, at `RATE` in all."""

    def __init__(self, loom) -> None:
        self.loom, self._lock, self._given = loom, threading.Lock(), 0
        self._began = time.monotonic()
        self.resident: list[int] = []

    def next(self):
        """The number of the next trace, and how long to wait for its turn; None at the end."""
        with self._lock:
            if self._given >= SPANS // TRACE:
                return None
            self._given += 1
            given = self._given
        if given % max(1, SPANS // TRACE // 50) == 0:
            self.resident.append(resident())
        return given, self._began + given * TRACE / RATE - time.monotonic()

    def top(self, number):
        self.loom.recorder.open(Step((number, 0), Kind.AGENT, "agent", agent_name="agent"))

    def calls(self, number):
        recorder = self.loom.recorder
        for n in range(1, TRACE):
            step = Step((number, n), Kind.LLM, "call", provider="openai", request_model="m", usage=Usage(10, 5))
            words = f"{number} {n} " * 40
            step.content = Content(
                input_messages=(Message("user", (Text(words),)),),
                output_messages=(Message("assistant", (Text(words),)),),
            )
            recorder.open(step, (number, 0))
            recorder.close((number, n), Outcome.ERROR if number % 50 == 0 else Outcome.OK)

    def end(self, number):
        self.loom.recorder.close((number, 0))

    def thread(self):
        while (turn := self.next()) is not None:
            number, wait = turn
            time.sleep(max(0.0, wait))
            self.top(number)
            self.calls(number)
            self.end(number)

    async def task(self):
        while (turn := self.next()) is not None:
            number, wait = turn
            await asyncio.sleep(max(0.0, wait))
            self.top(number)
            await asyncio.sleep(random.random() * 0.02)
            self.calls(number)
            self.end(number)

    async def tasks(self):
        await asyncio.gather(*(self.task() for _ in range(TASKS)))


def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads what Linux says of memory")
def test_many_threads_and_tasks_under_flapping_receivers_lose_nothing_uncounted_and_keep_memory_flat(tmp_path, capsys):
    first, second = Flapping(1), Flapping(2)
    otlp = Otlp(first.url, content=ContentPolicy.full(), spool=tmp_path / "spool.db", timeout=5)
    langfuse = Langfuse("pk", "sk", second.url, timeout=5)
    try:
        with spanloom.configure(otlp, langfuse) as loom:
            load = Load(loom)
            began = time.monotonic()
            threads = [threading.Thread(target=load.thread) for _ in range(THREADS)]
            for thread in threads:
                thread.start()
            asyncio.run(load.tasks())
            for thread in threads:
                thread.join()
            recorded = time.monotonic() - began
            first.calm()
            second.calm()
            deadline = time.monotonic() + 600

            def settled():
                loom.flush(5)
                counts = loom.stats()["destinations"].values()
                return all(c["queued"] == 0 for c in counts) or time.monotonic() > deadline

            wait_until(settled, "everything to be settled", deadline=700)
            stats = loom.stats()
    finally:
        taken = [receiver.taken() for receiver in (first, second)]
        first.close()
        second.close()
    tail = load.resident[len(load.resident) // 4 :]
    settled_at, highest = load.resident[len(load.resident) // 4], max(tail)
    with capsys.disabled():
        print(
            f"\n{SPANS:,} spans in {recorded:.0f} s; resident {settled_at / 1e6:.0f} MB, at most {highest / 1e6:.0f} MB"
        )
        for name, (spans, twice) in zip(("otlp (spool)", "langfuse"), taken, strict=True):
            counts = stats["destinations"][name.split()[0]]
            print(f"  {name}: {spans:,} at the receiver, {twice} twice; {counts}")
    for (spans, _), counts in zip(taken, stats["destinations"].values(), strict=True):
        assert counts["offered"] == SPANS // TRACE * TRACE
        assert counts["queued"] == 0
        assert spans == counts["exported"]
        assert counts["exported"] + counts["dropped"] + counts["failed"] == counts["offered"]
    spooled = stats["destinations"]["otlp"]
    assert set(spooled["reasons"]) <= {"queue_full"}, "with a spool, only what the queue could not hold"
    assert stats["steps"]["open"] == 0
    assert not stats["swallowed"]
    assert highest < settled_at * 1.25 + 40e6, f"resident memory over time: {load.resident}"
