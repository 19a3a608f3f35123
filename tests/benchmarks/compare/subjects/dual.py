"""The usual way to two destinations: OpenInference and Langfuse's handler, on one provider.

For LlamaIndex Langfuse has no handler: OpenInference alone, into the OTLP exporter and into Langfuse's processor.
"""

from __future__ import annotations

from typing import Any, ClassVar

from . import langfuse, openinference, subject
from .provider import otlp, provider


class Subject(subject.Subject):
    imports: ClassVar = {
        framework: (*openinference.Subject.imports[framework], *langfuse.Subject.imports[framework])
        for framework in ("langchain", "llama_index")
    }

    def start(self, framework: str, url: str) -> None:
        self._callbacks: list[Any] = []
        self._provider = provider(otlp(url))
        self._client = langfuse.client(url, self._provider)
        openinference.instrument(framework, self._provider)
        if framework == "langchain":
            from langfuse.langchain import CallbackHandler

            self._callbacks.append(CallbackHandler())

    @property
    def config(self) -> dict[str, Any]:
        return {"callbacks": self._callbacks}

    def flush(self) -> None:
        self._provider.force_flush()
        self._client.flush()

    def pause(self) -> None:
        openinference.uninstrument_langchain()

    def resume(self) -> None:
        openinference.instrument("langchain", self._provider)
