"""OpenLLMetry's instrumentations (Traceloop), content on as by default, and the SDK's OTLP exporter."""

from __future__ import annotations

import importlib
from typing import Any, ClassVar

from . import subject
from .provider import SDK, otlp, provider

_WRAPPED = (
    ("langchain_core.callbacks", "BaseCallbackManager", "__init__"),
    ("langgraph.pregel", "Pregel", "stream"),
    ("langgraph.pregel", "Pregel", "astream"),
    ("langgraph.types", "Command", "__init__"),
)
"""What it wraps that a run comes by. Its `uninstrument()` leaves all of these as they are (0.62)."""


class Subject(subject.Subject):
    imports: ClassVar = {
        "langchain": (*SDK, "opentelemetry.instrumentation.langchain"),
        "llama_index": (*SDK, "opentelemetry.instrumentation.llamaindex"),
    }

    def start(self, framework: str, url: str) -> None:
        self._provider = provider(otlp(url))
        if framework == "langchain":
            from opentelemetry.instrumentation.langchain import LangchainInstrumentor

            LangchainInstrumentor().instrument(tracer_provider=self._provider)
            owners = [(getattr(importlib.import_module(module), owner), name) for module, owner, name in _WRAPPED]
            self._wrappers: list[tuple[Any, str, Any]] = [(owner, name, vars(owner)[name]) for owner, name in owners]
        else:
            from opentelemetry.instrumentation.llamaindex import LlamaIndexInstrumentor

            LlamaIndexInstrumentor().instrument(tracer_provider=self._provider)

    def flush(self) -> None:
        self._provider.force_flush()

    def pause(self) -> None:
        for owner, name, wrapper in self._wrappers:
            setattr(owner, name, wrapper.__wrapped__)

    def resume(self) -> None:
        for owner, name, wrapper in self._wrappers:
            setattr(owner, name, wrapper)
