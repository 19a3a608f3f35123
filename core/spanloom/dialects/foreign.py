"""Other instrumentations' spans of model calls, known by the words that they use: where one repeats the call of a step,
the call must count once.

OpenTelemetry's and Traceloop's instrumentations of openai, anthropic and others, anthropic's own client, LiteLLM and
OpenInference open a span below our step; their instrumentations of the frameworks open one beside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .rendered import Attributes

REPEATS = "spanloom.repeats_step"
"""True on the span of another library that repeats a model call which is a step: leave it out of sums."""

_OPERATIONS = {"chat", "completion", "text_completion", "generate_content", "embeddings"}
_KINDS = {"LLM", "EMBEDDING"}
_OBSERVATIONS = {"generation", "embedding"}
_MODELS = ("gen_ai.request.model", "gen_ai.response.model", "llm.model_name", "embedding.model_name")
_USAGE = ("gen_ai.usage.", "llm.usage.", "llm.token_count.", "llm.request.")
_FRAMEWORKS = {
    ".langchain": "langchain", ".langgraph": "langchain", ".llama_index": "llama_index", ".llamaindex": "llama_index",
}  # fmt: skip

_COUNTED = ("gen_ai.", "llm.", "embedding.", "openinference.", "ai.", "langfuse.observation.")
_COUNTED_KEYS = {"model", "metadata.usage"}


def is_model_call(attributes: Mapping[str, Any]) -> bool:
    """Whether a span's attributes say, in any of those words, that it is a call of a model."""
    return (
        attributes.get("gen_ai.operation.name") in _OPERATIONS
        or attributes.get("openinference.span.kind") in _KINDS
        or attributes.get("langfuse.observation.type") in _OBSERVATIONS
        or any(key in attributes for key in _MODELS)
        or any(key.startswith(_USAGE) for key in attributes)
    )


def framework_of(scope: str) -> str | None:
    """`langchain` or `llama_index` where `scope` is an instrumentation of one, which sees the calls that steps are made
    of; None for any other."""
    return next((framework for end, framework in _FRAMEWORKS.items() if scope.endswith(end)), None)


def demoted(attributes: Mapping[str, Any]) -> Attributes:
    """`attributes` without any that make a receiver count a model call: its type, model, usage, cost and messages."""
    return {k: v for k, v in attributes.items() if not k.startswith(_COUNTED) and k not in _COUNTED_KEYS}
