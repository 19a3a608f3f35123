"""A subject at work: the process that is measured.

`python -m compare.worker SUBJECT FRAMEWORK URL` reads commands on its standard input, a JSON object a line, and answers
each with one on its standard output. What libraries print goes to the standard error.
"""

from __future__ import annotations

import asyncio
import concurrent.futures.thread
import gc
import json
import os
import resource
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from . import subjects, workloads
from .subjects.switch import Switch

_SETTLE = 0.02
"""Seconds of doing nothing after a flush, for threads that finish what they began."""


class PoolTime:
    """Seconds of CPU that the application's own pools of threads spend, since `install`.

    LangChain runs the branches of a parallel and LangGraph its tools in pools: a tracer's callbacks run there too,
    within the request. What pools do is measured item by item; the threads of exporters are no pools.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self._lock = threading.Lock()

    def install(self) -> None:
        item: Any = concurrent.futures.thread._WorkItem
        run = item.run

        def timed(work: Any, *given: Any) -> None:  # since Python 3.14 it is given a context
            began = time.thread_time()
            try:
                run(work, *given)
            finally:
                spent = time.thread_time() - began
                with self._lock:
                    self.seconds += spent

        item.run = timed


class Worker:
    """One subject, with one framework's workloads built, and a no-op handler to hold it against; the subject is on."""

    def __init__(self, subject: str, framework: str, url: str) -> None:
        self._runs = workloads.build(framework)
        self._nothing = self._start(subjects.NOOP, framework, url)
        self._nothing.off()
        self._subject = self._start(subject, framework, url)
        self._at_work = self._subject
        self._loop = asyncio.new_event_loop()
        self._number = {self._nothing: 0, self._subject: 0}
        self._pools = PoolTime()
        self._pools.install()

    @staticmethod
    def _start(name: str, framework: str, url: str) -> Switch:
        made = subjects.make(name)
        made.load(framework)
        return Switch(made, framework, url)

    def block(self, workload: str, runs: int, noop: bool) -> dict[str, Any]:
        """Do `runs` runs, under the no-op handler or under the subject, and send all of their spans.

        `thread` and `process` are the seconds of CPU that the application's thread and its pools spent on the runs, and
        that all threads spent on the runs and on sending; `wall` are the seconds of each run by the clock. The runs of
        the two go by the same numbers: block by block they are the same.

        What there is before a block the garbage collector need not look at in it. A full collection of all that the
        frameworks import takes some 60 ms, and one of what a tracer keeps may take as long; it would fall into one
        block and not into the next, and into the no-op handler's, too. What comes to be in a block is collected there.
        """
        self._switch(self._nothing if noop else self._subject)
        gc.collect()
        gc.freeze()
        thread, process = time.thread_time() + self._pools.seconds, time.process_time()
        wall = self.do(workload, runs)
        thread = time.thread_time() + self._pools.seconds - thread
        self.flush()
        time.sleep(_SETTLE)
        process = time.process_time() - process
        return {"thread": thread, "process": process, "wall": wall}

    def _switch(self, to: Switch) -> None:
        if to is not self._at_work:
            self._at_work.off()
            to.on()
            self._at_work = to

    def do(self, workload: str, runs: int) -> list[float]:
        """Do `runs` runs; how many seconds each took by the clock."""
        first = self._number[self._at_work]
        self._number[self._at_work] += runs
        config = self._at_work.config
        if workload == "w6":
            together: list[float] = self._loop.run_until_complete(self._runs["w6"](first, runs, config))
            return together
        run, clock, wall = self._runs[workload], time.perf_counter, []
        for number in range(first, first + runs):
            began = clock()
            run(number, config)
            wall.append(clock() - began)
        return wall

    def flush(self) -> None:
        """Send all that has ended."""
        self._at_work.subject.flush()

    def many(self, workload: str, runs: int) -> dict[str, Any]:
        """Do `runs` runs, and send all of their spans, for what they leave behind."""
        self.do(workload, runs)
        self.flush()
        return {}

    @staticmethod
    def state() -> dict[str, Any]:
        """Bytes that are resident, and bytes of all objects that the garbage collector knows."""
        gc.collect()
        return {"resident": _memory("VmRSS"), "objects": sum(sys.getsizeof(o) for o in gc.get_objects())}

    @staticmethod
    def memory() -> dict[str, Any]:
        """The most bytes that were resident."""
        return {"peak": _memory("VmHWM")}


def _memory(line: str) -> int:
    """Of Linux's own account; elsewhere always the most there was."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
    except OSError:
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else most * 1024
    return next(int(said.split()[1]) * 1024 for said in status.splitlines() if said.startswith(line))


def _commands() -> Iterator[dict[str, Any]]:
    for line in sys.stdin:
        yield json.loads(line)


def main() -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    worker = Worker(*sys.argv[1:4])
    print(json.dumps({"ready": True, **worker.memory()}), file=answers, flush=True)
    for command in _commands():
        answer = getattr(worker, command.pop("do"))(**command)
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
