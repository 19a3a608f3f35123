"""What the attributes and events hold that others write on spans: other instrumentations, and the application itself.

Only what a convention knows as structure passes unseen. Content that a convention knows is of its categories, and every
other text of the category `metadata`: what nobody knows may be anything. Where one attribute may hold content of
several categories, it passes the actions for all of them.

Sources: OpenTelemetry's semantic conventions 1.44 and those for GenAI, OpenInference, Traceloop's, Langfuse's SDK 5,
Vercel's AI SDK.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

from ..content.category import Categories, Category

_C = Category

PROMPT: Categories = (
    _C.SYSTEM_PROMPT, _C.USER_PROMPT, _C.COMPLETION, _C.REASONING, _C.TOOL_ARGUMENTS, _C.TOOL_RESULTS,
)  # fmt: skip
ANSWER: Categories = (_C.COMPLETION, _C.REASONING, _C.TOOL_ARGUMENTS)
GIVEN: Categories = (*PROMPT, _C.RETRIEVAL_QUERIES, _C.DOCUMENTS, _C.PROMPT_VARIABLES, _C.TOOL_DEFINITIONS)
SAID: Categories = (*ANSWER, _C.TOOL_RESULTS, _C.DOCUMENTS)
_NAMES: Categories = (_C.NAMES,)
_METADATA: Categories = (_C.METADATA,)
_ERROR: Categories = (_C.EXCEPTION_TEXT,)
_QUERY: Categories = (_C.RETRIEVAL_QUERIES,)
_WHO: Categories = (_C.IDENTITY,)

_CONTENT: dict[str, Categories] = {  # the longest that an attribute's name begins with holds
    "gen_ai.system_instructions": (_C.SYSTEM_PROMPT,),
    "gen_ai.input.messages": PROMPT,
    "gen_ai.output.messages": ANSWER,
    "gen_ai.tool.definitions": (_C.TOOL_DEFINITIONS,),
    "gen_ai.tool.description": (_C.TOOL_DEFINITIONS,),
    "gen_ai.tool.call.arguments": (_C.TOOL_ARGUMENTS,),
    "gen_ai.tool.call.result": (_C.TOOL_RESULTS,),
    "gen_ai.retrieval.query": _QUERY,
    "gen_ai.retrieval.documents": (_C.DOCUMENTS,),
    "gen_ai.memory.": (_C.RETRIEVAL_QUERIES, _C.DOCUMENTS),
    "gen_ai.agent.description": (_C.SYSTEM_PROMPT,),
    "gen_ai.prompt": GIVEN,
    "gen_ai.prompt.variable.": (_C.PROMPT_VARIABLES,),
    "gen_ai.completion": SAID,
    "gen_ai.evaluation.explanation": (_C.SCORE_COMMENTS,),
    "gen_ai.conversation.id": _WHO,
    "llm.prompts": GIVEN,
    "llm.completions": SAID,
    "llm.input_messages": PROMPT,
    "llm.output_messages": ANSWER,
    "llm.tools": (_C.TOOL_DEFINITIONS,),
    "llm.request.functions": (_C.TOOL_DEFINITIONS,),
    "llm.function_call": (_C.TOOL_ARGUMENTS,),
    "llm.prompt_template.": (_C.SYSTEM_PROMPT, _C.USER_PROMPT),
    "llm.prompt_template.variables": (_C.PROMPT_VARIABLES,),
    "llm.invocation_parameters": (_C.TOOL_DEFINITIONS, _C.METADATA),
    "input.value": GIVEN,
    "output.value": SAID,
    "retrieval.documents": (_C.DOCUMENTS,),
    "reranker.query": _QUERY,
    "reranker.input_documents": (_C.DOCUMENTS,),
    "reranker.output_documents": (_C.DOCUMENTS,),
    "embedding.embeddings": (_C.RETRIEVAL_QUERIES, _C.DOCUMENTS),
    "embedding.text": (_C.RETRIEVAL_QUERIES, _C.DOCUMENTS),
    "document.": (_C.DOCUMENTS,),
    "tool.parameters": (_C.TOOL_ARGUMENTS, _C.TOOL_DEFINITIONS),
    "tool.description": (_C.TOOL_DEFINITIONS,),
    "tool.json_schema": (_C.TOOL_DEFINITIONS,),
    "tool_call.function.arguments": (_C.TOOL_ARGUMENTS,),
    "message.": PROMPT,
    "traceloop.entity.input": GIVEN,
    "traceloop.entity.output": SAID,
    "traceloop.prompt.template": (_C.SYSTEM_PROMPT, _C.USER_PROMPT),
    "traceloop.prompt.template_variables": (_C.PROMPT_VARIABLES,),
    "langfuse.observation.input": GIVEN,
    "langfuse.observation.output": SAID,
    "langfuse.observation.status_message": _ERROR,
    "langfuse.trace.input": GIVEN,
    "langfuse.trace.output": SAID,
    "langfuse.trace.tags": (_C.TAGS,),
    "langfuse.trace.name": _NAMES,
    "langfuse.user.id": _WHO,
    "langfuse.session.id": _WHO,
    "ai.prompt": GIVEN,
    "ai.response.text": SAID,
    "ai.response.object": SAID,
    "ai.response.toolCalls": (_C.TOOL_ARGUMENTS,),
    "ai.toolCall.args": (_C.TOOL_ARGUMENTS,),
    "ai.toolCall.result": (_C.TOOL_RESULTS,),
    "ai.value": (_C.RETRIEVAL_QUERIES, _C.DOCUMENTS),
    "mlflow.spanInputs": GIVEN,
    "mlflow.spanOutputs": SAID,
    "tag.tags": (_C.TAGS,),
    "exception.message": _ERROR,
    "exception.stacktrace": _ERROR,
    "error.message": _ERROR,
    "otel.status_description": _ERROR,
    "db.statement": _QUERY,
    "db.query.text": _QUERY,
    "db.query.parameter.": _QUERY,
    "db.query.summary": _QUERY,
    "db.operation.parameter.": _QUERY,
    "user.id": _WHO,
    "session.id": _WHO,
    "enduser.id": _WHO,
}

_STRUCTURE: tuple[str, ...] = (  # what an attribute's name begins with, or is
    "spanloom.",
    "gen_ai.system", "gen_ai.operation.", "gen_ai.provider.", "gen_ai.request.", "gen_ai.response.",
    "gen_ai.usage.", "gen_ai.token.",
    "gen_ai.tool.name", "gen_ai.tool.type", "gen_ai.tool.call.id", "gen_ai.agent.name", "gen_ai.agent.id",
    "gen_ai.agent.version", "gen_ai.workflow.name", "gen_ai.data_source.", "gen_ai.output.type", "gen_ai.openai.",
    "gen_ai.embeddings.", "gen_ai.retrieval.top_k", "gen_ai.prompt.name", "gen_ai.prompt.version",
    "gen_ai.evaluation.name", "gen_ai.evaluation.score.", "gen_ai.is_streaming", "openai.",
    "llm.model_name", "llm.provider", "llm.system", "llm.token_count.", "llm.usage.", "llm.cost.", "llm.request.type",
    "llm.is_streaming", "llm.finish_reason", "llm.prompt_template.version", "openinference.span.kind",
    "input.mime_type", "output.mime_type", "embedding.model_name", "reranker.model_name", "reranker.top_k",
    "document.id", "document.score", "tool.name", "tool_call.id", "tool_call.function.name", "agent.name",
    "graph.node.", "message.role", "traceloop.span.kind", "traceloop.entity.name", "traceloop.entity.path",
    "traceloop.workflow.name", "traceloop.entity.version",
    "langfuse.observation.type", "langfuse.observation.level", "langfuse.observation.model.",
    "langfuse.observation.usage_details", "langfuse.observation.cost_details",
    "langfuse.observation.completion_start_time", "langfuse.observation.prompt.name",
    "langfuse.observation.prompt.version", "langfuse.environment", "langfuse.release", "langfuse.version",
    "langfuse.internal.", "langfuse.trace.public",
    "langgraph.node", "langgraph.step",
    "ai.model.", "ai.operationId", "ai.usage.", "ai.response.finishReason", "ai.response.model", "ai.response.id",
    "ai.response.msToF", "ai.response.msToFirstChunk", "ai.toolCall.name", "ai.toolCall.id",
    "error.type", "exception.type", "exception.escaped", "otel.", "telemetry.", "service.", "deployment.",
    "peer.service",
    "http.method", "http.request.method", "http.request.size", "http.request.body.size", "http.request.resend_count",
    "http.request_content_length", "http.response.status_code", "http.response.size", "http.response.body.size",
    "http.response_content_length", "http.status_code", "http.status_text", "http.scheme", "http.flavor", "http.host",
    "http.route", "http.server_name",
    "url.scheme", "url.domain", "url.port", "url.template",
    "net.peer.name", "net.peer.port", "net.host.", "net.transport", "net.protocol.", "network.protocol.",
    "network.transport", "network.type", "server.", "client.port",
    "db.system", "db.name", "db.namespace", "db.operation", "db.collection.name", "db.sql.table", "db.response.",
    "db.redis.database_index", "db.redis.args_length", "db.index", "db.stored_procedure.name", "db.client.",
    "rpc.system", "rpc.service", "rpc.method", "rpc.grpc.status_code", "rpc.message.type", "rpc.message.id",
    "messaging.system", "messaging.operation", "messaging.destination", "messaging.batch.", "messaging.message.id",
    "messaging.consumer.", "messaging.kafka.", "messaging.message.body.size",
    "thread.", "code.", "process.pid", "process.runtime.", "faas.", "cloud.", "k8s.", "container.", "host.", "aws.",
    "celery.", "asgi.event.type", "fastapi.", "sampling.",
)  # fmt: skip

_URLS = {"url.full", "http.url", "http.target", "url.query", "url.path", "http.path"}
_EVENTS = ("message", "choice", "prompt", "completion", "inference")  # what GenAI events with content are called by


@lru_cache(maxsize=8_192)
def categories_of(key: str) -> Categories | None:
    """What a text under the attribute `key` holds; None for structure."""
    found = max((begin for begin in _CONTENT if key.startswith(begin)), key=len, default="")
    known = max((begin for begin in _STRUCTURE if key.startswith(begin)), key=len, default="")
    if len(known) >= len(found) and known:
        return None
    return _CONTENT[found] if found else _METADATA


def in_event(event: str, key: str) -> Categories | None:
    """What a text under `key` of an event holds: what GenAI's events hold under any name is of the conversation."""
    found = categories_of(key)
    if found is _METADATA and event.startswith("gen_ai.") and event.endswith(_EVENTS):
        return (*GIVEN, _C.METADATA)
    return found


def is_unknown(holds: Categories) -> bool:
    """Whether no convention knows what this holds: then numbers are measures, and texts may be anything."""
    return holds is _METADATA


def is_url(key: str) -> bool:
    """Whether the attribute holds an address: its host and path are structure, its credentials and query are not."""
    return key in _URLS


def bare_url(key: str, url: Any) -> str | None:
    """`url` without credentials, query and fragment; None where that leaves nothing."""
    if key == "url.query":
        return None
    parts = urlsplit(str(url))
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl() or None
