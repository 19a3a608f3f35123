"""A receiver in a process of its own that comes and goes by the second; at the end it says what it has."""

from __future__ import annotations

import json
import multiprocessing
import random
import threading

from tests.faults.receiver import Receiver

MODES = ("ok", "503", "ok", "gone", "ok", "busy", "ok", "500", "ok", "cut")


class Flapping:
    """`url` is where it listens; `calm()` makes it well for good; `taken()` says how many spans, and how many twice."""

    def __init__(self, seed: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, seed), daemon=True)
        self._process.start()
        self.url = self._pipe.recv()

    def calm(self) -> None:
        self._ask("calm")

    def taken(self) -> tuple[int, int]:
        spans, twice = json.loads(self._ask("taken"))
        return spans, twice

    def close(self) -> None:
        self._ask("close")
        self._process.join(10)

    def _ask(self, what: str) -> str:
        self._pipe.send(what)
        return self._pipe.recv()


def _serve(pipe, seed: int) -> None:
    receiver, chance, over = Receiver(), random.Random(seed), threading.Event()
    receiver.retry_after, receiver.until = "1", float("inf")
    pipe.send(receiver.url)

    def flap() -> None:
        turn = 0
        while not over.wait(chance.uniform(0.3, 1.5)):
            turn += 1
            mode = MODES[turn % len(MODES)]
            if mode == "gone":
                receiver.go()
                with receiver.hold():
                    over.wait(chance.uniform(0.3, 1.5))
                receiver.listen()
            receiver.mode = mode if mode != "gone" else "ok"
        receiver.mode = "ok"

    flapping = threading.Thread(target=flap)
    flapping.start()
    while (what := pipe.recv()) != "close":
        if what == "calm":
            over.set()
            flapping.join()
            pipe.send("")
        else:
            pipe.send(json.dumps([len(receiver.taken), sum(receiver.taken.values()) - len(receiver.taken)]))
    receiver.close()
    pipe.send("")
