"""Spanloom for LlamaIndex: every query, chat turn, agent and workflow run as one trace.

>>> from spanloom_llama_index import instrument
>>> instrument()  # doctest: +SKIP
"""

try:
    import llama_index.core  # noqa: F401
except ImportError as error:  # pragma: no cover - needs an environment without it
    raise ImportError("spanloom_llama_index needs llama-index-core: pip install 'spanloom[llama-index]'") from error

from .prompts import prompt_from_langfuse
from .registration import SpanloomCallbackHandler, instrument, uninstrument

__all__ = ["SpanloomCallbackHandler", "instrument", "prompt_from_langfuse", "uninstrument"]
