"""OpenInference's instrumentations, and the SDK's OTLP exporter."""

from __future__ import annotations

from typing import ClassVar

from . import subject
from .provider import SDK, otlp, provider


class Subject(subject.Subject):
    imports: ClassVar = {
        "langchain": (*SDK, "openinference.instrumentation.langchain"),
        "llama_index": (*SDK, "openinference.instrumentation.llama_index"),
    }

    def start(self, framework: str, url: str) -> None:
        self._provider = provider(otlp(url))
        instrument(framework, self._provider)

    def flush(self) -> None:
        self._provider.force_flush()

    def pause(self) -> None:
        uninstrument_langchain()

    def resume(self) -> None:
        instrument("langchain", self._provider)


def instrument(framework: str, tracer_provider: object) -> None:
    if framework == "langchain":
        from openinference.instrumentation.langchain import LangChainInstrumentor

        LangChainInstrumentor().instrument(tracer_provider=tracer_provider)
    else:
        from openinference.instrumentation.llama_index import LlamaIndexInstrumentor

        LlamaIndexInstrumentor().instrument(tracer_provider=tracer_provider)


def uninstrument_langchain() -> None:
    from openinference.instrumentation.langchain import LangChainInstrumentor

    LangChainInstrumentor().uninstrument()
