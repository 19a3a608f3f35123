"""OpenLLMetry's instrumentations (Traceloop), content on as by default, and the SDK's OTLP exporter."""

from __future__ import annotations

from typing import ClassVar

from . import subject
from .provider import SDK, otlp, provider


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
        else:
            from opentelemetry.instrumentation.llamaindex import LlamaIndexInstrumentor

            LlamaIndexInstrumentor().instrument(tracer_provider=self._provider)

    def flush(self) -> None:
        self._provider.force_flush()
