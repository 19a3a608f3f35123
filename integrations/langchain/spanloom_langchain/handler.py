"""LangChain's callbacks, in the recorder's words: each callback fills a step, opens it or closes it, and no more."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.documents import Document
from langchain_core.outputs import LLMResult
from spanloom.guard import GUARD
from spanloom.providers import provider_name
from spanloom.setup import Loom, checked_loom
from spanloom.step import FIRST_TOKEN, Deferred, Event, Kind, Outcome, Step

from . import labels
from .calls import note_answer, note_request
from .documents import documents_of
from .frames import GraphStart, NodeStart, left_unread, starting
from .messages import messages_of, prompt_of
from .runs import Runs, key_of
from .snapshots import hold_documents, snapshot
from .streams import Streams
from .values import processed_value, value_of

_NOTHING: Mapping[str, Any] = {}
# Python 3.11 takes longer to find a member in its enum than for most that is done here.
_AGENT, _LLM, _PROMPT, _RETRIEVER, _TOOL = Kind.AGENT, Kind.LLM, Kind.PROMPT, Kind.RETRIEVER, Kind.TOOL
_OK, _ABANDONED = Outcome.OK, Outcome.ABANDONED


class _RaisesWhereStrict:
    """`raise_error`, asked when it is needed. Of the class itself, passed in place of a handler, it is False: LangChain
    would raise its own error into the application otherwise."""

    def __get__(self, handler: object | None, owner: type | None = None) -> bool:
        return handler is not None and GUARD.strict


class SpanloomCallbackHandler(BaseCallbackHandler):
    """Traces every run that it is passed to: `chain.invoke(question, config={"callbacks": [handler]})`.

    One handler serves a whole process: of a run it keeps nothing beyond its end. `loom` is what `spanloom.configure()`
    returned; without it the handler follows the last `configure()`, also when that comes later. Raises
    `ConfigurationError` for another `loom`.

    What goes in and out of a run is read later, on a worker. Whatever the application may change meanwhile is copied,
    two levels deep: `snapshots.py` says what.
    """

    run_inline = True  # in the caller's own context, so that the step is current inside its body

    # Asked before every callback: plain values, since LangChain's properties take longer than some of the callbacks.
    ignore_llm = ignore_chain = ignore_agent = ignore_retriever = False
    ignore_chat_model = ignore_retry = ignore_custom_event = False

    raise_error = _RaisesWhereStrict()

    def __init__(self, loom: Loom | None = None) -> None:
        self._runs = Runs(checked_loom(loom, "SpanloomCallbackHandler(loom=…)"))
        self._streams = Streams()

    def __getattr__(self, name: str) -> Any:
        """What LlamaIndex asks for, whose handler has the same name."""
        raise AttributeError(
            f"spanloom_langchain's SpanloomCallbackHandler has no {name!r}: to LlamaIndex pass spanloom_llama_index's."
        )

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
    def on_chain_start(
        self,
        serialized: dict[str, Any] | None,
        inputs: Any,
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        tags: list[str] | None = None,
        metadata: dict[str, Any] | None = None,
        name: str | None = None,
        run_type: str | None = None,
        defers_inputs: bool | None = None,
        **kwargs: Any,
    ) -> None:
        try:
            run = key_of(run_id)
            if (recorder := self._runs.recorder_of(run)) is None:
                return
            name, kind = labels.run_name(name, serialized, "Runnable"), labels.chain_kind(run_type)
            step = Step(run, kind, name)
            said, start = metadata or _NOTHING, starting()
            graph = start if isinstance(start, GraphStart) else None
            if isinstance(start, NodeStart):
                inputs, step.process_output = start
            if (agent := labels.agent_name(name, graph, serialized)) is not None:
                step.kind, step.agent_name = _AGENT, agent
            step.streaming = defers_inputs is not None  # told of streams alone, be it true or false
            if step.kind is _AGENT and (messages := _messages_in(inputs)):
                step.content.input_messages = Deferred(messages_of, (messages,))
            elif not step.streaming:  # a stream begins with {"input": ""}, and tells its input at the end
                step.content.input = Deferred(value_of, (snapshot(inputs),))
            if graph is not None and "thread_id" in said and "langgraph_node" not in said:
                step.links = self._runs.resumed(said, inputs)
            self._runs.open(recorder, step, run_id, parent_run_id, said, tags, serialized=serialized, graph=graph)
        except Exception as error:
            _caught("on_chain_start", error)

    def on_chain_end(self, outputs: Any, *, run_id: UUID, inputs: Any = None, **kwargs: Any) -> None:
        try:
            step = self._runs.get(run_id)
            if step is None:
                return
            if step.streaming and inputs is not None:
                step.content.input = Deferred(value_of, (snapshot(inputs),))
            if step.kind is _AGENT and (messages := _messages_in(outputs)):
                step.content.output_messages = Deferred(messages_of, (messages[-1:],))
            elif step.process_output is not None:
                step.content.output = Deferred(processed_value, (step.process_output, snapshot(outputs)))
            elif outputs is not None:
                step.content.output = Deferred(value_of, (snapshot(outputs),))
            if step.kind is _PROMPT:
                self._runs.rendered(step, outputs)
            unread = left_unread() if step.streaming else False
            if unread is None:
                unread = bool(step.children)
            self._runs.close(step, _ABANDONED if unread else _OK)
        except Exception as error:
            _caught("on_chain_end", error)

    def on_chain_error(self, error: BaseException, *, run_id: UUID, inputs: Any = None, **kwargs: Any) -> None:
        try:
            if inputs is not None and (step := self._runs.get(run_id)) is not None and step.streaming:
                step.content.input = Deferred(value_of, (snapshot(inputs),))
            self._runs.fail(run_id, error)
        except Exception as own:
            _caught("on_chain_error", own)

    # ---------------------------------------------------------------- models
    def on_chat_model_start(
        self,
        serialized: dict[str, Any],
        messages: list[list[Any]],
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        tags: list[str] | None = None,
        metadata: dict[str, Any] | None = None,
        name: str | None = None,
        invocation_params: dict[str, Any] | None = None,
        batch_size: int | None = None,
        **kwargs: Any,
    ) -> None:
        try:
            run = key_of(run_id)
            if (recorder := self._runs.recorder_of(run)) is None:
                return
            step = Step(run, _LLM, labels.run_name(name, serialized, "ChatModel"))
            given = tuple(messages[0]) if messages else ()
            step.content.input_messages = Deferred(messages_of, (given,))
            said = metadata or _NOTHING
            note_request(step, serialized, said, invocation_params or _NOTHING)
            batch = (batch_size or 1) > 1
            self._runs.open(recorder, step, run_id, parent_run_id, said, tags, leaf=True, batch=batch, given=given)
        except Exception as error:
            _caught("on_chat_model_start", error)

    def on_llm_start(
        self,
        serialized: dict[str, Any],
        prompts: list[str],
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        tags: list[str] | None = None,
        metadata: dict[str, Any] | None = None,
        name: str | None = None,
        invocation_params: dict[str, Any] | None = None,
        batch_size: int | None = None,
        **kwargs: Any,
    ) -> None:
        try:
            run = key_of(run_id)
            if (recorder := self._runs.recorder_of(run)) is None:
                return
            step = Step(run, _LLM, labels.run_name(name, serialized, "LLM"), completion=True)
            given = prompts[0] if prompts else ""
            step.content.input_messages = Deferred(prompt_of, (given,)) if prompts else ()
            said = metadata or _NOTHING
            note_request(step, serialized, said, invocation_params or _NOTHING)
            batch = (batch_size or 1) > 1
            self._runs.open(recorder, step, run_id, parent_run_id, said, tags, leaf=True, batch=batch, given=given)
        except Exception as error:
            _caught("on_llm_start", error)

    def on_llm_new_token(
        self,
        token: Any,
        *,
        chunk: Any = None,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        tags: list[str] | None = None,
        **kwargs: Any,
    ) -> None:
        try:
            step = self._streams.get(run_id.int if type(run_id) is UUID else run_id)
            if step is not None:
                step.chunks += 1
                return  # the way of all tokens but the first
            step = self._runs.get(run_id)
            if step is not None and step.first_token_ns is None:
                step.streaming = True
                if token or _says_something(chunk):
                    self._first_token(step)
        except Exception as error:
            _caught("on_llm_new_token", error)

    def on_stream_event(self, event: Any, *, run_id: UUID, **kwargs: Any) -> None:
        try:
            step = self._streams.get(run_id.int if type(run_id) is UUID else run_id)
            if step is not None:
                step.chunks += isinstance(event, Mapping) and event.get("event") == "content-block-delta"
                return
            step = self._runs.get(run_id)
            if step is not None and step.first_token_ns is None:
                step.streaming = True
                if isinstance(event, Mapping) and str(event.get("event", "")).startswith("content-block"):
                    self._first_token(step)
        except Exception as error:
            _caught("on_stream_event", error)

    def on_llm_end(self, response: LLMResult, *, run_id: UUID, **kwargs: Any) -> None:
        try:
            step = self._runs.get(run_id)
            if step is not None:
                self._streams.pop(step.run_id, None)
                note_answer(step, response)
                self._runs.close(step, _OK)
        except Exception as error:
            _caught("on_llm_end", error)

    def on_llm_error(self, error: BaseException, *, run_id: UUID, response: Any = None, **kwargs: Any) -> None:
        try:
            step = self._runs.get(run_id)
            if step is not None:
                self._streams.pop(step.run_id, None)
                if isinstance(response, LLMResult):  # what came before the error
                    note_answer(step, response)
            self._runs.fail(run_id, error)
        except Exception as own:
            _caught("on_llm_error", own)

    # ---------------------------------------------------------------- tools
    def on_tool_start(
        self,
        serialized: dict[str, Any] | None,
        input_str: str,
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        tags: list[str] | None = None,
        metadata: dict[str, Any] | None = None,
        inputs: dict[str, Any] | None = None,
        name: str | None = None,
        tool_call_id: Any = None,
        **kwargs: Any,
    ) -> None:
        try:
            run = key_of(run_id)
            if (recorder := self._runs.recorder_of(run)) is None:
                return
            tool, said = serialized or _NOTHING, metadata or _NOTHING
            name = labels.run_name(name, serialized, "tool")
            step = Step(run, _TOOL, name)
            step.tool_name, step.tool_description = tool.get("name") or name, tool.get("description")
            step.tool_call_id = str(tool_call_id) if tool_call_id is not None else None
            step.agent_name = said.get("lc_agent_name")
            step.content.arguments = Deferred(value_of, (snapshot(inputs if inputs is not None else input_str),))
            self._runs.open(recorder, step, run_id, parent_run_id, said, tags)
        except Exception as error:
            _caught("on_tool_start", error)

    def on_tool_end(self, output: Any, *, run_id: UUID, **kwargs: Any) -> None:
        try:
            step = self._runs.get(run_id)
            if step is not None:
                step.content.result = Deferred(value_of, (snapshot(getattr(output, "content", output)),))
                self._runs.close(step, _OK)
        except Exception as error:
            _caught("on_tool_end", error)

    def on_tool_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        try:
            self._runs.fail(run_id, error)
        except Exception as own:
            _caught("on_tool_error", own)

    # ---------------------------------------------------------------- retrievers
    def on_retriever_start(
        self,
        serialized: dict[str, Any] | None,
        query: str,
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        tags: list[str] | None = None,
        metadata: dict[str, Any] | None = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        try:
            run = key_of(run_id)
            if (recorder := self._runs.recorder_of(run)) is None:
                return
            said = metadata or _NOTHING
            step = Step(run, _RETRIEVER, labels.run_name(name, serialized, "Retriever"))
            step.provider = provider_name(said.get("ls_vector_store_provider"))
            step.content.query = query
            self._runs.open(recorder, step, run_id, parent_run_id, said, tags, leaf=True)
        except Exception as error:
            _caught("on_retriever_start", error)

    def on_retriever_end(self, documents: Sequence[Document], *, run_id: UUID, **kwargs: Any) -> None:
        try:
            step = self._runs.get(run_id)
            if step is not None:
                found = hold_documents(documents or ())
                step.document_count = len(found)
                step.content.documents = Deferred(documents_of, (found,))
                self._runs.close(step, _OK)
        except Exception as error:
            _caught("on_retriever_end", error)

    def on_retriever_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        try:
            self._runs.fail(run_id, error)
        except Exception as own:
            _caught("on_retriever_error", own)

    # ---------------------------------------------------------------- in between
    def on_retry(self, retry_state: Any, *, run_id: UUID, **kwargs: Any) -> None:
        try:
            step = self._runs.get(run_id)
            if step is not None:
                attempt = getattr(retry_state, "attempt_number", None)
                step.add_event(Event("retry", time.time_ns(), {"attempt": attempt}))
        except Exception as error:
            _caught("on_retry", error)

    def on_custom_event(self, name: str, data: Any, *, run_id: UUID, **kwargs: Any) -> None:
        try:
            step = self._runs.get(run_id)
            if step is not None:  # the data is the application's own: content that no dialect has a place for
                step.add_event(Event("custom_event", time.time_ns(), {"name": str(name)}))
        except Exception as error:
            _caught("on_custom_event", error)

    def _first_token(self, step: Step) -> None:
        step.chunks = 1
        step.first_token_ns = time.time_ns()
        step.add_event(Event(FIRST_TOKEN, step.first_token_ns))
        self._streams.begin(step)


def _caught(callback: str, error: Exception) -> None:
    GUARD.caught(f"{__name__}.{SpanloomCallbackHandler.__name__}.{callback}", error)


def _messages_in(state: Any) -> tuple[Any, ...]:
    """The messages of an agent's state; empty where it holds none."""
    said = state.get("messages") if type(state) is dict or isinstance(state, Mapping) else None
    return tuple(said) if isinstance(said, (list, tuple)) else ()


def _says_something(chunk: Any) -> bool:
    message = getattr(chunk, "message", None)
    return bool(
        getattr(message, "tool_call_chunks", None)
        or getattr(message, "content", None)
        or getattr(message, "additional_kwargs", None)
    )
