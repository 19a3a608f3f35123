"""A streamed answer keeps its query open: the steps that returned it end when it is drained, closed or collected."""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections.abc import AsyncGenerator, Callable, Generator
from typing import Any

from llama_index_instrumentation.span import active_span_id
from opentelemetry import trace
from opentelemetry.context import Context, attach, detach, get_current
from spanloom.step import Outcome

Ended = Callable[[Outcome, BaseException | None], None]
"""What to do when a stream has ended: how, and by which error."""

_streams: weakref.WeakKeyDictionary[Any, Stream] = weakref.WeakKeyDictionary()


class _Inside:
    __slots__ = ("active", "context", "entered", "span_id")

    def __init__(self, span_id: str, context: Context) -> None:
        self.span_id, self.context = span_id, context

    def __enter__(self) -> None:
        self.active = active_span_id.set(self.span_id)
        self.entered = attach(self.context)

    def __exit__(self, *_: object) -> None:
        try:
            active_span_id.reset(self.active)
        except ValueError:  # thrown away in another context: that one has nothing of ours
            return
        detach(self.entered)


class Stream:
    """One answer's stream of text. Whoever waits for its end is told once, in the order of asking."""

    def __init__(self, span_id: str, span: trace.Span | None) -> None:
        self.span_id, self.span = span_id, span
        self.pieces: list[Any] = []
        self._outer: Context | None = None
        self._inner = Context()
        self._waiting: list[Ended] | None = []
        self._lock = threading.RLock()

    def wait(self, ended: Ended) -> bool:
        """Call `ended` at the end; False where that has come already."""
        with self._lock:
            if self._waiting is None:
                return False
            self._waiting.append(ended)
            return True

    def end(self, outcome: Outcome, error: BaseException | None = None) -> None:
        with self._lock:
            waiting, self._waiting = self._waiting, None
        for ended in waiting or ():
            ended(outcome, error)

    def inside(self) -> _Inside:
        """Be inside the step that streams, as long as one piece is being made; never while it is consumed."""
        outer = get_current()
        if outer is not self._outer:  # the consumer's context is the same for all pieces, as a rule
            self._outer = outer
            self._inner = outer if self.span is None else trace.set_span_in_context(self.span, outer)
        return _Inside(self.span_id, self._inner)

    def drain(self, source: Any) -> Generator[Any, None, None]:
        """`source`, piece by piece."""
        try:
            pieces = iter(source)
            while True:
                with self.inside():
                    try:
                        piece = next(pieces)
                    except StopIteration:
                        break
                self.pieces.append(piece)
                yield piece
        except BaseException as error:
            self._give_back(source)
            self.end(outcome_of(error), error)
            raise
        self.end(Outcome.OK)

    async def adrain(self, source: Any) -> AsyncGenerator[Any, None]:
        """`source`, piece by piece."""
        try:
            pieces = aiter(source)
            while True:
                with self.inside():
                    try:
                        piece = await anext(pieces)
                    except StopAsyncIteration:
                        break
                self.pieces.append(piece)
                yield piece
        except BaseException as error:
            if isinstance(error, GeneratorExit) and hasattr(source, "aclose"):
                await source.aclose()
            self.end(outcome_of(error), error)
            raise
        self.end(Outcome.OK)

    def _give_back(self, source: Any) -> None:
        if hasattr(source, "close"):
            source.close()


def stream_of(response: Any, attribute: str, span_id: str, span: trace.Span | None) -> Stream | None:
    """The stream that `response` holds as `attribute`; made, and put in place of the bare one, where that is new.

    None where it holds no generator.
    """
    source = getattr(response, attribute)
    try:
        known = _streams.get(source)
    except TypeError:  # cannot be referred to weakly: not one of ours
        known = None
    if known is not None:
        return known
    stream = Stream(span_id, span)
    if hasattr(source, "__anext__"):
        wrapped: Any = stream.adrain(source)
    elif hasattr(source, "__iter__"):
        wrapped = stream.drain(source)
    else:
        return None
    _streams[wrapped] = stream
    when_collected(wrapped, stream.end, Outcome.ABANDONED)
    setattr(response, attribute, wrapped)
    return stream


def when_collected(held: Any, act: Callable[..., object], *args: Any) -> weakref.finalize[Any, Any]:
    """Call `act` once nobody holds `held` any longer; not at the interpreter's exit, nor after `detach()`."""
    watch = weakref.finalize(held, act, *args)
    watch.atexit = False
    return watch


def outcome_of(error: BaseException | None) -> Outcome:
    """How a step ended that `error` ended."""
    if error is None:
        return Outcome.OK
    if isinstance(error, GeneratorExit):
        return Outcome.ABANDONED
    if isinstance(error, asyncio.CancelledError):
        return Outcome.CANCELLED
    return _CONTROL.get(type(error).__name__, Outcome.ERROR)


_CONTROL = {  # the workflows package's own control flow, which is not exported
    "WaitingForEvent": Outcome.INTERRUPTED,
    "WorkflowCancelledByUser": Outcome.CANCELLED,
}
