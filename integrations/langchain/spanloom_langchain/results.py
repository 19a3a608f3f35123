"""What a model run tells besides its text: usage, model, finish reasons, id. Cheap; runs in the callback."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, Generation, LLMResult
from spanloom.content.plain import text_of
from spanloom.providers import count, end_of_response, usage_of, with_reasoning
from spanloom.step import Step
from spanloom.usage import Usage

_PARAMETERS = {
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "max_tokens": "max_tokens",
    "max_completion_tokens": "max_tokens",
    "max_output_tokens": "max_tokens",
    "max_tokens_to_sample": "max_tokens",
    "num_predict": "max_tokens",
    "stop": "stop_sequences",
    "stop_sequences": "stop_sequences",
    "seed": "seed",
    "frequency_penalty": "frequency_penalty",
    "presence_penalty": "presence_penalty",
}
_LS_PARAMETERS = {"ls_temperature": "temperature", "ls_max_tokens": "max_tokens", "ls_stop": "stop_sequences"}


def request_parameters(params: Mapping[str, Any], metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Sampling parameters from the invocation's parameters and from the `ls_*` metadata."""
    out: dict[str, Any] = {}
    for key, name in _LS_PARAMETERS.items():
        if (value := metadata.get(key)) is not None:
            _note_parameter(out, name, value)
    if not _PARAMETERS.keys().isdisjoint(params):
        for key, name in _PARAMETERS.items():
            if (value := params.get(key)) is not None:
                _note_parameter(out, name, value)
    return out


def _note_parameter(out: dict[str, Any], name: str, value: Any) -> None:
    if name == "stop_sequences":
        if value:
            several = isinstance(value, (list, tuple, set, frozenset))
            out[name] = [text_of(s) for s in value] if several else [text_of(value)]
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        out[name] = value


def note_result(step: Step, result: LLMResult) -> Sequence[Generation]:
    """Fill `step` with what the result tells; the generations of its one prompt."""
    generations: Sequence[Generation] = result.generations[0] if result.generations else ()
    llm_output = _mapping(result.llm_output)
    answers = [_Answer(generation) for generation in generations]
    reasons: list[str] = []
    for answer in answers:
        response, info = answer.response, answer.info
        reason = _first(response, _REASONS) or _first(info, _REASONS) or _first(llm_output, _REASONS)
        if reason is None:
            reason = end_of_response(response)
        if reason is not None:
            reasons.append(text_of(reason))
        if step.response_model is None and (model := _first(response, _MODELS) or _first(info, _MODELS)):
            step.response_model = text_of(model)
        if step.response_id is None:
            step.response_id = answer.response_id
        if isinstance(tier := response.get("service_tier"), str):
            step.service_tier = tier
        if answer.usage.get("total_cost") == 0:  # so LangChain marks an answer from its own cache
            step.cache_hit = True
    step.finish_reasons = tuple(reasons)
    if step.response_model is None and (model := _first(llm_output, _MODELS)):
        step.response_model = text_of(model)
    if step.response_id is None and isinstance(llm_output.get("id"), str):
        step.response_id = llm_output["id"]
    if not step.cache_hit:  # else no token was spent
        step.usage = _usage(answers, llm_output)
    return generations


class _Answer:
    """Where one choice of a model tells what: its message's `response_metadata` and `usage_metadata`, and its own
    `generation_info`; each empty where there is none."""

    __slots__ = ("info", "message", "response", "usage")

    def __init__(self, generation: Generation) -> None:
        message = self.message = generation.message if isinstance(generation, ChatGeneration) else None
        self.info = _mapping(generation.generation_info)
        self.response = _mapping(getattr(message, "response_metadata", None))
        self.usage = _mapping(getattr(message, "usage_metadata", None)) if isinstance(message, AIMessage) else _NOTHING

    @property
    def response_id(self) -> str | None:
        own = _first(self.response, _IDS) or _first(self.info, _IDS) or getattr(self.message, "id", None)
        if not isinstance(own, str) or own.startswith(("run-", "lc_")):  # LangChain's own run ids
            return None
        return own


_NOTHING: Mapping[str, Any] = {}
_REASONS = ("finish_reason", "stop_reason", "done_reason", "stopReason")
_MODELS = ("model_name", "model", "model_id", "modelId")
_IDS = ("id", "response_id")
_USAGES = ("token_usage", "usage", "usage_metadata", "amazon-bedrock-invocationMetrics")


def _mapping(value: Any) -> Mapping[str, Any]:
    if type(value) is dict:
        return value
    return value if value is not None and isinstance(value, Mapping) else _NOTHING  # an abstract class is slow to ask


def _first(source: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    """As `field`, of a mapping."""
    if source:
        for name in names:
            if (value := source.get(name)) is not None:
                return value
    return None


def _usage(answers: Sequence[_Answer], llm_output: Mapping[str, Any]) -> Usage | None:
    for answer in answers:  # every choice of a call reports the same total
        if answer.usage and (usage := _from_usage_metadata(answer.usage)) is not None:
            return usage
    if usage := usage_of(_first(llm_output, _USAGES[:3])):
        return usage
    for answer in answers:
        for source in (answer.response, answer.info):
            if usage := usage_of(_first(source, _USAGES)):
                return usage
            if "eval_count" in source and (usage := usage_of(source)):
                return usage
    return None


_TOTALS = {"input_tokens": "input_tokens", "output_tokens": "output_tokens"}
_OF_INPUT = {
    "cache_read": "cache_read_tokens",
    "cache_creation": "cache_write_tokens",
    "ephemeral_1h_input_tokens": "cache_write_1h_tokens",
    "audio": "audio_input_tokens",
    "text": "text_input_tokens",
    "image": "image_input_tokens",
}
_OF_OUTPUT = {
    "reasoning": "reasoning_tokens",
    "audio": "audio_output_tokens",
    "text": "text_output_tokens",
    "image": "image_output_tokens",
}


def _from_usage_metadata(metadata: Mapping[str, Any]) -> Usage | None:
    """LangChain's own `usage_metadata`, which counts inclusively."""
    counts: dict[str, int] = {}
    _note_counts(counts, metadata, _TOTALS)
    if of_input := _details(metadata.get("input_token_details")):
        _note_counts(counts, of_input, _OF_INPUT)
        if not counts.get("cache_write_tokens"):  # Anthropic's split by lifetime
            for key in of_input:
                if key.startswith("ephemeral_") and (tokens := count(of_input, key)) is not None:
                    counts["cache_write_tokens"] = counts.get("cache_write_tokens", 0) + tokens
    if of_output := _details(metadata.get("output_token_details")):
        _note_counts(counts, of_output, _OF_OUTPUT)
    if not counts:
        return None
    usage = Usage(**counts)
    return with_reasoning(usage, count(metadata, "total_tokens")) if usage.reasoning_tokens else usage


def _note_counts(counts: dict[str, int], source: Mapping[str, Any], fields: Mapping[str, str]) -> None:
    for key, tokens in source.items():
        if (field := fields.get(key)) is None:
            continue
        if type(tokens) is int and tokens >= 0:
            counts[field] = tokens
        elif (known := count(source, key)) is not None:
            counts[field] = known


_TIERS = ("priority_", "flex_")


def _details(value: Any) -> Mapping[str, Any]:
    """Token details by their plain names: `flex_cache_read`, at one of OpenAI's service tiers, is a `cache_read`."""
    details = _mapping(value)
    for key in details:
        if key.startswith(_TIERS):
            break
    else:
        return details
    out: dict[str, Any] = {}
    for key, tokens in details.items():
        name = next((key.removeprefix(tier) for tier in _TIERS if key.startswith(tier)), key)
        out.setdefault(name, tokens)
    return out
