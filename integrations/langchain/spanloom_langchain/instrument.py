"""One handler for every run of the process, with nothing passed."""

from __future__ import annotations

from contextvars import ContextVar

from langchain_core.callbacks import BaseCallbackHandler
from spanloom.setup import Loom, checked_loom
from spanloom.weave import TRACED_WHOLLY

from .handler import SpanloomCallbackHandler


class _Everywhere(SpanloomCallbackHandler):
    """The handler of `instrument()`. LangChain cannot forget a hook, so it is told whom to follow, or nobody."""

    def __init__(self) -> None:
        super().__init__()
        self.follow(None, on=False)

    def follow(self, loom: Loom | None, *, on: bool) -> None:
        self._runs.loom = loom
        self.ignore_llm = self.ignore_chain = self.ignore_agent = self.ignore_retriever = not on
        self.ignore_chat_model = self.ignore_retry = self.ignore_custom_event = not on


_handler = _Everywhere()
_variable: ContextVar[BaseCallbackHandler | None] = ContextVar("spanloom_langchain", default=_handler)
_registered = False


def instrument(loom: Loom | None = None) -> SpanloomCallbackHandler:
    """Trace every LangChain and LangGraph run of this process, in every thread; and return the handler that does.

    Calling it twice, or passing a handler to a run as well, traces each step once. Without `loom` it follows the last
    `configure()`. Raises `ConfigurationError` for another `loom` than `configure()` returns.
    """
    global _registered
    checked_loom(loom, "instrument(loom=…)")
    if not _registered:
        from langchain_core.tracers.context import register_configure_hook  # noqa: PLC0415  10 ms: only where used

        register_configure_hook(_variable, inheritable=True)
        _registered = True
    _handler.follow(loom, on=True)
    TRACED_WHOLLY.add("langchain")
    return _handler


def uninstrument() -> None:
    """Trace only runs that a handler is passed to. Runs that are under way are traced to their end."""
    _handler.follow(_handler._runs.loom, on=False)
    TRACED_WHOLLY.discard("langchain")
