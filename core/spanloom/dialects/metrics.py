"""The GenAI conventions' metrics of one step: names, units, buckets and attributes. Never a user, session or tag.

`gen_ai.client.operation.time_per_output_chunk` is recorded once a call, as the mean over its chunks after the first:
the application's way of a token only counts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ..content.plain import label
from ..step import Kind, Outcome, Step
from . import genai
from .rendered import Attributes, known

_DURATIONS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
_TOKENS = tuple(float(4**n) for n in range(14))
_RUNS = (1.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 7200.0)


class Metric(NamedTuple):
    """What an instrument is made of: a histogram, or, without `buckets`, a counter."""

    name: str
    unit: str
    description: str
    buckets: Sequence[float] = ()


OPERATION_DURATION = Metric(
    "gen_ai.client.operation.duration", "s", "Duration of a call of a model, an embedding or a retrieval.", _DURATIONS
)
TOKEN_USAGE = Metric("gen_ai.client.token.usage", "{token}", "Tokens read and written by a call.", _TOKENS)
TIME_TO_FIRST_CHUNK = Metric(
    "gen_ai.client.operation.time_to_first_chunk", "s", "Time to the first chunk of a streamed answer.", _DURATIONS
)
TIME_PER_OUTPUT_CHUNK = Metric(
    "gen_ai.client.operation.time_per_output_chunk", "s", "Mean time of a chunk after the first.", _DURATIONS
)
TOOL_DURATION = Metric("gen_ai.execute_tool.duration", "s", "Duration of a tool's execution.", _DURATIONS)
AGENT_DURATION = Metric("gen_ai.invoke_agent.duration", "s", "Duration of an agent's run.", _RUNS)
WORKFLOW_DURATION = Metric("gen_ai.invoke_workflow.duration", "s", "Duration of a workflow's run.", _RUNS)
COST = Metric("spanloom.cost", "{USD}", "What calls of models cost, as far as their price is known.")
UNPRICED = Metric("spanloom.cost.unknown", "{call}", "Calls of models that used tokens whose price is not known.")
REPEATS = Metric(
    "spanloom.prompt.repeats",
    "{call}",
    "Calls of models whose prompt was sent before, in their trace or within a minute.",
)

ALL = (
    OPERATION_DURATION, TOKEN_USAGE, TIME_TO_FIRST_CHUNK, TIME_PER_OUTPUT_CHUNK, TOOL_DURATION, AGENT_DURATION,
    WORKFLOW_DURATION, COST, UNPRICED, REPEATS,
)  # fmt: skip

_DURATION_OF = {
    Kind.LLM: OPERATION_DURATION,
    Kind.EMBEDDING: OPERATION_DURATION,
    Kind.RETRIEVER: OPERATION_DURATION,
    Kind.TOOL: TOOL_DURATION,
    Kind.AGENT: AGENT_DURATION,
    Kind.WORKFLOW: WORKFLOW_DURATION,
}


def measured(kind: Kind) -> bool:
    """Whether steps of this kind have metrics at all."""
    return kind in _DURATION_OF


def measurements(step: Step) -> Iterator[tuple[Metric, float, Attributes]]:
    """What there is to record of an ended step, whose cost is settled.

    Nothing of an answer from a cache, which is no call, nor of a step whose true end was never seen.
    """
    duration = _DURATION_OF.get(step.kind)
    if duration is None or step.cache_hit or step.outcome is Outcome.INCOMPLETE:
        return
    about = _attributes(step)
    error = known({"error.type": step.error_type if step.outcome is Outcome.ERROR else None})
    yield duration, _seconds(step.start_ns, step.end_ns), about | error
    if step.kind not in (Kind.LLM, Kind.EMBEDDING):
        return
    if step.usage is not None:
        for kind, count in (("input", step.usage.input_tokens), ("output", step.usage.output_tokens)):
            if count is not None and (kind == "input" or step.kind is Kind.LLM):
                yield TOKEN_USAGE, count, {**about, "gen_ai.token.type": kind}
    if step.cost is not None:
        yield COST, float(step.cost.total), about
    elif step.usage:
        yield UNPRICED, 1, about
    if step.first_token_ns is not None:
        yield TIME_TO_FIRST_CHUNK, _seconds(step.start_ns, step.first_token_ns), about
        if step.chunks > 1 and step.outcome is Outcome.OK:
            yield TIME_PER_OUTPUT_CHUNK, _seconds(step.first_token_ns, step.end_ns) / (step.chunks - 1), about


def repeated(step: Step) -> tuple[Metric, float, Attributes]:
    """What there is to record of a model call whose prompt was sent before."""
    return REPEATS, 1, _attributes(step)


def _attributes(step: Step) -> Attributes:
    agent = label(step.agent_name) if step.agent_name else None
    match step.kind:
        case Kind.TOOL:
            return known({
                "gen_ai.tool.name": label(step.tool_name or step.name),
                "gen_ai.tool.type": "function",
                "gen_ai.agent.name": agent,
            })  # fmt: skip
        case Kind.AGENT:
            return known({"gen_ai.agent.name": agent, "gen_ai.request.model": step.request_model})
        case Kind.WORKFLOW:
            return known({"gen_ai.workflow.name": step.workflow_name})
    return known({
        "gen_ai.operation.name": genai.operation(step),
        "gen_ai.provider.name": step.provider,
        "gen_ai.request.model": step.request_model,
        "gen_ai.response.model": step.response_model,
        "server.address": step.server_address,
        "server.port": step.server_port if step.server_address else None,
    })  # fmt: skip


def _seconds(start_ns: int, end_ns: int) -> float:
    return max(0, end_ns - start_ns) / 1e9
