"""OpenLLMetry's instrumentations (Traceloop), content on as by default, and the SDK's OTLP exporter."""

from __future__ import annotations

from . import subject
from .provider import otlp, provider


class Subject(subject.Subject):
    def load(self, framework: str) -> None:
        import opentelemetry.exporter.otlp.proto.http.trace_exporter
        import opentelemetry.sdk.trace.export

        if framework == "langchain":
            import opentelemetry.instrumentation.langchain
        else:
            import opentelemetry.instrumentation.llamaindex  # noqa: F401

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
