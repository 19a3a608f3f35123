"""OpenInference's semantic conventions, the dialect of Arize Phoenix and MLflow.

Names are vendored from `openinference-semantic-conventions` 0.1.42. No `gen_ai.*` key goes out beside them: Phoenix
fills from those what is missing here, and makes an answer of `{"id", "model"}` where there is none to show.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ..content.plain import label, plain
from ..content.visible import Visible
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
from . import genai
from . import messages as shape
from .rendered import STEP_KIND, STEP_NAME, STEP_OUTCOME, Attributes, Rendered, known, step_name

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
    spread, cut = _spread(step, visible)
    return Rendered(
        name=step_name(step),
        kind=genai.span_kind(step),
        attributes={
            **known({**_structure(step), **_identity(step, visible), **_content(step, visible, cut), **spread}),
            **_input_output(step, visible),
        },
        events=genai.events(step, visible),
        error=error,
        status_description=(visible.error_message or step.error_type) if error else None,
    )


def _structure(step: Step) -> Attributes:
    out: Attributes = {
        STEP_KIND: step.kind.value,
        STEP_NAME: label(step.name),
        STEP_OUTCOME: step.outcome.value if step.outcome else None,
        "openinference.span.kind": KINDS[step.kind],
        "error.type": step.error_type if step.outcome is Outcome.ERROR else None,
        "agent.name": step.agent_name,
    }
    parameters = shape.as_json(plain(step.parameters)) if step.parameters else None
    match step.kind:
        case Kind.LLM:
            out |= {
                "llm.model_name": step.response_model or step.request_model,
                "llm.request.model_name": step.request_model,
                "llm.response.model_name": step.response_model,
                "llm.provider": _PROVIDERS.get(step.provider or "", step.provider),
                "llm.system": _SYSTEMS.get(step.provider or ""),
                "llm.invocation_parameters": parameters,
                "llm.finish_reason": step.finish_reasons[0] if step.finish_reasons else None,
                "spanloom.response.id": step.response_id,
                "spanloom.response.time_to_first_chunk": genai.seconds_to_first_token(step),
                "spanloom.cache.hit": step.cache_hit or None,
                **genai.repeats(step),
                **_token_counts(step),
                **_cost(step),
            }
        case Kind.EMBEDDING:
            out |= {
                "embedding.model_name": step.response_model or step.request_model,
                "embedding.invocation_parameters": parameters,
                **_token_counts(step),
                **_cost(step),
            }
        case Kind.TOOL:
            out |= {"tool.name": label(step.tool_name or step.name), "tool.id": step.tool_call_id}
        case Kind.RERANKER:
            out |= {
                "reranker.model_name": step.response_model or step.request_model,
                "reranker.top_k": step.top_k,
            }
    return out


def _token_counts(step: Step) -> Attributes:
    if step.usage is None:
        return {}
    counts = step.usage.inclusive()
    total = step.usage.total_tokens
    if step.kind is Kind.EMBEDDING:
        counts.pop("output_tokens", None)
        total = step.usage.input_tokens
    return {
        **{_COUNTS[name]: count for name, count in counts.items() if name in _COUNTS},
        "llm.token_count.total": total,
    }


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


def _identity(step: Step, visible: Visible) -> Attributes:
    who = visible.identity
    metadata = {**visible.metadata, **({"tenant": who.tenant} if who.tenant else {})}
    prompt = who.prompt if step.kind in (Kind.LLM, Kind.PROMPT) else None
    return {
        "user.id": who.user_id,
        "session.id": who.session_id,
        "tag.tags": list(who.tags),
        "metadata": shape.as_json(metadata) if metadata else None,
        "prompt.id": prompt.name if prompt else None,
        "llm.prompt_template.version": str(prompt.version) if prompt and prompt.version is not None else None,
    }


def _content(step: Step, visible: Visible, cut: int) -> Attributes:
    variables = visible.prompt_variables
    return {
        "tool.description": visible.tool_description if step.kind is Kind.TOOL else None,
        "reranker.query": visible.query if step.kind is Kind.RERANKER else None,
        "llm.prompt_template.variables": None if variables is None else shape.as_json(variables),
        **genai.prompt_hashes(visible),
        "spanloom.completion.hash": visible.completion_hash,
        "spanloom.content.truncated": (visible.truncated + cut) or None,
    }


# ---------------------------------------------------------------- input.value and output.value
def _input_output(step: Step, visible: Visible) -> Attributes:
    """What tables and sessions show: the last thing said as text, a model's whole conversation as JSON."""
    given, answer = shape.given_and_answer(step, visible)
    if visible.input_messages:
        chat = step.kind is Kind.LLM and not step.completion
        given = {"messages": shape.chat_messages(visible.input_messages)} if chat else _last(visible.input_messages)
    if visible.output_messages:
        answer = _last(visible.output_messages)
    return {**_value("input", given), **_value("output", answer)}


def _last(items: Sequence[Message]) -> Any:
    """The text of the last message; where it is more than text, the message; where there are no words, None."""
    message = shape.chat_messages(items[-1:])[-1]
    return message["content"] if isinstance(message["content"], str) and "tool_calls" not in message else message


def _value(name: str, value: Any) -> Attributes:
    if value is None:
        return {}
    if isinstance(value, str):
        return {f"{name}.value": value, f"{name}.mime_type": "text/plain"}
    return {f"{name}.value": shape.as_json(value), f"{name}.mime_type": "application/json"}


# ---------------------------------------------------------------- lists, spread over numbered attributes
def _spread(step: Step, visible: Visible) -> tuple[Attributes, int]:
    """The lists of the step's content, and how many of their items were left out."""
    if step.kind is Kind.LLM and step.completion:
        lists = [
            ("llm.prompts", "prompt.text", visible.input_messages),
            ("llm.choices", "completion.text", visible.output_messages),
        ]
        texts = [(f"{prefix}.{{}}.", [{key: _text(m)} for m in items]) for prefix, key, items in lists]
    else:
        texts = [
            ("llm.input_messages.{}.", [flat for m in visible.input_messages for flat in _message(m)]),
            ("llm.output_messages.{}.", [flat for m in visible.output_messages for flat in _message(m)]),
        ]
    documents = "reranker.output_documents.{}." if step.kind is Kind.RERANKER else "retrieval.documents.{}."
    given = visible.input if step.kind is Kind.EMBEDDING else None
    embedded = given if isinstance(given, list) else [] if given is None else [given]
    out: Attributes = {}
    cut = 0
    for prefix, all_items in (
        *texts,
        ("llm.tools.{}.", [_tool(t) for t in visible.tool_definitions]),
        (documents, [_document(d) for d in visible.documents]),
        ("embedding.embeddings.{}.", [{"embedding.text": _as_text(text)} for text in embedded]),
    ):
        items = _ends(all_items) if prefix.startswith("llm.") else all_items[:_MOST_ITEMS]
        cut += len(all_items) - len(items)
        out |= {prefix.format(n) + key: value for n, item in enumerate(items) for key, value in item.items()}
    return out, cut


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
    said = [p for p in rest if not isinstance(p, ToolCall)]
    if all(isinstance(p, Text) for p in said):
        out["message.content"] = "".join(p.content for p in said if isinstance(p, Text))
    else:
        for n, p in enumerate(said[:_MOST_ITEMS]):
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
    return known({
        "document.id": d.id,
        "document.score": d.score,
        "document.content": d.content,
        "document.metadata": shape.as_json(d.metadata) if d.metadata else None,
    })  # fmt: skip


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else shape.as_json(value)
