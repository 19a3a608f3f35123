"""A streamed answer keeps its query open: the steps that returned it end when it is drained, closed or collected."""

from __future__ import annotations

import asyncio
import sys
import threading
import weakref
from collections.abc import AsyncGenerator, Callable, Generator, Iterable, Iterator
from contextvars import Token
from itertools import chain, islice
from types import FrameType
from typing import Any

from llama_index_instrumentation.span import active_span_id
from opentelemetry.context import Context, get_current
from spanloom.current import CurrentStep, context_reader
from spanloom.step import Outcome, Step

Ended = Callable[[Outcome, BaseException | None], None]
"""What to do when a stream has ended: how, and by which error."""

_streams: weakref.WeakKeyDictionary[Any, Stream] = weakref.WeakKeyDictionary()


class Stream:
    """One answer's stream of text. Whoever waits for its end is told once, in the order of asking.

    While a piece is being made, the code that makes it is inside of `step`; while it is consumed it never is.
    """

    def __init__(self, span_id: str, step: Step, current: CurrentStep) -> None:
        self.pieces: list[Any] = []
        self.span_id, self._step, self._current = span_id, step, current
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

    # OpenTelemetry's context asks where the caller is, and so needs to be entered only where the consumer's own has
    # taken its place. `draining` tells of all who are called from `drain`; setting LlamaIndex's variable for each piece
    # would cost more than all else.
    def drain(self, source: Any) -> Generator[Any, None, None]:
        """`source`, piece by piece."""
        keep, current = self.pieces.append, context_reader()
        _drained.add(self)
        try:
            pieces = iter(source)
            context = self._entered()
            for piece in chain(self._first(pieces), pieces):
                keep(piece)
                yield piece
                if current() is not context:
                    context = self._entered()
        except BaseException as error:
            _drained.discard(self)
            self._give_back(source)
            self._left()
            self.end(outcome_of(error), error)
            raise
        _drained.discard(self)
        self._left()
        self.end(Outcome.OK)

    def _first(self, pieces: Iterator[Any]) -> Iterable[Any]:
        """The first piece, if any. Requests are sent for it, and threads begun, which copy LlamaIndex's variable."""
        entered = active_span_id.set(self.span_id)
        try:
            return tuple(islice(pieces, 1))
        finally:
            active_span_id.reset(entered)

    # Tasks, which copy LlamaIndex's variable, may begin for any piece of an async stream: it is set for each.
    async def adrain(self, source: Any) -> AsyncGenerator[Any, None]:
        """`source`, piece by piece."""
        span_id, keep, current = self.span_id, self.pieces.append, context_reader()
        context: Context | None = None
        try:
            pieces = aiter(source)
            while True:
                if current() is not context:
                    context = self._entered()
                entered = active_span_id.set(span_id)
                try:
                    piece = await anext(pieces)
                except StopAsyncIteration:
                    break
                finally:
                    _leave(entered)
                keep(piece)
                yield piece
        except BaseException as error:
            if isinstance(error, GeneratorExit) and hasattr(source, "aclose"):
                await source.aclose()
            self._left()
            self.end(outcome_of(error), error)
            raise
        self._left()
        self.end(Outcome.OK)

    def _entered(self) -> Context:
        self._current.enter(self._step, base=active_span_id.get())
        return get_current()

    def _left(self) -> None:
        self._current.leave(self._step)

    def _give_back(self, source: Any) -> None:
        if hasattr(source, "close"):
            source.close()


_drained: set[Stream] = set()
_DRAIN = Stream.drain.__code__


def draining() -> Stream | None:
    """The stream, read by a thread, of which the code that asks makes a piece; None where it makes none."""
    if not _drained:
        return None
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code is not _DRAIN:
        frame = frame.f_back
    return None if frame is None else frame.f_locals["self"]


def _leave(entered: Token[str | None]) -> None:
    try:  # noqa: SIM105  for each piece: `suppress` costs as much as all the rest
        active_span_id.reset(entered)
    except ValueError:  # thrown away in another context: that one has nothing of ours
        pass


def stream_of(response: Any, attribute: str, span_id: str, step: Step, current: CurrentStep) -> Stream | None:
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
    stream = Stream(span_id, step, current)
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
