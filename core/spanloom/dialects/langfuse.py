"""Langfuse's own words (server 4.16), for a translated copy of the span that never touches the live one.

Explicit `langfuse.*` keys win over everything the server would guess. No `gen_ai.*` key goes out: some are misread
(`gen_ai.prompt.name` becomes the input, `gen_ai.operation.name=invoke_agent` wipes the model, `gen_ai.tool.name`
replaces the span's name).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from opentelemetry.trace import SpanKind

from ..content.plain import label, plain
from ..content.visible import Visible
from ..step import Kind, Outcome, Step
from ..usage import Cost
from . import genai
from . import messages as shape
from .rendered import STEP_KIND, STEP_NAME, STEP_OUTCOME, Attributes, Rendered, known, step_name

_TYPES = {
    Kind.LLM: "generation",
    Kind.EMBEDDING: "embedding",
    Kind.AGENT: "agent",
    Kind.TOOL: "tool",
    Kind.RETRIEVER: "retriever",
    Kind.RERANKER: "retriever",
    Kind.CHAIN: "chain",
    Kind.WORKFLOW: "chain",
    Kind.PROMPT: "span",
    Kind.PARSER: "span",
    Kind.OTHER: "span",
}

SDKS_OWN = "langfuse.internal."
"""How the keys begin that Langfuse's SDK notes on live spans for itself."""

_SPOKEN = ("langfuse.observation.", "gen_ai.", "openinference.", "llm.")

_BUCKETS = {
    "input": "input",
    "output": "output",
    "cache_read": "input_cached_tokens",
    "cache_write": "input_cache_creation",
    "reasoning": "output_reasoning_tokens",
}


@dataclass(frozen=True, slots=True)
class TraceFacts:
    """What Langfuse wants on every span of a trace. `app_root` marks the top span of this app in the trace."""

    name: str = ""
    environment: str | None = None
    release: str | None = None
    version: str | None = None
    app_root: bool = False


def render(step: Step, visible: Visible, trace: TraceFacts) -> Rendered:
    """The step as a Langfuse observation."""
    error = step.outcome is Outcome.ERROR
    attributes: dict[str, Any] = {
        STEP_KIND: step.kind.value,
        STEP_NAME: label(step.name),
        STEP_OUTCOME: step.outcome.value if step.outcome else None,
        "langfuse.observation.type": _TYPES[step.kind],
        "langfuse.observation.level": "ERROR" if error else "WARNING" if step.outcome is Outcome.INCOMPLETE else None,
        "langfuse.observation.status_message": _status(step, visible),
        **trace_attributes(visible, trace),
        **_observation_metadata(step, visible),
    }
    if step.kind in (Kind.LLM, Kind.EMBEDDING):
        attributes |= _generation(step, visible)
    return Rendered(
        name=step_name(step),
        kind=SpanKind.INTERNAL,
        attributes={**known(attributes), **_input_output(step, visible)},  # also an empty answer: both keys or neither
        events=[(e.name, e.time_ns, genai.event_attributes(e)) for e in step.events],
        error=error,
        status_description=_status(step, visible) if error else None,
    )


def render_other(name: str, kind: SpanKind, own: Attributes, visible: Visible, trace: TraceFacts) -> Rendered:
    """A span of another library that the user lets in, with the trace's identity.

    A plain span, unless its `own` attributes say in words that the server reads what else it is.
    """
    spoken = any(key.startswith(_SPOKEN) for key in own)
    attributes = {
        "langfuse.observation.type": None if spoken else "span",
        **trace_attributes(visible, trace),
    }
    return Rendered(name=name, kind=kind, attributes=known(attributes))


def trace_attributes(visible: Visible, trace: TraceFacts) -> Attributes:
    """User, session, tags, environment, release and version: Langfuse takes the latest value on any span."""
    who = visible.identity
    metadata = {**shape.flat(visible.metadata), **({"tenant": who.tenant} if who.tenant else {})}
    return known({
        "user.id": who.user_id,
        "session.id": who.session_id,
        "langfuse.trace.name": label(trace.name),
        "langfuse.trace.tags": list(who.tags),
        "langfuse.environment": trace.environment,
        "langfuse.release": trace.release,
        "langfuse.version": trace.version,
        "langfuse.internal.is_app_root": True if trace.app_root else None,
        **({f"langfuse.trace.metadata.{k}": v for k, v in metadata.items()} if trace.app_root else {}),
        **{f"langfuse.observation.metadata.{k}": v for k, v in metadata.items()},
    })  # fmt: skip


_ENVIRONMENT = re.compile(r"(?!langfuse)[a-z0-9_-]{1,40}")


def is_environment(name: str) -> bool:
    """Whether Langfuse takes `name` as an environment; it silently files anything else under "default"."""
    return _ENVIRONMENT.fullmatch(name.lower()) is not None


def _generation(step: Step, visible: Visible) -> Attributes:
    out: dict[str, Any] = {
        "langfuse.observation.model.name": step.response_model or step.request_model,
        "langfuse.observation.model.parameters": shape.as_json(plain(step.parameters)) if step.parameters else None,
    }
    if step.cache_hit:  # said as zeros: where usage is missing, the server counts the text itself and charges for it
        out["langfuse.observation.usage_details"] = shape.as_json({"input": 0, "output": 0})
    elif step.usage:
        out["langfuse.observation.usage_details"] = shape.as_json(usage_details(step))
    if step.cost is not None:
        out["langfuse.observation.cost_details"] = shape.as_json(cost_details(step.cost))
    if step.first_token_ns is not None:
        out["langfuse.observation.completion_start_time"] = iso(step.first_token_ns)
    prompt = visible.identity.prompt
    if prompt is not None and step.kind is Kind.LLM and (version := _whole(prompt.version)) is not None:
        out["langfuse.observation.prompt.name"] = prompt.name
        out["langfuse.observation.prompt.version"] = version
    return out


def usage_details(step: Step) -> dict[str, int]:
    """Disjoint buckets under Langfuse's names. Reasoning stays in `output`, whose price it has, unless we tell the cost
    ourselves: split out, the server's own computation charges nothing for it."""
    if step.usage is None:
        return {}
    buckets = step.usage.disjoint()
    if "reasoning" in buckets and step.cost is None:
        buckets["output"] = buckets.get("output", 0) + buckets.pop("reasoning")
    return {_BUCKETS[name]: count for name, count in buckets.items()}


def cost_details(cost: Cost) -> dict[str, float]:
    """US dollars. Always with `total`: the server adds up `input` and `output` alone, and a trace sums the totals."""
    return {"input": float(cost.input), "output": float(cost.output), "total": float(cost.total)}


def beside(attributes: Mapping[str, Any]) -> Attributes:
    """What of a step's live span stands beside this dialect: the application's own attributes, none that is misread."""
    return {k: v for k, v in genai.less_own(attributes).items() if not k.startswith("error.")}


def iso(time_ns: int) -> str:
    """The time as Langfuse parses it: ISO 8601 in UTC with microseconds."""
    seconds, rest = divmod(time_ns, 1_000_000_000)
    moment = datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest // 1000)
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


def _input_output(step: Step, visible: Visible) -> Attributes:
    """Input and output: both keys or neither, since one of them alone stops the server's search for both."""
    given, answer = shape.given_and_answer(step, visible)
    if visible.input_messages or visible.tool_definitions:
        chat = shape.chat_messages(visible.input_messages)
        given = {"messages": chat, "tools": _tools(visible)} if visible.tool_definitions else chat
    if visible.output_messages:
        said = shape.chat_messages(visible.output_messages)
        answer = said[0] if len(said) == 1 else said
    if given is None and answer is None:
        return {}
    return {
        "langfuse.observation.input": _text(given),
        "langfuse.observation.output": _text(answer),
    }


def _tools(visible: Visible) -> list[dict[str, Any]]:
    return [
        {"type": "function", "function": {k: v for k, v in tool.items() if k != "type"}}
        for tool in shape.tool_definitions(visible.tool_definitions)
    ]


def _observation_metadata(step: Step, visible: Visible) -> Attributes:
    """Raw values under dotted keys; `langgraph_node` and `langgraph_step` draw the agent graph."""
    facts: Mapping[str, Any] = {
        "langgraph_node": step.graph.get("node"),
        "langgraph_step": step.graph.get("step"),
        "outcome": step.outcome.value if step.outcome not in (None, Outcome.OK) else None,
        "tool_call_id": step.tool_call_id,
        "tool_description": visible.tool_description,
        "finish_reason": step.finish_reasons[0] if step.finish_reasons else None,
        "response_id": step.response_id,
        "reasoning_tokens": step.usage.reasoning_tokens if step.usage else None,
        "provider": step.provider,
        "model": step.request_model if step.kind not in (Kind.LLM, Kind.EMBEDDING) else None,
        "cache_hit": step.cache_hit or None,
        "top_k": step.top_k,
        "data_source_id": step.data_source_id,
        "workflow_name": step.workflow_name,
        "embedding_count": step.embedding_count,
        "embedding_dimension": step.embedding_dimension,
        "prompt_hash": visible.prompt_hash,
        "prompt_template_hash": visible.template_hash,
        "prompt_repeats_trace": step.repeats.trace if step.repeats else None,
        "prompt_repeats_minute": step.repeats.minute if step.repeats else None,
        "completion_hash": visible.completion_hash,
        "content_truncated": visible.truncated or None,
        "vault_status": visible.vault_status,
        "prompt_variables": None if visible.prompt_variables is None else _text(visible.prompt_variables),
        "exception_stack": visible.error_stack if step.outcome is Outcome.ERROR else None,
    }
    return {f"langfuse.observation.metadata.{k}": v for k, v in facts.items() if v is not None}


def _status(step: Step, visible: Visible) -> str | None:
    if step.outcome is Outcome.ERROR:
        kind = step.error_type or "error"
        return f"{kind}: {visible.error_message}" if visible.error_message else kind
    return None if step.outcome in (None, Outcome.OK) else step.outcome.value


def _text(value: Any) -> str:
    return value if isinstance(value, str) else shape.as_json(value)


def _whole(version: int | str | None) -> int | None:
    """Langfuse's prompt versions are whole numbers; a text there drops the observation."""
    if isinstance(version, int):
        return version
    return int(version) if isinstance(version, str) and version.isdecimal() else None
