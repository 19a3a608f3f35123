"""OpenTelemetry's SDK and a handler by hand, as somebody writes it who knows both: the floor.

One span a step, all attributes of a call in one go, content as JSON of the GenAI conventions' shape, no redaction, no
limits, no current span. With two exports, the second gets the same spans in Langfuse's words, renamed by its exporter
on its batch processor's thread.
"""

from __future__ import annotations

from typing import Any, ClassVar

from . import subject
from .provider import SDK, otlp, provider


class Subject(subject.Subject):
    imports: ClassVar = {"langchain": SDK, "llama_index": SDK}

    def start(self, framework: str, url: str) -> None:
        exporters = [otlp(url)]
        if self.exports > 1:
            from .raw_langfuse import in_langfuse_words

            exporters.append(in_langfuse_words(otlp(url, "langfuse")))
        self._provider = provider(*exporters)
        tracer = self._provider.get_tracer("by-hand")
        if framework == "langchain":
            from .raw_langchain import ByHand

            self._callbacks = [ByHand(tracer)]
        else:
            from .raw_llama_index import trace_by_hand

            trace_by_hand(tracer)

    @property
    def config(self) -> dict[str, Any]:
        return {"callbacks": self._callbacks}

    def flush(self) -> None:
        self._provider.force_flush()
