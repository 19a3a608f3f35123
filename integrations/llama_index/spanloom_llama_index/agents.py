"""What the events of agents say. Imported when the first event comes, after LlamaIndex's agents have been imported."""

from __future__ import annotations

from typing import Any

from llama_index.core.agent.workflow.workflow_events import AgentOutput, AgentStream, ToolCall, ToolCallResult
from spanloom.content import Category
from spanloom.content.marked import Marked

from .values import fields_of, shown


@shown.register
def _(value: AgentOutput) -> Any:
    answer = Marked(Category.COMPLETION, value.response.content)
    told: dict[str, Any] = {"response": answer}
    if value.tool_calls:
        told["tool_calls"] = [
            {
                "name": Marked(Category.NAMES, c.tool_name),
                "arguments": Marked(Category.TOOL_ARGUMENTS, c.tool_kwargs),
            }
            for c in value.tool_calls
        ]
    if value.structured_response is not None:
        told["structured_response"] = Marked(Category.COMPLETION, value.structured_response)
    return told if len(told) > 1 else answer


@shown.register
def _(value: AgentStream) -> Any:
    return {**fields_of(value), **{k: Marked(Category.COMPLETION, getattr(value, k)) for k in ("delta", "response")}}


@shown.register
def _(value: ToolCall | ToolCallResult) -> Any:
    return {**fields_of(value), "tool_kwargs": Marked(Category.TOOL_ARGUMENTS, value.tool_kwargs)}
