"""LangChain's messages, documents and tools as the neutral record. Pure; runs on the worker."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from langchain_core.agents import AgentAction
from langchain_core.documents import Document as LangChainDocument
from langchain_core.messages import AIMessage, BaseMessage, ChatMessage, ToolMessage, convert_to_messages
from langchain_core.outputs import Generation
from langchain_core.prompt_values import PromptValue
from spanloom.content import Category
from spanloom.content.category import of_role
from spanloom.content.marked import Marked
from spanloom.content.plain import plain
from spanloom.step import (
    Document,
    Media,
    Message,
    OtherPart,
    Part,
    Reasoning,
    Text,
    ToolCall,
    ToolCallResponse,
    ToolDefinition,
)

_ROLES = {"human": "user", "ai": "assistant", "AIMessageChunk": "assistant", "function": "tool"}
_MEDIA = {"image": "image", "image_url": "image", "audio": "audio", "input_audio": "audio", "video": "video"}
_REASONING = frozenset({"thinking", "reasoning", "reasoning_content", "redacted_thinking"})
_CALLS = frozenset({"tool_use", "tool_call", "tool_call_chunk", "function_call", "input_json_delta"})


# ---------------------------------------------------------------- messages
def messages_of(items: Iterable[Any]) -> tuple[Message, ...]:
    """LangChain messages, or whatever LangChain takes for one (`("user", "hi")`, `{"role": …}`, text)."""
    return tuple(message_of(m) for m in items)


def message_of(item: Any, finish_reason: str | None = None) -> Message:
    """One message with its parts."""
    if not isinstance(item, BaseMessage):
        try:
            (item,) = convert_to_messages([item])
        except Exception:  # not a message by LangChain's own rules: shown as it is
            return Message("user", tuple(parts_of(plain(item, convert))), finish_reason=finish_reason)
    name = getattr(item, "name", None)
    if isinstance(item, ToolMessage):
        answer = ToolCallResponse(
            item.content if isinstance(item.content, str) else plain(item.content), item.tool_call_id
        )
        return Message("tool", (answer,), name, finish_reason)
    parts = list(parts_of(item.content))
    if isinstance(item, AIMessage):
        thought = item.additional_kwargs.get("reasoning_content")
        if isinstance(thought, str) and thought:
            parts.insert(0, Reasoning(thought))
        parts += [ToolCall(call["name"], call["args"], call.get("id")) for call in item.tool_calls]
        parts += [ToolCall(c.get("name") or "", c.get("args"), c.get("id")) for c in item.invalid_tool_calls]
    role = item.role if isinstance(item, ChatMessage) else role_of(item.type)
    return Message(role, tuple(parts), name, finish_reason)


def role_of(type: str) -> str:
    """The role that a message of LangChain's `type` has."""
    return _ROLES.get(type, type)


def parts_of(content: Any) -> Iterator[Part]:
    """The parts of a message's content, be it a text or a list of blocks."""
    if isinstance(content, str):
        if content:
            yield Text(content)
        return
    if not isinstance(content, (list, tuple)):
        yield OtherPart("value", content)
        return
    for block in content:
        if isinstance(block, str):
            yield Text(block)
        elif isinstance(block, Mapping):
            yield from _block(block)
        else:
            yield OtherPart(type(block).__name__, block)


def _block(block: Mapping[str, Any]) -> Iterator[Part]:
    """A content block in OpenAI's, Anthropic's, Google's or LangChain's own shape."""
    kind = str(block.get("type", "other"))
    if kind in ("text", "output_text", "input_text"):
        yield Text(str(block.get("text", "")))
    elif kind in _REASONING:
        said = block.get("thinking") or block.get("reasoning") or block.get("text") or block.get("summary")
        yield Reasoning(said if isinstance(said, str) else str(plain(said)) if said else "")
    elif kind in _CALLS:
        return  # LangChain lists them in `tool_calls` too
    elif kind == "tool_result":
        yield ToolCallResponse(plain(block.get("content")), block.get("tool_use_id"))
    elif kind in _MEDIA or kind in ("file", "media", "document"):
        yield _media(kind, block)
    else:
        yield OtherPart(kind, {k: v for k, v in block.items() if k != "type"})


def _media(kind: str, block: Mapping[str, Any]) -> Media:
    source = block.get("source") or block.get("image_url") or block.get("input_audio") or block.get("file") or block
    if isinstance(source, str):
        source = {"url": source}
    if not isinstance(source, Mapping):
        source = {}
    url = source.get("url") or source.get("image_url")
    data = source.get("data") or source.get("base64") or source.get("file_data")
    mime = source.get("media_type") or source.get("mime_type") or block.get("mime_type")
    if isinstance(url, str) and url.startswith("data:"):
        head, _, data = url.partition(",")
        mime, url = mime or head[5:].split(";")[0], None
    return Media(
        _MEDIA.get(kind, "document"),
        mime if isinstance(mime, str) else None,
        url if isinstance(url, str) else None,
        source.get("file_id") if isinstance(source.get("file_id"), str) else None,
        len(data) * 3 // 4 if isinstance(data, str) else len(data) if isinstance(data, bytes) else None,
    )


# ---------------------------------------------------------------- models
def answers_of(generations: Sequence[Generation], finish_reasons: Sequence[str]) -> tuple[Message, ...]:
    """What a model answered: one message a choice, with its finish reason."""
    out = []
    for n, generation in enumerate(generations):
        reason = finish_reasons[n] if n < len(finish_reasons) else None
        message = getattr(generation, "message", None)
        if message is not None:
            out.append(message_of(message, reason))
        else:
            out.append(Message("assistant", (Text(generation.text),), finish_reason=reason))
    return tuple(out)


def prompt_of(text: str) -> tuple[Message, ...]:
    """The prompt of a string model, as one message of the user."""
    return (Message("user", (Text(text),)),)


def tools_of(tools: Sequence[Any]) -> tuple[ToolDefinition, ...]:
    """Tool definitions in OpenAI's shape, Anthropic's, a name, or a LangChain tool."""
    return tuple(tool for tool in map(_tool, tools) if tool is not None)


def _tool(tool: Any) -> ToolDefinition | None:
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


# ---------------------------------------------------------------- documents
def documents_of(items: Iterable[Any]) -> tuple[Document, ...]:
    """Retrieved documents. The score is what retrievers leave in the metadata: LangChain has no field for it."""
    return tuple(_document(d) for d in items)


def _document(item: Any) -> Document:
    if not isinstance(item, LangChainDocument):
        return Document(content=str(plain(item, convert)))
    metadata = item.metadata
    score = next((metadata[k] for k in ("score", "relevance_score", "_score") if k in metadata), None)
    known = metadata.get("id") or metadata.get("_id") or metadata.get("doc_id")
    number = isinstance(score, (int, float)) or hasattr(score, "__float__")
    return Document(
        item.page_content,
        item.id or (str(known) if known is not None else None),
        float(score) if number else None,  # type: ignore[arg-type]
        metadata,
    )


# ---------------------------------------------------------------- any value
def value_of(value: Any) -> Any:
    """An input or output of a chain as plain values, with LangChain's own objects in their short form.

    What messages say and documents hold is marked by its category, so that a policy knows it wherever it stands.
    """
    return plain(value, convert, marks=True)


def convert(value: Any) -> Any:
    """LangChain's own objects in a form that a person reads; anything else as it is."""
    if isinstance(value, BaseMessage):
        role = role_of(value.type)
        out: dict[str, Any] = {"role": role, "content": _said(value.content, of_role(role))}
        if isinstance(value, AIMessage) and value.tool_calls:
            out["tool_calls"] = [
                {
                    "name": Marked(Category.NAMES, c["name"]),
                    "args": Marked(Category.TOOL_ARGUMENTS, c["args"]),
                    "id": c.get("id"),
                }
                for c in value.tool_calls
            ]
        if isinstance(value, ToolMessage):
            out |= {"tool_call_id": value.tool_call_id, "status": value.status}
        return out
    if isinstance(value, LangChainDocument):
        return {
            "page_content": Marked(Category.DOCUMENTS, value.page_content),
            "metadata": Marked(Category.DOCUMENTS, value.metadata),
            "id": value.id,
        }
    if isinstance(value, PromptValue):
        return value.to_messages()
    if isinstance(value, AgentAction):
        return {
            "tool": Marked(Category.NAMES, value.tool),
            "tool_input": Marked(Category.TOOL_ARGUMENTS, value.tool_input),
            "log": Marked(Category.TOOL_ARGUMENTS, Marked(Category.COMPLETION, value.log)),  # it tells of both
        }
    if isinstance(value, dict):
        return _as_message(value)
    if isinstance(value, tuple) and len(value) == 2 and _is_role(value[0]) and isinstance(value[1], (str, list)):  # noqa: PLR2004
        return [value[0], _said(value[1], of_role(role_of(value[0])))]
    return value


def _as_message(value: dict[Any, Any]) -> Any:
    """A message or a tool's call that is written as a dict; any other dict as it is."""
    changed: dict[str, Any] = {}
    if _is_role(role := value.get("role")) and _is_unmarked(content := value.get("content")):
        changed["content"] = _said(content, of_role(role_of(role)))
    if value.get("type") == "tool_call" and "args" in value and not isinstance(value["args"], Marked):
        changed["args"] = Marked(Category.TOOL_ARGUMENTS, value["args"])
        changed["name"] = Marked(Category.NAMES, value.get("name"))
    if isinstance(calls := value.get("tool_calls"), list) and "role" in value:
        changed["tool_calls"] = Marked(Category.TOOL_ARGUMENTS, calls)
    return {**value, **changed} if changed else value


def _is_unmarked(content: Any) -> bool:
    return isinstance(content, str) or (isinstance(content, list) and not any(isinstance(b, Marked) for b in content))


_KNOWN_ROLES = frozenset({"system", "developer", "user", "human", "assistant", "ai", "tool", "function"})


def _is_role(value: Any) -> bool:
    return isinstance(value, str) and value in _KNOWN_ROLES


def _said(content: Any, category: Category) -> Any:
    """A message's content, block by block where it has several: what a model says of its thinking is apart.

    Texts that follow one another become one: what is to be found may lie across their border.
    """
    if not isinstance(content, list):
        return Marked(category, content)
    out: list[Marked] = []
    for block in content:
        text = _only_text(block)
        before = _only_text(out[-1].value) if out else None
        if text is not None and before is not None:
            out[-1] = Marked(category, {"type": "text", "text": before + text})
        else:
            out.append(Marked(_block_category(block, category), block))
    return out


def _only_text(block: Any) -> str | None:
    """The text of a block that is nothing but a text."""
    if isinstance(block, Mapping) and block.get("type") == "text" and len(block) == 2:  # noqa: PLR2004
        block = block.get("text")
    return block if isinstance(block, str) else None


def _block_category(block: Any, category: Category) -> Category:
    kind = block.get("type") if isinstance(block, Mapping) else None
    if kind in _REASONING:
        return Category.REASONING
    if kind == "tool_result":
        return Category.TOOL_RESULTS
    return Category.TOOL_ARGUMENTS if kind in _CALLS else category


def snapshot(value: Any) -> Any:
    """A copy of `value` as deep as frameworks mutate: the container, and the lists and mappings right inside it."""
    if type(value) is dict:
        return {k: _shallow(v) for k, v in value.items()}
    return _shallow(value)


def _shallow(value: Any) -> Any:
    if type(value) is dict:
        return dict(value)
    if type(value) is list:
        return list(value)
    return value
