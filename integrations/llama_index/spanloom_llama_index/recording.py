"""From LlamaIndex's spans and events to the recorder: which step opens under which, and when it has truly ended."""

from __future__ import annotations

import time
import weakref
from collections.abc import AsyncGenerator, Generator, Hashable, Mapping
from contextvars import ContextVar
from functools import partial
from typing import Any

from llama_index.core.base.llms.types import ChatResponse, CompletionResponse
from llama_index.core.base.response.schema import AsyncStreamingResponse, StreamingResponse
from llama_index.core.chat_engine.types import StreamingAgentChatResponse
from llama_index_instrumentation.dispatcher import active_instrument_tags
from llama_index_instrumentation.span import active_span_id
from opentelemetry import trace
from opentelemetry.context import Context
from spanloom.current import CurrentStep
from spanloom.guard import GUARD, guarded
from spanloom.loaded import loaded
from spanloom.recorder import Recorder
from spanloom.setup import Loom, current_loom
from spanloom.step import Deferred, Outcome, Step

from . import facts, prompts, values
from .frames import ChatFrame, Frame, Frames, HistoryFrame, ModelFrame, StepFrame
from .layers import Streaming, enclosing_model, frame_of, is_layer
from .steps import Family, identified, is_workflow_step
from .streams import outcome_of, stream_of, when_collected

# Looking a member up in its enum costs more than all else that is done for a span that is no step.
_LLM, _TOOL, _CHAT, _CHAT_HISTORY = Family.LLM, Family.TOOL, Family.CHAT, Family.CHAT_HISTORY
_WORKFLOW_STEP, _INTERNAL = Family.WORKFLOW_STEP, Family.INTERNAL
_ANSWERS_IN_PIECES = frozenset({Family.QUERY, Family.SYNTHESIZE, Family.CHAT})
_WHOLE = frozenset({ChatResponse, CompletionResponse})
_FRAME_OF: dict[Family, type[StepFrame]] = {_LLM: ModelFrame, _CHAT: ChatFrame}

restored: ContextVar[Context | None] = ContextVar("spanloom_llama_index_restored", default=None)
"""The trace that another process began and this context continues."""


class Recording:
    """Follows LlamaIndex's spans. `loom` is fixed, or, where None, the one that is configured at each span."""

    def __init__(self, loom: Loom | None = None) -> None:
        self.loom = loom
        self.frames = Frames()
        self.ended = False
        self.current = CurrentStep(self._running, self._span_of, lambda: self.ended)
        self._streaming: Streaming = {}

    # ---------------------------------------------------------------- where code is
    def _running(self) -> str | None:
        """The span whose body the caller is in. A model's stream sends its request when it is first asked for a piece:
        its generator is the model's body, whoever asks."""
        if self._streaming and (model := enclosing_model(self._streaming, self.frames, spans=False)) is not None:
            return model.id
        return active_span_id.get()

    def _span_of(self, run_id: Any) -> trace.Span | None:
        home = self.frames.home(run_id)
        recorder = self._recorder()
        return recorder.span_of(home) if home is not None and recorder is not None else None

    def _recorder(self) -> Recorder | None:
        loom = self.loom if self.loom is not None else current_loom()
        return loom.recorder if loom is not None else None

    @guarded
    def last_trace_id(self) -> str | None:
        recorder = self._recorder()
        if recorder is None:
            return None
        recorder.evict()  # a stream that was just left is the last one too
        return recorder.recent.last()

    # ---------------------------------------------------------------- spans
    def enter(
        self,
        span_id: str,
        arguments: Mapping[str, Any],
        instance: Any,
        parent_id: str | None,
        tags: Mapping[str, Any] | None,
    ) -> None:
        recorder, frames = self._recorder(), self.frames
        if recorder is None or not recorder.active or span_id in frames.open:
            return
        name, family = identified(span_id, instance)
        above = frames.open.get(parent_id)
        if above is not None and above.family.is_run and is_workflow_step(instance, name):
            family = _WORKFLOW_STEP
        elif family.is_run and "init_state" not in arguments:
            family = _INTERNAL  # an app's own decorated `run`: it returns a handler, and the true run follows
        elif family is _LLM and self._streaming and (outer := enclosing_model(self._streaming, frames)) is not None:
            parent_id, above = outer.id, outer
        home = above.home if above is not None else frames.home(parent_id)
        if family is _INTERNAL:
            frames.add(Frame(span_id, name, family, parent_id, home))
        elif family is _CHAT_HISTORY:
            history = HistoryFrame(span_id, name, family, parent_id, home)
            self._history_begun(history)
            frames.add(history)
        else:
            kind = _FRAME_OF.get(family, StepFrame)
            frame = kind(span_id, name, family, parent_id, home, instance, recorder)
            if family.kind is not None and not is_layer(frame, instance, above, frames):
                self._open(frame, instance, arguments, tags)
                if frame.step is None:
                    return  # told twice
            frames.add(frame)

    def _open(
        self, frame: StepFrame, instance: Any, arguments: Mapping[str, Any], tags: Mapping[str, Any] | None
    ) -> None:
        family = frame.family
        assert family.kind is not None
        step = Step(frame.id, family.kind, frame.name, start_ns=frame.start_ns)
        if tags is None:
            tags = active_instrument_tags.get()
        if tags:
            step.identity = facts.identity(tags)
        try:
            facts.begin(step, family, instance, arguments)
            if family is _LLM:
                prompts.give(step, frame, self.frames, instance)
        except Exception as error:
            GUARD.caught("spanloom_llama_index.facts.begin", error)
        if family is _WORKFLOW_STEP:
            calls = loaded("llama_index.core.agent.workflow.workflow_events", "ToolCall")
            frame.tool_call = next((v for v in arguments.values() if isinstance(v, calls)), None)
        elif family is _TOOL and frame.home is not None:
            around = self.frames.open.get(frame.home)
            call = around.tool_call if isinstance(around, StepFrame) else None
            if call is not None and call.tool_name == step.tool_name:
                step.tool_call_id = call.tool_id
        context = None
        if frame.home is None and not trace.get_current_span().get_span_context().is_valid:
            context = restored.get()
        parent: Hashable = frame.home
        if parent is not None and not self.current.is_innermost(frame.parent_id):
            parent = frame.recorder.innermost(parent, self.frames.open.__contains__)
        if frame.recorder.open(step, parent, context) is None:
            return
        frame.step, frame.home = step, frame.id
        self.current.enter(step, base=frame.parent_id)

    def open_late(self, frame: StepFrame, arguments: Mapping[str, Any]) -> None:
        """Open the step of a span that has turned out to be one; it began with its span."""
        self._open(frame, None, arguments, None)

    def exit(self, span_id: str, result: Any) -> None:
        frame = self.frames.open.get(span_id)
        if frame is None:
            return
        step = frame.step
        if step is None:
            self._fold(frame, None)
            return
        assert isinstance(frame, StepFrame)
        if self._waits(frame, step, result):
            if type(frame) is not ModelFrame:
                self.current.leave(step)
            return  # whoever reads a model's stream runs its body
        self.current.leave(step)
        family, outcome = frame.family, frame.outcome
        try:
            facts.finish(step, family, result)
            if family is _LLM:
                facts.dispatched(step, result, time.time_ns())
            elif family is _TOOL and outcome is Outcome.OK:
                outcome = facts.told_by_tool(result)
        except Exception as error:
            GUARD.caught("spanloom_llama_index.facts.finish", error)
        self.close(frame, outcome, frame.error)

    def drop(self, span_id: str, error: BaseException | None) -> None:
        frame = self.frames.open.get(span_id)
        if frame is None:
            return
        if frame.step is None:
            self._fold(frame, error)
            return
        assert isinstance(frame, StepFrame)
        self.current.leave(frame.step)
        self.close(frame, outcome_of(error) if error is not None else Outcome.ERROR, error)

    def _fold(self, frame: Frame, error: BaseException | None) -> None:
        """The end of a span that is no step."""
        if type(frame) is HistoryFrame:
            self._history_ended(frame, error)
        else:
            self.frames.forget(frame)

    def close(self, frame: StepFrame, outcome: Outcome, error: BaseException | None = None) -> None:
        # A task may go on though the run that began it was cancelled. LlamaIndex tells of its end when it has come.
        error = error if outcome is Outcome.ERROR else None
        self._leave(frame)
        frame.recorder.close(frame.id, outcome, error=error, tells_all=True)
        self._forget(frame)

    def _lose(self, frame: StepFrame) -> None:
        """A step's end can't be told any more: what was to tell it has been collected, maybe just now, anywhere."""
        self._leave(frame)
        frame.recorder.lose(frame.id)
        self._forget(frame)

    def _leave(self, frame: StepFrame) -> None:
        if frame.step is not None:
            others = self._streaming.keys() - {frame.body_id} if type(frame) is ModelFrame else ()
            self.current.leave(frame.step, back=not others)  # what is current here may answer for their streams too

    def _forget(self, frame: StepFrame) -> None:
        if type(frame) is ModelFrame:
            self._streaming.pop(frame.body_id, None)
            frame.partial = frame.late = None
        if frame.watch is not None:
            frame.watch.detach()
        self.frames.forget(frame)

    def end_all(self) -> None:
        """End what is still open: nobody will tell us of it any more."""
        self.ended = True
        for frame in reversed(tuple(self.frames.open.values())):
            if isinstance(frame, StepFrame) and frame.step is not None:
                self.close(frame, Outcome.INCOMPLETE)
            else:
                self.frames.forget(frame)

    # ---------------------------------------------------------------- streams
    def _waits(self, frame: StepFrame, step: Step, result: Any) -> bool:
        """Whether a step whose span has exited is still at work: what it returned has yet to be made."""
        family = frame.family
        if type(frame) is ModelFrame:
            if type(result) in _WHOLE or not isinstance(result, (Generator, AsyncGenerator)):
                return False
            step.streaming = True
            if not frame.reported:  # a custom model without events: nobody tells when its stream has ended
                return False
            frame.exited = True
            frame.body_id = id(frame_of(result))
            self._streaming[frame.body_id] = (frame.id, weakref.ref(result))
            frame.watch = when_collected(result, self._collected, frame)
            return True
        if family in _ANSWERS_IN_PIECES:
            if isinstance(result, (StreamingResponse, AsyncStreamingResponse)):
                return self._awaits_stream(frame, step, result, "response_gen")
            if type(frame) is ChatFrame and isinstance(result, StreamingAgentChatResponse):
                if result.is_writing_to_memory:
                    return self._awaits_history(frame, result)
                source = "achat_stream" if result.achat_stream else "chat_stream"
                return self._awaits_stream(frame, step, result, source)
        return False

    def _awaits_stream(self, frame: StepFrame, step: Step, response: Any, attribute: str) -> bool:
        stream = stream_of(response, attribute, frame.id, step, self.current)
        if stream is None:
            return False
        step.content.output = Deferred(values.joined, (stream.pieces,))
        step.awaits_stream = True  # what the recorder must know where it gives a step up
        return stream.wait(partial(self._stream_ended, frame))

    @guarded
    def _stream_ended(self, frame: StepFrame, outcome: Outcome | None, error: BaseException | None) -> None:
        if outcome is None:
            self._lose(frame)
        else:
            self.close(frame, outcome, error)

    @guarded
    def _collected(self, frame: ModelFrame) -> None:
        """A model's stream is gone; if its end was never told, nobody wanted it."""
        if frame.id in self.frames.open:
            self._note_partial(frame)
            self._lose(frame)

    def break_off(self, frame: ModelFrame, outcome: Outcome, error: BaseException | None = None) -> None:
        """Close a model's step in the middle of its stream, with what it has said so far."""
        self._note_partial(frame)
        self.close(frame, outcome, error)

    def _note_partial(self, frame: ModelFrame) -> None:
        if frame.step is not None and frame.partial is not None:
            facts.drained(frame.step, frame.partial, frame.late or ())

    # Chat engines return at once and write the answer to the chat's history in a thread or a task: until that is done,
    # the chat's step is open. The thread may begin, or even end, before the chat's own span exits.
    def _history_begun(self, frame: HistoryFrame) -> None:
        frame.chat = chat = None
        if frame.home is not None:
            chat = self.frames.open.get(frame.home)
        if type(chat) is not ChatFrame:
            return
        with chat.lock:
            frame.chat = chat
            if chat.expects_history:
                chat.expects_history = False
            else:
                chat.waits += 1

    def _awaits_history(self, chat: ChatFrame, response: StreamingAgentChatResponse) -> bool:
        with chat.lock:
            chat.exited = True
            if not chat.waits and not chat.history_written:
                chat.expects_history = True
                chat.waits += 1
                chat.watch = when_collected(response, self._unwritten, chat)
            return chat.waits > 0

    def _history_ended(self, frame: HistoryFrame, error: BaseException | None) -> None:
        self.frames.forget(frame)
        chat = frame.chat
        if chat is None or chat.step is None:
            return
        with chat.lock:
            chat.waits -= 1
            chat.history_written = True
            if error is not None:
                chat.outcome, chat.error = outcome_of(error), error
            ended = chat.exited and not chat.waits
            chat.step.content.output = Deferred(values.joined, (chat.pieces,))
        if ended:
            self.close(chat, chat.outcome, chat.error)

    @guarded
    def _unwritten(self, chat: ChatFrame) -> None:
        with chat.lock:
            never = chat.expects_history
        if never:
            self._lose(chat)
