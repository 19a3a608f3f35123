"""Prompts that were sent before: the same one again in a trace, or within a minute, as in a storm of retries.

It runs on the workers, once per model call for all destinations, when the call's content is first read.
"""

from __future__ import annotations

import threading
from bisect import bisect_left, bisect_right, insort
from collections import deque
from collections.abc import Callable

from .guard import GUARD
from .step import PROMPT_REPEATED, Event, Kind, Repeats, Step

MINUTE_NS = 60_000_000_000
MOST_CALLS = 20_000


class SentPrompts:
    """The prompts of the last `most_calls` model calls of this process. Thread-safe; the oldest are forgotten.

    Calls come in as they end. So a call counts those that had ended before it, and with them those which began while it
    ran: of n calls with one prompt, n - 1 repeat it, in whatever order they end. Calls of traces that are not sampled
    are not known. `repeated` counts the calls that repeated a prompt; `on_repeated` is told of each, on the worker.
    """

    def __init__(self, most_calls: int = MOST_CALLS) -> None:
        self._most = most_calls
        self.on_repeated: Callable[[Step], object] | None = None
        self.after_fork()

    def after_fork(self) -> None:
        """In a forked child, which has sent nothing yet: whatever lock its parent's threads held, nobody lets go of."""
        self._lock = threading.Lock()
        self._calls: deque[tuple[str, int, int]] = deque()  # hash, trace id, start: in the order they came in
        self._starts: dict[str, list[int]] = {}  # of each hash, sorted
        self._in_trace: dict[tuple[str, int], int] = {}  # how many of them
        self.repeated = 0

    def __len__(self) -> int:
        return len(self._calls)

    def note(self, step: Step, prompt_hash: str | None) -> None:
        """Write onto an ended `step` how often its prompt was sent before: its `repeats`, and an event at its start.

        Nothing of a prompt's first call, of an answer from a cache, which is no call, nor of any other kind of step.
        """
        if step.kind is not Kind.LLM or step.cache_hit or prompt_hash is None:
            return
        with GUARD.watching("spanloom.repeats"):
            found = self._counted(prompt_hash, step.trace_id, step.start_ns)
            if found is None:
                return
            step.repeats = found
            told = {"trace": found.trace, "minute": found.minute}
            step.events = [Event(PROMPT_REPEATED, step.start_ns, told), *step.events]
            if self.on_repeated is not None:
                self.on_repeated(step)

    def _counted(self, prompt_hash: str, trace_id: int, start_ns: int) -> Repeats | None:
        here = prompt_hash, trace_id
        with self._lock:
            trace = self._in_trace.get(here, 0)
            self._in_trace[here] = trace + 1
            starts = self._starts.get(prompt_hash)
            if starts is None:
                self._starts[prompt_hash] = [start_ns]
                within = 0
            else:
                within = bisect_right(starts, start_ns + MINUTE_NS) - bisect_left(starts, start_ns - MINUTE_NS)
                insort(starts, start_ns)
            self._calls.append((prompt_hash, trace_id, start_ns))
            if len(self._calls) > self._most:
                self._forget(*self._calls.popleft())
            if not (trace or within):
                return None
            self.repeated += 1
        return Repeats(trace, within)

    def _forget(self, prompt_hash: str, trace_id: int, start_ns: int) -> None:
        starts = self._starts[prompt_hash]
        del starts[bisect_left(starts, start_ns)]
        if not starts:
            del self._starts[prompt_hash]
        left = self._in_trace[prompt_hash, trace_id] - 1
        if left:
            self._in_trace[prompt_hash, trace_id] = left
        else:
            del self._in_trace[prompt_hash, trace_id]
