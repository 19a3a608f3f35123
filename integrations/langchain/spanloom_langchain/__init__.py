"""Spanloom for LangChain and LangGraph: one handler for `callbacks`, or `instrument()` for every run of the process."""

try:
    import langchain_core as _langchain_core  # noqa: F401
except ImportError as error:
    raise ImportError("spanloom_langchain needs langchain-core: run `pip install 'spanloom[langchain]'`.") from error

from .embeddings import trace_embeddings
from .handler import SpanloomCallbackHandler
from .instrument import instrument, uninstrument
from .prompts import prompt_from_langfuse

__all__ = ["SpanloomCallbackHandler", "instrument", "prompt_from_langfuse", "trace_embeddings", "uninstrument"]
