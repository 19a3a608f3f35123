"""An application in a process of its own: it does what it is told on its standard input, a JSON list a line.

`["record", spans, seconds]` and the like; each is answered by one line of JSON.
"""

from __future__ import annotations

import json
import logging
import os
import resource
import sys
import threading
import time

import spanloom
from spanloom import ContentPolicy, Langfuse, Otlp
from spanloom.step import Content, Kind, Message, Outcome, Step, Text
from spanloom.usage import Usage

KINDS = {"Otlp": Otlp, "Langfuse": Langfuse}


class App:
    def __init__(self, destinations: list) -> None:
        made = [KINDS[kind](**{**options, "content": ContentPolicy.full()}) for kind, options in destinations]
        self.loom = spanloom.configure(*made)
        self.count = 0
        self.ended: list[str] = []

    def record(self, spans: int, seconds: float, text: int = 500):
        """Traces of two spans over about so many seconds; microseconds of the application's thread for one trace."""
        taken = []
        each = seconds * 2 / spans
        for _ in range(spans // 2):
            begun = time.perf_counter()
            self._trace(text)
            over = time.perf_counter()
            taken.append(over - begun)
            if (left := each - (over - begun)) > 0:
                time.sleep(left)
        taken.sort()
        return {"p50": taken[len(taken) // 2] * 1e6, "p99": taken[int(len(taken) * 0.99)] * 1e6}

    def _trace(self, text: int) -> None:
        self.count += 1
        top, call = f"t{self.count}", f"c{self.count}"
        recorder = self.loom.recorder
        recorder.open(Step(top, Kind.CHAIN, "top"))
        step = Step(call, Kind.LLM, f"call {self.count}", provider="openai", request_model="gpt-4o-mini")
        step.usage = Usage(100, 50)
        words = f"{self.count} " * (text // 6)
        step.content = Content(
            input_messages=(Message("user", (Text(words),)),),
            output_messages=(Message("assistant", (Text(words),), finish_reason="stop"),),
        )
        recorder.open(step, top)
        for run_id in (call, top):
            step = recorder.get(run_id)
            ident = f"{step.span_id:016x}"
            recorder.close(run_id, Outcome.OK)
            self.ended.append(ident)

    def record_and_say(self, seconds: float, path: str):
        """Record until killed, and write down each span's id and moment when it has ended."""
        threading.Thread(target=self._saying, args=(seconds, path), daemon=True).start()

    def _saying(self, seconds: float, path: str) -> None:
        log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        over = time.monotonic() + seconds
        while time.monotonic() < over:
            self._trace(500)
            lines = "".join(f"{ident} {time.monotonic()}\n" for ident in self.ended[-2:])
            os.write(log, lines.encode())
            time.sleep(0.002)

    def flush(self, timeout: float):
        begun = time.monotonic()
        return {"done": self.loom.flush(timeout), "seconds": time.monotonic() - begun}

    def shutdown(self, timeout: float):
        begun = time.monotonic()
        return {"done": self.loom.shutdown(timeout), "seconds": time.monotonic() - begun}

    def stats(self):
        return self.loom.stats()["destinations"]

    def ids(self):
        return self.ended

    def clock(self, offset: float):
        """The clock on the wall jumps."""
        real = time.time_ns
        time.time = lambda: real() / 1e9 + offset
        time.time_ns = lambda: real() + int(offset * 1e9)

    def limit_file_size(self, size: int):
        """Like a full disk: no file grows beyond so many bytes; 0 lifts it."""
        _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size or hard, hard))

    def fork(self, spans: int, timeout: float):
        """A child that records too, flushes and leaves by `os._exit`; the parent goes on meanwhile."""
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            code = 1
            try:
                self.ended = []
                self.record(spans, 0.2)
                done = self.loom.shutdown(timeout)
                said = {"ids": self.ended, "done": done, "stats": self.stats()}
                with os.fdopen(write, "w") as pipe:
                    json.dump(said, pipe)
                code = 0
            finally:
                os._exit(code)
        os.close(write)
        self.record(spans, 0.2)
        with os.fdopen(read) as pipe:
            said = json.load(pipe)
        os.waitpid(child, 0)
        return said


def main() -> None:
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    app = App(json.loads(sys.argv[1]))
    print("{}", flush=True)
    for line in sys.stdin:
        what, *arguments = json.loads(line)
        print(json.dumps(getattr(app, what)(*arguments)), flush=True)
        if what == "shutdown":
            break


main()
