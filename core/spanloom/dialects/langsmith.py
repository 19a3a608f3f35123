"""LangSmith's own words beside the GenAI conventions, as its SDK's OTLP exporter writes them (langsmith 0.15).

That exporter sends what a run was given and what it answered as `gen_ai.prompt` and `gen_ai.completion`, on every
kind of run; the conventions' messages would be the same text again. A conversation is `session_id` in the metadata:
LangSmith's own `session_id` is a project.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ..content.visible import Visible
from ..content.written import as_json
from ..step import Kind, Message, Step
from . import conversation, genai
from . import messages as shape
from .rendered import Attributes, Rendered, known, step_name

_RUN_TYPES = {
    Kind.LLM: "llm",
    Kind.TOOL: "tool",
    Kind.RETRIEVER: "retriever",
    Kind.RERANKER: "retriever",
    Kind.EMBEDDING: "embedding",
    Kind.PROMPT: "prompt",
    Kind.PARSER: "parser",
}


def render(step: Step, visible: Visible) -> Rendered:
    """The step as a run: the GenAI conventions' span, with LangSmith's run type, name, metadata, input and output."""
    beside = replace(
        visible, input=None, output=None, input_messages=(), output_messages=(), arguments=None, result=None,
        query=None, documents=(), metadata={},
    )  # fmt: skip
    made = genai.render(step, beside)
    who = visible.identity
    metadata = {"user_id": who.user_id, "session_id": who.session_id, "tenant": who.tenant}
    made.attributes |= known({
        "langsmith.span.kind": _RUN_TYPES.get(step.kind, "chain"),
        "langsmith.trace.name": step_name(step),
        "langsmith.span.tags": ", ".join(who.tags),
        **_usage(step),
        **{f"langsmith.metadata.{k}": v for k, v in {**shape.flat(visible.metadata), **metadata}.items()},
        "gen_ai.prompt": _given(step, visible),
        "gen_ai.completion": _answer(step, visible),
    })  # fmt: skip
    return made


def _usage(step: Step) -> Attributes:
    if step.usage is None or step.kind not in (Kind.LLM, Kind.EMBEDDING):
        return {}
    counts = step.usage.inclusive()
    given = {"cache_read": counts.get("cache_read_tokens"), "cache_creation": counts.get("cache_write_tokens")}
    made = {"reasoning": counts.get("reasoning_tokens")}
    return {
        "gen_ai.usage.total_tokens": step.usage.total_tokens,
        "gen_ai.usage.input_token_details": _some(given),
        "gen_ai.usage.output_token_details": _some(made),
    }


def _given(step: Step, visible: Visible) -> str | None:
    if visible.input_messages:
        return _messages(visible.input_messages)
    match step.kind:
        case Kind.TOOL:
            return _object("input", visible.arguments)
        case Kind.RETRIEVER | Kind.RERANKER:
            return None if visible.query is None else as_json({"query": visible.query})
    return _object("input", visible.input)


def _answer(step: Step, visible: Visible) -> str | None:
    if visible.output_messages:
        return _messages(visible.output_messages)
    match step.kind:
        case Kind.TOOL:
            return _object("output", visible.result)
        case Kind.RETRIEVER | Kind.RERANKER:
            return as_json({"documents": shape.documents(visible.documents)}) if visible.documents else None
    return _object("output", visible.output)


def _messages(items: Sequence[Message]) -> str:
    return f'{{"messages":{conversation.in_chat(items)}}}'


def _object(name: str, value: Any) -> str | None:
    """A run's inputs and outputs are objects there: anything else stands under `name`."""
    if value is None:
        return None
    return as_json(value if isinstance(value, dict) else {name: value})


def _some(counts: dict[str, int | None]) -> str | None:
    kept = {name: count for name, count in counts.items() if count is not None}
    return as_json(kept) if kept else None
