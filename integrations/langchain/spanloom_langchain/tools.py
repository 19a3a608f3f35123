"""The tools that a model is offered, as the neutral record. Runs on the worker."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from spanloom.content.plain import plain
from spanloom.step import ToolDefinition

from .by_json import ByJson


def tools_of(tools: Sequence[Any]) -> tuple[ToolDefinition, ...]:
    """Tool definitions in OpenAI's shape, Anthropic's, a name, or a LangChain tool."""
    return tuple([tool for tool in map(_read.read, tools) if tool is not None])


def _definition(tool: Any) -> ToolDefinition | None:
    if isinstance(tool, str):
        return ToolDefinition(tool)
    if isinstance(tool, Mapping):
        function = tool.get("function")
        inner = function if isinstance(function, Mapping) else tool
        name = inner.get("name") or tool.get("type")
        parameters = inner.get("parameters") or inner.get("input_schema") or inner.get("inputSchema")
        return ToolDefinition(str(name), inner.get("description"), plain(parameters)) if name else None
    name = getattr(tool, "name", None)
    if not isinstance(name, str):
        return None
    return ToolDefinition(name, getattr(tool, "description", None), plain(getattr(tool, "args", None)))


_read = ByJson(_definition)
