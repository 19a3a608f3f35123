"""What a step's own call tells of it: its arguments when it begins, its result when it ends."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.tools.types import ToolOutput
from llama_index.core.workflow import Context, Event
from spanloom.identity import NOBODY, Identity
from spanloom.providers import field
from spanloom.step import TOOL_CALL_DISPATCHED, Deferred, Outcome, Step
from spanloom.step import Event as StepEvent

from . import models, snapshots, translate, values
from .snapshots import found, held, said
from .steps import Family


def begin(step: Step, family: Family, instance: Any, arguments: Mapping[str, Any]) -> None:
    """Fill in what is known before the body runs."""
    if (begins := _BEGIN.get(family)) is not None:
        begins(step, instance, arguments)
    else:
        step.content.input = Deferred(values.readable, (held(_first(arguments)),))


def _model_begins(step: Step, instance: Any, arguments: Mapping[str, Any]) -> None:
    extra = _extra(arguments)
    models.describe(step, instance, extra)
    content = step.content
    given = _first(arguments, "messages", "prompt")
    if isinstance(given, (list, tuple)):
        content.input_messages = Deferred(translate.messages, (said(given),))
    else:
        content.input_messages = Deferred(translate.prompt, (held(given),))
    if extra and (tools := _tools(extra)):
        content.tool_definitions = Deferred(translate.tool_definitions, (tools,))


def _embedding_begins(step: Step, instance: Any, arguments: Mapping[str, Any]) -> None:
    models.describe(step, instance)
    given = _first(arguments, "texts", "text", "query")
    step.embedding_count = len(given) if isinstance(given, (list, tuple)) else 1
    step.content.input = tuple(given) if isinstance(given, list) else held(given)


def _retriever_begins(step: Step, instance: Any, arguments: Mapping[str, Any]) -> None:
    step.content.query = Deferred(values.text, (held(_first(arguments)),))
    step.top_k = _count(field(instance, "similarity_top_k", "_similarity_top_k", "_top_k"))


def _reranker_begins(step: Step, instance: Any, arguments: Mapping[str, Any]) -> None:
    content = step.content
    content.query = Deferred(values.text, (held(_first(arguments, "query_bundle", "query_str")),))
    step.top_k = _count(field(instance, "top_n"))
    step.request_model = _text(field(instance, "model", "model_name"))
    content.input = Deferred(translate.documents, (found(arguments.get("nodes")),))


def _tool_begins(step: Step, instance: Any, arguments: Mapping[str, Any]) -> None:
    meta = instance.metadata
    step.tool_name, step.tool_description = _text(meta.name), _text(meta.description)
    given = _tool_arguments(arguments, _extra(arguments))
    step.content.arguments = Deferred(values.readable, (held(given),))


def _agent_begins(step: Step, instance: Any, arguments: Mapping[str, Any]) -> None:
    step.agent_name = _text(field(instance, "name", "root_agent")) or type(instance).__name__
    start = _start(arguments)
    if chat := _conversation(start):
        step.content.input_messages = Deferred(translate.messages, (said(chat),))
    else:
        step.content.input = Deferred(values.readable, (held(start),))


def _workflow_begins(step: Step, instance: Any, arguments: Mapping[str, Any]) -> None:
    step.workflow_name = type(instance).__name__
    step.content.input = Deferred(values.readable, (held(_start(arguments)),))


def _workflow_step_begins(step: Step, _: Any, arguments: Mapping[str, Any]) -> None:
    events = [v for v in arguments.values() if not isinstance(v, Context)]
    step.agent_name = next((name for e in events if (name := _text(field(e, "current_agent_name")))), None)
    given = events[0] if len(events) == 1 else events
    step.content.input = Deferred(values.readable, (held(given),))


def _ingestion_begins(step: Step, instance: Any, arguments: Mapping[str, Any]) -> None:
    step.content.input = {
        "documents": _length(arguments.get("documents")),
        "nodes": _length(arguments.get("nodes")),
        "transformations": [type(t).__name__ for t in field(instance, "transformations") or ()],
    }


_BEGIN: dict[Family, Callable[[Step, Any, Mapping[str, Any]], None]] = {
    Family.LLM: _model_begins,
    Family.EMBEDDING: _embedding_begins,
    Family.RETRIEVER: _retriever_begins,
    Family.RERANKER: _reranker_begins,
    Family.TOOL: _tool_begins,
    Family.AGENT: _agent_begins,
    Family.WORKFLOW: _workflow_begins,
    Family.WORKFLOW_STEP: _workflow_step_begins,
    Family.INGESTION: _ingestion_begins,
}


def finish(step: Step, family: Family, result: Any) -> None:
    """Fill in what the result tells."""
    _FINISH.get(family, _any_finishes)(step, result)


def _any_finishes(step: Step, result: Any) -> None:
    if result is not None:
        step.content.output = Deferred(values.readable, (held(result),))


def _embedding_finishes(step: Step, result: Any) -> None:
    step.embedding_dimension = _dimension(result)


def _finds(step: Step, result: Any) -> None:
    nodes = found(result)
    step.document_count = len(nodes)
    step.content.documents = Deferred(translate.documents, (nodes,))


def _tool_finishes(step: Step, result: Any) -> None:
    told = Deferred(values.readable, (held(result),))
    step.content.result = told
    if isinstance(result, ToolOutput) and result.is_error:
        error = getattr(result, "exception", None)
        step.error_type = type(error).__qualname__ if error is not None else "tool_error"
        step.content.error_message = told


def _agent_finishes(step: Step, result: Any) -> None:
    if (answer := _answer(result)) is not None:
        step.content.output_messages = Deferred(translate.messages, (said((answer,)),))
    else:
        _any_finishes(step, result)


def _ingestion_finishes(step: Step, result: Any) -> None:
    step.content.output = {"nodes": _length(result)}


def answered(step: Step, response: Any) -> None:
    """Fill in a model's whole answer."""
    models.read(step, response)
    noted(step, response)


_FINISH: dict[Family, Callable[[Step, Any], None]] = {
    Family.LLM: answered,
    Family.EMBEDDING: _embedding_finishes,
    Family.RETRIEVER: _finds,
    Family.RERANKER: _finds,
    Family.TOOL: _tool_finishes,
    Family.AGENT: _agent_finishes,
    Family.INGESTION: _ingestion_finishes,
}


def told_by_tool(result: Any) -> Outcome:
    """A tool may report its failure instead of raising it."""
    return Outcome.ERROR if isinstance(result, ToolOutput) and result.is_error else Outcome.OK


def drained(step: Step, response: Any, late: Iterable[Any]) -> None:
    """Fill in what a model said in pieces: `late` is what the provider told with the last of them, up to `response`."""
    models.read_late(step, late, getattr(response, "raw", None))
    answered(step, response)


def noted(step: Step, response: Any) -> None:
    """Keep what was said."""
    reason = step.finish_reasons[0] if step.finish_reasons else None
    step.content.output_messages = Deferred(translate.answer, (snapshots.answer(response), reason))


def dispatched(step: Step, response: Any, now_ns: int) -> None:
    """Note each tool that the answer asks for."""
    message = getattr(response, "message", None)
    if isinstance(message, ChatMessage):
        for name, call_id in snapshots.tools_asked_for(message):
            step.add_event(StepEvent(TOOL_CALL_DISPATCHED, now_ns, {"name": name, "id": call_id}))


# ---------------------------------------------------------------- identity
_OURS = frozenset({"user_id", "session_id", "tags", "tenant"})


def identity(tags: Mapping[str, Any] | None) -> Identity:
    """What `instrument_tags` says of a request; the workflows package puts tags of its own beside it."""
    if not tags:
        return NOBODY
    told = {k: v for k, v in tags.items() if not str(k).startswith("llamaindex.")}
    if not told:
        return NOBODY
    labels = told.get("tags") or ()
    return Identity(
        user_id=_text(told.get("user_id")),
        session_id=_text(told.get("session_id")),
        tags=(labels,) if isinstance(labels, str) else tuple(str(t) for t in labels),
        metadata=held({k: v for k, v in told.items() if k not in _OURS}),
        tenant=_text(told.get("tenant")),
    )


# ---------------------------------------------------------------- pieces
def _first(arguments: Mapping[str, Any], *names: str) -> Any:
    """The first of the named arguments; else the first one that there is."""
    for name in names:
        if arguments.get(name) is not None:
            return arguments[name]
    if (places := arguments.get("args")) is not None and places:
        return places[0] if isinstance(places, tuple) else places
    for value in arguments.values():
        if value is not None:
            return value
    return None


def _extra(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The keyword arguments that the method names none of."""
    extra = arguments.get("kwargs")
    return extra if isinstance(extra, dict) else {}


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
