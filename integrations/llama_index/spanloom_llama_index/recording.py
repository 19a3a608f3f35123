"""From LlamaIndex's spans and events to the recorder: which step opens under which, and when it has truly ended."""

from __future__ import annotations

import time
import weakref
from collections.abc import AsyncGenerator, Generator, Mapping
from contextvars import ContextVar
from functools import partial
from typing import Any

from llama_index.core.agent.workflow.workflow_events import ToolCall
from llama_index.core.base.response.schema import AsyncStreamingResponse, StreamingResponse
from llama_index.core.chat_engine.types import StreamingAgentChatResponse
from llama_index_instrumentation.dispatcher import active_instrument_tags
from llama_index_instrumentation.span import active_span_id
from opentelemetry import trace
from opentelemetry.context import Context
from spanloom.current import CurrentStep
from spanloom.guard import GUARD, guarded
from spanloom.recorder import Recorder
from spanloom.setup import Loom, current_loom
from spanloom.step import Deferred, Outcome, Step

from . import facts, prompts, translate
from .events import told_by
from .frames import Frame, Frames
from .layers import enclosing_model, is_layer
from .steps import Family, family_of, is_workflow_step, method_of, name_of
from .streams import outcome_of, stream_of, when_collected

_ANSWERS_IN_PIECES = (Family.QUERY, Family.SYNTHESIZE, Family.CHAT)

restored: ContextVar[Context | None] = ContextVar("spanloom_llama_index_restored", default=None)
"""The trace that another process began and this context continues."""


class Recording:
    """Follows LlamaIndex's spans. `loom` is fixed, or, where None, the one that is configured at each span."""

    def __init__(self, loom: Loom | None = None) -> None:
        self.loom = loom
        self.frames = Frames()
        self.current = CurrentStep(active_span_id.get, self._span_of)
        self._streaming: dict[str, weakref.ref[Any]] = {}  # by the span id of the model that streams

    # ---------------------------------------------------------------- where code is
    def _span_of(self, run_id: Any) -> trace.Span | None:
        home = self.frames.home(run_id)
        recorder = self._recorder()
        return recorder.span_of(home) if home is not None and recorder is not None else None

    def _recorder(self) -> Recorder | None:
        loom = self.loom or current_loom()
        return loom.recorder if loom is not None else None

    @guarded
    def last_trace_id(self) -> str | None:
        recorder = self._recorder()
        return recorder.recent.last() if recorder is not None else None

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
        family = family_of(instance, method_of(name)) if instance is not None else Family.INTERNAL
        above = self.frames.open.get(parent_id) if parent_id is not None else None
        if above is not None and above.family.is_run and is_workflow_step(instance, name):
            family = Family.WORKFLOW_STEP
        elif family.is_run and "init_state" not in arguments:
            family = Family.INTERNAL  # an app's own decorated `run`: it returns a handler, and the true run follows
        if (
            family is Family.LLM
            and self._streaming
            and (outer := enclosing_model(self._streaming, self.frames)) is not None
        ):
            parent_id = outer.id
        above = self.frames.open.get(parent_id) if parent_id is not None else None
        frame = Frame(
            span_id, name, family, parent_id, self.frames.home(parent_id), id(instance), time.time_ns(), recorder
        )
        if family is Family.CHAT_HISTORY:
            self._history_begun(frame)
        elif family.kind is not None and not is_layer(frame, instance, above, self.frames):
            self._open(frame, instance, arguments, tags)
            if frame.step is None:
                return  # told twice
        self.frames.add(frame)

    def _open(self, frame: Frame, instance: Any, arguments: Mapping[str, Any], tags: Mapping[str, Any] | None) -> None:
        kind = frame.family.kind
        assert kind is not None
        step = Step(frame.id, kind, frame.name, start_ns=frame.start_ns)
        step.identity = facts.identity(active_instrument_tags.get() if tags is None else tags)
        with GUARD.watching("spanloom_llama_index.facts.begin"):
            facts.begin(step, frame.family, instance, arguments)
            if frame.family is Family.LLM:
                prompts.give(step, frame, self.frames, instance)
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
            return
        frame.step, frame.home = step, frame.id
        self.current.enter(step, base=frame.parent_id)

    def open_late(self, frame: Frame, arguments: Mapping[str, Any]) -> None:
        """Open the step of a span that has turned out to be one; it began with its span."""
        self._open(frame, None, arguments, None)

    @guarded
    def exit(self, span_id: str, result: Any) -> None:
        frame = self.frames.open.get(span_id)
        if frame is None:
            return
        if frame.step is not None:
            self.current.leave(frame.step)
        if frame.family is Family.CHAT_HISTORY:
            self._history_ended(frame, None)
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
            self.close(frame, outcome, frame.error)

    @guarded
    def drop(self, span_id: str, error: BaseException | None) -> None:
        frame = self.frames.open.get(span_id)
        if frame is None:
            return
        if frame.step is not None:
            self.current.leave(frame.step)
        if frame.family is Family.CHAT_HISTORY:
            self._history_ended(frame, error)
        elif frame.step is None:
            self.frames.forget(frame)
        else:
            self.close(frame, outcome_of(error) if error is not None else Outcome.ERROR, error)

    def close(self, frame: Frame, outcome: Outcome, error: BaseException | None = None) -> None:
        self._streaming.pop(frame.id, None)
        frame.partial = None
        if frame.watch is not None:
            frame.watch.detach()
        frame.recorder.close(frame.id, outcome, error=error if outcome is Outcome.ERROR else None)
        self.frames.forget(frame)

    def end_all(self) -> None:
        """End what is still open: nobody will tell us of it any more."""
        for frame in reversed(tuple(self.frames.open.values())):
            if frame.step is not None:
                self.close(frame, Outcome.INCOMPLETE)
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
            frame.watch = when_collected(result, self._collected, frame)
            return True
        if frame.family in _ANSWERS_IN_PIECES and isinstance(result, (StreamingResponse, AsyncStreamingResponse)):
            return self._awaits_stream(frame, step, result, "response_gen")
        if frame.family is Family.CHAT and isinstance(result, StreamingAgentChatResponse):
            if result.is_writing_to_memory:
                return self._awaits_history(frame, result)
            return self._awaits_stream(frame, step, result, "achat_stream" if result.achat_stream else "chat_stream")
        return False

    def _awaits_stream(self, frame: Frame, step: Step, response: Any, attribute: str) -> bool:
        stream = stream_of(response, attribute, frame.id, frame.recorder.span_of(frame.id))
        if stream is None:
            return False
        step.content.output = Deferred(translate.joined, (stream.pieces,))
        step.awaits_stream = True  # what the recorder must know where it gives a step up
        return stream.wait(partial(self._stream_ended, frame))

    @guarded
    def _stream_ended(self, frame: Frame, outcome: Outcome, error: BaseException | None) -> None:
        self.close(frame, outcome, error)

    @guarded
    def _collected(self, frame: Frame) -> None:
        """A model's stream is gone; if its end was never told, nobody wanted it."""
        if frame.id in self.frames.open:
            self.break_off(frame, Outcome.ABANDONED)

    def break_off(self, frame: Frame, outcome: Outcome, error: BaseException | None = None) -> None:
        """Close a model's step in the middle of its stream, with what it has said so far."""
        if frame.partial is not None and frame.step is not None:
            facts.noted(frame.step, frame.partial)
        self.close(frame, outcome, error)

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
                chat.watch = when_collected(response, self._unwritten, chat)
            return chat.waits > 0

    def _history_ended(self, frame: Frame, error: BaseException | None) -> None:
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
            chat.step.content.output = Deferred(translate.joined, (chat.pieces,))
        if ended:
            self.close(chat, chat.outcome, chat.error)

    @guarded
    def _unwritten(self, chat: Frame) -> None:
        with chat.lock:
            never = chat.expects_history
        if never:
            self.close(chat, Outcome.ABANDONED)

    # ---------------------------------------------------------------- events
    @guarded
    def event(self, event: Any) -> None:
        frame = self.frames.open.get(event.span_id)
        if frame is not None and (told := told_by(type(event))) is not None:
            told(self, event, frame)
