"""Langfuse's own words (server 4.16), for a translated copy of the span that never touches the live one.

Explicit `langfuse.*` keys win over everything the server would guess. No `gen_ai.*` key goes out: some are misread
(`gen_ai.prompt.name` becomes the input, `gen_ai.operation.name=invoke_agent` wipes the model, `gen_ai.tool.name`
replaces the span's name).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from opentelemetry.trace import SpanKind

from ..content.plain import label
from ..content.visible import Visible
from ..content.written import as_json
from ..identity import NOBODY
from ..step import Kind, Outcome, Step
from ..usage import Cost
from . import conversation, genai
from . import messages as shape
from .rendered import OUTCOMES, STEP_KIND, STEP_NAME, STEP_OUTCOME, Attributes, Rendered, known, put, step_name

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

_HEADS: dict[Kind, Attributes] = {  # what every step of a kind says, to begin with
    kind: {STEP_KIND: kind.value, "langfuse.observation.type": type} for kind, type in _TYPES.items()
}

_INTERNAL = SpanKind.INTERNAL
_CALLS = {Kind.LLM, Kind.EMBEDDING}
_METADATA = "langfuse.observation.metadata."

SDKS_OWN = "langfuse.internal."
"""How the keys begin that Langfuse's SDK notes on live spans for itself."""

_MISREAD = ("gen_ai.", "error.")
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
    """What Langfuse wants on every span of a trace. `app_root` marks the top span of this app in the trace.

    `attributes` are these, as attributes: the same on span after span.
    """

    name: str = ""
    environment: str | None = None
    release: str | None = None
    version: str | None = None
    app_root: bool = False
    attributes: Attributes = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        own = known({
            "langfuse.trace.name": label(self.name),
            "langfuse.environment": self.environment,
            "langfuse.release": self.release,
            "langfuse.version": self.version,
            "langfuse.internal.is_app_root": True if self.app_root else None,
        })  # fmt: skip
        object.__setattr__(self, "attributes", own)


@lru_cache(maxsize=1_024)
def facts_of(
    name: str, environment: str | None, release: str | None, version: str | None, app_root: bool
) -> TraceFacts:
    """The `TraceFacts` of that trace: one object for all of its spans."""
    return TraceFacts(name, environment, release, version, app_root)


def render(step: Step, visible: Visible, trace: TraceFacts) -> Rendered:
    """The step as a Langfuse observation."""
    kind, outcome = step.kind, step.outcome
    out = _HEADS[kind].copy()
    put(out, STEP_NAME, label(step.name))
    if outcome is not None:
        out[STEP_OUTCOME] = OUTCOMES[outcome]
    status = None
    if outcome is not None and outcome is not Outcome.OK:
        status = _status(step, visible)
        put(out, "langfuse.observation.status_message", status)
        if outcome is Outcome.ERROR or outcome is Outcome.INCOMPLETE:
            out["langfuse.observation.level"] = "ERROR" if outcome is Outcome.ERROR else "WARNING"
    out |= trace.attributes
    if visible.identity is not NOBODY or visible.metadata:
        _whose(visible, trace, out)
    _observation_metadata(step, visible, out)
    if kind in _CALLS:
        _generation(step, visible, out)
    _input_output(step, visible, out)
    error = outcome is Outcome.ERROR
    told = [(e.name, e.time_ns, genai.event_attributes(e)) for e in step.events] if step.events else []
    return Rendered(step_name(step), _INTERNAL, out, told, error, status if error else None)


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
    out = trace.attributes.copy()
    _whose(visible, trace, out)
    return out


def _whose(visible: Visible, trace: TraceFacts, out: Attributes) -> None:
    who = visible.identity
    metadata = shape.flat(visible.metadata) if visible.metadata else {}
    if who is not NOBODY:
        put(out, "user.id", who.user_id)
        put(out, "session.id", who.session_id)
        if who.tags:
            put(out, "langfuse.trace.tags", list(who.tags))
        if who.tenant:
            metadata["tenant"] = who.tenant
    for key, value in metadata.items():
        put(out, _METADATA + key, value)
        if trace.app_root:
            put(out, f"langfuse.trace.metadata.{key}", value)


_ENVIRONMENT = re.compile(r"(?!langfuse)[a-z0-9_-]{1,40}")


def is_environment(name: str) -> bool:
    """Whether Langfuse takes `name` as an environment; it silently files anything else under "default"."""
    return _ENVIRONMENT.fullmatch(name.lower()) is not None


def _generation(step: Step, visible: Visible, out: Attributes) -> None:
    put(out, "langfuse.observation.model.name", step.response_model or step.request_model)
    put(out, "langfuse.observation.model.parameters", shape.parameters(step))
    if step.cache_hit:  # said as zeros: where usage is missing, the server counts the text itself and charges for it
        out["langfuse.observation.usage_details"] = '{"input":0,"output":0}'
    elif step.usage:
        out["langfuse.observation.usage_details"] = as_json(usage_details(step))
    if step.cost is not None:
        out["langfuse.observation.cost_details"] = as_json(cost_details(step.cost))
    if step.first_token_ns is not None:
        out["langfuse.observation.completion_start_time"] = iso(step.first_token_ns)
    prompt = visible.identity.prompt
    if prompt is not None and step.kind is Kind.LLM and (version := _whole(prompt.version)) is not None:
        put(out, "langfuse.observation.prompt.name", prompt.name)
        put(out, "langfuse.observation.prompt.version", version)


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
    return {key: value for key, value in attributes.items() if not key.startswith(_MISREAD)}


def iso(time_ns: int) -> str:
    """The time as Langfuse parses it: ISO 8601 in UTC with microseconds."""
    seconds, rest = divmod(time_ns, 1_000_000_000)
    return f"{_to_the_second(seconds)}.{rest // 1000:06d}Z"


@lru_cache(maxsize=64)
def _to_the_second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _input_output(step: Step, visible: Visible, out: Attributes) -> None:
    """Input and output: both keys or neither, since one of them alone stops the server's search for both; so also an
    empty answer is there."""
    given, answer = shape.given_and_answer(step, visible)
    if visible.tool_definitions:
        chat, tools = conversation.in_chat(visible.input_messages), as_json(_tools(visible))
        given = f'{{"messages":{chat},"tools":{tools}}}'
    elif visible.input_messages:
        given = conversation.in_chat(visible.input_messages)
    if visible.output_messages:
        answer = conversation.answer_in_chat(visible.output_messages)
    if given is not None or answer is not None:
        out["langfuse.observation.input"] = given if isinstance(given, str) else as_json(given)
        out["langfuse.observation.output"] = answer if isinstance(answer, str) else as_json(answer)


def _tools(visible: Visible) -> list[dict[str, Any]]:
    return [
        {"type": "function", "function": {k: v for k, v in tool.items() if k != "type"}}
        for tool in shape.tool_definitions(visible.tool_definitions)
    ]


def _observation_metadata(step: Step, visible: Visible, out: Attributes) -> None:
    """Raw values under dotted keys; `langgraph_node` and `langgraph_step` draw the agent graph."""
    if graph := step.graph:
        put(out, "langfuse.observation.metadata.langgraph_node", graph.get("node"))
        put(out, "langfuse.observation.metadata.langgraph_step", graph.get("step"))
    if (outcome := step.outcome) is not None and outcome is not Outcome.OK:
        put(out, "langfuse.observation.metadata.outcome", OUTCOMES[outcome])
        if outcome is Outcome.ERROR:
            put(out, "langfuse.observation.metadata.exception_stack", visible.error_stack)
    if step.tool_call_id is not None:
        put(out, "langfuse.observation.metadata.tool_call_id", step.tool_call_id)
    if step.finish_reasons:
        put(out, "langfuse.observation.metadata.finish_reason", step.finish_reasons[0])
    if step.response_id is not None:
        put(out, "langfuse.observation.metadata.response_id", step.response_id)
    if step.usage is not None:
        put(out, "langfuse.observation.metadata.reasoning_tokens", step.usage.reasoning_tokens)
    if step.provider is not None:
        put(out, "langfuse.observation.metadata.provider", step.provider)
    if step.request_model is not None and step.kind not in _CALLS:
        put(out, "langfuse.observation.metadata.model", step.request_model)
    if step.cache_hit:
        put(out, "langfuse.observation.metadata.cache_hit", step.cache_hit)
    if step.top_k is not None:
        put(out, "langfuse.observation.metadata.top_k", step.top_k)
    if step.data_source_id is not None:
        put(out, "langfuse.observation.metadata.data_source_id", step.data_source_id)
    if step.workflow_name is not None:
        put(out, "langfuse.observation.metadata.workflow_name", step.workflow_name)
    if step.embedding_count is not None:
        put(out, "langfuse.observation.metadata.embedding_count", step.embedding_count)
    if step.embedding_dimension is not None:
        put(out, "langfuse.observation.metadata.embedding_dimension", step.embedding_dimension)
    if (repeats := step.repeats) is not None:
        put(out, "langfuse.observation.metadata.prompt_repeats_trace", repeats.trace)
        put(out, "langfuse.observation.metadata.prompt_repeats_minute", repeats.minute)
    if visible.tool_description is not None:
        put(out, "langfuse.observation.metadata.tool_description", visible.tool_description)
    if visible.prompt_hash is not None:
        put(out, "langfuse.observation.metadata.prompt_hash", visible.prompt_hash)
    if visible.template_hash is not None:
        put(out, "langfuse.observation.metadata.prompt_template_hash", visible.template_hash)
    if visible.completion_hash is not None:
        put(out, "langfuse.observation.metadata.completion_hash", visible.completion_hash)
    if visible.truncated:
        put(out, "langfuse.observation.metadata.content_truncated", visible.truncated)
    if visible.vault_status is not None:
        put(out, "langfuse.observation.metadata.vault_status", visible.vault_status)
    if (variables := visible.prompt_variables) is not None:
        put(
            out,
            "langfuse.observation.metadata.prompt_variables",
            variables if isinstance(variables, str) else as_json(variables),
        )


def _status(step: Step, visible: Visible) -> str | None:
    if step.outcome is Outcome.ERROR:
        kind = step.error_type or "error"
        return f"{kind}: {visible.error_message}" if visible.error_message else kind
    return None if step.outcome is None or step.outcome is Outcome.OK else step.outcome.value


def _whole(version: int | str | None) -> int | None:
    """Langfuse's prompt versions are whole numbers; a text there drops the observation."""
    if isinstance(version, int):
        return version
    return int(version) if isinstance(version, str) and version.isdecimal() else None
