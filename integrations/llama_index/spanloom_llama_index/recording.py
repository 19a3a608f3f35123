"""From LlamaIndex's spans and events to the recorder: which step opens under which, and when it has truly ended."""

from __future__ import annotations

import sys
import time
import weakref
from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from contextvars import ContextVar
from functools import partial
from typing import Any

from llama_index.core.agent.workflow.workflow_events import ToolCall
from llama_index.core.base.response.schema import AsyncStreamingResponse, StreamingResponse
from llama_index.core.chat_engine.types import StreamingAgentChatResponse
from llama_index.core.instrumentation.events.exception import ExceptionEvent
from llama_index.core.instrumentation.events.llm import (
    LLMChatEndEvent,
    LLMChatInProgressEvent,
    LLMChatStartEvent,
    LLMCompletionEndEvent,
    LLMCompletionInProgressEvent,
    LLMCompletionStartEvent,
)
from llama_index.core.instrumentation.events.rerank import ReRankStartEvent
from llama_index_instrumentation.dispatcher import active_instrument_tags
from llama_index_instrumentation.span import active_span_id
from opentelemetry import trace
from opentelemetry.context import Context
from spanloom.current import CurrentStep
from spanloom.guard import GUARD, guarded
from spanloom.recorder import Recorder
from spanloom.setup import Loom, current_loom
from spanloom.step import FIRST_TOKEN, Deferred, Event, Kind, Outcome, Step

from . import facts, models, translate
from .frames import Frame, Frames
from .steps import Family, family_of, is_output_schema, is_workflow_step, method_of, name_of, runs_in_caller
from .streams import outcome_of, stream_of, when_collected

_ANSWERS_IN_PIECES = (Family.QUERY, Family.SYNTHESIZE, Family.CHAT)

# A tool's methods call one another downwards: `acall` -> `__call__` -> `call` is one call of one tool.
_TOOL_RANK = {"acall": 2, "__call__": 1, "call": 0}

restored: ContextVar[Context | None] = ContextVar("spanloom_llama_index_restored", default=None)
"""The trace that another process began and this context continues."""


class Recording:
    """Follows LlamaIndex's spans. `loom` is fixed, or, where None, the one that is configured at each span."""

    def __init__(self, loom: Loom | None = None) -> None:
        self.loom = loom
        self.frames = Frames()
        self.current = CurrentStep(self._locate, self._span_of)
        self._streaming: dict[str, weakref.ref[Any]] = {}  # by the span id of the model that streams

    # ---------------------------------------------------------------- where code is
    def _locate(self) -> str | None:
        return self.frames.inside(active_span_id.get())

    def _span_of(self, run_id: Any) -> trace.Span | None:
        home = self.frames.home(run_id)
        recorder = self._recorder()
        return recorder.span_of(home) if home is not None and recorder is not None else None

    def _recorder(self) -> Recorder | None:
        loom = self.loom or current_loom()
        return loom.recorder if loom is not None else None

    # ---------------------------------------------------------------- spans
    @guarded
    def enter(
        self,
        span_id: str,
        arguments: Mapping[str, Any],
        instance: Any,
        parent_id: str | None,
        tags: Mapping[str, Any] | None,
    ) -> None:
        recorder = self._recorder()
        if recorder is None or not recorder.active or span_id in self.frames.open:
            return
        name = name_of(span_id)
        method = method_of(name)
        family = family_of(instance, method) if instance is not None else Family.INTERNAL
        above = self.frames.open.get(parent_id) if parent_id is not None else None
        if above is not None and above.family.is_run and is_workflow_step(instance, name):
            family = Family.WORKFLOW_STEP
        else:
            parent_id = self.frames.inside(parent_id)
        if family is Family.LLM and self._streaming and (outer := self._enclosing_model()) is not None:
            parent_id = outer.id
        above = self.frames.open.get(parent_id) if parent_id is not None else None
        frame = Frame(
            span_id, name, family, parent_id, self.frames.home(parent_id), id(instance), time.time_ns(), recorder
        )
        if family is Family.CHAT_HISTORY:
            self._history_begun(frame)
        elif family.kind is not None and not self._is_folded(frame, method, instance, above):
            if family.is_run and runs_in_caller(instance):
                self.frames.leave_behind(frame)
            if not self._open(frame, instance, arguments, tags):
                return
        self.frames.add(frame)

    def _open(self, frame: Frame, instance: Any, arguments: Mapping[str, Any], tags: Mapping[str, Any] | None) -> bool:
        kind = frame.family.kind
        assert kind is not None
        step = Step(frame.id, kind, frame.name, start_ns=frame.start_ns)
        step.identity = facts.identity(active_instrument_tags.get() if tags is None else tags)
        with GUARD.watching("spanloom_llama_index.facts.begin"):
            facts.begin(step, frame.family, instance, arguments)
        if frame.family is Family.WORKFLOW_STEP:
            frame.tool_call = next((v for v in arguments.values() if isinstance(v, ToolCall)), None)
        elif frame.family is Family.TOOL and frame.home is not None:
            around = self.frames.open.get(frame.home)
            if around is not None and around.tool_call is not None and around.tool_call.tool_name == step.tool_name:
                step.tool_call_id = around.tool_call.tool_id
        context = None
        if frame.home is None and not trace.get_current_span().get_span_context().is_valid:
            context = restored.get()
        if frame.recorder.open(step, frame.home, context) is None:
            return False
        frame.step, frame.home = step, frame.id
        self.current.enter(step, base=frame.parent_id)
        return True

    def _is_folded(self, frame: Frame, method: str, instance: Any, above: Frame | None) -> bool:
        """Whether a span of a step's family is one more layer of the step that it lies in."""
        if frame.family is Family.TOOL:
            if is_output_schema(instance):
                return True
            return above is not None and above.family is Family.TOOL and self._same_tool(frame, above, method, instance)
        if frame.family in (Family.LLM, Family.EMBEDDING):
            around = self.frames.open.get(frame.home) if frame.home is not None else None
            if around is None or around.family is not frame.family or around.step is None:
                return False
            if around.instance_id == frame.instance_id:
                return True
            if frame.family is Family.LLM:
                around.step.kind = Kind.CHAIN  # it wraps another model, which is the one that is called
            return False
        return above is not None and above.family is frame.family and above.instance_id == frame.instance_id

    def _same_tool(self, frame: Frame, above: Frame, method: str, instance: Any) -> bool:
        if above.instance_id == frame.instance_id:
            return _TOOL_RANK.get(method, 0) <= _TOOL_RANK.get(method_of(above.name), 0)
        around = self.frames.open.get(above.home) if above.home is not None else None  # an adapter's inner tool
        return around is not None and around.step is not None and around.step.tool_name == instance.metadata.name

    def _enclosing_model(self) -> Frame | None:
        """The streaming model out of whose generator the present code is called: it asks another one, lazily."""
        running: dict[int, str] = {}
        for span_id, held in tuple(self._streaming.items()):
            generator = held()
            code = getattr(generator, "gi_frame", None) or getattr(generator, "ag_frame", None)
            if code is not None:
                running[id(code)] = span_id
        if not running:
            return None
        here = sys._getframe()
        while here is not None:
            if (span_id := running.get(id(here))) is not None:  # type: ignore[assignment]
                return self.frames.open.get(span_id)
            here = here.f_back  # type: ignore[assignment]
        return None

    @guarded
    def exit(self, span_id: str, instance: Any, result: Any) -> None:
        frame = self.frames.open.get(span_id)
        if frame is None:
            return
        if frame.step is not None:
            self.current.leave(frame.step)
        if frame.family is Family.CHAT_HISTORY:
            self._history_ended(frame, instance, None)
        elif frame.step is None:
            self.frames.forget(frame)
        elif not self._waits(frame, frame.step, result):
            outcome = frame.outcome
            with GUARD.watching("spanloom_llama_index.facts.finish"):
                facts.finish(frame.step, frame.family, result)
                if frame.family is Family.LLM:
                    facts.dispatched(frame.step, result, time.time_ns())
                elif outcome is Outcome.OK and frame.family is Family.TOOL:
                    outcome = facts.told_by_tool(result)
            self._close(frame, outcome, frame.error)

    @guarded
    def drop(self, span_id: str, instance: Any, error: BaseException | None) -> None:
        frame = self.frames.open.get(span_id)
        if frame is None:
            return
        if frame.step is not None:
            self.current.leave(frame.step)
        if frame.family is Family.CHAT_HISTORY:
            self._history_ended(frame, instance, error)
        elif frame.step is None:
            self.frames.forget(frame)
        else:
            self._close(frame, outcome_of(error) if error is not None else Outcome.ERROR, error)

    def _close(self, frame: Frame, outcome: Outcome, error: BaseException | None = None) -> None:
        self._streaming.pop(frame.id, None)
        frame.partial = None
        frame.recorder.close(frame.id, outcome, error=error if outcome is Outcome.ERROR else None)
        self.frames.forget(frame)

    def end_all(self) -> None:
        """End what is still open: nobody will tell us of it any more."""
        for frame in reversed(tuple(self.frames.open.values())):
            if frame.step is not None:
                self._close(frame, Outcome.INCOMPLETE)
            else:
                self.frames.forget(frame)

    # ---------------------------------------------------------------- streams
    def _waits(self, frame: Frame, step: Step, result: Any) -> bool:
        """Whether a step whose span has exited is still at work: what it returned has yet to be made."""
        if frame.family is Family.LLM:
            if not isinstance(result, (Generator, AsyncGenerator)):
                return False
            step.streaming = True
            if not frame.reported:  # a custom model without events: nobody tells when its stream has ended
                return False
            frame.exited = True
            self._streaming[frame.id] = weakref.ref(result)
            when_collected(result, self._collected, frame)
            return True
        if frame.family in _ANSWERS_IN_PIECES and isinstance(result, (StreamingResponse, AsyncStreamingResponse)):
            stream = stream_of(result, frame.id, frame.recorder.span_of(frame.id))
            if stream is None:
                return False
            step.content.output = Deferred(translate.joined, (stream.pieces,))
            return stream.wait(partial(self._stream_ended, frame))
        if frame.family is Family.CHAT and isinstance(result, StreamingAgentChatResponse):
            return self._awaits_history(frame, result)
        return False

    @guarded
    def _stream_ended(self, frame: Frame, outcome: Outcome, error: BaseException | None) -> None:
        self._close(frame, outcome, error)

    @guarded
    def _collected(self, frame: Frame) -> None:
        """A model's stream is gone; if its end was never told, nobody wanted it."""
        if frame.id in self.frames.open and frame.step is not None:
            self._broken_off(frame, frame.step, Outcome.ABANDONED, None)

    def _broken_off(self, frame: Frame, step: Step, outcome: Outcome, error: BaseException | None) -> None:
        if frame.partial is not None:
            facts.noted(step, frame.partial)
        self._close(frame, outcome, error)

    # Chat engines return at once and write the answer to the chat's history in a thread or a task: until that is done,
    # the chat's step is open. The thread may begin, or even end, before the chat's own span exits.
    def _history_begun(self, frame: Frame) -> None:
        chat = self.frames.open.get(frame.home) if frame.home is not None else None
        if chat is None or chat.family is not Family.CHAT:
            return
        with chat.lock:
            frame.history_of = chat
            if chat.expects_history:
                chat.expects_history = False
            else:
                chat.waits += 1

    def _awaits_history(self, chat: Frame, response: StreamingAgentChatResponse) -> bool:
        with chat.lock:
            chat.exited = True
            if not chat.waits and not chat.history_written:
                chat.expects_history = True
                chat.waits += 1
                when_collected(response, self._unwritten, chat)
            return chat.waits > 0

    def _history_ended(self, frame: Frame, response: Any, error: BaseException | None) -> None:
        self.frames.forget(frame)
        chat = frame.history_of
        if chat is None or chat.step is None:
            return
        with chat.lock:
            chat.waits -= 1
            chat.history_written = True
            if error is not None:
                chat.outcome, chat.error = outcome_of(error), error
            ended = chat.exited and not chat.waits
            chat.step.content.output = getattr(response, "response", None)
        if ended:
            self._close(chat, chat.outcome, chat.error)

    @guarded
    def _unwritten(self, chat: Frame) -> None:
        with chat.lock:
            never = chat.expects_history
        if never:
            self._close(chat, Outcome.ABANDONED)

    # ---------------------------------------------------------------- events
    @guarded
    def event(self, event: Any) -> None:
        frame = self.frames.open.get(event.span_id)
        if frame is not None and (told := _told_by(type(event))) is not None:
            told(self, event, frame)

    def _model_begins(self, event: LLMChatStartEvent | LLMCompletionStartEvent, frame: Frame) -> None:
        step = frame.step
        if step is None or frame.family is not Family.LLM:
            return
        frame.reported = True
        name = event.model_dict.get("model_name")
        if step.request_model is None and isinstance(name, str) and name != "unknown":
            step.request_model = name
        step.completion = isinstance(event, LLMCompletionStartEvent) and event.model_dict.get("is_chat_model") is False

    def _model_goes_on(self, event: LLMChatInProgressEvent | LLMCompletionInProgressEvent, frame: Frame) -> None:
        step = frame.step
        if step is None or frame.family is not Family.LLM:
            return
        if step.first_token_ns is None:
            step.first_token_ns = time.time_ns()
            step.events.append(Event(FIRST_TOKEN, step.first_token_ns))
        frame.partial = event.response
        models.read(step, event.response)

    def _model_ends(self, event: LLMChatEndEvent | LLMCompletionEndEvent, frame: Frame) -> None:
        if frame.family is not Family.LLM:
            return
        if frame.step is None:  # one more layer of the model that it lies in; only here may its usage be told
            outer = self.frames.open.get(frame.home) if frame.home is not None else None
            if outer is not None and outer.step is not None:
                models.read(outer.step, event.response)
        elif frame.exited:
            facts.answered(frame.step, event.response)
            facts.dispatched(frame.step, event.response, time.time_ns())
            self._close(frame, Outcome.OK)

    def _raised(self, event: ExceptionEvent, frame: Frame) -> None:
        if frame.family is Family.LLM and frame.exited and frame.step is not None:
            self._broken_off(frame, frame.step, outcome_of(event.exception), event.exception)

    def _reranks(self, event: ReRankStartEvent, frame: Frame) -> None:
        if frame.family is Family.POSTPROCESSOR and frame.step is None:
            frame.family = Family.RERANKER
            nodes = {"nodes": event.nodes, "query_bundle": event.query}
            self._open(frame, None, nodes, active_instrument_tags.get())
        if frame.family is Family.RERANKER and frame.step is not None:
            frame.step.top_k, frame.step.request_model = event.top_n, event.model_name

    def _cancelled(self, event: Any, frame: Frame) -> None:
        frame.outcome = Outcome.CANCELLED


_MOST_EVENTS = 1_000
_TOLD: dict[type, Callable[[Recording, Any, Frame], None] | None] = {
    LLMChatStartEvent: Recording._model_begins,
    LLMCompletionStartEvent: Recording._model_begins,
    LLMChatInProgressEvent: Recording._model_goes_on,
    LLMCompletionInProgressEvent: Recording._model_goes_on,
    LLMChatEndEvent: Recording._model_ends,
    LLMCompletionEndEvent: Recording._model_ends,
    ExceptionEvent: Recording._raised,
    ReRankStartEvent: Recording._reranks,
}


def _told_by(kind: type) -> Callable[[Recording, Any, Frame], None] | None:
    """What to do with an event of class `kind`. A dictionary, since a stream asks for every token."""
    if kind not in _TOLD and len(_TOLD) < _MOST_EVENTS:
        _TOLD[kind] = next((told for base in kind.__mro__ if (told := _TOLD.get(base)) is not None), None)
        if kind.__name__ == "SpanCancelledEvent":  # of the workflows package, at no public place
            _TOLD[kind] = Recording._cancelled
    return _TOLD.get(kind)
