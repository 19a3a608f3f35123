"""What LlamaIndex's events tell of an open step, beyond its span: tokens, the ends of streams, reranking."""

from __future__ import annotations

import time
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
from spanloom.step import FIRST_TOKEN, Event, Outcome

from . import facts, models, prompts
from .frames import Frame
from .steps import Family
from .streams import outcome_of

if TYPE_CHECKING:
    from .recording import Recording

Told = Callable[["Recording", Any, Frame], None]


def told_by(kind: type) -> Told | None:
    """What to do with an event of class `kind`. A dictionary, since a stream asks for every token."""
    if kind not in _TOLD and len(_TOLD) < _MOST_EVENTS:
        _TOLD[kind] = next((told for base in kind.__mro__ if (told := _TOLD.get(base)) is not None), None)
        if kind.__name__ == "SpanCancelledEvent":  # of the workflows package, at no public place
            _TOLD[kind] = _cancelled
    return _TOLD.get(kind)


def _model_begins(_: Recording, event: LLMChatStartEvent | LLMCompletionStartEvent, frame: Frame) -> None:
    step = frame.step
    if step is None or frame.family is not Family.LLM:
        return
    frame.reported = True
    name = event.model_dict.get("model_name")
    if step.request_model is None and isinstance(name, str) and name != "unknown":
        step.request_model = name
    step.completion = isinstance(event, LLMCompletionStartEvent) and event.model_dict.get("is_chat_model") is False


def _model_goes_on(_: Recording, event: LLMChatInProgressEvent | LLMCompletionInProgressEvent, frame: Frame) -> None:
    step = frame.step
    if step is None or frame.family is not Family.LLM:
        return
    step.chunks += 1
    if step.first_token_ns is None:
        step.first_token_ns = time.time_ns()
        step.events.append(Event(FIRST_TOKEN, step.first_token_ns))
    frame.partial = event.response
    models.read(step, event.response)


def _model_ends(recording: Recording, event: LLMChatEndEvent | LLMCompletionEndEvent, frame: Frame) -> None:
    if frame.family is not Family.LLM:
        return
    if frame.step is None:  # one more layer of the model that it lies in; only here may its usage be told
        outer = recording.frames.open.get(frame.home) if frame.home is not None else None
        if outer is not None and outer.step is not None:
            models.read(outer.step, event.response)
    elif frame.exited:
        facts.answered(frame.step, event.response)
        facts.dispatched(frame.step, event.response, time.time_ns())
        recording.close(frame, Outcome.OK)


def _raised(recording: Recording, event: ExceptionEvent, frame: Frame) -> None:
    if frame.family is Family.LLM and frame.exited and frame.step is not None:
        recording.break_off(frame, outcome_of(event.exception), event.exception)


def _chat_goes_on(_: Recording, event: StreamChatDeltaReceivedEvent, frame: Frame) -> None:
    if frame.history_of is not None:
        frame.history_of.pieces.append(event.delta)


def _predicts(recording: Recording, event: LLMPredictStartEvent | LLMStructuredPredictStartEvent, frame: Frame) -> None:
    frame.prompt = prompts.predicted(event.template, event.template_args, frame, recording.frames)


def _reranks(recording: Recording, event: ReRankStartEvent, frame: Frame) -> None:
    if frame.family is Family.POSTPROCESSOR and frame.step is None:
        frame.family = Family.RERANKER
        recording.open_late(frame, {"nodes": event.nodes, "query_bundle": event.query})
    if frame.family is Family.RERANKER and frame.step is not None:
        frame.step.top_k, frame.step.request_model = event.top_n, event.model_name


def _cancelled(_: Recording, _event: Any, frame: Frame) -> None:
    frame.outcome = Outcome.CANCELLED


_MOST_EVENTS = 1_000
_TOLD: dict[type, Told | None] = {
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
