"""A streamed answer keeps its query open: the steps that returned it end when it is drained, closed or collected."""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections.abc import AsyncGenerator, Callable, Generator
from contextvars import Token
from typing import Any

from llama_index_instrumentation.span import active_span_id
from opentelemetry.context import Context, get_current
from spanloom.current import CurrentStep, context_reader
from spanloom.step import Outcome, Step

Ended = Callable[[Outcome | None, BaseException | None], None]
"""What to do when a stream has ended: how (None: it was collected, before it was read to its end), and by which
error."""

_streams: weakref.WeakKeyDictionary[Any, Stream] = weakref.WeakKeyDictionary()


class Stream:
    """One answer's stream of text. Whoever waits for its end is told once, in the order of asking.

    While a piece is being made, the code that makes it is inside of `step`; while it is consumed it never is.
    """

    def __init__(self, span_id: str, step: Step, current: CurrentStep) -> None:
        self.pieces: list[Any] = []
        self._span_id, self._step, self._current = span_id, step, current
        self._waiting: list[Ended] | None = []
        self._lock = threading.RLock()

    def wait(self, ended: Ended) -> bool:
        """Call `ended` at the end; False where that has come already."""
        with self._lock:
            if self._waiting is None:
                return False
            self._waiting.append(ended)
            return True

    def end(self, outcome: Outcome | None, error: BaseException | None = None) -> None:
        with self._lock:
            waiting, self._waiting = self._waiting, None
        for ended in waiting or ():
            ended(outcome, error)

    # LlamaIndex's variable is set for each piece; OpenTelemetry's context asks that variable, and so needs to be
    # entered only where the consumer's own has taken its place.
    def drain(self, source: Any) -> Generator[Any, None, None]:
        """`source`, piece by piece."""
        span_id, enter, leave, keep = self._span_id, active_span_id.set, active_span_id.reset, self.pieces.append
        current = context_reader()
        context: Context | None = None
        try:
            pieces = iter(source)
            while True:
                if current() is not context:
                    context = self._entered()
                entered = enter(span_id)
                try:
                    piece = next(pieces)
                except StopIteration:
                    break
                finally:
                    leave(entered)
                keep(piece)
                yield piece
        except BaseException as error:
            self._give_back(source)
            self._left()
            self.end(outcome_of(error), error)
            raise
        self._left()
        self.end(Outcome.OK)

    async def adrain(self, source: Any) -> AsyncGenerator[Any, None]:
        """`source`, piece by piece."""
        span_id, keep, current = self._span_id, self.pieces.append, context_reader()
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
    when_collected(wrapped, stream.end, None)
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
    if isinstance(error, GeneratorExit) or _thrown_away(error):
        return Outcome.ABANDONED
    if isinstance(error, asyncio.CancelledError):
        return Outcome.CANCELLED
    return _CONTROL.get(type(error).__name__, Outcome.ERROR)


def _thrown_away(error: BaseException) -> bool:
    """Whether a coroutine was thrown away in another context, as garbage is: LlamaIndex's own reset of its variable
    fails then, at each span on the way, and its error hides what happened."""
    hidden: BaseException | None = error
    while isinstance(hidden, ValueError):
        hidden = hidden.__context__
    return hidden is not error and isinstance(hidden, GeneratorExit)


_CONTROL = {  # the workflows package's own control flow, which is not exported
    "WaitingForEvent": Outcome.INTERRUPTED,
    "WorkflowCancelledByUser": Outcome.CANCELLED,
}
