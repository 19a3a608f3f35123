"""What a model run tells besides its text: usage, model, finish reasons, id. Cheap; runs in the callback."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.outputs import Generation, LLMResult
from spanloom.providers import count, field, usage_of, with_reasoning
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


def request_parameters(params: Mapping[str, Any], metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Sampling parameters from the invocation's parameters and from the `ls_*` metadata."""
    out: dict[str, Any] = {}
    for source in (
        {"temperature": metadata.get("ls_temperature"), "max_tokens": metadata.get("ls_max_tokens"),
         "stop": metadata.get("ls_stop")},
        params,
    ):  # fmt: skip
        for key, name in _PARAMETERS.items():
            value = source.get(key)
            if name == "stop_sequences" and value:
                out[name] = [value] if isinstance(value, str) else [str(s) for s in value]
            elif isinstance(value, (int, float)) and not isinstance(value, bool):
                out[name] = value
    return out


def note_result(step: Step, result: LLMResult) -> Sequence[Generation]:
    """Fill `step` with what the result tells; the generations of its one prompt."""
    generations: Sequence[Generation] = result.generations[0] if result.generations else ()
    llm_output = result.llm_output if isinstance(result.llm_output, Mapping) else {}
    reasons: list[str] = []
    for generation in generations:
        info = generation.generation_info or {}
        message = getattr(generation, "message", None)
        response = _mapping(getattr(message, "response_metadata", None))
        reason = field(response, *_REASONS) or field(info, *_REASONS) or field(llm_output, *_REASONS)
        if reason is not None:
            reasons.append(str(reason))
        if step.response_model is None:
            model = field(response, *_MODELS) or field(info, *_MODELS)
            step.response_model = str(model) if model else None
        if step.response_id is None:
            step.response_id = _response_id(message, response, info)
        if isinstance(tier := field(response, "service_tier"), str):
            step.service_tier = tier
    step.finish_reasons = tuple(reasons)
    if step.response_model is None and (model := field(llm_output, *_MODELS)):
        step.response_model = str(model)
    if step.response_id is None and isinstance(llm_output.get("id"), str):
        step.response_id = llm_output["id"]
    if any(_is_cache_hit(generation) for generation in generations):
        step.cache_hit = True  # LangChain's own cache answered: no token was spent
    else:
        step.usage = _usage(generations, llm_output)
    return generations


_REASONS = ("finish_reason", "stop_reason", "done_reason", "stopReason")
_MODELS = ("model_name", "model", "model_id", "modelId")


def _usage(generations: Sequence[Generation], llm_output: Mapping[str, Any]) -> Usage | None:
    for generation in generations:  # every choice of a call reports the same total
        message = getattr(generation, "message", None)
        if usage := _from_usage_metadata(getattr(message, "usage_metadata", None)):
            return usage
    if usage := usage_of(field(llm_output, "token_usage", "usage", "usage_metadata")):
        return usage
    for generation in generations:
        message = getattr(generation, "message", None)
        for source in (_mapping(getattr(message, "response_metadata", None)), generation.generation_info or {}):
            if usage := usage_of(
                field(source, "token_usage", "usage", "usage_metadata", "amazon-bedrock-invocationMetrics")
            ):
                return usage
            if "eval_count" in source and (usage := usage_of(source)):
                return usage
    return None


def _from_usage_metadata(metadata: Any) -> Usage | None:
    """LangChain's own `usage_metadata`, which counts inclusively."""
    if not isinstance(metadata, Mapping):
        return None
    given = _details(metadata.get("input_token_details"))
    made = _details(metadata.get("output_token_details"))
    written = count(given, "cache_creation")
    if not written:  # Anthropic's split by lifetime
        split = [n for k in given if k.startswith("ephemeral_") and (n := count(given, k)) is not None]
        written = sum(split) if split else written
    usage = Usage(
        input_tokens=count(metadata, "input_tokens"),
        output_tokens=count(metadata, "output_tokens"),
        cache_read_tokens=count(given, "cache_read"),
        cache_write_tokens=written,
        cache_write_1h_tokens=count(given, "ephemeral_1h_input_tokens"),
        reasoning_tokens=count(made, "reasoning"),
        audio_input_tokens=count(given, "audio"),
        audio_output_tokens=count(made, "audio"),
        text_input_tokens=count(given, "text"),
        text_output_tokens=count(made, "text"),
        image_input_tokens=count(given, "image"),
        image_output_tokens=count(made, "image"),
    )
    return with_reasoning(usage, count(metadata, "total_tokens")) or None


_TIERS = ("priority_", "flex_")


def _details(value: Any) -> dict[str, Any]:
    """Token details by their plain names: `flex_cache_read`, at one of OpenAI's service tiers, is a `cache_read`."""
    out: dict[str, Any] = {}
    for key, tokens in _mapping(value).items():
        name = next((key.removeprefix(tier) for tier in _TIERS if key.startswith(tier)), key)
        out.setdefault(name, tokens)
    return out


def _is_cache_hit(generation: Generation) -> bool:
    """LangChain marks an answer from its cache with a cost of 0 in the usage."""
    metadata = getattr(getattr(generation, "message", None), "usage_metadata", None)
    return isinstance(metadata, Mapping) and metadata.get("total_cost") == 0


def _response_id(message: Any, response: Mapping[str, Any], info: Mapping[str, Any]) -> str | None:
    own = field(response, "id", "response_id") or field(info, "id", "response_id") or getattr(message, "id", None)
    if not isinstance(own, str) or own.startswith(("run-", "lc_")):  # LangChain's own run ids
        return None
    return own


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
