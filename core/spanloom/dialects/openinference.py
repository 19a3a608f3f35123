"""OpenInference's semantic conventions, the dialect of Arize Phoenix and MLflow.

Names are vendored from `openinference-semantic-conventions` 0.1.42. No `gen_ai.*` key goes out beside them: Phoenix
fills from those what is missing here, and makes an answer of `{"id", "model"}` where there is none to show.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..content.plain import label
from ..content.visible import Visible
from ..content.written import as_json
from ..identity import NOBODY
from ..step import Kind, Message, Outcome, Step
from . import conversation, genai, genai_content, openinference_lists
from . import messages as shape
from .rendered import OUTCOMES, STEP_KIND, STEP_NAME, STEP_OUTCOME, Attributes, Rendered, put, step_name

PROJECT = "openinference.project.name"
"""The resource attribute that says which of Phoenix's projects a trace belongs to."""

MOST_ATTRIBUTES = openinference_lists.MOST_ATTRIBUTES
"""How many attributes a list is spread over, at most."""

KINDS = {
    Kind.CHAIN: "CHAIN",
    Kind.AGENT: "AGENT",
    Kind.WORKFLOW: "CHAIN",
    Kind.LLM: "LLM",
    Kind.RETRIEVER: "RETRIEVER",
    Kind.TOOL: "TOOL",
    Kind.EMBEDDING: "EMBEDDING",
    Kind.RERANKER: "RERANKER",
    Kind.PROMPT: "PROMPT",
    Kind.PARSER: "CHAIN",
    Kind.OTHER: "UNKNOWN",
}

_HEADS: dict[Kind, Attributes] = {  # what every step of a kind says, to begin with
    kind: {STEP_KIND: kind.value, "openinference.span.kind": KINDS[kind]} for kind in Kind
}

_PROVIDERS = {  # where its name is not the GenAI conventions' own
    "azure.ai.openai": "azure",
    "azure.ai.inference": "azure",
    "aws.bedrock": "aws",
    "gcp.vertex_ai": "google",
    "gcp.gemini": "google",
    "gcp.gen_ai": "google",
    "mistral_ai": "mistralai",
    "moonshot_ai": "moonshot",
    "x_ai": "xai",
}

_SYSTEMS = {  # whose API it is, for those that the conventions name
    "openai": "openai",
    "azure.ai.openai": "openai",
    "anthropic": "anthropic",
    "cohere": "cohere",
    "mistral_ai": "mistralai",
    "gcp.vertex_ai": "vertexai",
}

_COUNTS = {
    "input_tokens": "llm.token_count.prompt",
    "output_tokens": "llm.token_count.completion",
    "cache_read_tokens": "llm.token_count.prompt_details.cache_read",
    "cache_write_tokens": "llm.token_count.prompt_details.cache_write",
    "audio_input_tokens": "llm.token_count.prompt_details.audio",
    "reasoning_tokens": "llm.token_count.completion_details.reasoning",
    "audio_output_tokens": "llm.token_count.completion_details.audio",
}


def render(step: Step, visible: Visible) -> Rendered:
    """The whole span: structure, identity, and content as far as it is visible."""
    error = step.outcome is Outcome.ERROR
    out = _structure(step)
    _identity(step, visible, out)
    cut = openinference_lists.spread(step, visible, out)
    _content(step, visible, cut, out)
    _input_output(step, visible, out)
    return Rendered(
        name=step_name(step),
        kind=genai.span_kind(step),
        attributes=out,
        events=genai.events(step, visible),
        error=error,
        status_description=(visible.error_message or step.error_type) if error else None,
    )


def _structure(step: Step) -> Attributes:
    kind, outcome = step.kind, step.outcome
    out = _HEADS[kind].copy()
    put(out, STEP_NAME, label(step.name))
    if outcome is not None:
        out[STEP_OUTCOME] = OUTCOMES[outcome]
        if outcome is Outcome.ERROR:
            put(out, "error.type", step.error_type)
    if step.agent_name is not None:
        put(out, "agent.name", step.agent_name)
    if kind is Kind.LLM:
        _of_a_model(step, out)
    elif kind is Kind.EMBEDDING:
        put(out, "embedding.model_name", step.response_model or step.request_model)
        put(out, "embedding.invocation_parameters", shape.parameters(step))
        _token_counts(step, out)
        out |= _cost(step)
    elif kind is Kind.TOOL:
        put(out, "tool.name", label(step.tool_name or step.name))
        put(out, "tool.id", step.tool_call_id)
    elif kind is Kind.RERANKER:
        put(out, "reranker.model_name", step.response_model or step.request_model)
        put(out, "reranker.top_k", step.top_k)
    return out


def _of_a_model(step: Step, out: Attributes) -> None:
    put(out, "llm.model_name", step.response_model or step.request_model)
    put(out, "llm.request.model_name", step.request_model)
    put(out, "llm.response.model_name", step.response_model)
    if step.provider:
        put(out, "llm.provider", _PROVIDERS.get(step.provider, step.provider))
        put(out, "llm.system", _SYSTEMS.get(step.provider))
    put(out, "llm.invocation_parameters", shape.parameters(step))
    if step.finish_reasons:
        put(out, "llm.finish_reason", step.finish_reasons[0])
    put(out, "spanloom.response.id", step.response_id)
    put(out, "spanloom.response.time_to_first_chunk", genai.seconds_to_first_token(step))
    put(out, "spanloom.cache.hit", step.cache_hit or None)
    out |= genai.repeats(step)
    _token_counts(step, out)
    out |= _cost(step)


def _token_counts(step: Step, out: Attributes) -> None:
    if step.usage is None:
        return
    counts = step.usage.inclusive()
    total = step.usage.total_tokens
    if step.kind is Kind.EMBEDDING:
        counts.pop("output_tokens", None)
        total = step.usage.input_tokens
    for name, count in counts.items():
        if name in _COUNTS:
            put(out, _COUNTS[name], count)
    put(out, "llm.token_count.total", total)


def _cost(step: Step) -> Attributes:
    """US dollars, as the conventions have it; a price in another currency has no key there."""
    cost = step.cost
    if cost is None or cost.currency != "USD":
        return {}
    return {
        "llm.cost.prompt": float(cost.input),
        "llm.cost.completion": float(cost.output),
        "llm.cost.total": float(cost.total),
    }


def _identity(step: Step, visible: Visible, out: Attributes) -> None:
    who, metadata = visible.identity, visible.metadata
    if who is not NOBODY:
        put(out, "user.id", who.user_id)
        put(out, "session.id", who.session_id)
        if who.tags:
            put(out, "tag.tags", list(who.tags))
        if who.tenant:
            metadata = {**metadata, "tenant": who.tenant}
        if (prompt := who.prompt) is not None and (step.kind is Kind.LLM or step.kind is Kind.PROMPT):
            put(out, "prompt.id", prompt.name)
            put(out, "llm.prompt_template.version", None if prompt.version is None else str(prompt.version))
    if metadata:
        put(out, "metadata", as_json(metadata))


def _content(step: Step, visible: Visible, cut: int, out: Attributes) -> None:
    if visible.tool_description is not None and step.kind is Kind.TOOL:
        put(out, "tool.description", visible.tool_description)
    if visible.query is not None and step.kind is Kind.RERANKER:
        put(out, "reranker.query", visible.query)
    if visible.prompt_variables is not None:
        put(out, "llm.prompt_template.variables", as_json(visible.prompt_variables))
    genai_content.hashes(visible, out)
    put(out, "spanloom.content.truncated", (visible.truncated + cut) or None)


# ---------------------------------------------------------------- input.value and output.value
def _input_output(step: Step, visible: Visible, out: Attributes) -> None:
    """What tables and sessions show: the last thing said as text, a model's whole conversation as JSON."""
    given, answer = shape.given_and_answer(step, visible)
    if visible.input_messages and step.kind is Kind.LLM and not step.completion:
        out["input.value"] = f'{{"messages":{conversation.in_chat(visible.input_messages)}}}'
        out["input.mime_type"] = "application/json"
    else:
        _value("input", _last(visible.input_messages) if visible.input_messages else given, out)
    _value("output", _last(visible.output_messages) if visible.output_messages else answer, out)


def _last(items: Sequence[Message]) -> Any:
    """The text of the last message; where it is more than text, the message; where there are no words, None."""
    message = shape.chat_messages(items[-1:])[-1]
    return message["content"] if isinstance(message["content"], str) and "tool_calls" not in message else message


def _value(name: str, value: Any, out: Attributes) -> None:
    if value is None:
        return
    text = isinstance(value, str)
    out[f"{name}.value"] = value if text else as_json(value)
    out[f"{name}.mime_type"] = "text/plain" if text else "application/json"
