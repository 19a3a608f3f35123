"""What a step's own call tells of it: its arguments when it begins, its result when it ends."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.tools.types import ToolOutput
from llama_index.core.workflow import Context, Event
from spanloom.identity import NOBODY, Identity
from spanloom.providers import field
from spanloom.step import TOOL_CALL_DISPATCHED, Deferred, Outcome, Step
from spanloom.step import Event as StepEvent

from . import models, translate
from .steps import Family


def begin(step: Step, family: Family, instance: Any, arguments: Mapping[str, Any]) -> None:
    """Fill in what is known before the body runs."""
    extra = arguments.get("kwargs")
    extra = extra if isinstance(extra, dict) else {}
    content = step.content
    match family:
        case Family.LLM:
            models.describe(step, instance, extra)
            given = _first(arguments, "messages", "prompt")
            if isinstance(given, (list, tuple)):
                content.input_messages = Deferred(translate.messages, (tuple(given),))
            else:
                content.input_messages = Deferred(translate.prompt, (given,))
            if tools := _tools(extra):
                content.tool_definitions = Deferred(translate.tool_definitions, (tools,))
        case Family.EMBEDDING:
            models.describe(step, instance)
            given = _first(arguments, "texts", "text", "query")
            step.embedding_count = len(given) if isinstance(given, (list, tuple)) else 1
            content.input = tuple(given) if isinstance(given, list) else given
        case Family.RETRIEVER:
            content.query = Deferred(translate.text, (_first(arguments),))
            step.top_k = _count(field(instance, "similarity_top_k", "_similarity_top_k", "_top_k"))
        case Family.RERANKER:
            content.query = Deferred(translate.text, (_first(arguments, "query_bundle", "query_str"),))
            step.top_k = _count(field(instance, "top_n"))
            step.request_model = _text(field(instance, "model", "model_name"))
            content.input = Deferred(translate.documents, (translate.snapshot(arguments.get("nodes")),))
        case Family.TOOL:
            meta = instance.metadata
            step.tool_name, step.tool_description = _text(meta.name), _text(meta.description)
            content.arguments = Deferred(translate.readable, (_tool_arguments(arguments, extra),))
        case Family.AGENT:
            step.agent_name = _text(field(instance, "name", "root_agent")) or type(instance).__name__
            if said := _conversation(_start(arguments)):
                content.input_messages = Deferred(translate.messages, (said,))
            else:
                content.input = Deferred(translate.readable, (_start(arguments),))
        case Family.WORKFLOW:
            step.workflow_name = type(instance).__name__
            content.input = Deferred(translate.readable, (_start(arguments),))
        case Family.WORKFLOW_STEP:
            events = [v for v in arguments.values() if not isinstance(v, Context)]
            step.agent_name = next((name for e in events if (name := _text(field(e, "current_agent_name")))), None)
            content.input = Deferred(translate.readable, (events[0] if len(events) == 1 else events,))
        case Family.INGESTION:
            content.input = Deferred(
                translate.readable,
                (
                    {
                        "documents": _length(arguments.get("documents")),
                        "nodes": _length(arguments.get("nodes")),
                        "transformations": [type(t).__name__ for t in field(instance, "transformations") or ()],
                    },
                ),
            )
        case _:
            content.input = Deferred(translate.readable, (_first(arguments),))


def finish(step: Step, family: Family, result: Any) -> None:
    """Fill in what the result tells."""
    content = step.content
    match family:
        case Family.LLM:
            answered(step, result)
        case Family.EMBEDDING:
            step.embedding_dimension = _dimension(result)
        case Family.RETRIEVER | Family.RERANKER:
            found = translate.snapshot(result)
            step.document_count = len(found)
            content.documents = Deferred(translate.documents, (found,))
        case Family.TOOL:
            content.result = Deferred(translate.readable, (result,))
            if isinstance(result, ToolOutput) and result.is_error:
                error = getattr(result, "exception", None)
                step.error_type = type(error).__qualname__ if error is not None else "tool_error"
                content.error_message = Deferred(translate.readable, (result,))
        case Family.AGENT if (said := _answer(result)) is not None:
            content.output_messages = Deferred(translate.messages, ((said,),))
        case Family.INGESTION:
            content.output = {"nodes": _length(result)}
        case _:
            if result is not None:
                content.output = Deferred(translate.readable, (result,))


def told_by_tool(result: Any) -> Outcome:
    """A tool may report its failure instead of raising it."""
    return Outcome.ERROR if isinstance(result, ToolOutput) and result.is_error else Outcome.OK


def answered(step: Step, response: Any) -> None:
    """Fill in a model's whole answer."""
    models.read(step, response)
    noted(step, response)


def noted(step: Step, response: Any) -> None:
    """Keep what was said, also of a stream that broke off."""
    reason = step.finish_reasons[0] if step.finish_reasons else None
    step.content.output_messages = Deferred(translate.answer, (response, reason))


def dispatched(step: Step, response: Any, now_ns: int) -> None:
    """Note each tool that the answer asks for."""
    for call in translate.tool_calls(getattr(response, "message", None)):
        step.events.append(StepEvent(TOOL_CALL_DISPATCHED, now_ns, {"name": call.name, "id": call.id}))


# ---------------------------------------------------------------- identity
_OURS = frozenset({"user_id", "session_id", "tags", "tenant"})


def identity(tags: Mapping[str, Any] | None) -> Identity:
    """What `instrument_tags` says of a request; the workflows package puts tags of its own beside it."""
    if not tags:
        return NOBODY
    said = {k: v for k, v in tags.items() if not str(k).startswith("llamaindex.")}
    if not said:
        return NOBODY
    labels = said.get("tags") or ()
    return Identity(
        user_id=_text(said.get("user_id")),
        session_id=_text(said.get("session_id")),
        tags=(labels,) if isinstance(labels, str) else tuple(str(t) for t in labels),
        metadata={k: v for k, v in said.items() if k not in _OURS},
        tenant=_text(said.get("tenant")),
    )


# ---------------------------------------------------------------- pieces
def _first(arguments: Mapping[str, Any], *names: str) -> Any:
    """The first of the named arguments; else the first one that there is."""
    for name in names:
        if arguments.get(name) is not None:
            return arguments[name]
    for value in (arguments.get("args") or None, *arguments.values()):
        if value is not None:
            return value[0] if value is arguments.get("args") and isinstance(value, tuple) and value else value
    return None


def _tools(extra: Mapping[str, Any]) -> tuple[Any, ...]:
    given = extra.get("tools") or extra.get("functions")
    if isinstance(given, (list, tuple)):
        return tuple(given)
    config = extra.get("tool_config") or extra.get("toolConfig")
    tools = config.get("tools") if isinstance(config, Mapping) else None
    return tuple(tools) if isinstance(tools, (list, tuple)) else ()


def _tool_arguments(arguments: Mapping[str, Any], extra: Mapping[str, Any]) -> Any:
    named = {k: v for k, v in arguments.items() if k not in ("args", "kwargs")} | dict(extra)
    named = {k: v for k, v in named.items() if not isinstance(v, Context)}
    places = arguments.get("args") or ()
    return {"args": list(places), **named} if places else named


def _start(arguments: Mapping[str, Any]) -> Any:
    start = arguments.get("start_event")
    if isinstance(start, Event):
        return start
    return {k: v for k, v in (arguments.get("kwargs") or {}).items() if not isinstance(v, Context)} or None


def _conversation(start: Any) -> tuple[Any, ...]:
    """What an agent is asked: the chat so far and the user's message."""
    history = field(start, "chat_history") if start is not None else None
    asked = field(start, "user_msg") if start is not None else None
    return (*(history if isinstance(history, (list, tuple)) else ()), *(() if asked is None else (asked,)))


def _answer(result: Any) -> ChatMessage | None:
    """The message that an agent ends with, which the run's StopEvent carries as an object or as its dump."""
    said = field(field(result, "result") or result, "response")
    if isinstance(said, Mapping):
        with contextlib.suppress(ValueError):  # not a message's dump
            said = ChatMessage.model_validate(said)
    return said if isinstance(said, ChatMessage) else None


def _dimension(result: Any) -> int | None:
    if not isinstance(result, (list, tuple)) or not result:
        return None
    first = result[0]
    if isinstance(first, (list, tuple)):
        return len(first)
    return len(result) if isinstance(first, (int, float)) else None


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value or None
    return str(value) if isinstance(value, (int, float)) else None


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _length(value: Any) -> int | None:
    return len(value) if isinstance(value, (list, tuple)) else None
