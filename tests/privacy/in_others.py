"""Spans of other libraries on the same provider: real ones where they are installed (Langfuse's `@observe`, httpx,
sqlite3), and attributes as OpenInference, Traceloop, OpenTelemetry's openai-v2, Vercel's AI SDK and Celery write them."""

from __future__ import annotations

import sqlite3
from typing import Any

import httpx
from langfuse import Langfuse as LangfuseClient
from langfuse import observe
from langfuse._client.resource_manager import LangfuseResourceManager
from opentelemetry import baggage, context, trace
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
from opentelemetry.instrumentation.sqlite3 import SQLite3Instrumentor
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.trace import Link, Status, StatusCode
from spanloom.content import Category as C
from spanloom.dialects.others import ANSWER, ANYTHING, GIVEN, PROMPT, SAID

from tests.privacy.canaries import Canaries

FOUND = (C.RETRIEVAL_QUERIES, C.DOCUMENTS)
TEMPLATE = (C.SYSTEM_PROMPT, C.USER_PROMPT)
WRITTEN: dict[str, dict[str, Any]] = {  # scope -> attribute -> the categories that must all allow it
    "openinference.instrumentation.openai": {
        "llm.input_messages.0.message.content": PROMPT,
        "llm.input_messages.1.message.contents.0.message_content.text": PROMPT,
        "llm.input_messages.1.message.contents.1.message_content.image.image.url": PROMPT,
        "llm.input_messages.2.message.tool_calls.0.tool_call.function.arguments": PROMPT,
        "llm.output_messages.0.message.content": ANSWER,
        "llm.choices.0.completion.text": SAID,
        "llm.prompts.0.prompt.text": GIVEN,
        "llm.tools.0.tool.json_schema": (C.TOOL_DEFINITIONS,),
        "llm.function_call": (C.TOOL_ARGUMENTS,),
        "llm.invocation_parameters": (C.TOOL_DEFINITIONS, C.METADATA),
        "llm.prompt_template.template": TEMPLATE,
        "llm.prompt_template.variables": (C.PROMPT_VARIABLES,),
        "input.value": GIVEN,
        "output.value": SAID,
        "input.images": GIVEN,
        "metadata": (C.METADATA,),
        "tag.tags": (C.TAGS,),
        "user.id": (C.IDENTITY,),
        "session.id": (C.IDENTITY,),
        "retrieval.documents.0.document.content": (C.DOCUMENTS,),
        "retrieval.documents.0.document.metadata": (C.DOCUMENTS,),
        "reranker.query": (C.RETRIEVAL_QUERIES,),
        "reranker.input_documents.0.document.content": (C.DOCUMENTS,),
        "embedding.embeddings.0.embedding.text": FOUND,
        "tool.parameters": (C.TOOL_ARGUMENTS, C.TOOL_DEFINITIONS),
        "tool.description": (C.TOOL_DEFINITIONS,),
        "tool.name": (C.NAMES,),
        "agent.name": (C.NAMES,),
        "audio.transcript": PROMPT,
        "evaluations.0.evaluation.explanation": (C.SCORE_COMMENTS,),
        "prompt.id": (C.NAMES,),
    },
    "opentelemetry.instrumentation.openai.v1": {  # Traceloop
        "gen_ai.prompt.0.content": GIVEN,
        "gen_ai.completion.0.content": SAID,
        "gen_ai.completion.0.tool_calls.0.arguments": SAID,
        "gen_ai.request.structured_output_schema": (C.TOOL_DEFINITIONS,),
        "gen_ai.headers": ANYTHING,
        "llm.headers": ANYTHING,
        "llm.user": (C.IDENTITY,),
        "llm.request.functions.0.description": (C.TOOL_DEFINITIONS,),
        "llm.watsonx.completions.responses": ANYTHING,
        "gen_ai.task.input": GIVEN,
        "gen_ai.task.output": SAID,
        "traceloop.entity.input": GIVEN,
        "traceloop.entity.output": SAID,
        "traceloop.entity.name": (C.NAMES,),
        "traceloop.association.properties.user": (C.METADATA,),
        "traceloop.prompt.template": TEMPLATE,
        "traceloop.prompt.template_variables": (C.PROMPT_VARIABLES,),
        "db.query.result.0.document": (C.DOCUMENTS,),
        "db.chroma.query.where": (C.METADATA,),
        "mcp.request.argument": (C.TOOL_ARGUMENTS,),
        "mcp.response.value": (C.TOOL_RESULTS,),
    },
    "opentelemetry.instrumentation.openai_v2": {
        "gen_ai.system_instructions": (C.SYSTEM_PROMPT,),
        "gen_ai.input.messages": PROMPT,
        "gen_ai.output.messages": ANSWER,
        "gen_ai.tool.definitions": (C.TOOL_DEFINITIONS,),
        "gen_ai.tool.call.arguments": (C.TOOL_ARGUMENTS,),
        "gen_ai.tool.call.result": (C.TOOL_RESULTS,),
        "gen_ai.tool.description": (C.TOOL_DEFINITIONS,),
        "gen_ai.retrieval.query.text": (C.RETRIEVAL_QUERIES,),
        "gen_ai.retrieval.documents": (C.DOCUMENTS,),
        "gen_ai.prompt.variable.topic": (C.PROMPT_VARIABLES,),
        "gen_ai.conversation.id": (C.IDENTITY,),
        "gen_ai.evaluation.explanation": (C.SCORE_COMMENTS,),
        "gen_ai.request.stop_sequences": (C.NAMES,),
        "gen_ai.some.thing.new": ANYTHING,
    },
    "ai": {  # Vercel's SDK
        "ai.prompt.messages": GIVEN,
        "ai.response.text": SAID,
        "ai.response.reasoning": (C.REASONING,),
        "ai.response.toolCalls": (C.TOOL_ARGUMENTS,),
        "ai.toolCall.args": (C.TOOL_ARGUMENTS,),
        "ai.toolCall.result": (C.TOOL_RESULTS,),
        "ai.schema.description": (C.TOOL_DEFINITIONS,),
        "ai.telemetry.metadata.user": (C.METADATA,),
        "ai.request.headers.authorization": ANYTHING,
    },
    "litellm": {
        "llm.openai.messages": ANYTHING,
        "metadata.user_api_key_alias": (C.METADATA,),
        "hidden_params": (C.METADATA,),
    },
    "opentelemetry.instrumentation.celery": {
        "celery.retry.reason": (C.EXCEPTION_TEXT,),
        "celery.delivery_info": (C.METADATA,),
        "messaging.kafka.message.key": (C.METADATA,),
    },
    "logfire": {
        "fastapi.arguments.values": (C.METADATA,),
        "pydantic_ai.all_messages": ANYTHING,
        "all_messages_events": PROMPT,
        "code.stacktrace": (C.EXCEPTION_TEXT,),
        "rpc.grpc.request.metadata.authorization": (C.METADATA,),
        "http.request.header.cookie": (C.METADATA,),
        "user_agent.original": (C.METADATA,),
        "aws.s3.key": (C.METADATA,),
        "db.connection_string": (C.METADATA,),
    },
}

EVENTS = {  # event -> attribute -> categories
    "gen_ai.user.message": {"content": ANYTHING, "gen_ai.prompt": GIVEN},
    "gen_ai.choice": {"message": ANYTHING},
    "gen_ai.content.prompt": {"gen_ai.prompt": GIVEN},
    "gen_ai.content.completion": {"gen_ai.completion": SAID},
    "gen_ai.client.inference.operation.details": {"gen_ai.input.messages": PROMPT, "other": ANYTHING},
    "exception": {"exception.message": (C.EXCEPTION_TEXT,), "exception.stacktrace": (C.EXCEPTION_TEXT,)},
    "log": {"body": (C.METADATA,)},
}


class BaggageOnSpans(SpanProcessor):
    """What an application has that writes its baggage on every span."""

    def on_start(self, span: Any, parent_context: Any = None) -> None:
        for key, value in baggage.get_all(parent_context).items():
            span.set_attribute(key, str(value))


def run(c: Canaries, provider: TracerProvider, nowhere: str) -> None:
    """Fill `c` and the other libraries with canaries; `nowhere` is the address of a server that is not looked at."""
    provider.add_span_processor(BaggageOnSpans())
    token = context.attach(baggage.set_baggage("customer.note", c("baggage", C.METADATA)))
    try:
        for scope, attributes in WRITTEN.items():
            tracer = provider.get_tracer(scope)
            with tracer.start_as_current_span(c(f"{scope}: name", C.NAMES)) as span:
                for key, categories in attributes.items():
                    secret = key.endswith(("authorization", "cookie"))
                    text = c(f"{scope}: {key}", tuple(categories), secret=secret)
                    span.set_attribute(key, [text] if key in ("tag.tags", "gen_ai.request.stop_sequences") else text)
                span.set_status(Status(StatusCode.ERROR, c(f"{scope}: status", C.EXCEPTION_TEXT)))
        _events_and_links(c, provider)
    finally:
        context.detach(token)
    _sqlite(c, provider)
    _httpx(c, provider, nowhere)
    _observe(c, provider, nowhere)


def _events_and_links(c: Canaries, provider: TracerProvider) -> None:
    tracer = provider.get_tracer("app")
    before = tracer.start_span("before")
    link = Link(before.get_span_context(), {"why": c("link", C.METADATA)})
    before.end()
    with tracer.start_as_current_span("linked", links=[link]) as span:
        for event, attributes in EVENTS.items():
            span.add_event(event, {k: c(f"event {event}: {k}", tuple(v)) for k, v in attributes.items()})


def _sqlite(c: Canaries, provider: TracerProvider) -> None:
    connection = SQLite3Instrumentor().instrument_connection(sqlite3.connect(":memory:"), provider)
    cursor = connection.cursor()
    cursor.execute(f"SELECT '{c('sqlite.statement', C.RETRIEVAL_QUERIES)}'")
    cursor.close()
    connection.close()


def _httpx(c: Canaries, provider: TracerProvider, nowhere: str) -> None:
    with httpx.Client() as client:
        HTTPXClientInstrumentor.instrument_client(client, tracer_provider=provider)
        path, query = c.word("httpx.path", C.METADATA, C.NAMES), c.word("httpx.query", C.METADATA)
        client.post(f"{nowhere}/{path}?q={query}", content=b"{}")
    with provider.get_tracer("http").start_as_current_span("GET") as span:
        secret = c.word("url.credentials", C.METADATA, secret=True)
        span.set_attribute("url.full", f"https://ann:{secret}@example.org/a?b=c")
        span.set_attribute("http.target", f"/find?q={c.word('http.target', C.METADATA)}")
        span.set_attribute("url.query", f"q={c.word('url.query', C.METADATA)}")


def _observe(c: Canaries, provider: TracerProvider, nowhere: str) -> None:
    client = LangfuseClient(public_key="pk-other", secret_key="sk-other", base_url=nowhere, tracer_provider=provider)

    @observe(name=c("observe.name", C.NAMES))
    def observed(asked: str) -> str:
        client.update_current_span(metadata={"m": c("observe.metadata", C.METADATA)})
        raise ValueError(c("observe.error", C.EXCEPTION_TEXT))

    @observe(name="plain", as_type="generation")
    def generates(asked: str) -> str:
        client.update_current_generation(model="m", model_parameters={"t": c("observe.parameters", (C.TOOL_DEFINITIONS, C.METADATA))})
        return c("observe.output", tuple(SAID))

    try:
        observed(c("observe.input", tuple(GIVEN)), langfuse_public_key="pk-other")
    except ValueError:
        pass
    generates(c("observe.generation.input", tuple(GIVEN)), langfuse_public_key="pk-other")
    client.flush()
    client.shutdown()
    LangfuseResourceManager._instances.clear()


def ambient() -> Any:
    """The tracer of whoever is configured."""
    return trace.get_tracer("probe")
