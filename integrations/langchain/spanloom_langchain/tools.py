"""The tools that a model is offered, as the neutral record. Runs on the worker."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import orjson
from spanloom.content.plain import plain
from spanloom.step import ToolDefinition

_MOST_KNOWN, _MOST_BYTES = 256, 16_384
_EXACT = orjson.OPT_PASSTHROUGH_SUBCLASS | orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_DATACLASS
_known: OrderedDict[bytes, ToolDefinition] = OrderedDict()  # by its JSON


def tools_of(tools: Sequence[Any]) -> tuple[ToolDefinition, ...]:
    """Tool definitions in OpenAI's shape, Anthropic's, a name, or a LangChain tool."""
    return tuple([tool for tool in map(_tool, tools) if tool is not None])


def _tool(tool: Any) -> ToolDefinition | None:
    """One definition. Agents write the same ones out again for every call of their model: those are read once."""
    if type(tool) is not dict:
        return _definition(tool)
    try:
        written = orjson.dumps(tool, option=_EXACT)
    except TypeError:  # not made of JSON's values
        return _definition(tool)
    if (known := _known.get(written)) is not None:
        return known
    definition = _definition(tool)
    if definition is not None and len(written) <= _MOST_BYTES:
        _known[written] = definition
        if len(_known) > _MOST_KNOWN:
            with suppress(KeyError):  # another thread was faster
                _known.popitem(last=False)
    return definition


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
