"""OpenTelemetry's GenAI semantic conventions (status Development, November 2026), the dialect of OTLP backends.

Names are vendored: the constants in `opentelemetry-semantic-conventions` are deprecated since the GenAI conventions
moved to a repository of their own. `gen_ai.system` is written beside `gen_ai.provider.name`, which replaced it, since
backends still read it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from operator import attrgetter
from typing import Any

from opentelemetry.trace import SpanKind

from ..content.plain import label
from ..content.visible import Visible
from ..step import FIRST_TOKEN, PROMPT_REPEATED, TOOL_CALL_DISPATCHED, Event, Kind, Outcome, Step
from .genai_content import content
from .rendered import OUTCOMES, STEP_KIND, STEP_NAME, STEP_OUTCOME, Attributes, Rendered, known, put

_OPERATIONS = {
    Kind.LLM: "chat",
    Kind.EMBEDDING: "embeddings",
    Kind.RETRIEVER: "retrieval",
    Kind.TOOL: "execute_tool",
    Kind.AGENT: "invoke_agent",
    Kind.WORKFLOW: "invoke_workflow",
}

_PARAMETERS = {
    **{
        name: f"gen_ai.request.{name}"
        for name in (
            "temperature", "top_p", "top_k", "max_tokens", "stop_sequences", "seed", "frequency_penalty",
            "presence_penalty", "encoding_formats",
        )
    },
    "choice_count": "gen_ai.request.choice.count",
    "output_type": "gen_ai.output.type",
    "reasoning_level": "gen_ai.request.reasoning.level",
}  # fmt: skip

_COMPLETION = "text_completion"
_CHOICES = _PARAMETERS["choice_count"]
_TARGETS: dict[Kind, Callable[[Step], str | None]] = {
    Kind.LLM: attrgetter("request_model"),
    Kind.EMBEDDING: attrgetter("request_model"),
    Kind.RETRIEVER: attrgetter("data_source_id"),
    Kind.TOOL: lambda step: step.tool_name or step.name,
    Kind.AGENT: attrgetter("agent_name"),
    Kind.WORKFLOW: attrgetter("workflow_name"),
}

_CALLS = {Kind.LLM, Kind.EMBEDDING}
_NO_PROVIDER = {Kind.AGENT, Kind.WORKFLOW}  # they run in this process

_OPENAI = {"openai", "azure.ai.openai"}
_CLIENT = {Kind.LLM, Kind.EMBEDDING, Kind.RETRIEVER}
_SPAN_KINDS = {kind: SpanKind.CLIENT if kind in _CLIENT else SpanKind.INTERNAL for kind in Kind}

_USAGE = {
    "input_tokens": "gen_ai.usage.input_tokens",
    "output_tokens": "gen_ai.usage.output_tokens",
    "cache_read_tokens": "gen_ai.usage.cache_read.input_tokens",
    "cache_write_tokens": "gen_ai.usage.cache_write.input_tokens",
    "reasoning_tokens": "gen_ai.usage.reasoning.output_tokens",
    "audio_input_tokens": "gen_ai.usage.audio.input_tokens",
    "audio_output_tokens": "gen_ai.usage.audio.output_tokens",
    "text_input_tokens": "gen_ai.usage.text.input_tokens",
    "text_output_tokens": "gen_ai.usage.text.output_tokens",
    "image_input_tokens": "gen_ai.usage.image.input_tokens",
    "image_output_tokens": "gen_ai.usage.image.output_tokens",
    "cache_write_1h_tokens": "spanloom.usage.cache_write_1h.input_tokens",
}

REPEATS_IN_TRACE = "spanloom.prompt.repeats.trace"
REPEATS_IN_MINUTE = "spanloom.prompt.repeats.minute"

_FORMER_PROVIDERS = {  # the values of gen_ai.system where they differ from gen_ai.provider.name's
    "azure.ai.openai": "az.ai.openai",
    "azure.ai.inference": "az.ai.inference",
    "gcp.vertex_ai": "vertex_ai",
    "gcp.gemini": "gemini",
    "x_ai": "xai",
}

_OPERATION = "gen_ai.operation.name"
_HEADS: dict[Kind, Attributes] = {  # what every step of a kind says, to begin with
    kind: {STEP_KIND: kind.value, **({_OPERATION: _OPERATIONS[kind]} if kind in _OPERATIONS else {})} for kind in Kind
}


def operation(step: Step) -> str | None:
    """`gen_ai.operation.name`; None for the kinds that the conventions have no operation for."""
    if step.completion and step.kind is Kind.LLM:
        return _COMPLETION
    return _OPERATIONS.get(step.kind)


def span_name(step: Step) -> str:
    """`{operation} {target}` by the conventions' table; the framework's own name where there is no operation."""
    op = operation(step)
    if op is None:
        return label(step.name) or step.kind.value
    target = _TARGETS[step.kind](step)
    return f"{op} {label(target)}" if target else op


def span_kind(step: Step) -> SpanKind:
    """CLIENT for calls that leave the process, INTERNAL for the rest."""
    return _SPAN_KINDS[step.kind]


def start_attributes(step: Step) -> Attributes:
    """What samplers may look at: operation, provider, model, tool and agent names."""
    kind = step.kind
    out = _HEADS[kind].copy()
    put(out, STEP_NAME, label(step.name))
    if (provider := step.provider) and kind not in _NO_PROVIDER:
        put(out, "gen_ai.provider.name", provider)
        put(out, "gen_ai.system", _FORMER_PROVIDERS.get(provider, provider))
    if step.request_model is not None:
        put(out, "gen_ai.request.model", step.request_model)
    if kind is Kind.TOOL:
        put(out, "gen_ai.tool.name", label(step.tool_name or step.name))
    elif kind is Kind.LLM and step.completion:
        out[_OPERATION] = _COMPLETION
    if step.agent_name is not None:
        put(out, "gen_ai.agent.name", step.agent_name)
    if step.workflow_name is not None:
        put(out, "gen_ai.workflow.name", step.workflow_name)
    if step.server_address:
        put(out, "server.address", step.server_address)
        put(out, "server.port", step.server_port)
    return out


def structure(step: Step) -> Attributes:
    """All of a step but its content: what may stand on the live span."""
    kind, outcome = step.kind, step.outcome
    out = start_attributes(step)
    if outcome is not None:
        out[STEP_OUTCOME] = OUTCOMES[outcome]
        if outcome is Outcome.ERROR:
            put(out, "error.type", step.error_type)
    if step.tool_call_id is not None:
        put(out, "gen_ai.tool.call.id", step.tool_call_id)
    if step.data_source_id is not None:
        put(out, "gen_ai.data_source.id", step.data_source_id)
    if step.embedding_dimension is not None:
        put(out, "gen_ai.embeddings.dimension.count", step.embedding_dimension)
    if step.embedding_count is not None:
        put(out, "spanloom.embeddings.count", step.embedding_count)
    if step.document_count is not None:
        put(out, "spanloom.documents.count", step.document_count)
    if graph := step.graph:
        put(out, "langgraph.node", graph.get("node"))
        put(out, "langgraph.step", graph.get("step"))
    if kind in _CALLS:
        _of_a_call(step, out)
    elif kind is Kind.TOOL:
        out["gen_ai.tool.type"] = "function"
    elif kind is Kind.RETRIEVER:
        put(out, "gen_ai.retrieval.top_k", step.top_k)
    return out


def beside(step: Step) -> Attributes:
    """What of `structure` stands under no name of the GenAI conventions: it is in copies of other dialects too."""
    out: Attributes = {}
    if step.server_address:
        put(out, "server.address", step.server_address)
        put(out, "server.port", step.server_port)
    if step.outcome is Outcome.ERROR:
        put(out, "error.type", step.error_type)
    if step.embedding_count is not None:
        put(out, "spanloom.embeddings.count", step.embedding_count)
    if step.document_count is not None:
        put(out, "spanloom.documents.count", step.document_count)
    if graph := step.graph:
        put(out, "langgraph.node", graph.get("node"))
        put(out, "langgraph.step", graph.get("step"))
    if step.kind in _CALLS:
        if step.service_tier is not None and step.provider in _OPENAI:
            put(out, "openai.response.service_tier", step.service_tier)
        if step.cache_hit:
            put(out, "spanloom.cache.hit", step.cache_hit)
    return out


def _of_a_call(step: Step, out: Attributes) -> None:
    put(out, "gen_ai.response.model", step.response_model)
    put(out, "gen_ai.response.id", step.response_id)
    if step.finish_reasons:
        put(out, "gen_ai.response.finish_reasons", list(step.finish_reasons))
    if step.service_tier is not None and step.provider in _OPENAI:
        put(out, "openai.response.service_tier", step.service_tier)
    if step.streaming:
        put(out, "gen_ai.request.stream", step.streaming)
    if step.first_token_ns is not None:
        out["gen_ai.response.time_to_first_chunk"] = seconds_to_first_token(step)
    if step.cache_hit:
        put(out, "spanloom.cache.hit", step.cache_hit)
    for name, value in step.parameters.items():
        if name in _PARAMETERS:
            put(out, _PARAMETERS[name], value)
    if out.get(_CHOICES) == 1:  # the default is not worth a word
        del out[_CHOICES]
    if step.usage is not None:  # on the spans of calls only: backends add up what parents and children say (pain 12)
        counts = step.usage.inclusive()
        if step.kind is Kind.EMBEDDING:
            counts.pop("output_tokens", None)
        for name, count in counts.items():
            out[_USAGE[name]] = count


def cost(step: Step) -> Attributes:
    """What the call cost, in US dollars. The conventions have no name for it; this is the one that receivers read.

    Worked out on the worker, so that it is on the copies, not on the live span.
    """
    known_cost = step.cost
    if known_cost is None or step.kind not in _CALLS:
        return {}
    return {
        "gen_ai.usage.cost": float(known_cost.total),
        "spanloom.cost.input": float(known_cost.input),
        "spanloom.cost.output": float(known_cost.output),
        "spanloom.cost.currency": known_cost.currency,
    }


def repeats(step: Step) -> Attributes:
    """How often the call's prompt was sent before; nothing where it was not. Noted on the worker, so on the copies."""
    if step.repeats is None:
        return {}
    return {REPEATS_IN_TRACE: step.repeats.trace, REPEATS_IN_MINUTE: step.repeats.minute}


def less_own(attributes: Mapping[str, Any]) -> Attributes:
    """`attributes` of a live span less those of these conventions, for a copy in another dialect."""
    return {key: value for key, value in attributes.items() if not key.startswith("gen_ai.")}


def events(step: Step, visible: Visible) -> list[tuple[str, int, Attributes]]:
    """The step's events and, for an error, the `exception` event."""
    out = [(e.name, e.time_ns, event_attributes(e)) for e in step.events] if step.events else []
    if step.outcome is Outcome.ERROR and step.error_type:
        out.append((
            "exception",
            step.end_ns,
            known({
                "exception.type": step.error_type,
                "exception.message": visible.error_message,
                "exception.stacktrace": visible.error_stack,
            }),
        ))  # fmt: skip
    return out


def event_attributes(event: Event) -> Attributes:
    """The attributes of one of Spanloom's own events."""
    if event.name == FIRST_TOKEN:
        return {}
    if event.name == TOOL_CALL_DISPATCHED:
        return known({"gen_ai.tool.name": event.data.get("name"), "gen_ai.tool.call.id": event.data.get("id")})
    if event.name == PROMPT_REPEATED:
        return {REPEATS_IN_TRACE: event.data["trace"], REPEATS_IN_MINUTE: event.data["minute"]}
    return known({f"spanloom.event.{k}": v for k, v in event.data.items()})


def render(step: Step, visible: Visible) -> Rendered:
    """The whole span: structure, identity, and content as far as it is visible."""
    error = step.outcome is Outcome.ERROR
    attributes = structure(step)
    if step.cost is not None:
        attributes |= cost(step)
    if step.repeats is not None:
        attributes |= repeats(step)
    content(step, visible, attributes)
    told = events(step, visible) if error or step.events else []
    status = (visible.error_message or step.error_type) if error else None
    return Rendered(span_name(step), span_kind(step), attributes, told, error, status)


def seconds_to_first_token(step: Step) -> float | None:
    """From the call to the first token, in seconds; None where none was seen."""
    if step.first_token_ns is None:
        return None
    return max(0, step.first_token_ns - step.start_ns) / 1e9
