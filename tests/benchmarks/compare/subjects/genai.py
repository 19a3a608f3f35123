"""OpenTelemetry's own GenAI instrumentations, content on spans, and the SDK's OTLP exporter."""

from __future__ import annotations

import os
from typing import ClassVar

from . import subject
from .provider import SDK, otlp, provider


class Subject(subject.Subject):
    imports: ClassVar = {
        "langchain": (*SDK, "opentelemetry.instrumentation.genai.langchain"),
        "llama_index": (*SDK, "opentelemetry.instrumentation.genai.llama_index"),
    }

    def start(self, framework: str, url: str) -> None:
        os.environ["OTEL_SEMCONV_STABILITY_OPT_IN"] = "gen_ai_latest_experimental"
        os.environ["OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"] = "SPAN_ONLY"
        self._provider = provider(otlp(url))
        if framework == "langchain":
            self.resume()
        else:
            from opentelemetry.instrumentation.genai.llama_index import LlamaIndexInstrumentor

            LlamaIndexInstrumentor().instrument(tracer_provider=self._provider)

    def flush(self) -> None:
        self._provider.force_flush()

    def pause(self) -> None:
        from opentelemetry.instrumentation.genai.langchain import LangChainInstrumentor

        LangChainInstrumentor().uninstrument()

    def resume(self) -> None:
        from opentelemetry.instrumentation.genai.langchain import LangChainInstrumentor

        LangChainInstrumentor().instrument(tracer_provider=self._provider)
