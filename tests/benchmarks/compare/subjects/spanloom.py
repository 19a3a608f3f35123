"""Spanloom, to an OTLP backend and Langfuse, each under its default content policy."""

from __future__ import annotations

from typing import Any, ClassVar

from . import subject


class Subject(subject.Subject):
    imports: ClassVar = {
        "langchain": ("spanloom", "spanloom_langchain"),
        "llama_index": ("spanloom", "spanloom_llama_index"),
    }

    def start(self, framework: str, url: str) -> None:
        import spanloom
        from spanloom import Langfuse, Otlp

        langfuse = Langfuse("pk-lf-1", "sk-lf-1", f"{url}/langfuse")
        self._loom = spanloom.configure(Otlp(f"{url}/otlp"), langfuse, service_name="benchmark")
        if framework == "langchain":
            from spanloom_langchain import SpanloomCallbackHandler

            self._callbacks = [SpanloomCallbackHandler()]
        else:
            from spanloom_llama_index import instrument

            instrument()

    @property
    def config(self) -> dict[str, Any]:
        return {"callbacks": self._callbacks}

    def flush(self) -> None:
        self._loom.flush(60.0)
