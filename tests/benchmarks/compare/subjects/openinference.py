"""OpenInference's instrumentations, and the SDK's OTLP exporter."""

from __future__ import annotations

from . import subject
from .provider import otlp, provider


class Subject(subject.Subject):
    def load(self, framework: str) -> None:
        import opentelemetry.exporter.otlp.proto.http.trace_exporter
        import opentelemetry.sdk.trace.export  # noqa: F401

        if framework == "langchain":
            import openinference.instrumentation.langchain
        else:
            import openinference.instrumentation.llama_index  # noqa: F401

    def start(self, framework: str, url: str) -> None:
        self._provider = provider(otlp(url))
        instrument(framework, self._provider)

    def flush(self) -> None:
        self._provider.force_flush()


def instrument(framework: str, tracer_provider: object) -> None:
    if framework == "langchain":
        from openinference.instrumentation.langchain import LangChainInstrumentor

        LangChainInstrumentor().instrument(tracer_provider=tracer_provider)
    else:
        from openinference.instrumentation.llama_index import LlamaIndexInstrumentor

        LlamaIndexInstrumentor().instrument(tracer_provider=tracer_provider)
