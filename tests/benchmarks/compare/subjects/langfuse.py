"""Langfuse's SDK: its callback handler, and for LlamaIndex, which it has none for, OpenInference into its processor."""

from __future__ import annotations

from typing import Any, ClassVar

from . import subject


class Subject(subject.Subject):
    imports: ClassVar = {
        "langchain": ("langfuse", "langfuse.langchain"),
        "llama_index": ("langfuse", "openinference.instrumentation.llama_index"),
    }

    def start(self, framework: str, url: str) -> None:
        self._client = client(url)
        if framework == "langchain":
            from langfuse.langchain import CallbackHandler

            self._callbacks = [CallbackHandler()]
        else:
            from .openinference import instrument

            instrument(framework, None)

    @property
    def config(self) -> dict[str, Any]:
        return {"callbacks": self._callbacks}

    def flush(self) -> None:
        self._client.flush()


def client(url: str, tracer_provider: Any = None) -> Any:
    """Langfuse's client; without a provider it makes one and sets it as the process's own."""
    from langfuse import Langfuse

    return Langfuse(
        public_key="pk-lf-1",
        secret_key="sk-lf-1",
        base_url=f"{url}/langfuse",
        tracer_provider=tracer_provider,
    )
