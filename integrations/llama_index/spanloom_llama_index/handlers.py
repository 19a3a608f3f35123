"""The handlers that LlamaIndex's dispatcher calls. They record nothing themselves."""

from __future__ import annotations

import inspect
from typing import Any

from llama_index.core.instrumentation.events.llm import LLMChatInProgressEvent, LLMCompletionInProgressEvent
from llama_index_instrumentation.base import BaseEvent
from llama_index_instrumentation.event_handlers import BaseEventHandler
from llama_index_instrumentation.span import BaseSpan
from llama_index_instrumentation.span_handlers import BaseSpanHandler
from opentelemetry import trace
from opentelemetry.context import Context
from pydantic import Field
from spanloom.guard import GUARD

from .events import TOLD, learn
from .recording import Recording, restored

_PROPAGATED = "spanloom"


class SpanloomSpanHandler(BaseSpanHandler[BaseSpan]):
    """Passes spans on. It keeps none: `open_spans`, `completed_spans` and `dropped_spans` stay empty."""

    recording: Any = Field(None, exclude=True, repr=False)  # a field: pydantic is slow to find private ones

    def __init__(self, recording: Recording) -> None:
        super().__init__()
        self.recording = recording

    @classmethod
    def class_name(cls) -> str:
        return "SpanloomSpanHandler"

    def span_enter(
        self,
        id_: str,
        bound_args: inspect.BoundArguments,
        instance: Any = None,
        parent_id: str | None = None,
        tags: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        try:  # as `guarded` does, without passing all of it on once more
            self.recording.enter(id_, bound_args.arguments, instance, parent_id, tags)
        except Exception as error:
            GUARD.caught("spanloom_llama_index.recording.Recording.enter", error)

    def span_exit(
        self,
        id_: str,
        bound_args: inspect.BoundArguments,
        instance: Any = None,
        result: Any = None,
        **kwargs: Any,
    ) -> None:
        try:
            self.recording.exit(id_, result)
        except Exception as error:
            GUARD.caught("spanloom_llama_index.recording.Recording.exit", error)

    def span_drop(
        self,
        id_: str,
        bound_args: inspect.BoundArguments,
        instance: Any = None,
        err: BaseException | None = None,
        **kwargs: Any,
    ) -> None:
        try:
            self.recording.drop(id_, err)
        except Exception as error:
            GUARD.caught("spanloom_llama_index.recording.Recording.drop", error)

    def capture_propagation_context(self) -> dict[str, Any]:
        """The current trace, for `restore_propagation_context` in another process: W3C headers under `spanloom`."""
        from opentelemetry import propagate  # noqa: PLC0415  looks for entry points: only where used

        headers: dict[str, str] = {}
        with GUARD.watching("spanloom_llama_index.capture_propagation_context"):
            inside = trace.get_current_span().get_span_context().is_valid
            propagate.inject(headers, context=None if inside else restored.get())
        return {_PROPAGATED: headers} if headers else {}

    def restore_propagation_context(self, context: dict[str, Any]) -> None:
        """Let a step that begins without a parent in this context continue the captured trace."""
        from opentelemetry import propagate  # noqa: PLC0415

        with GUARD.watching("spanloom_llama_index.restore_propagation_context"):
            headers = context.get(_PROPAGATED)
            if isinstance(headers, dict):
                restored.set(propagate.extract(headers, Context()))

    def close(self) -> None:
        """The dispatcher is shut down: what is open ends as `incomplete`."""
        with GUARD.watching("spanloom_llama_index.close"):
            self.recording.end_all()

    def new_span(self, *args: Any, **kwargs: Any) -> None:
        """Not used: `span_enter` is overridden."""

    def prepare_to_exit_span(self, *args: Any, **kwargs: Any) -> None:
        """Not used: `span_exit` is overridden."""

    def prepare_to_drop_span(self, *args: Any, **kwargs: Any) -> None:
        """Not used: `span_drop` is overridden."""


class SpanloomEventHandler(BaseEventHandler):
    """Passes events on."""

    recording: Any = Field(None, exclude=True, repr=False)  # a field: pydantic is slow to find private ones

    def __init__(self, recording: Recording) -> None:
        super().__init__()
        self.recording = recording

    @classmethod
    def class_name(cls) -> str:
        return "SpanloomEventHandler"

    def handle(self, event: BaseEvent, **kwargs: Any) -> None:
        kind = type(event)
        try:
            if (kind is LLMChatInProgressEvent or kind is LLMCompletionInProgressEvent) and (
                take := self.recording.frames.takers.get(event.span_id)
            ) is not None:
                take(event)
                return  # the way of all tokens but the first few
            told = TOLD.get(kind, learn)
            if told is None:
                return
            recording = self.recording
            frame = recording.frames.open.get(event.span_id)
            if frame is not None:
                told(recording, event, frame)
        except Exception as error:
            GUARD.caught("spanloom_llama_index.recording.Recording.event", error)
