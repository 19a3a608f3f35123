"""OpenTelemetry's own GenAI instrumentations, content on spans, and the SDK's OTLP exporter."""

from __future__ import annotations

import os

from . import subject
from .provider import otlp, provider


class Subject(subject.Subject):
    def load(self, framework: str) -> None:
        import opentelemetry.exporter.otlp.proto.http.trace_exporter
        import opentelemetry.sdk.trace.export

        if framework == "langchain":
            import opentelemetry.instrumentation.genai.langchain
        else:
            import opentelemetry.instrumentation.genai.llama_index  # noqa: F401

    def start(self, framework: str, url: str) -> None:
        os.environ["OTEL_SEMCONV_STABILITY_OPT_IN"] = "gen_ai_latest_experimental"
        os.environ["OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"] = "SPAN_ONLY"
        self._provider = provider(otlp(url))
        if framework == "langchain":
            from opentelemetry.instrumentation.genai.langchain import LangChainInstrumentor

            LangChainInstrumentor().instrument(tracer_provider=self._provider)
        else:
            from opentelemetry.instrumentation.genai.llama_index import LlamaIndexInstrumentor

            LlamaIndexInstrumentor().instrument(tracer_provider=self._provider)

    def flush(self) -> None:
        self._provider.force_flush()
