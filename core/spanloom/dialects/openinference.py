"""OpenInference's semantic conventions, the dialect of Arize Phoenix and MLflow.

Names are vendored from `openinference-semantic-conventions` 0.1.42. No `gen_ai.*` key goes out beside them: Phoenix
fills from those what is missing here, and makes an answer of `{"id", "model"}` where there is none to show.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ..content.plain import label
from ..content.visible import Visible
from ..identity import NOBODY
from ..step import (
    Document,
    Kind,
    Media,
    Message,
    Outcome,
    Part,
    Reasoning,
    Step,
    Text,
    ToolCall,
    ToolCallResponse,
    ToolDefinition,
)
from . import conversation, genai
from . import messages as shape
from .rendered import OUTCOMES, STEP_KIND, STEP_NAME, STEP_OUTCOME, Attributes, Rendered, known, put, step_name

CONVENTIONS = "0.1.42"
"""The version of `openinference-semantic-conventions` that the names are from."""

PROJECT = "openinference.project.name"
"""The resource attribute that says which of Phoenix's projects a trace belongs to."""

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

# A list is spread over attributes, one for each field of each item: these bound how many there are.
MOST_ATTRIBUTES = 1_000
_MOST_ITEMS = 100


def render(step: Step, visible: Visible) -> Rendered:
    """The whole span: structure, identity, and content as far as it is visible."""
    error = step.outcome is Outcome.ERROR
    out = _structure(step)
    _identity(step, visible, out)
    cut = _spread(step, visible, out)
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
        put(out, "metadata", shape.as_json(metadata))


def _content(step: Step, visible: Visible, cut: int, out: Attributes) -> None:
    if visible.tool_description is not None and step.kind is Kind.TOOL:
        put(out, "tool.description", visible.tool_description)
    if visible.query is not None and step.kind is Kind.RERANKER:
        put(out, "reranker.query", visible.query)
    if visible.prompt_variables is not None:
        put(out, "llm.prompt_template.variables", shape.as_json(visible.prompt_variables))
    genai.hashes(visible, out)
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
    out[f"{name}.value"] = value if text else shape.as_json(value)
    out[f"{name}.mime_type"] = "text/plain" if text else "application/json"


# ---------------------------------------------------------------- lists, spread over numbered attributes
def _spread(step: Step, visible: Visible, out: Attributes) -> int:
    """The lists of the step's content; returns how many of their items were left out."""
    kind, cut = step.kind, 0
    if kind is Kind.LLM and step.completion:
        prompts = [{"prompt.text": _text(m)} for m in visible.input_messages]
        choices = [{"completion.text": _text(m)} for m in visible.output_messages]
        cut += _number("llm.prompts", prompts, _ends(prompts), out)
        cut += _number("llm.choices", choices, _ends(choices), out)
    else:
        if visible.input_messages:
            said = _said(visible.input_messages)
            cut += _number("llm.input_messages", said, _ends(said), out)
        if visible.output_messages:
            said = _said(visible.output_messages)
            cut += _number("llm.output_messages", said, _ends(said), out)
    if visible.tool_definitions:
        tools = [_tool(t) for t in visible.tool_definitions]
        cut += _number("llm.tools", tools, _ends(tools), out)
    if found := visible.documents:
        documents = [_document(d) for d in found[:_MOST_ITEMS]]
        name = "reranker.output_documents" if kind is Kind.RERANKER else "retrieval.documents"
        cut += _number(name, found, documents, out)
    if kind is Kind.EMBEDDING and visible.input is not None:
        given = visible.input if isinstance(visible.input, list) else [visible.input]
        texts = [{"embedding.text": _as_text(text)} for text in given[:_MOST_ITEMS]]
        cut += _number("embedding.embeddings", given, texts, out)
    return cut


def _number(name: str, items: Sequence[Any], kept: Sequence[Attributes], out: Attributes) -> int:
    """Write what is kept of `items`; returns how many are not."""
    for n, item in enumerate(kept):
        head = f"{name}.{n}."
        for key, value in item.items():
            put(out, head + key, value)
    return len(items) - len(kept)


def _said(items: Sequence[Message]) -> list[Attributes]:
    """`message.*` of each message. What is made of one stays with it, as in `conversation`."""
    out: list[Attributes] = []
    for m in items:
        made = m.made.get(_MADE)
        if made is None:
            made = m.made[_MADE] = tuple(_message(m))
        out += made
    return out


_MADE = "dialects.openinference"


def _ends(items: list[Attributes]) -> list[Attributes]:
    """The first item, and as many of the last ones as there is room for."""
    room = MOST_ATTRIBUTES
    if sum(map(len, items)) <= room:
        return items
    room -= len(items[0])
    tail: list[Attributes] = []
    for item in reversed(items[1:]):
        room -= len(item)
        if room < 0:
            break
        tail.append(item)
    return [items[0], *reversed(tail)]


def _message(m: Message) -> Iterable[Attributes]:
    """`message.*` of one message; each answer of a tool in it is a message of its own."""
    if len(m.parts) == 1 and type(said := m.parts[0]) is Text:  # as most are
        yield known({"message.role": m.role, "message.name": m.name, "message.content": said.content})
        return
    rest: list[Part] = []
    for p in m.parts:
        if isinstance(p, ToolCallResponse):
            yield known({
                "message.role": "tool",
                "message.content": _as_text(p.response),
                "message.tool_call_id": p.id,
                "message.name": m.name,
            })  # fmt: skip
        else:
            rest.append(p)
    if not rest and m.parts:
        return
    out: Attributes = {"message.role": m.role, "message.name": m.name}
    words = [p for p in rest if not isinstance(p, ToolCall)]
    if all(isinstance(p, Text) for p in words):
        out["message.content"] = "".join(p.content for p in words if isinstance(p, Text))
    else:
        for n, p in enumerate(words[:_MOST_ITEMS]):
            out |= {f"message.contents.{n}.message_content.{key}": value for key, value in _part(p).items()}
    for n, call in enumerate([p for p in rest if isinstance(p, ToolCall)][:_MOST_ITEMS]):
        of_call = f"message.tool_calls.{n}.tool_call."
        out |= {
            f"{of_call}id": call.id,
            f"{of_call}function.name": call.name,
            f"{of_call}function.arguments": "{}" if call.arguments is None else _as_text(call.arguments),
        }
    yield known(out)


_MEDIA = {"image": "image.image.url", "audio": "audio.audio.url", "video": "video.video.url"}


def _part(p: Part) -> Attributes:
    match p:
        case Text(content):
            return {"type": "text", "text": content}
        case Reasoning(content):
            return {"type": "reasoning", "text": content}
        case Media(modality, mime_type, str() as uri):
            if key := _MEDIA.get(modality):
                mime = {"audio.audio.mime_type": mime_type} if modality == "audio" else {}
                return {"type": modality, key: uri, **mime}
            return {"type": "document", "document.document.url": uri, "document.document.mime_type": mime_type}
        case Media(_, mime_type, None, str() as file_id):
            return {"type": "document", "document.document.id": file_id, "document.document.mime_type": mime_type}
    return {"type": "text", "text": shape.as_json(shape.part(p))}


def _text(m: Message) -> str:
    return _as_text(shape.chat_messages([m])[-1]["content"])


def _tool(t: ToolDefinition) -> Attributes:
    function = {"name": t.name, "description": t.description, "parameters": t.parameters}
    schema = {"type": "function", "function": {k: v for k, v in function.items() if v is not None}}
    return known({
        "tool.name": t.name,
        "tool.description": t.description,
        "tool.json_schema": shape.as_json(schema),
    })  # fmt: skip


def _document(d: Document) -> Attributes:
    out: Attributes = {}
    put(out, "document.id", d.id)
    put(out, "document.score", d.score)
    put(out, "document.content", d.content)
    if d.metadata:
        put(out, "document.metadata", shape.as_json(d.metadata))
    return out


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else shape.as_json(value)
