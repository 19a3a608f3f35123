"""LlamaIndex's open spans, and the step that each of them belongs to."""

from __future__ import annotations

import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from typing import Any

from spanloom.recorder import Recorder
from spanloom.step import Outcome, Step

from .steps import Family

_MOST_OPEN = 50_000
_REMEMBERED = 4_096


class Frame:
    """One of LlamaIndex's spans while it is open. `home` is the id of the step it belongs to.

    Most spans are no steps and need no more than this; the classes below have room for what else their families need.
    """

    __slots__ = ("family", "home", "id", "name", "parent_id", "prompt")

    step: Step | None = None

    def __init__(self, span_id: str, name: str, family: Family, parent_id: str | None, home: str | None) -> None:
        self.id, self.name, self.family, self.parent_id, self.home = span_id, name, family, parent_id, home
        self.prompt: Any = None  # what is predicted with: a prompts.Predicted


class StepFrame(Frame):
    """A span that is a step, or may turn out to be one, while it is open, or waits for a stream."""

    __slots__ = ("error", "exited", "instance_id", "outcome", "recorder", "start_ns", "step", "tool_call", "watch")

    def __init__(
        self,
        span_id: str,
        name: str,
        family: Family,
        parent_id: str | None,
        home: str | None,
        instance: Any,
        recorder: Recorder,
    ) -> None:
        self.id, self.name, self.family, self.parent_id, self.home = span_id, name, family, parent_id, home
        self.prompt = None
        self.instance_id, self.recorder, self.start_ns = id(instance), recorder, time.time_ns()
        self.step: Step | None = None
        self.tool_call: Any = None  # the agent's event that a step of it answers
        self.exited = False
        self.outcome = Outcome.OK
        self.error: BaseException | None = None
        self.watch: weakref.finalize[Any, Any] | None = None  # on what it returned


class ModelFrame(StepFrame):
    """A model's call."""

    __slots__ = ("begun_ns", "body_id", "late", "partial", "read", "reported")

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.reported = False  # it sends events: a stream's end will be told
        self.body_id = 0  # its stream's, in `Streaming`
        self.begun_ns: int | None = None  # when the first piece of its stream came
        self.partial: Any = None  # the newest one
        self.read = 0  # of how many of the first ones the provider's object was read
        self.late: deque[Any] | None = None  # what the provider said with each of the last pieces


class ChatFrame(StepFrame):
    """A chat engine's answer, which a thread or a task may still be writing into the chat's history."""

    __slots__ = ("expects_history", "history_written", "lock", "pieces", "waits")

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.waits = 0
        self.expects_history = False
        self.history_written = False
        self.pieces: list[Any] = []  # of the answer
        self.lock = threading.RLock()


class HistoryFrame(Frame):
    """Such a writing, and the chat that it is of."""

    __slots__ = ("chat",)

    chat: ChatFrame | None


class Frames:
    """Open frames by span id, and where the spans that have ended belonged. Bounded.

    `takers`, by the span id of a model whose stream has brought its first few pieces, are what takes the event of each
    further one.
    """

    def __init__(self) -> None:
        self.open: dict[str | None, Frame] = {}  # never under None, so that it may be asked for
        self.takers: dict[str | None, Callable[[Any], None]] = {}
        self._homes: dict[str, str | None] = {}  # of ended spans that were no steps: those that ended last,
        self._homes_before: dict[str, str | None] = {}  # and those that did before them

    def add(self, frame: Frame) -> None:
        self.open[frame.id] = frame
        if len(self.open) > _MOST_OPEN:  # somebody never ends theirs
            self.forget(next(iter(self.open.values())))

    def forget(self, frame: Frame) -> None:
        self.open.pop(frame.id, None)
        if type(frame) is ModelFrame:
            self.takers.pop(frame.id, None)
        if frame.step is None:
            homes = self._homes
            homes[frame.id] = frame.home
            if len(homes) >= _REMEMBERED:
                self._homes_before, self._homes = homes, {}

    def home(self, span_id: str | None) -> str | None:
        """The id of the step that a span belongs to, be it open or lately ended."""
        if span_id is None:
            return None
        frame = self.open.get(span_id)
        if frame is not None:
            return frame.home
        home = self._homes.get(span_id, span_id)
        return self._homes_before.get(span_id, span_id) if home is span_id else home

    def __len__(self) -> int:
        return len(self.open)
