"""Registering with LlamaIndex, once, by whichever door."""

from __future__ import annotations

import threading
from typing import Any

from llama_index.core.callbacks.base_handler import BaseCallbackHandler
from llama_index.core.callbacks.schema import CBEventType
from llama_index_instrumentation import get_dispatcher
from spanloom.setup import Loom, checked_loom
from spanloom.weave import TRACED_WHOLLY

from .handlers import SpanloomEventHandler, SpanloomSpanHandler
from .recording import Recording

_lock = threading.Lock()
_recording: Recording | None = None


def instrument(loom: Loom | None = None) -> None:
    """Trace everything that LlamaIndex does in this process, on its root dispatcher.

    Without `loom`, what `spanloom.configure()` set up last is asked at each span, so it may be called later, or again.
    A second call registers nothing anew; a `loom` that it names takes the place of the first one. Raises
    `ConfigurationError` for another `loom` than `configure()` returns.
    """
    global _recording
    checked_loom(loom, "instrument(loom=…)")
    with _lock:
        root = get_dispatcher()  # the root
        if _recording is None:
            _recording = Recording(loom)
        elif loom is not None:
            _recording.loom = loom
        if not any(isinstance(h, SpanloomSpanHandler) for h in root.span_handlers):
            root.add_span_handler(SpanloomSpanHandler(_recording))
        if not any(isinstance(h, SpanloomEventHandler) for h in root.event_handlers):
            root.add_event_handler(SpanloomEventHandler(_recording))
        TRACED_WHOLLY.add("llama_index")


def uninstrument() -> None:
    """Take Spanloom's handlers off the root dispatcher; others stay. Steps that are open end as `incomplete`."""
    global _recording
    with _lock:
        root = get_dispatcher()  # the root
        root.span_handlers = [h for h in root.span_handlers if not isinstance(h, SpanloomSpanHandler)]
        root.event_handlers = [h for h in root.event_handlers if not isinstance(h, SpanloomEventHandler)]
        if _recording is not None:
            _recording.end_all()
        _recording = None
        TRACED_WHOLLY.discard("llama_index")


class SpanloomCallbackHandler(BaseCallbackHandler):
    """For `Settings.callback_manager = CallbackManager([SpanloomCallbackHandler()])`: the same as `instrument(loom)`.

    It records nothing itself, so that both together trace once.
    """

    def __init__(self, loom: Loom | None = None) -> None:
        super().__init__(event_starts_to_ignore=[], event_ends_to_ignore=[])
        instrument(loom)

    def __getattr__(self, name: str) -> Any:
        """What LangChain asks for, whose handler has the same name."""
        raise AttributeError(
            f"spanloom_llama_index's SpanloomCallbackHandler has no {name!r}: to LangChain pass spanloom_langchain's."
        )

    @property
    def last_trace_id(self) -> str | None:
        """The trace id, in hexadecimal, of the last request that ended in the caller's task or thread: what to score.

        Where it ran in a task or thread of its own, the last one that ended anywhere, unless others ran meanwhile: then
        None, rather than somebody else's.
        """
        return _recording.last_trace_id() if _recording is not None else None

    def on_event_start(
        self,
        event_type: CBEventType,
        payload: dict[str, Any] | None = None,
        event_id: str = "",
        parent_id: str = "",
        **kwargs: Any,
    ) -> str:
        return event_id

    def on_event_end(
        self,
        event_type: CBEventType,
        payload: dict[str, Any] | None = None,
        event_id: str = "",
        **kwargs: Any,
    ) -> None:
        """The dispatcher tells."""

    def start_trace(self, trace_id: str | None = None) -> None:
        """The dispatcher tells."""

    def end_trace(self, trace_id: str | None = None, trace_map: dict[str, list[str]] | None = None) -> None:
        """The dispatcher tells."""
