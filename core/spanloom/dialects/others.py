"""What the attributes and events hold that others write on spans: other instrumentations, and the application itself.

Only what a convention knows as structure passes unseen, and numbers that nobody knows. Content that a convention knows
is of its categories, and everything else of the category `metadata`: what nobody knows may be anything. Where one attribute may hold content of
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
ANYTHING: Categories = (*GIVEN, _C.METADATA)
"""What nobody knows, under the name of a convention for language models: it may be of a conversation too."""

_NAMES: Categories = (_C.NAMES,)
_METADATA: Categories = (_C.METADATA,)
_ERROR: Categories = (_C.EXCEPTION_TEXT,)
_QUERY: Categories = (_C.RETRIEVAL_QUERIES,)
_FOUND: Categories = (_C.RETRIEVAL_QUERIES, _C.DOCUMENTS)
_WHO: Categories = (_C.IDENTITY,)
_TOOLS: Categories = (_C.TOOL_DEFINITIONS,)
_TEMPLATE: Categories = (_C.SYSTEM_PROMPT, _C.USER_PROMPT)

_CONTENT: dict[str, Categories] = {  # the longest that an attribute's name begins with holds
    "gen_ai.": ANYTHING,
    "gen_ai.system_instructions": (_C.SYSTEM_PROMPT,),
    "gen_ai.input.messages": PROMPT,
    "gen_ai.output.messages": ANSWER,
    "gen_ai.tool.definitions": _TOOLS,
    "gen_ai.tool.description": _TOOLS,
    "gen_ai.tool.call.arguments": (_C.TOOL_ARGUMENTS,),
    "gen_ai.tool.call.result": (_C.TOOL_RESULTS,),
    "gen_ai.retrieval.query": _QUERY,
    "gen_ai.retrieval.documents": (_C.DOCUMENTS,),
    "gen_ai.memory.": _FOUND,
    "gen_ai.agent.description": (_C.SYSTEM_PROMPT,),
    "gen_ai.prompt": GIVEN,
    "gen_ai.prompt.variable.": (_C.PROMPT_VARIABLES,),
    "gen_ai.completion": SAID,
    "gen_ai.request.structured_output_schema": _TOOLS,
    "gen_ai.task.input": GIVEN,
    "gen_ai.task.output": SAID,
    "gen_ai.evaluation.explanation": (_C.SCORE_COMMENTS,),
    "gen_ai.conversation.id": _WHO,
    "gen_ai.user": _WHO,
    "gen_ai.request.stop_sequences": _NAMES,  # a few words of the developer's
    "gen_ai.tool.name": _NAMES,
    "gen_ai.agent.name": _NAMES,
    "gen_ai.workflow.name": _NAMES,
    "gen_ai.data_source.id": _NAMES,
    "gen_ai.prompt.name": _NAMES,
    "gen_ai.task.name": _NAMES,
    "gen_ai.evaluation.name": _NAMES,
    "gen_ai.evaluation.score.label": _NAMES,
    "llm.": ANYTHING,
    "llm.prompts": GIVEN,
    "llm.completions": SAID,
    "llm.choices": SAID,
    "llm.input_messages": PROMPT,
    "llm.output_messages": ANSWER,
    "llm.tools": _TOOLS,
    "llm.request.functions": _TOOLS,
    "llm.function_call": (_C.TOOL_ARGUMENTS,),
    "llm.prompt_template.": _TEMPLATE,
    "llm.prompt_template.variables": (_C.PROMPT_VARIABLES,),
    "llm.invocation_parameters": (_C.TOOL_DEFINITIONS, _C.METADATA),
    "llm.user": _WHO,
    "llm.chat.stop_sequences": _NAMES,
    "input.": GIVEN,
    "output.": SAID,
    "retrieval.documents": (_C.DOCUMENTS,),
    "reranker.query": _QUERY,
    "reranker.input_documents": (_C.DOCUMENTS,),
    "reranker.output_documents": (_C.DOCUMENTS,),
    "embedding.embeddings": _FOUND,
    "embedding.text": _FOUND,
    "embedding.vector": _FOUND,
    "document.": (_C.DOCUMENTS,),
    "document.id": _NAMES,
    "tool.parameters": (_C.TOOL_ARGUMENTS, _C.TOOL_DEFINITIONS),
    "tool.description": _TOOLS,
    "tool.json_schema": _TOOLS,
    "tool.name": _NAMES,
    "tool_call.function.arguments": (_C.TOOL_ARGUMENTS,),
    "tool_call.function.name": _NAMES,
    "agent.name": _NAMES,
    "graph.node.": _NAMES,
    "prompt.id": _NAMES,
    "prompt.text": GIVEN,
    "completion.text": SAID,
    "message.": PROMPT,
    "message_content.": PROMPT,
    "audio.": PROMPT,
    "image.": PROMPT,
    "video.": PROMPT,
    "annotation.": (_C.SCORE_COMMENTS,),
    "annotations": (_C.SCORE_COMMENTS,),
    "evaluation.": (_C.SCORE_COMMENTS,),
    "evaluations": (_C.SCORE_COMMENTS,),
    "traceloop.": ANYTHING,
    "traceloop.entity.input": GIVEN,
    "traceloop.entity.output": SAID,
    "traceloop.entity.name": _NAMES,
    "traceloop.entity.path": _NAMES,
    "traceloop.workflow.name": _NAMES,
    "traceloop.prompt.": _NAMES,
    "traceloop.prompt.template": _TEMPLATE,
    "traceloop.prompt.template_variables": (_C.PROMPT_VARIABLES,),
    "traceloop.association.properties": _METADATA,
    "langfuse.observation.input": GIVEN,
    "langfuse.observation.output": SAID,
    "langfuse.observation.status_message": _ERROR,
    "langfuse.observation.prompt.name": _NAMES,
    "langfuse.observation.model.parameters": (_C.TOOL_DEFINITIONS, _C.METADATA),
    "langfuse.trace.input": GIVEN,
    "langfuse.trace.output": SAID,
    "langfuse.trace.tags": (_C.TAGS,),
    "langfuse.trace.name": _NAMES,
    "langfuse.experiment.item.expected_output": SAID,
    "langfuse.user.id": _WHO,
    "langfuse.session.id": _WHO,
    "ai.": ANYTHING,
    "ai.prompt": GIVEN,
    "ai.result.": SAID,
    "ai.response.text": SAID,
    "ai.response.object": SAID,
    "ai.response.files": SAID,
    "ai.response.reasoning": (_C.REASONING,),
    "ai.response.toolCalls": (_C.TOOL_ARGUMENTS,),
    "ai.schema": _TOOLS,
    "ai.toolCall.args": (_C.TOOL_ARGUMENTS,),
    "ai.toolCall.input": (_C.TOOL_ARGUMENTS,),
    "ai.toolCall.result": (_C.TOOL_RESULTS,),
    "ai.toolCall.output": (_C.TOOL_RESULTS,),
    "ai.toolCall.name": _NAMES,
    "ai.value": _FOUND,
    "ai.embedding": _FOUND,
    "ai.settings.": _METADATA,
    "ai.telemetry.": _METADATA,
    "mcp.request.argument": (_C.TOOL_ARGUMENTS,),
    "mcp.response.value": (_C.TOOL_RESULTS,),
    "pydantic_ai.": ANYTHING,
    "all_messages_events": PROMPT,
    "final_result": SAID,
    "tool_arguments": (_C.TOOL_ARGUMENTS,),
    "tool_response": (_C.TOOL_RESULTS,),
    "mlflow.spanInputs": GIVEN,
    "mlflow.spanOutputs": SAID,
    "tag.tags": (_C.TAGS,),
    "langgraph.node": _NAMES,
    "langgraph.command.": _NAMES,
    "spanloom.step.name": _NAMES,
    "exception.message": _ERROR,
    "exception.stacktrace": _ERROR,
    "code.stacktrace": _ERROR,
    "error.message": _ERROR,
    "otel.status_description": _ERROR,
    "celery.retry.reason": _ERROR,
    "celery.revoked.reason": _ERROR,
    "db.statement": _QUERY,
    "db.query.": _QUERY,
    "db.query.summary": _NAMES,  # "SELECT users", by the conventions
    "db.query.result": (_C.DOCUMENTS,),
    "db.search.": _FOUND,
    "db.operation.parameter.": _QUERY,
    "user.id": _WHO,
    "session.id": _WHO,
    "enduser.id": _WHO,
}

_STRUCTURE: frozenset[str] = frozenset((  # an attribute's name, or all of it up to one of its dots
    "spanloom.step.kind", "spanloom.step.outcome",
    "gen_ai.system", "gen_ai.operation", "gen_ai.provider", "gen_ai.usage", "gen_ai.token",
    *(f"gen_ai.request.{name}" for name in (
        "model", "temperature", "top_p", "top_k", "max_tokens", "max_completion_tokens", "n", "seed", "stream",
        "frequency_penalty", "presence_penalty", "repetition_penalty", "encoding_formats", "choice", "reasoning",
        "reasoning_effort", "reasoning_summary", "type", "is_stream", "service_tier", "previous_response",
    )),
    *(f"gen_ai.response.{name}" for name in (
        "model", "id", "finish_reason", "finish_reasons", "stop_reason", "status", "time_to_first_chunk",
        "reasoning_effort", "service_tier", "system_fingerprint",
    )),
    "gen_ai.tool.type", "gen_ai.tool.call.id", "gen_ai.agent.id", "gen_ai.agent.version", "gen_ai.output.type",
    *(f"gen_ai.openai.{name}" for name in (
        "api_type", "api_version", "system_fingerprint", "request.seed", "request.service_tier",
        "response.service_tier", "response.system_fingerprint",
    )),
    "gen_ai.embeddings.dimension", "gen_ai.retrieval.top_k", "gen_ai.prompt.version", "gen_ai.is_streaming",
    "gen_ai.task.id", "gen_ai.task.kind", "gen_ai.task.parent", "gen_ai.task.status",
    "gen_ai.data_source.type", "gen_ai.evaluation.score.value",
    "openai.api", "openai.request.service_tier", "openai.response.service_tier", "openai.response.system_fingerprint",
    "llm.model_name", "llm.request.model_name", "llm.response.model_name", "llm.provider", "llm.system",
    "llm.token_count", "llm.usage", "llm.cost", "llm.request.type", "llm.is_streaming", "llm.finish_reason",
    "llm.response.finish_reason", "llm.response.stop_reason", "llm.prompt_template.version",
    "openinference.span.kind", "input.mime_type", "output.mime_type", "audio.mime_type",
    "embedding.model_name", "reranker.model_name", "reranker.top_k",
    "document.score", "tool.id", "tool_call.id", "message.role", "message.tool_call_id",
    "traceloop.span.kind", "traceloop.entity.version", "traceloop.prompt.version",
    "langfuse.observation.type", "langfuse.observation.level", "langfuse.observation.model.name",
    "langfuse.observation.usage_details", "langfuse.observation.cost_details",
    "langfuse.observation.completion_start_time", "langfuse.observation.prompt.version",
    "langfuse.environment", "langfuse.release", "langfuse.version", "langfuse.internal", "langfuse.trace.public",
    "langgraph.step",
    "ai.model", "ai.operationId", "ai.usage", "ai.response.finishReason", "ai.response.model", "ai.response.id",
    "ai.response.timestamp", "ai.response.msToFirstChunk", "ai.toolCall.id",
    "mcp.method.name", "mcp.protocol.version", "mcp.session.id",
    "error.type", "exception.type", "exception.escaped", "otel.status_code", "otel.scope", "otel.library",
    "telemetry", "service", "deployment", "peer.service",
    "http.method", "http.request.method", "http.request.size", "http.request.body.size", "http.request.resend_count",
    "http.request_content_length", "http.response.status_code", "http.response.size", "http.response.body.size",
    "http.response_content_length", "http.status_code", "http.status_text", "http.scheme", "http.flavor", "http.host",
    "http.route", "http.server_name",
    "url.scheme", "url.domain", "url.port", "url.template",
    "net.peer.name", "net.peer.port", "net.host", "net.transport", "net.protocol", "network.protocol",
    "network.transport", "network.type", "server", "client.port",
    "db.system", "db.name", "db.namespace", "db.operation", "db.collection", "db.sql.table", "db.mongodb.collection",
    "db.response", "db.redis.database_index", "db.redis.args_length", "db.index", "db.stored_procedure.name",
    "db.client",
    "rpc.system", "rpc.service", "rpc.method", "rpc.grpc.status_code", "rpc.message.type", "rpc.message.id",
    "messaging.system", "messaging.operation", "messaging.destination", "messaging.destination_kind",
    "messaging.batch", "messaging.message.id", "messaging.message_id", "messaging.consumer",
    "messaging.kafka.offset", "messaging.kafka.partition", "messaging.kafka.consumer", "messaging.kafka.destination",
    "messaging.kafka.message.offset", "messaging.message.body.size",
    "thread.id", "thread.name",
    *(f"code.{name}" for name in (
        "function", "namespace", "filepath", "file", "lineno", "line", "column",
    )),
    "process.pid", "process.runtime", "faas.name", "faas.trigger", "faas.version", "faas.instance", "faas.coldstart",
    "faas.invocation_id", "cloud", "k8s.cluster", "k8s.namespace", "k8s.node", "k8s.pod.name", "k8s.pod.uid",
    "k8s.deployment", "k8s.container.name", "container.id", "container.name", "container.image", "container.runtime",
    "host.id", "host.name", "host.type", "host.arch",
    "aws.request_id", "aws.extended_request_id", "aws.dynamodb.table_names", "aws.bedrock.guardrail.id",
    "aws.bedrock.knowledge_base.id",
    "celery.action", "celery.state", "celery.task_name", "celery.hostname", "celery.retries", "celery.routing_key",
    "celery.exchange", "celery.queue", "celery.priority", "celery.id",
    "asgi.event.type", "fastapi.route", "sampling",
))  # fmt: skip

_URLS = {"url.full", "http.url", "http.target", "url.query", "url.path", "http.path"}
_MOST_NUMBERS = 16  # in one attribute: beyond, it is a vector, which content can be guessed from


@lru_cache(maxsize=8_192)
def categories_of(key: str) -> Categories | None:
    """What a value under the attribute `key` holds; None for structure."""
    found = max((begin for begin in _CONTENT if key.startswith(begin)), key=len, default="")
    known, whole = "", key
    while whole:
        if whole in _STRUCTURE:
            known = whole
            break
        whole = whole.rpartition(".")[0]
    if known and len(known) >= len(found):
        return None
    return _CONTENT[found] if found else _METADATA


def in_event(event: str, key: str) -> Categories | None:
    """What a value under `key` of an event holds: what GenAI's events hold under any name is of the conversation."""
    found = categories_of(key)
    return ANYTHING if found is _METADATA and event.startswith("gen_ai.") else found


def is_measure(holds: Categories, value: Any) -> bool:
    """Whether this is a number, or a few, that no convention knows as content: then it is structure.

    A text, a mapping, bytes or a vector may be anything.
    """
    if _C.METADATA not in holds:
        return False
    if isinstance(value, (list, tuple)):
        return len(value) <= _MOST_NUMBERS and all(map(_is_number, value))
    return _is_number(value)


def _is_number(value: Any) -> bool:
    return value is None or isinstance(value, (bool, int, float))


def is_url(key: str) -> bool:
    """Whether the attribute holds an address: its host and path are structure, its credentials and query are not."""
    return key in _URLS


def bare_url(key: str, url: Any) -> str | None:
    """`url` without credentials, query and fragment; None where that leaves nothing, or where it is no address."""
    if key == "url.query":
        return None
    try:
        parts = urlsplit(str(url))
    except ValueError:
        return None
    if not parts.netloc and "@" in parts.path and not parts.path.startswith("/"):  # credentials without a scheme
        return None
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl() or None
