"""Handlers that do nothing: what the frameworks' own callbacks cost, which nobody can save."""

from __future__ import annotations

from typing import Any, ClassVar

from . import subject


class Subject(subject.Subject):
    imports: ClassVar = {"langchain": (), "llama_index": ()}

    def start(self, framework: str, url: str) -> None:
        if framework == "langchain":
            self._callbacks = [_langchain()]
        else:
            _llama_index()

    @property
    def config(self) -> dict[str, Any]:
        return {"callbacks": self._callbacks}

    def flush(self) -> None:
        pass


def _langchain() -> Any:
    from langchain_core.callbacks import BaseCallbackHandler

    class Nothing(BaseCallbackHandler):
        run_inline = True

        def on_chat_model_start(self, *args: Any, **kwargs: Any) -> None:  # without it LangChain renders the messages
            pass

        def on_interrupt(self, *args: Any, **kwargs: Any) -> None:  # without them LangGraph warns
            pass

        on_resume = on_interrupt

    return Nothing()


def _llama_index() -> None:
    from llama_index.core.instrumentation import get_dispatcher
    from llama_index.core.instrumentation.event_handlers import BaseEventHandler
    from llama_index.core.instrumentation.span_handlers import NullSpanHandler

    class NoEvents(BaseEventHandler):
        def handle(self, event: Any, **kwargs: Any) -> None:
            pass

    class NoSpans(NullSpanHandler):
        def span_drop(self, *args: Any, **kwargs: Any) -> None:
            pass

    get_dispatcher().add_event_handler(NoEvents())
    get_dispatcher().add_span_handler(NoSpans())
