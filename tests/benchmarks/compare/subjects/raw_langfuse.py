"""The same spans in Langfuse's words, for the second of two exports by hand."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

_RENAMED = {
    "gen_ai.input.messages": "langfuse.observation.input",
    "gen_ai.output.messages": "langfuse.observation.output",
    "gen_ai.retrieval.query.text": "langfuse.observation.input",
    "gen_ai.retrieval.documents": "langfuse.observation.output",
    "gen_ai.tool.call.arguments": "langfuse.observation.input",
    "gen_ai.tool.call.result": "langfuse.observation.output",
    "step.input": "langfuse.observation.input",
    "step.output": "langfuse.observation.output",
    "gen_ai.response.model": "langfuse.observation.model.name",
}
_TYPES = {"chat": "generation", "retrieval": "retriever", "execute_tool": "tool", "embeddings": "embedding"}


def _words(own: Any) -> dict[str, Any]:
    said = {_RENAMED[key]: value for key, value in own.items() if key in _RENAMED}
    said["langfuse.observation.type"] = _TYPES.get(own.get("gen_ai.operation.name"), "span")
    tokens = own.get("gen_ai.usage.input_tokens")
    if tokens is not None:
        usage = {"input": tokens, "output": own.get("gen_ai.usage.output_tokens")}
        said["langfuse.observation.usage_details"] = json.dumps(usage)
    return said


def in_langfuse_words(exporter: Any) -> Any:
    """An exporter that renames what it is given, and gives it to `exporter`."""
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.export import SpanExporter

    def renamed(span: Any) -> Any:
        return ReadableSpan(
            name=span.name,
            context=span.context,
            parent=span.parent,
            resource=span.resource,
            attributes=_words(span.attributes),
            events=span.events,
            kind=span.kind,
            status=span.status,
            start_time=span.start_time,
            end_time=span.end_time,
            instrumentation_scope=span.instrumentation_scope,
        )

    class Renaming(SpanExporter):
        def export(self, spans: Sequence[Any]) -> Any:
            return exporter.export([renamed(span) for span in spans])

        def shutdown(self) -> None:
            exporter.shutdown()

        def force_flush(self, timeout_millis: int = 30_000) -> bool:
            return bool(exporter.force_flush(timeout_millis))

    return Renaming()
