"""LangChain's callbacks, in the recorder's words: each callback fills a step, opens it or closes it, and no more."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.documents import Document
from langchain_core.outputs import LLMResult
from spanloom.guard import GUARD, guarded
from spanloom.providers import provider_name
from spanloom.setup import Loom
from spanloom.step import FIRST_TOKEN, TOOL_CALL_DISPATCHED, Deferred, Event, Kind, Outcome, Step

from . import labels
from .frames import left_unread
from .messages import answers_of, documents_of, messages_of, prompt_of, snapshot, tools_of, value_of
from .results import note_result, request_parameters
from .runs import Runs, key_of

_NOTHING: Mapping[str, Any] = {}


class SpanloomCallbackHandler(BaseCallbackHandler):
    """Traces every run that it is passed to: `chain.invoke(question, config={"callbacks": [handler]})`.

    One handler serves a whole process: it keeps no state of a run. `loom` is what `spanloom.configure()` returned;
    without it the handler follows the last `configure()`, also when that comes later.
    """

    run_inline = True  # in the caller's own context, so that the step is current inside its body

    def __init__(self, loom: Loom | None = None) -> None:
        self._runs = Runs(loom)

    @property
    def raise_error(self) -> bool:  # type: ignore[override]
        return GUARD.strict

    @property
    def last_trace_id(self) -> str | None:
        """The trace id, in hexadecimal, of the last request that ended in the caller's task or thread: what to score.

        Where it ran in a task or thread of its own, the last one that ended anywhere, unless others ran meanwhile: then
        None, rather than somebody else's.
        """
        return self._runs.last_trace_id()

    def __copy__(self) -> SpanloomCallbackHandler:
        return self

    def __deepcopy__(self, memo: Any) -> SpanloomCallbackHandler:
        return self

    # ---------------------------------------------------------------- chains, prompts, parsers, graphs, agents
    @guarded
    def on_chain_start(
        self,
        serialized: dict[str, Any] | None,
        inputs: Any,
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        tags: list[str] | None = None,
        metadata: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        if not self._runs.takes(run_id):
            return
        metadata = metadata or {}
        step = Step(
            key_of(run_id), labels.chain_kind(kwargs.get("run_type")), labels.run_name(serialized, kwargs, "Runnable")
        )
        step.streaming = "defers_inputs" in kwargs
        if labels.is_agent(step.name, metadata, self._runs.get(parent_run_id), serialized):
            step.kind, step.agent_name = Kind.AGENT, metadata.get("lc_agent_name") or step.name
        if step.kind is Kind.AGENT and (said := _messages_in(inputs)):
            step.content.input_messages = Deferred(messages_of, (said,))
        elif not step.streaming:  # a stream begins with {"input": ""}, and tells its input at the end
            step.content.input = Deferred(value_of, (snapshot(inputs),))
        step.links = self._runs.resumed(metadata, inputs)
        self._runs.open(step, run_id, parent_run_id, metadata, tags, serialized=serialized)

    @guarded
    def on_chain_end(self, outputs: Any, *, run_id: UUID, **kwargs: Any) -> None:
        step = self._runs.get(run_id)
        if step is None:
            return
        if step.streaming and kwargs.get("inputs") is not None:
            step.content.input = Deferred(value_of, (snapshot(kwargs["inputs"]),))
        if step.kind is Kind.AGENT and (said := _messages_in(outputs)):
            step.content.output_messages = Deferred(messages_of, (said[-1:],))
        elif outputs is not None:
            step.content.output = Deferred(value_of, (snapshot(outputs),))
        if step.kind is Kind.PROMPT:
            self._runs.rendered(step, outputs)
        unread = left_unread() if step.streaming else False
        if unread is None:
            unread = bool(step.children)
        self._runs.close(step, Outcome.ABANDONED if unread else Outcome.OK)

    @guarded
    def on_chain_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        if kwargs.get("inputs") is not None and (step := self._runs.get(run_id)) is not None and step.streaming:
            step.content.input = Deferred(value_of, (snapshot(kwargs["inputs"]),))
        self._runs.fail(run_id, error)

    # ---------------------------------------------------------------- models
    @guarded
    def on_chat_model_start(
        self,
        serialized: dict[str, Any],
        messages: list[list[Any]],
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        tags: list[str] | None = None,
        metadata: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        if not self._runs.takes(run_id):
            return
        step = Step(key_of(run_id), Kind.LLM, labels.run_name(serialized, kwargs, "ChatModel"))
        given = tuple(messages[0]) if messages else ()
        step.content.input_messages = Deferred(messages_of, (given,))
        step.server_address, step.server_port = labels.server_of(serialized)
        self._start_model(step, given, run_id, parent_run_id, metadata, tags, kwargs)

    @guarded
    def on_llm_start(
        self,
        serialized: dict[str, Any],
        prompts: list[str],
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        tags: list[str] | None = None,
        metadata: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        if not self._runs.takes(run_id):
            return
        step = Step(key_of(run_id), Kind.LLM, labels.run_name(serialized, kwargs, "LLM"), completion=True)
        step.content.input_messages = Deferred(prompt_of, (prompts[0],)) if prompts else ()
        step.server_address, step.server_port = labels.server_of(serialized)
        self._start_model(step, prompts[0] if prompts else "", run_id, parent_run_id, metadata, tags, kwargs)

    def on_llm_new_token(self, token: Any, *, chunk: Any = None, run_id: UUID, **kwargs: Any) -> None:
        step = self._runs.get(run_id)
        if step is None:
            return
        if step.first_token_ns is not None:
            step.chunks += 1
            return  # the way of all tokens but the first
        try:
            step.streaming = True
            if token or _says_something(chunk):
                self._first_token(step)
        except Exception as error:
            GUARD.caught("spanloom_langchain.on_llm_new_token", error)

    def on_stream_event(self, event: Any, *, run_id: UUID, **kwargs: Any) -> None:
        step = self._runs.get(run_id)
        if step is None:
            return
        if step.first_token_ns is not None:
            step.chunks += isinstance(event, Mapping) and event.get("event") == "content-block-delta"
            return
        step.streaming = True
        if isinstance(event, Mapping) and str(event.get("event", "")).startswith("content-block"):
            self._first_token(step)

    @guarded
    def on_llm_end(self, response: LLMResult, *, run_id: UUID, **kwargs: Any) -> None:
        step = self._runs.get(run_id)
        if step is not None:
            self._note_answer(step, response)
            self._runs.close(step, Outcome.OK)

    @guarded
    def on_llm_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        step = self._runs.get(run_id)
        if step is not None and isinstance(partial := kwargs.get("response"), LLMResult):
            self._note_answer(step, partial)
        self._runs.fail(run_id, error)

    # ---------------------------------------------------------------- tools
    @guarded
    def on_tool_start(
        self,
        serialized: dict[str, Any],
        input_str: str,
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        tags: list[str] | None = None,
        metadata: dict[str, Any] | None = None,
        inputs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        if not self._runs.takes(run_id):
            return
        name = labels.run_name(serialized, kwargs, "tool")
        step = Step(key_of(run_id), Kind.TOOL, name, tool_name=(serialized or {}).get("name") or name)
        step.tool_description = (serialized or {}).get("description")
        call_id = kwargs.get("tool_call_id")
        step.tool_call_id = str(call_id) if call_id is not None else None
        step.agent_name = (metadata or {}).get("lc_agent_name")
        step.content.arguments = Deferred(value_of, (snapshot(inputs if inputs is not None else input_str),))
        self._runs.open(step, run_id, parent_run_id, metadata, tags)

    @guarded
    def on_tool_end(self, output: Any, *, run_id: UUID, **kwargs: Any) -> None:
        step = self._runs.get(run_id)
        if step is not None:
            step.content.result = Deferred(value_of, (snapshot(getattr(output, "content", output)),))
            self._runs.close(step, Outcome.OK)

    @guarded
    def on_tool_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        self._runs.fail(run_id, error)

    # ---------------------------------------------------------------- retrievers
    @guarded
    def on_retriever_start(
        self,
        serialized: dict[str, Any],
        query: str,
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        tags: list[str] | None = None,
        metadata: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        if not self._runs.takes(run_id):
            return
        step = Step(key_of(run_id), Kind.RETRIEVER, labels.run_name(serialized, kwargs, "Retriever"))
        step.provider = provider_name((metadata or {}).get("ls_vector_store_provider"))
        step.content.query = query
        self._runs.open(step, run_id, parent_run_id, metadata, tags, leaf=True)

    @guarded
    def on_retriever_end(self, documents: Sequence[Document], *, run_id: UUID, **kwargs: Any) -> None:
        step = self._runs.get(run_id)
        if step is not None:
            found = tuple(documents or ())
            step.document_count = len(found)
            step.content.documents = Deferred(documents_of, (found,))
            self._runs.close(step, Outcome.OK)

    @guarded
    def on_retriever_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        self._runs.fail(run_id, error)

    # ---------------------------------------------------------------- in between
    @guarded
    def on_retry(self, retry_state: Any, *, run_id: UUID, **kwargs: Any) -> None:
        step = self._runs.get(run_id)
        if step is not None:
            step.events.append(
                Event("retry", time.time_ns(), {"attempt": getattr(retry_state, "attempt_number", None)})
            )

    @guarded
    def on_custom_event(self, name: str, data: Any, *, run_id: UUID, **kwargs: Any) -> None:
        step = self._runs.get(run_id)
        if step is not None:  # the data is the application's own: content that no dialect has a place for
            step.events.append(Event("custom_event", time.time_ns(), {"name": str(name)}))

    # ---------------------------------------------------------------- the common parts
    def _start_model(
        self,
        step: Step,
        given: Any,
        run_id: UUID,
        parent_run_id: UUID | None,
        metadata: dict[str, Any] | None,
        tags: list[str] | None,
        kwargs: Mapping[str, Any],
    ) -> None:
        metadata = metadata or {}
        params = kwargs.get("invocation_params") or _NOTHING
        model = metadata.get("ls_model_name") or params.get("model") or params.get("model_name")
        step.request_model = str(model) if model else None
        step.provider = provider_name(metadata.get("ls_provider"))
        step.parameters = request_parameters(params, metadata)
        if tools := params.get("tools") or params.get("functions"):
            step.content.tool_definitions = Deferred(tools_of, (tuple(tools),))
        batch = (kwargs.get("batch_size") or 1) > 1
        self._runs.open(step, run_id, parent_run_id, metadata, tags, leaf=True, batch=batch, given=given)

    def _note_answer(self, step: Step, result: LLMResult) -> None:
        generations = tuple(note_result(step, result))
        if not generations:
            return
        step.content.output_messages = Deferred(answers_of, (generations, step.finish_reasons))
        now = time.time_ns()
        for generation in generations:
            for call in getattr(getattr(generation, "message", None), "tool_calls", None) or ():
                data = {"name": call.get("name"), "id": call.get("id")}
                step.events.append(Event(TOOL_CALL_DISPATCHED, now, data))

    def _first_token(self, step: Step) -> None:
        step.chunks = 1
        step.first_token_ns = time.time_ns()
        step.events.append(Event(FIRST_TOKEN, step.first_token_ns))


def _messages_in(state: Any) -> tuple[Any, ...]:
    """The messages of an agent's state; empty where it holds none."""
    said = state.get("messages") if isinstance(state, Mapping) else None
    return tuple(said) if isinstance(said, (list, tuple)) else ()


def _says_something(chunk: Any) -> bool:
    message = getattr(chunk, "message", None)
    return bool(
        getattr(message, "tool_call_chunks", None)
        or getattr(message, "content", None)
        or getattr(message, "additional_kwargs", None)
    )
