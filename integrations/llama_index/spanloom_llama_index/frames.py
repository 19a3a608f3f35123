"""LlamaIndex's open spans, and the step that each of them belongs to."""

from __future__ import annotations

import threading
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from spanloom.recorder import Recorder
from spanloom.step import Outcome, Step

from .steps import Family

_MOST_OPEN = 50_000
_REMEMBERED = 4_096


@dataclass(slots=True, eq=False)
class Frame:
    """One of LlamaIndex's spans while it is open, or waits for a stream. `home` is the id of the step it belongs to."""

    id: str
    name: str
    family: Family
    parent_id: str | None
    home: str | None
    instance_id: int
    start_ns: int
    recorder: Recorder
    step: Step | None = None
    prompt: Any = None  # what is predicted with: a prompts.Predicted
    tool_call: Any = None  # the agent's event that a step of it answers
    exited: bool = False
    outcome: Outcome = Outcome.OK
    error: BaseException | None = None
    watch: Any = None  # on what it returned: a weakref.finalize
    # models
    reported: bool = False  # it sends events: a stream's end will be told
    partial: Any = None
    # what still has to end before the step can: a stream, a chat history being written
    waits: int = 0
    expects_history: bool = False
    history_written: bool = False
    history_of: Frame | None = None
    pieces: list[Any] = field(default_factory=list)  # of a chat's answer
    lock: Any = field(default_factory=threading.RLock, repr=False)


class Frames:
    """Open frames by span id, and where the spans that have ended belonged. Bounded."""

    def __init__(self) -> None:
        self.open: dict[str, Frame] = {}
        self._homes: OrderedDict[str, str | None] = OrderedDict()  # of ended spans that were no steps

    def add(self, frame: Frame) -> None:
        self.open[frame.id] = frame
        if len(self.open) > _MOST_OPEN:  # somebody never ends theirs
            self.forget(next(iter(self.open.values())))

    def forget(self, frame: Frame) -> None:
        self.open.pop(frame.id, None)
        if frame.step is None:
            _remember(self._homes, frame.id, frame.home)

    def home(self, span_id: str | None) -> str | None:
        """The id of the step that a span belongs to, be it open or lately ended."""
        if span_id is None:
            return None
        frame = self.open.get(span_id)
        return frame.home if frame is not None else self._homes.get(span_id, span_id)

    def __len__(self) -> int:
        return len(self.open)


def _remember(where: OrderedDict[str, str | None], key: str, value: str | None) -> None:
    where[key] = value
    if len(where) > _REMEMBERED:
        with suppress(KeyError):  # another thread was faster
            where.popitem(last=False)
