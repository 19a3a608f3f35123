"""What a model run tells besides its text: usage, model, finish reasons, id. Cheap; runs in the callback."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.outputs import ChatGeneration, Generation, LLMResult
from spanloom.providers import count, usage_of, with_reasoning
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
            out[name] = [value] if isinstance(value, str) else [str(s) for s in value]
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        out[name] = value


def note_result(step: Step, result: LLMResult) -> Sequence[Generation]:
    """Fill `step` with what the result tells; the generations of its one prompt."""
    generations: Sequence[Generation] = result.generations[0] if result.generations else ()
    llm_output = _mapping(result.llm_output)
    answers = [(_message(generation), generation.generation_info or _NOTHING) for generation in generations]
    reasons: list[str] = []
    for message, info in answers:
        response = _mapping(getattr(message, "response_metadata", None))
        reason = _first(response, _REASONS) or _first(info, _REASONS) or _first(llm_output, _REASONS)
        if reason is not None:
            reasons.append(str(reason))
        if step.response_model is None:
            model = _first(response, _MODELS) or _first(info, _MODELS)
            step.response_model = str(model) if model else None
        if step.response_id is None:
            step.response_id = _response_id(message, response, info)
        if isinstance(tier := response.get("service_tier"), str):
            step.service_tier = tier
    step.finish_reasons = tuple(reasons)
    if step.response_model is None and (model := _first(llm_output, _MODELS)):
        step.response_model = str(model)
    if step.response_id is None and isinstance(llm_output.get("id"), str):
        step.response_id = llm_output["id"]
    step.usage = _usage(answers, llm_output)
    for message, _ in answers:
        if _is_cache_hit(message):  # LangChain's own cache answered: no token was spent
            step.cache_hit, step.usage = True, None
    return generations


_REASONS = ("finish_reason", "stop_reason", "done_reason", "stopReason")
_MODELS = ("model_name", "model", "model_id", "modelId")
_IDS = ("id", "response_id")
_USAGES = ("token_usage", "usage", "usage_metadata", "amazon-bedrock-invocationMetrics")


def _message(generation: Generation) -> Any:
    """The message of a chat model's answer; None where it is a text."""
    return generation.message if isinstance(generation, ChatGeneration) else None


def _first(source: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    """As `field`, of a mapping."""
    if source:
        for name in names:
            if (value := source.get(name)) is not None:
                return value
    return None


def _usage(answers: Sequence[tuple[Any, Mapping[str, Any]]], llm_output: Mapping[str, Any]) -> Usage | None:
    for message, _ in answers:  # every choice of a call reports the same total
        if usage := _from_usage_metadata(getattr(message, "usage_metadata", None)):
            return usage
    if usage := usage_of(_first(llm_output, _USAGES[:3])):
        return usage
    for message, info in answers:
        for source in (_mapping(getattr(message, "response_metadata", None)), info):
            if usage := usage_of(_first(source, _USAGES)):
                return usage
            if "eval_count" in source and (usage := usage_of(source)):
                return usage
    return None


def _from_usage_metadata(metadata: Any) -> Usage | None:
    """LangChain's own `usage_metadata`, which counts inclusively."""
    if not isinstance(metadata, Mapping):
        return None
    taken, made = _tokens(metadata, "input_tokens"), _tokens(metadata, "output_tokens")
    of_input, of_output = _details(metadata.get("input_token_details")), _details(metadata.get("output_token_details"))
    if not (of_input or of_output):
        return None if taken is None and made is None else Usage(taken, made)
    written = _tokens(of_input, "cache_creation")
    if not written:  # Anthropic's split by lifetime
        split = [n for k in of_input if k.startswith("ephemeral_") and (n := _tokens(of_input, k)) is not None]
        written = sum(split) if split else written
    usage = Usage(
        input_tokens=taken,
        output_tokens=made,
        cache_read_tokens=_tokens(of_input, "cache_read"),
        cache_write_tokens=written,
        cache_write_1h_tokens=_tokens(of_input, "ephemeral_1h_input_tokens"),
        reasoning_tokens=_tokens(of_output, "reasoning"),
        audio_input_tokens=_tokens(of_input, "audio"),
        audio_output_tokens=_tokens(of_output, "audio"),
        text_input_tokens=_tokens(of_input, "text"),
        text_output_tokens=_tokens(of_output, "text"),
        image_input_tokens=_tokens(of_input, "image"),
        image_output_tokens=_tokens(of_output, "image"),
    )
    return with_reasoning(usage, _tokens(metadata, "total_tokens")) if taken is not None or usage else None


def _tokens(source: Mapping[str, Any], name: str) -> int | None:
    """As `count`, of a mapping."""
    value = source.get(name)
    if value is None or (type(value) is int and value >= 0):
        return value
    return count(source, name)


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


def _is_cache_hit(message: Any) -> bool:
    """LangChain marks an answer from its cache with a cost of 0 in the usage."""
    metadata = getattr(message, "usage_metadata", None)
    return isinstance(metadata, Mapping) and metadata.get("total_cost") == 0


def _response_id(message: Any, response: Mapping[str, Any], info: Mapping[str, Any]) -> str | None:
    own = _first(response, _IDS) or _first(info, _IDS) or getattr(message, "id", None)
    if not isinstance(own, str) or own.startswith(("run-", "lc_")):  # LangChain's own run ids
        return None
    return own


_NOTHING: Mapping[str, Any] = {}


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if type(value) is dict or isinstance(value, Mapping) else _NOTHING
