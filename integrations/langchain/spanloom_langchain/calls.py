"""What is asked of a model and what it answers, noted on its step. Runs in the callback."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any

from langchain_core.outputs import ChatGeneration, LLMResult
from spanloom.content.plain import text_of
from spanloom.providers import provider_name
from spanloom.step import TOOL_CALL_DISPATCHED, Deferred, Event, Step

from .labels import server_of
from .messages import answers_of
from .results import note_result, request_parameters
from .snapshots import hold_answers
from .tools import tools_of


def note_request(
    step: Step, serialized: Mapping[str, Any] | None, metadata: Mapping[str, Any], params: Mapping[str, Any]
) -> None:
    """Fill `step` with what is asked of which model; `params` are the invocation's."""
    model = metadata.get("ls_model_name") or params.get("model") or params.get("model_name")
    step.request_model = text_of(model) if model else None
    provider = metadata.get("ls_provider")
    step.provider = provider_name(provider if provider is None or type(provider) is str else text_of(provider))
    step.server_address, step.server_port = server_of(serialized)
    if parameters := request_parameters(params, metadata):
        step.parameters = parameters
    if (tools := params.get("tools") or params.get("functions")) and isinstance(tools, Iterable):
        step.content.tool_definitions = Deferred(tools_of, (tuple(tools),))


def note_answer(step: Step, result: LLMResult) -> None:
    """Fill `step` with what the model answered, and what it took."""
    generations = note_result(step, result)
    if not generations:
        return
    step.content.output_messages = Deferred(answers_of, (hold_answers(generations), step.finish_reasons))
    for generation in generations:
        if not isinstance(generation, ChatGeneration):
            continue
        if calls := getattr(generation.message, "tool_calls", None):
            now = time.time_ns()
            for call in calls:
                data = {"name": call.get("name"), "id": call.get("id")}
                step.add_event(Event(TOOL_CALL_DISPATCHED, now, data))
