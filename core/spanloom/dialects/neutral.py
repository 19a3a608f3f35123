"""Spanloom's own words, in JSON: the dialect of the local file, for reading by people and by other programs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

from opentelemetry.trace import Link, format_span_id, format_trace_id

from ..content.plain import plain
from ..content.visible import Visible
from ..step import Kind, Outcome, Step
from . import genai
from . import messages as shape

OwnEvent: TypeAlias = tuple[str, int, Mapping[str, Any]]
"""The name, the time in nanoseconds and the attributes of an event of the live span."""

Record = dict[str, Any]
"""JSON values under neutral names; what is not known is left out."""

SPAN = "span"
"""The kind of a span that another library opened."""


def render(
    step: Step,
    visible: Visible,
    attributes: Mapping[str, Any] | None = None,
    *,
    events: Iterable[OwnEvent] = (),
    links: Iterable[Link] = (),
    status: str | None = None,
) -> Record:
    """The step and its visible content. `attributes`, `events`, `links` and the `status` description are those of the
    live span: the application's own are kept.

    Times are nanoseconds since the epoch, token counts inclusive: `usage.input_tokens` contains the cached ones.
    """
    counted = step.usage is not None and step.kind in (Kind.LLM, Kind.EMBEDDING)
    record = _plain({
        "outcome": step.outcome.value if step.outcome else None,
        "provider": step.provider,
        "request_model": step.request_model,
        "response_model": step.response_model,
        "response_id": step.response_id,
        "parameters": step.parameters,
        "finish_reasons": list(step.finish_reasons),
        "usage": step.usage.inclusive() if counted and step.usage else None,
        "service_tier": step.service_tier,
        "streaming": step.streaming or None,
        "cache_hit": step.cache_hit or None,
        "first_token_ns": step.first_token_ns,
        "prompt_repeats": {"trace": step.repeats.trace, "minute": step.repeats.minute} if step.repeats else None,
        "server_address": step.server_address,
        "server_port": step.server_port if step.server_address else None,
        "tool": _some({"name": step.tool_name, "call_id": step.tool_call_id}),
        "agent": step.agent_name,
        "workflow": step.workflow_name,
        "data_source": step.data_source_id,
        "top_k": step.top_k,
        "document_count": step.document_count,
        "embedding_count": step.embedding_count,
        "embedding_dimension": step.embedding_dimension,
        "graph": dict(step.graph),
        "events": [
            *({"name": e.name, "time_ns": e.time_ns, **_some({"data": e.data})} for e in step.events),
            *_events(events),
        ],
        "links": _links(links),
        "status": status,
        "attributes": _own(step, attributes or {}),
    })  # fmt: skip
    record["cost"] = _cost(step)
    record["error"] = _error(step, visible)
    record["identity"] = identity(visible)
    record["content"] = content(visible)
    return {"kind": step.kind.value, "name": plain(step.name), **_some(record)}


def render_other(
    name: str,
    scope: str,
    visible: Visible,
    *,
    role: str,
    attributes: Mapping[str, Any],
    events: Iterable[OwnEvent] = (),
    links: Iterable[Link] = (),
    error: str | None = None,
) -> Record:
    """A span of another library, as it is. `role` is its OpenTelemetry span kind; `error` is None where it went well.

    An exception's type, message and stack are the attributes of its event, as the library wrote them.
    """
    record = _plain({
        "outcome": Outcome.OK.value if error is None else Outcome.ERROR.value,
        "scope": scope,
        "role": role,
        "events": _events(events),
        "links": _links(links),
        "attributes": dict(attributes),
    })  # fmt: skip
    if error is not None:
        kinds = [e.get("data", {}).get("exception.type") for e in record["events"] if e["name"] == "exception"]
        kind = attributes.get("error.type") or next((k for k in kinds if k), None)
        record["error"] = plain(_some({"type": kind, "message": error}))
    record["identity"] = identity(visible)
    return {"kind": SPAN, "name": plain(name), **_some(record)}


def identity(visible: Visible) -> Record:
    """Who the span belongs to."""
    who = visible.identity
    record = _plain({
        "user": who.user_id,
        "session": who.session_id,
        "tenant": who.tenant,
        "tags": list(who.tags),
        "prompt": _some({"name": who.prompt.name, "version": who.prompt.version}) if who.prompt else None,
        "metadata": dict(visible.metadata),
    })  # fmt: skip
    return _some(record)


def content(visible: Visible) -> Record:
    """What the policy let through; messages and documents in the shape of the GenAI conventions."""
    return _some({
        "input": visible.input,
        "output": visible.output,
        "input_messages": shape.messages(visible.input_messages),
        "output_messages": shape.messages(visible.output_messages),
        "tool_definitions": shape.tool_definitions(visible.tool_definitions),
        "tool_description": visible.tool_description,
        "arguments": visible.arguments,
        "result": visible.result,
        "query": visible.query,
        "documents": shape.documents(visible.documents),
        "prompt_variables": visible.prompt_variables,
        "prompt_hash": visible.prompt_hash,
        "template_hash": visible.template_hash,
        "completion_hash": visible.completion_hash,
        "truncated": visible.truncated or None,
        "vault_status": visible.vault_status,
    })  # fmt: skip


def _events(events: Iterable[OwnEvent]) -> list[Record]:
    return [{"name": name, "time_ns": time_ns, **_some({"data": dict(data)})} for name, time_ns, data in events]


def _links(links: Iterable[Link]) -> list[Record]:
    return [
        {
            "trace_id": format_trace_id(link.context.trace_id),
            "span_id": format_span_id(link.context.span_id),
            **_some({"attributes": dict(link.attributes or {})}),
        }
        for link in links
    ]


def _cost(step: Step) -> Record | None:
    """The amounts as decimal texts: as numbers they would lose digits."""
    if step.cost is None or step.kind not in (Kind.LLM, Kind.EMBEDDING):
        return None
    amounts = {"input": step.cost.input, "output": step.cost.output, "total": step.cost.total}
    return {**{name: format(amount, "f") for name, amount in amounts.items()}, "currency": step.cost.currency}


def _error(step: Step, visible: Visible) -> Record | None:
    if step.outcome is not Outcome.ERROR and step.error_type is None:
        return None
    return _some({
        "type": plain(step.error_type),
        "message": visible.error_message,
        "stack": visible.error_stack,
    })  # fmt: skip


def _own(step: Step, attributes: Mapping[str, Any]) -> Record:
    """What the application set on the span: everything that the recorder did not."""
    if not attributes:
        return {}
    ours = genai.structure(step)
    return {k: v for k, v in attributes.items() if k not in ours}


def _plain(record: Record) -> Record:
    """As plain values; what is not known is not read."""
    known: Record = plain({k: v for k, v in record.items() if v is not None})
    return known


def _some(record: Record) -> Record:
    return {k: v for k, v in record.items() if v is not None and v not in ("", [], {})}
