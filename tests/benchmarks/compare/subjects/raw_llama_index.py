"""LlamaIndex's dispatcher to spans, by hand: a span for each of its spans, content from its events."""

from __future__ import annotations

import inspect
import json
from typing import Any

from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.instrumentation.events.embedding import EmbeddingEndEvent, EmbeddingStartEvent
from llama_index.core.instrumentation.events.llm import LLMChatEndEvent, LLMChatInProgressEvent, LLMChatStartEvent
from llama_index.core.instrumentation.events.query import QueryEndEvent, QueryStartEvent
from llama_index.core.instrumentation.events.retrieval import RetrievalEndEvent, RetrievalStartEvent
from llama_index.core.instrumentation.span_handlers import NullSpanHandler
from opentelemetry.trace import Status, StatusCode, Tracer, set_span_in_context
from pydantic import Field


def _message(message: Any) -> dict[str, Any]:
    return {"role": message.role.value, "parts": [{"type": "text", "content": message.content}]}


class _Spans(NullSpanHandler):
    """Holds the open spans by LlamaIndex's ids."""

    tracer: Any = Field(None, exclude=True)  # fields: pydantic is slow to find private attributes
    open: dict[str, Any] = Field(default_factory=dict, exclude=True)

    def __init__(self, tracer: Tracer) -> None:
        super().__init__()
        self.tracer = tracer

    def of(self, id_: str | None) -> Any:
        return self.open.get(id_) if id_ else None

    def span_enter(
        self, id_: str, bound_args: inspect.BoundArguments, instance: Any = None, parent_id: str | None = None, **_: Any
    ) -> None:
        above = self.of(parent_id)
        context = set_span_in_context(above) if above is not None else None
        self.open[id_] = self.tracer.start_span(id_.partition("-")[0], context)

    def span_exit(
        self, id_: str, bound_args: inspect.BoundArguments, instance: Any = None, result: Any = None, **_: Any
    ) -> None:
        span = self.open.pop(id_, None)
        if span is not None:
            span.end()

    def span_drop(
        self, id_: str, bound_args: inspect.BoundArguments, instance: Any = None, err: Any = None, **_: Any
    ) -> None:
        span = self.open.pop(id_, None)
        if span is not None:
            if err is not None:
                span.set_status(Status(StatusCode.ERROR, str(err)))
            span.end()


class _Content(BaseEventHandler):
    """Writes what the events say on the span that they name."""

    spans: Any = Field(None, exclude=True)
    streamed: set[str] = Field(default_factory=set, exclude=True)

    def __init__(self, spans: _Spans) -> None:
        super().__init__()
        self.spans = spans

    def handle(self, event: Any, **_: Any) -> None:
        write = _WRITERS.get(type(event))
        if write is None:
            return
        span = self.spans.of(event.span_id)
        if span is not None:
            write(self, span, event)

    def chat_start(self, span: Any, event: Any) -> None:
        about = event.model_dict
        span.set_attributes({
            "gen_ai.operation.name": "chat",
            "gen_ai.request.model": about.get("model", ""),
            "gen_ai.request.temperature": about.get("temperature", 1.0),
            "gen_ai.input.messages": json.dumps([_message(m) for m in event.messages]),
        })  # fmt: skip

    def chat_piece(self, span: Any, event: Any) -> None:
        if event.span_id not in self.streamed:
            self.streamed.add(event.span_id)
            span.add_event("first_token")

    def chat_end(self, span: Any, event: Any) -> None:
        self.streamed.discard(event.span_id)
        raw = event.response.raw or {}
        usage = raw.get("usage", {})
        span.set_attributes({
            "gen_ai.response.model": raw.get("model", ""),
            "gen_ai.response.finish_reasons": [raw["choices"][0]["finish_reason"]] if "choices" in raw else [],
            "gen_ai.usage.input_tokens": usage.get("prompt_tokens", 0),
            "gen_ai.usage.output_tokens": usage.get("completion_tokens", 0),
            "gen_ai.output.messages": json.dumps([_message(event.response.message)]),
        })  # fmt: skip

    def retrieval_start(self, span: Any, event: Any) -> None:
        asked = event.str_or_query_bundle
        text = asked if isinstance(asked, str) else asked.query_str
        span.set_attributes({"gen_ai.operation.name": "retrieval", "gen_ai.retrieval.query.text": text})

    def retrieval_end(self, span: Any, event: Any) -> None:
        found = [
            {"id": n.node.node_id, "score": n.score, "content": n.node.get_content(), **n.node.metadata}
            for n in event.nodes
        ]
        span.set_attribute("gen_ai.retrieval.documents", json.dumps(found))

    def embedding_start(self, span: Any, event: Any) -> None:
        model = event.model_dict.get("model_name", "")
        span.set_attributes({"gen_ai.operation.name": "embeddings", "gen_ai.request.model": model})

    def embedding_end(self, span: Any, event: Any) -> None:
        span.set_attribute("gen_ai.embeddings.dimension.count", len(event.embeddings[0]) if event.embeddings else 0)

    def query_start(self, span: Any, event: Any) -> None:
        asked = event.query
        span.set_attribute("step.input", asked if isinstance(asked, str) else asked.query_str)

    def query_end(self, span: Any, event: Any) -> None:
        said = getattr(event.response, "response", None)
        if isinstance(said, str):
            span.set_attribute("step.output", said)


_WRITERS = {
    LLMChatStartEvent: _Content.chat_start,
    LLMChatInProgressEvent: _Content.chat_piece,
    LLMChatEndEvent: _Content.chat_end,
    RetrievalStartEvent: _Content.retrieval_start,
    RetrievalEndEvent: _Content.retrieval_end,
    EmbeddingStartEvent: _Content.embedding_start,
    EmbeddingEndEvent: _Content.embedding_end,
    QueryStartEvent: _Content.query_start,
    QueryEndEvent: _Content.query_end,
}


def trace_by_hand(tracer: Tracer) -> None:
    spans = _Spans(tracer)
    get_dispatcher().add_span_handler(spans)
    get_dispatcher().add_event_handler(_Content(spans))
