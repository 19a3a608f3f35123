"""OpenTelemetry's GenAI semantic conventions (status Development, November 2026), the dialect of OTLP backends.

Names are vendored: the constants in `opentelemetry-semantic-conventions` are deprecated since the GenAI conventions
moved to a repository of their own. `gen_ai.system` is written beside `gen_ai.provider.name`, which replaced it, since
backends still read it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from opentelemetry.trace import SpanKind

from ..content.plain import label
from ..content.visible import Visible
from ..step import FIRST_TOKEN, PROMPT_REPEATED, TOOL_CALL_DISPATCHED, Event, Kind, Outcome, Step
from . import messages as shape
from .rendered import STEP_KIND, STEP_NAME, STEP_OUTCOME, Attributes, Rendered, known

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

_NO_PROVIDER = {Kind.AGENT, Kind.WORKFLOW}  # they run in this process
_BROKEN = {Outcome.ERROR, Outcome.CANCELLED, Outcome.ABANDONED, Outcome.INCOMPLETE}

_OPENAI = {"openai", "azure.ai.openai"}
_CLIENT = {Kind.LLM, Kind.EMBEDDING, Kind.RETRIEVER}

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


def operation(step: Step) -> str | None:
    """`gen_ai.operation.name`; None for the kinds that the conventions have no operation for."""
    if step.kind is Kind.LLM and step.completion:
        return "text_completion"
    return _OPERATIONS.get(step.kind)


def span_name(step: Step) -> str:
    """`{operation} {target}` by the conventions' table; the framework's own name where there is no operation."""
    op = operation(step)
    if op is None:
        return label(step.name) or step.kind.value
    target = {
        Kind.LLM: step.request_model,
        Kind.EMBEDDING: step.request_model,
        Kind.RETRIEVER: step.data_source_id,
        Kind.TOOL: step.tool_name or step.name,
        Kind.AGENT: step.agent_name,
        Kind.WORKFLOW: step.workflow_name,
    }[step.kind]
    return f"{op} {label(target)}" if target else op


def span_kind(step: Step) -> SpanKind:
    """CLIENT for calls that leave the process, INTERNAL for the rest."""
    return SpanKind.CLIENT if step.kind in _CLIENT else SpanKind.INTERNAL


def start_attributes(step: Step) -> Attributes:
    """What samplers may look at: operation, provider, model, tool and agent names."""
    provider = None if step.kind in _NO_PROVIDER else step.provider
    return known({
        STEP_KIND: step.kind.value,
        STEP_NAME: label(step.name),
        "gen_ai.operation.name": operation(step),
        "gen_ai.provider.name": provider,
        "gen_ai.system": _FORMER_PROVIDERS.get(provider or "", provider),
        "gen_ai.request.model": step.request_model,
        "gen_ai.tool.name": label(step.tool_name or step.name) if step.kind is Kind.TOOL else None,
        "gen_ai.agent.name": step.agent_name,
        "gen_ai.workflow.name": step.workflow_name,
        "server.address": step.server_address,
        "server.port": step.server_port if step.server_address else None,
    })  # fmt: skip


def structure(step: Step) -> Attributes:
    """All of a step but its content: what may stand on the live span."""
    out = start_attributes(step)
    out |= known({
        STEP_OUTCOME: step.outcome.value if step.outcome else None,
        "error.type": step.error_type if step.outcome is Outcome.ERROR else None,
        "gen_ai.tool.call.id": step.tool_call_id,
        "gen_ai.tool.type": "function" if step.kind is Kind.TOOL else None,
        "gen_ai.data_source.id": step.data_source_id,
        "gen_ai.retrieval.top_k": step.top_k if step.kind is Kind.RETRIEVER else None,
        "gen_ai.embeddings.dimension.count": step.embedding_dimension,
        "spanloom.embeddings.count": step.embedding_count,
        "spanloom.documents.count": step.document_count,
        "langgraph.node": step.graph.get("node"),
        "langgraph.step": step.graph.get("step"),
    })  # fmt: skip
    if step.kind in (Kind.LLM, Kind.EMBEDDING):
        out |= known({
            "gen_ai.response.model": step.response_model,
            "gen_ai.response.id": step.response_id,
            "gen_ai.response.finish_reasons": list(step.finish_reasons),
            "openai.response.service_tier": step.service_tier if step.provider in _OPENAI else None,
            "gen_ai.request.stream": step.streaming or None,
            "gen_ai.response.time_to_first_chunk": seconds_to_first_token(step),
            "spanloom.cache.hit": step.cache_hit or None,
        })  # fmt: skip
        out |= known({_PARAMETERS[name]: value for name, value in step.parameters.items() if name in _PARAMETERS})
        if out.get(_PARAMETERS["choice_count"]) == 1:  # the default is not worth a word
            del out[_PARAMETERS["choice_count"]]
        out |= _usage(step)
    return out


def _usage(step: Step) -> Attributes:
    """Tokens; on the spans of calls only, since backends add up what parents and children say (pain 12)."""
    if step.usage is None:
        return {}
    counts = step.usage.inclusive()
    if step.kind is Kind.EMBEDDING:
        counts.pop("output_tokens", None)
    return {_USAGE[name]: count for name, count in counts.items()}


def cost(step: Step) -> Attributes:
    """What the call cost, in US dollars. The conventions have no name for it; this is the one that receivers read.

    Worked out on the worker, so that it is on the copies, not on the live span.
    """
    if step.cost is None or step.kind not in (Kind.LLM, Kind.EMBEDDING):
        return {}
    return {
        "gen_ai.usage.cost": float(step.cost.total),
        "spanloom.cost.input": float(step.cost.input),
        "spanloom.cost.output": float(step.cost.output),
        "spanloom.cost.currency": step.cost.currency,
    }


def repeats(step: Step) -> Attributes:
    """How often the call's prompt was sent before; nothing where it was not. Noted on the worker, so on the copies."""
    if step.repeats is None:
        return {}
    return {REPEATS_IN_TRACE: step.repeats.trace, REPEATS_IN_MINUTE: step.repeats.minute}


def prompt_hashes(visible: Visible) -> Attributes:
    """SHA-256 of the whole prompt, and of the template that it was made from; the values may be None."""
    return {
        "spanloom.prompt.hash": visible.prompt_hash,
        "spanloom.prompt.template.hash": visible.template_hash,
    }


def less_own(attributes: Mapping[str, Any]) -> Attributes:
    """`attributes` of a live span less those of these conventions, for a copy in another dialect."""
    return {key: value for key, value in attributes.items() if not key.startswith("gen_ai.")}


def identity(visible: Visible) -> Attributes:
    """Who the span belongs to. Metadata keys stand under `spanloom.metadata.`."""
    who = visible.identity
    out = known({
        "user.id": who.user_id,
        "session.id": who.session_id,
        "gen_ai.conversation.id": who.session_id,
        "spanloom.tenant": who.tenant,
        "spanloom.tags": list(who.tags),
        "gen_ai.prompt.name": who.prompt.name if who.prompt else None,
        "gen_ai.prompt.version": str(who.prompt.version) if who.prompt and who.prompt.version is not None else None,
    })  # fmt: skip
    return out | {f"spanloom.metadata.{k}": v for k, v in shape.flat(visible.metadata).items()}


def stamp(visible: Visible) -> Attributes:
    """What a span of another library is given of the trace it belongs to."""
    return known({
        "user.id": visible.identity.user_id,
        "session.id": visible.identity.session_id,
        "spanloom.vault.status": visible.vault_status,
    })  # fmt: skip


def content(step: Step, visible: Visible) -> Attributes:
    """What the policy let through, as JSON strings."""
    out: dict[str, Any] = {
        **prompt_hashes(visible),
        "spanloom.completion.hash": visible.completion_hash,
        "spanloom.content.truncated": visible.truncated or None,
        "spanloom.vault.status": visible.vault_status,
    }
    system, conversation = shape.split_system(visible.input_messages)
    if system:
        out["gen_ai.system_instructions"] = shape.as_json(shape.system_instructions(system))
    if conversation:
        out["gen_ai.input.messages"] = shape.as_json(shape.messages(conversation))
    if visible.output_messages:
        out["gen_ai.output.messages"] = shape.as_json(
            shape.output_messages(visible.output_messages, broken=step.outcome in _BROKEN)
        )
    if visible.tool_definitions:
        out["gen_ai.tool.definitions"] = shape.as_json(shape.tool_definitions(visible.tool_definitions))
    if step.kind is Kind.TOOL:
        out["gen_ai.tool.description"] = visible.tool_description
    for key, value in (
        ("gen_ai.tool.call.arguments", visible.arguments),
        ("gen_ai.tool.call.result", visible.result),
        ("spanloom.step.input", visible.input),
        ("spanloom.step.output", visible.output),
        ("spanloom.prompt.variables", visible.prompt_variables),
    ):
        if value is not None:
            out[key] = value if isinstance(value, str) else shape.as_json(value)
    out["gen_ai.retrieval.query.text"] = visible.query
    if visible.documents:
        out["gen_ai.retrieval.documents"] = shape.as_json(shape.documents(visible.documents))
    return known(out)


def events(step: Step, visible: Visible) -> list[tuple[str, int, Attributes]]:
    """The step's events and, for an error, the `exception` event."""
    out = [(e.name, e.time_ns, event_attributes(e)) for e in step.events]
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
    if event.name == TOOL_CALL_DISPATCHED:
        return known({"gen_ai.tool.name": event.data.get("name"), "gen_ai.tool.call.id": event.data.get("id")})
    if event.name == FIRST_TOKEN:
        return {}
    if event.name == PROMPT_REPEATED:
        return {REPEATS_IN_TRACE: event.data["trace"], REPEATS_IN_MINUTE: event.data["minute"]}
    return known({f"spanloom.event.{k}": v for k, v in event.data.items()})


def render(step: Step, visible: Visible) -> Rendered:
    """The whole span: structure, identity, and content as far as it is visible."""
    error = step.outcome is Outcome.ERROR
    return Rendered(
        name=span_name(step),
        kind=span_kind(step),
        attributes={
            **structure(step),
            **cost(step),
            **repeats(step),
            **identity(visible),
            **content(step, visible),
        },
        events=events(step, visible),
        error=error,
        status_description=(visible.error_message or step.error_type) if error else None,
    )


def seconds_to_first_token(step: Step) -> float | None:
    """From the call to the first token, in seconds; None where none was seen."""
    if step.first_token_ns is None:
        return None
    return max(0, step.first_token_ns - step.start_ns) / 1e9
