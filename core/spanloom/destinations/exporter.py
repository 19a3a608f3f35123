"""From a destination's copies of spans to its receiver: encoded, cut to size, sent, and every one accounted for."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from opentelemetry.sdk.trace import ReadableSpan

from .line import Line, Pause
from .receipt import Receipt
from .voice import Voice
from .wire import Verdict, Wire
from .wire.encoding import LEAST_BYTES, Batch, encoded, halves

if TYPE_CHECKING:
    from .outbox import Outbox
    from .spooled import SpoolSettings

BATCH_BYTES = 4 * 1024 * 1024
_LONGEST_WAIT = 8.0  # seconds between two attempts

MakeWire = Callable[[], Wire]


class Exporter:
    """Sends over `wires`, by lane: spans over `traces`, each other lane takes JSON objects, one a request.

    Without a spool a batch is tried for `timeout` seconds, on the worker's thread. With one it goes to the disk first,
    and a thread of its own sends it. Requests hold at most `batch_bytes` before compression. What a fork finds is made
    anew in the child: connections cannot be shared between processes, and gRPC does not survive a fork at all once it
    has begun.
    """

    def __init__(
        self,
        name: str,
        wires: Mapping[str, MakeWire],
        *,
        timeout: float,
        batch_bytes: int = BATCH_BYTES,
        spool: SpoolSettings | None = None,
    ) -> None:
        self._name, self._wires, self._timeout = name, dict(wires), timeout
        self._most, self._until = batch_bytes, None  # type: int, float | None
        self._spool = spool
        self._here: _Process | None = None
        self._closed = False
        if spool is not None:
            self._process()  # what an earlier process left goes out now

    def export(self, items: int, spans: Sequence[ReadableSpan]) -> Receipt:
        """Send the copies of `items` spans; those that could not be copied are missing among `spans`."""
        receipt = Receipt(items)
        receipt.lost(items - len(spans), "not_rendered")
        process = self._process()
        batches, unfit = encoded(spans, self._most)
        for name in unfit:
            process.voice.lost_one(f"{name} cannot be encoded")
        receipt.lost(len(unfit), "not_encoded")
        self._send(process, batches, receipt)
        return receipt

    def post(self, lane: str, bodies: Sequence[Any], receipt: Receipt | None = None, each: int = 1) -> Receipt:
        """Send JSON objects over `lane`, one a request; `each` of them counts for so many items of `receipt`."""
        receipt = receipt or Receipt(len(bodies) * each)
        batches = []
        for body in bodies:
            try:
                batches.append(Batch(json.dumps(body, allow_nan=False).encode(), each, lane))
            except (TypeError, ValueError):
                receipt.lost(each, "not_encoded")
        self._send(self._process(), batches, receipt)
        return receipt

    def hurry(self, until: float | None = None) -> None:
        """Make the next attempt now, unless the receiver has asked to wait; none goes on beyond the moment `until`."""
        self._until = until
        if (here := self._own()) is not None:
            for line in here.lines.values():
                line.hurry()
            if here.outbox is not None:
                here.outbox.hurry()
            here.pause.ring()

    def about(self) -> dict[str, Any]:
        """`{"spool": {…}}` where there is one: see `Outbox.about`."""
        here = self._own()
        return {} if here is None or here.outbox is None else {"spool": here.outbox.about()}

    def has_parked(self, items: int) -> bool:
        """Whether so many are safe in the spool, and there is no use in waiting for their receiver."""
        here = self._own()
        return here is not None and here.outbox is not None and here.outbox.has_parked(items)

    def close(self) -> None:
        """End all waiting between attempts. What is in the spool stays there."""
        self._closed = True
        if (here := self._own()) is not None:
            here.pause.end()
            if here.outbox is not None:
                here.outbox.close()
            else:
                for line in here.lines.values():
                    line.close()

    def _own(self) -> _Process | None:
        """What this process has made so far; nothing of what a fork brought along, whose locks nobody may hold."""
        here = self._here
        return here if here is not None and here.pid == os.getpid() else None

    # ---------------------------------------------------------------- on the worker
    def _process(self) -> _Process:
        if self._here is None or self._here.pid != os.getpid():
            self._here = _Process(self._name, self._wires, self._spool, self._timeout, self._most, closed=self._closed)
        return self._here

    def _send(self, process: _Process, batches: Sequence[Batch], receipt: Receipt) -> None:
        if self._closed:
            for batch in batches:
                receipt.lost(batch.items, "shutdown")
        elif process.outbox is not None:
            process.outbox.add(batches, receipt)
        else:
            self._send_now(process, batches, receipt)

    def _send_now(self, process: _Process, batches: Sequence[Batch], receipt: Receipt) -> None:
        voice = process.voice
        to_do = list(reversed(batches))
        for line in process.lines.values():
            line.forget_failures()
        until = self._deadline()
        while to_do:
            batch = to_do.pop()
            answer = process.lines[batch.lane].deliver(batch.body, until)
            if answer.verdict is Verdict.TAKEN:
                voice.taken(batch, answer)
                rejected = min(answer.rejected, batch.items)
                receipt.lost(rejected, "rejected")
                receipt.took(batch.items - rejected)
                until = self._deadline()
            elif answer.verdict is Verdict.TOO_LARGE and batch.is_divisible:
                self._most = max(LEAST_BYTES, min(self._most, len(batch.body) // 2))
                to_do += reversed(halves(batch))
            else:
                voice.lost(batch, answer)
                receipt.lost(batch.items, answer.reason)

    def _deadline(self) -> float:
        until = time.monotonic() + self._timeout
        return until if self._until is None else min(until, self._until)


class _Process:
    """What belongs to one process: connections, and whatever waits."""

    def __init__(
        self,
        name: str,
        wires: Mapping[str, MakeWire],
        spool: SpoolSettings | None,
        timeout: float,
        batch_bytes: int,
        *,
        closed: bool,
    ) -> None:
        self.pid = os.getpid()
        self.pause, self.voice = Pause(), Voice(name)
        longest = _LONGEST_WAIT if spool is None else spool.longest_wait
        self.lines = {lane: Line(make, self.pause, longest=longest) for lane, make in wires.items()}
        self.outbox: Outbox | None = None
        if closed:
            self.pause.end()
        elif spool is not None:
            from .outbox import Outbox  # noqa: PLC0415  brings SQLite: only where used

            self.outbox = Outbox(
                name, self.lines, self.pause, self.voice, spool, timeout=timeout, batch_bytes=batch_bytes
            )
