"""Any input or output as plain values, with LlamaIndex's own objects shown by what they say.

What objects say is asked in a callback, by `snapshots.held`, or on the worker; values become plain on the worker.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from functools import lru_cache, singledispatch
from typing import Any

from llama_index.core.base.llms.types import (
    AudioBlock,
    ChatResponse,
    CompletionResponse,
    DocumentBlock,
    ImageBlock,
    ThinkingBlock,
    ToolCallBlock,
    VideoBlock,
)
from llama_index.core.base.response.schema import (
    AsyncStreamingResponse,
    PydanticResponse,
    Response,
    StreamingResponse,
)
from llama_index.core.chat_engine.types import AgentChatResponse, StreamingAgentChatResponse
from llama_index.core.schema import BaseComponent, QueryBundle
from llama_index.core.tools import ToolSelection
from llama_index.core.tools.types import BaseTool, ToolOutput
from llama_index.core.workflow import Context, Event, StopEvent, Workflow
from spanloom.content import Category
from spanloom.content.marked import Marked
from spanloom.content.plain import makes_plain, plain


def text(value: Any) -> str:
    """`value` as one text."""
    value = plain(value, shown)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def json_of(value: Any) -> Any:
    """A tool's arguments, which some providers send as JSON; what does not parse stays a text."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value


def joined(pieces: Iterable[Any]) -> str:
    """The text of a stream, of texts or of a model's responses."""
    return "".join(
        p if isinstance(p, str) else p.delta or "" if isinstance(p, ChatResponse) else text(p) for p in pieces
    )


@makes_plain
def readable(value: Any) -> Any:
    """Any value as plain JSON values, with LlamaIndex's own objects shown by what they say.

    What messages say and nodes hold is marked by its category, so that a policy knows it wherever it stands.
    """
    return plain(value, shown, marks=True)


@singledispatch
def shown(value: Any) -> Any:
    """What an object of LlamaIndex says; every other value as it is."""
    return value


@shown.register
def _(value: QueryBundle) -> Any:
    return value.query_str


@shown.register
def _(value: Response | PydanticResponse | AgentChatResponse | StreamingAgentChatResponse) -> Any:
    return Marked(Category.COMPLETION, value.response)


@shown.register
def _(value: StreamingResponse | AsyncStreamingResponse) -> Any:
    return Marked(Category.COMPLETION, value.response_txt)  # never its generator


@shown.register
def _(value: ChatResponse) -> Any:
    return value.message


@shown.register
def _(value: CompletionResponse) -> Any:
    return Marked(Category.COMPLETION, value.text)


@shown.register
def _(value: ToolOutput) -> Any:
    return Marked(Category.TOOL_RESULTS, value.content)


@shown.register
def _(value: ThinkingBlock) -> Any:
    return {"block_type": value.block_type, "content": Marked(Category.REASONING, value.content)}


@shown.register
def _(value: ToolCallBlock) -> Any:
    return {
        "block_type": value.block_type,
        "tool_call_id": value.tool_call_id,
        "tool_name": Marked(Category.NAMES, value.tool_name),
        "tool_kwargs": Marked(Category.TOOL_ARGUMENTS, value.tool_kwargs),
    }


@shown.register
def _(value: ImageBlock | AudioBlock | VideoBlock | DocumentBlock) -> Any:
    """A medium by what is told of it, and where it stands, if that is not the medium itself."""
    fields = type(value).model_fields
    told = {name: getattr(value, name) for name in fields if name != "additional_kwargs"}
    return {k: v for k, v in told.items() if v is not None and not (k == "url" and str(v).startswith("data:"))}


@shown.register
def _(value: BaseTool) -> Any:
    return Marked(Category.NAMES, value.metadata.name)


@shown.register
def _(value: ToolSelection) -> Any:
    return {
        "tool_id": value.tool_id,
        "tool_name": Marked(Category.NAMES, value.tool_name),
        "tool_kwargs": Marked(Category.TOOL_ARGUMENTS, value.tool_kwargs),
    }


@shown.register
def _(value: StopEvent) -> Any:
    return value.result if type(value) is StopEvent else fields_of(value)


@shown.register
def _event(value: Event) -> Any:
    global _knows_agents
    if not _knows_agents and "llama_index.core.agent.workflow.workflow_events" in sys.modules:
        from . import agents  # noqa: F401, PLC0415  they cost 20 ms, and come with the first agent

        _knows_agents = True
    says = shown.dispatch(type(value))  # whoever asks may have looked it up before agents were known
    return fields_of(value) if says is _event else says(value)


_knows_agents = False


@shown.register
def _(value: Workflow | Context | BaseComponent) -> Any:  # models, indexes: settings, and maybe keys
    return f"<{type(value).__name__}>"


def fields_of(event: Event) -> Any:
    """What an event holds, less what its class keeps to itself."""
    said: Mapping[str, Any] = event._data or {}
    hidden = _hidden(type(event))
    told = ((k, v) for k, v in {**vars(event), **said}.items() if v is not None and k not in hidden)
    return {k: Marked(Category.NAMES, v) if k in _NAMES else v for k, v in told}


@lru_cache(maxsize=1_000)
def _hidden(kind: type[Event]) -> frozenset[str]:
    return frozenset(name for name, field in kind.model_fields.items() if field.exclude)  # the provider's own answer


_NAMES = frozenset({"current_agent_name", "tool_name"})  # fields of the agents' own events
