"""Any input or output of a chain as plain values, with LangChain's own objects in their short form. On the worker."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from langchain_core.documents import Document
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from spanloom.content import Category
from spanloom.content.category import of_block, of_role
from spanloom.content.marked import Marked
from spanloom.content.plain import makes_plain, plain
from spanloom.loaded import loaded

from .blocks import CALLS, REASONING, described, role_of


@makes_plain
def value_of(value: Any) -> Any:
    """An input or output of a chain as plain values, with LangChain's own objects in their short form.

    What messages say and documents hold is marked by its category, so that a policy knows it wherever it stands.
    """
    return plain(value, convert, marks=True)


@makes_plain
def processed_value(process: Callable[[Any], Any], value: Any) -> Any:
    """As `value_of`, of what an application's own `process` makes of it; where that fails, there is no value."""
    try:
        processed = process(value)
    except Exception:  # LangGraph has called it too, and told the application
        return None
    return value_of(processed)


def convert(value: Any) -> Any:
    """LangChain's own objects in a form that a person reads; anything else as it is."""
    says = _SAYS.get(type(value))
    if says is None:
        says = next((says for kind, says in _KINDS.items() if isinstance(value, kind)), _as_loaded)
    return says(value)


def _as_it_is(value: Any) -> Any:
    return value


def _message(value: BaseMessage) -> Any:
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
    elif isinstance(value, ToolMessage):
        out |= {"tool_call_id": value.tool_call_id, "status": value.status}
    return out


def _document(value: Document) -> Any:
    return {
        "page_content": Marked(Category.DOCUMENTS, value.page_content),
        "metadata": Marked(Category.DOCUMENTS, value.metadata),
        "id": value.id,
    }


def _pair(value: tuple[Any, ...]) -> Any:
    """A message that is written as its role and its content; any other tuple as it is."""
    if len(value) == 2 and _is_role(value[0]) and isinstance(value[1], (str, list)):  # noqa: PLR2004
        return [value[0], _said(value[1], of_role(role_of(value[0])))]
    return value


def _as_loaded(value: Any) -> Any:
    """What is only asked for where an application has imported it."""
    if isinstance(value, loaded("langchain_core.prompt_values", "PromptValue")):
        return value.to_messages()
    if isinstance(value, loaded("langchain_core.agents", "AgentAction")):
        return {
            "tool": Marked(Category.NAMES, value.tool),
            "tool_input": Marked(Category.TOOL_ARGUMENTS, value.tool_input),
            "log": Marked(Category.TOOL_ARGUMENTS, Marked(Category.COMPLETION, value.log)),  # it tells of both
        }
    return value


def _as_message(value: dict[Any, Any]) -> Any:
    """A message, a medium or a tool's call that is written as a dict; any other dict as it is."""
    if (shown := described(value)) is not value:
        return shown
    changed: dict[str, Any] = {}
    role = value.get("role")
    if _is_role(role) and _is_unmarked(content := value.get("content")):
        changed["content"] = _said(content, of_role(role_of(str(role))))
    if value.get("type") == "tool_call" and "args" in value and not isinstance(value["args"], Marked):
        changed["args"] = Marked(Category.TOOL_ARGUMENTS, value["args"])
        changed["name"] = Marked(Category.NAMES, value.get("name"))
    if isinstance(calls := value.get("tool_calls"), list) and "role" in value:
        changed["tool_calls"] = Marked(Category.TOOL_ARGUMENTS, calls)
    return {**value, **changed} if changed else value


_KINDS: dict[type, Callable[[Any], Any]] = {  # a subclass has the first that fits
    BaseMessage: _message,
    Document: _document,
    dict: _as_message,
    tuple: _pair,
}
_SAYS = {**_KINDS, list: _as_it_is, HumanMessage: _message, AIMessage: _message, ToolMessage: _message}


def _is_unmarked(content: Any) -> bool:
    if isinstance(content, list):  # of an empty one there is nothing to mark
        return bool(content) and not any(isinstance(b, Marked) for b in content)
    return isinstance(content, str)


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
            out.append(_marked(block, category))
    return out


def _only_text(block: Any) -> str | None:
    """The text of a block that is nothing but a text."""
    if isinstance(block, Mapping) and block.get("type") == "text" and len(block) == 2:  # noqa: PLR2004
        block = block.get("text")
    return block if isinstance(block, str) else None


def _marked(block: Any, category: Category) -> Marked:
    kind = block.get("type") if isinstance(block, Mapping) else None
    if kind in REASONING:
        return Marked(Category.REASONING, block)
    if kind == "tool_result":
        return Marked(Category.TOOL_RESULTS, block)
    if kind in CALLS:
        return Marked(Category.TOOL_ARGUMENTS, block)
    said = Marked(category, block)
    for beside in of_block(kind) if isinstance(kind, str) else ():
        said = Marked(beside, said)  # it tells of both
    return said
