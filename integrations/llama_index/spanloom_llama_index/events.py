"""What LlamaIndex's events tell of an open step, beyond its span: tokens, the ends of streams, reranking."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from llama_index.core.instrumentation.events.chat_engine import StreamChatDeltaReceivedEvent
from llama_index.core.instrumentation.events.exception import ExceptionEvent
from llama_index.core.instrumentation.events.llm import (
    LLMChatEndEvent,
    LLMChatInProgressEvent,
    LLMChatStartEvent,
    LLMCompletionEndEvent,
    LLMCompletionInProgressEvent,
    LLMCompletionStartEvent,
    LLMPredictStartEvent,
    LLMStructuredPredictStartEvent,
)
from llama_index.core.instrumentation.events.rerank import ReRankStartEvent
from spanloom.step import FIRST_TOKEN, Event, Outcome, Step

from . import facts, models, prompts
from .frames import Frame, HistoryFrame, ModelFrame, StepFrame
from .steps import Family
from .streams import outcome_of

if TYPE_CHECKING:
    from .recording import Recording

Told = Callable[["Recording", Any, Frame], None]


def learn(recording: Recording, event: Any, frame: Frame) -> None:
    """The first event of a class that is not in the table: enter its class there."""
    kind = type(event)
    told = next((told for base in kind.__mro__ if (told := TOLD.get(base)) is not None), None)
    if kind.__name__ == "SpanCancelledEvent":  # of the workflows package, at no public place
        told = _cancelled
    if len(TOLD) < _MOST_EVENTS:
        TOLD[kind] = told
    if told is not None:
        told(recording, event, frame)


def _model_begins(_: Recording, event: LLMChatStartEvent | LLMCompletionStartEvent, frame: Frame) -> None:
    step = frame.step
    if step is None or type(frame) is not ModelFrame:
        return
    frame.reported = True
    about = event.model_dict
    name = about.get("model_name")
    if step.request_model is None and isinstance(name, str) and name != "unknown":
        step.request_model = name
    step.completion = isinstance(event, LLMCompletionStartEvent) and about.get("is_chat_model") is False


def _model_goes_on(
    recording: Recording, event: LLMChatInProgressEvent | LLMCompletionInProgressEvent, frame: Frame
) -> None:
    """One of the first pieces of a stream: those after them find their way in `Frames.takers`."""
    step = frame.step
    if step is None or type(frame) is not ModelFrame:
        return
    if frame.late is not None:  # an event of a class of its own
        recording.frames.takers[frame.id](event)
        return
    if frame.partial is None:
        frame.begun_ns = time.time_ns()
    frame.partial = response = event.response
    step.chunks += 1
    if step.first_token_ns is None and models.says_something(response):
        step.chunks = 1
        _first_token(step, time.time_ns())
    models.read(step, response)
    frame.read += 1
    if frame.read >= models.EARLY_CHUNKS:
        frame.late = deque(maxlen=models.LATE_CHUNKS)
        recording.frames.takers[frame.id] = _taking(frame, step, frame.late)


def _first_token(step: Step, now_ns: int) -> None:
    step.first_token_ns = now_ns
    step.add_event(Event(FIRST_TOKEN, now_ns))


def _taking(frame: ModelFrame, step: Step, late: deque[Any]) -> Callable[[Any], None]:
    keep = late.append

    # The provider's own objects are read once the stream is over. No more is held than that: where each token's objects
    # are made in the memory of the one before, that memory is in the processor's cache.
    def take(event: Any) -> None:
        step.chunks += 1
        frame.partial = response = event.response
        if step.first_token_ns is None and models.says_something(response):
            step.chunks = 1
            _first_token(step, time.time_ns())
        if (raw := response.raw) is not None:
            keep(raw)

    return take


def _model_ends(recording: Recording, event: LLMChatEndEvent | LLMCompletionEndEvent, frame: Frame) -> None:
    if type(frame) is not ModelFrame:
        return
    step = frame.step
    if step is None:  # one more layer of the model that it lies in; only here may its usage be told
        outer = recording.frames.open.get(frame.home)
        if outer is not None and outer.step is not None:
            models.read(outer.step, event.response)
    elif frame.exited:
        if step.first_token_ns is None and frame.begun_ns is not None:  # nothing was said: then the first piece counts
            _first_token(step, frame.begun_ns)
        facts.drained(step, event.response, frame.late or ())
        facts.dispatched(step, event.response, time.time_ns())
        recording.close(frame, Outcome.OK)


def _raised(recording: Recording, event: ExceptionEvent, frame: Frame) -> None:
    if type(frame) is ModelFrame and frame.exited and frame.step is not None:
        recording.break_off(frame, outcome_of(event.exception), event.exception)


def _chat_goes_on(_: Recording, event: StreamChatDeltaReceivedEvent, frame: Frame) -> None:
    if type(frame) is HistoryFrame and frame.chat is not None:
        frame.chat.pieces.append(event.delta)


def _predicts(_: Recording, event: LLMPredictStartEvent | LLMStructuredPredictStartEvent, frame: Frame) -> None:
    frame.prompt = prompts.Predicted(event.template, event.template_args)


def _reranks(recording: Recording, event: ReRankStartEvent, frame: Frame) -> None:
    if type(frame) is StepFrame and frame.family is Family.POSTPROCESSOR and frame.step is None:
        frame.family = Family.RERANKER
        recording.open_late(frame, {"nodes": event.nodes, "query_bundle": event.query})
    if frame.family is Family.RERANKER and frame.step is not None:
        frame.step.top_k, frame.step.request_model = event.top_n, event.model_name


def _cancelled(_: Recording, _event: Any, frame: Frame) -> None:
    if isinstance(frame, StepFrame):
        frame.outcome = Outcome.CANCELLED


_MOST_EVENTS = 1_000
TOLD: dict[type, Told | None] = {
    LLMChatStartEvent: _model_begins,
    LLMCompletionStartEvent: _model_begins,
    LLMChatInProgressEvent: _model_goes_on,
    LLMCompletionInProgressEvent: _model_goes_on,
    LLMChatEndEvent: _model_ends,
    LLMCompletionEndEvent: _model_ends,
    ExceptionEvent: _raised,
    StreamChatDeltaReceivedEvent: _chat_goes_on,
    ReRankStartEvent: _reranks,
    LLMPredictStartEvent: _predicts,
    LLMStructuredPredictStartEvent: _predicts,
}
