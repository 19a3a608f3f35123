"""What model providers return, whatever framework carries it: usage in each one's words, and the providers' names.

Sources: the response objects of OpenAI (chat completions and responses), Anthropic (messages), Bedrock (converse),
Gemini and Vertex (generateContent), Mistral, Cohere (v2 chat) and Ollama, as of November 2026.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from math import inf
from typing import Any

from .usage import Usage

_NAMES = {
    "azure": "azure.ai.openai",
    "azure_openai": "azure.ai.openai",
    "azureopenai": "azure.ai.openai",
    "azure_ai": "azure.ai.inference",
    "amazon_bedrock": "aws.bedrock",
    "bedrock": "aws.bedrock",
    "bedrock_converse": "aws.bedrock",
    "google_genai": "gcp.gemini",
    "gemini": "gcp.gemini",
    "google_vertexai": "gcp.vertex_ai",
    "vertexai": "gcp.vertex_ai",
    "vertex": "gcp.vertex_ai",
    "ibm": "ibm.watsonx.ai",
    "watsonx": "ibm.watsonx.ai",
    "mistral": "mistral_ai",
    "mistralai": "mistral_ai",
    "xai": "x_ai",
    "moonshot": "moonshot_ai",
}


def provider_name(name: str | None) -> str | None:
    """A framework's name for a provider as `gen_ai.provider.name` has it; unknown ones in lower case."""
    if not name:
        return None
    lower = name.lower()
    return _NAMES.get(lower.replace("-", "_"), lower)


def usage_of(raw: Any) -> Usage | None:
    """The token usage in a provider's usage object (a mapping, or an object with the same attributes).

    None where no count is found. Anthropic and Bedrock count cached tokens beside `input_tokens`: they are added, so
    that the total contains its subsets, as everywhere in Spanloom.
    """
    if raw is None:
        return None
    for read in _READERS:
        if usage := read(raw):
            return usage
    return None


def field(source: Any, *names: str) -> Any:
    """The first of `names` that `source` (a mapping or an object) has a value for; None without one."""
    if type(source) is dict:
        for name in names:
            if (value := source.get(name)) is not None:
                return value
        return None
    return _field(source, names)


def _field(source: Any, names: tuple[str, ...]) -> Any:
    if isinstance(source, Mapping):
        for name in names:
            if (value := source.get(name)) is not None:
                return value
    elif (declared := _declared(type(source))) is None:  # type: ignore[arg-type]  # a class can be hashed
        for name in names:
            if (value := getattr(source, name, None)) is not None:
                return value
    else:
        values, extra = source.__dict__, source.__pydantic_extra__
        for name in names:
            value = values.get(name)
            if value is None and extra:
                value = extra.get(name)
            if value is None and name in declared:
                value = getattr(source, name, None)
            if value is not None:
                return value
    return None


@lru_cache(maxsize=1_000)
def _declared(kind: type[object]) -> frozenset[str] | None:
    """What the class of a pydantic model has beside its fields; None for every other class.

    Such a model takes microseconds to say that it lacks an attribute, and a provider's object lacks most that it is
    asked for.
    """
    classes = kind.__mro__
    asked = next((c for c in classes if "__getattr__" in vars(c)), None)
    plainly = all("__getattribute__" not in vars(c) for c in classes[:-1])
    if asked is None or not asked.__module__.startswith("pydantic.") or not plainly:
        return None
    return frozenset(name for c in classes for name in vars(c)).union(getattr(kind, "__private_attributes__", ()))


def count(source: Any, *names: str) -> int | None:
    """Like `field`, for a count of tokens; None where it is no number."""
    if source is None:
        return None
    if type(source) is dict:  # as `field` has it: a usage object is asked for a score of counts
        for name in names:
            if (value := source.get(name)) is not None:
                break
        else:
            return None
    else:
        value = field(source, *names)
    if type(value) is int:
        return value if value >= 0 else None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < inf:
        return None
    return int(value)


def _openai(raw: Any) -> Usage:
    """OpenAI's chat completions and responses, and the many that copy them (Mistral, Groq, DeepSeek, xAI, vLLM)."""
    given = field(raw, "prompt_tokens_details", "input_tokens_details", "input_token_details")
    made = field(raw, "completion_tokens_details", "output_tokens_details", "output_token_details")
    read = _either(
        count(given, "cached_tokens", "cache_read"), count(raw, "prompt_cache_hit_tokens", "num_cached_tokens")
    )
    written = _either(
        count(given, "cache_write_tokens", "cache_creation_tokens", "cache_creation"),
        count(raw, "cache_creation_input_tokens"),
    )
    usage = Usage(
        input_tokens=count(raw, "prompt_tokens", "input_tokens"),
        output_tokens=count(raw, "completion_tokens", "output_tokens"),
        cache_read_tokens=read,
        cache_write_tokens=written,
        reasoning_tokens=count(made, "reasoning_tokens", "reasoning"),
        audio_input_tokens=count(given, "audio_tokens", "audio"),
        audio_output_tokens=count(made, "audio_tokens", "audio"),
        text_input_tokens=count(given, "text_tokens"),
        text_output_tokens=count(made, "text_tokens"),
        image_input_tokens=count(given, "image_tokens"),
        image_output_tokens=count(made, "image_tokens"),
    )
    return usage if usage.reasoning_tokens is None else with_reasoning(usage, count(raw, "total_tokens"))


def with_reasoning(usage: Usage, total: int | None) -> Usage:
    """`usage` with the reasoning tokens inside of the output's, where the total says that they stand beside it.

    xAI and LangChain's Vertex integration count them so.
    """
    given, made, thought = usage.input_tokens, usage.output_tokens, usage.reasoning_tokens
    if thought and total is not None and given is not None and made is not None and given + made + thought == total:
        return replace(usage, output_tokens=made + thought)
    return usage


def _anthropic(raw: Any) -> Usage | None:
    """Anthropic's messages; also as Bedrock's older call has them, under OpenAI's names for the totals."""
    read = count(raw, "cache_read_input_tokens")
    write = count(raw, "cache_creation_input_tokens", "cache_write_input_tokens")
    fresh = count(raw, "input_tokens", "prompt_tokens")
    thought = count(field(raw, "output_tokens_details"), "thinking_tokens")
    if (read is None and write is None and thought is None) or fresh is None:
        return None
    if field(raw, "prompt_tokens_details") is not None:  # LiteLLM: Anthropic's words beside OpenAI's inclusive count
        return None
    return Usage(
        input_tokens=fresh + (read or 0) + (write or 0),
        output_tokens=count(raw, "output_tokens", "completion_tokens"),
        cache_read_tokens=read,
        cache_write_tokens=write,
        cache_write_1h_tokens=count(field(raw, "cache_creation"), "ephemeral_1h_input_tokens"),
        reasoning_tokens=thought,
    )


def _bedrock(raw: Any) -> Usage | None:
    """Bedrock's converse; also its older call's metrics, whose names end in `Count`."""
    fresh = count(raw, "inputTokens", "inputTokenCount")
    if fresh is None:
        return None
    read = count(raw, "cacheReadInputTokens", "cacheReadInputTokenCount")
    write = count(raw, "cacheWriteInputTokens", "cacheWriteInputTokenCount")
    kept = [n for d in _items(field(raw, "cacheDetails")) if field(d, "ttl") == "1h" and (n := count(d, "inputTokens"))]
    return Usage(
        input_tokens=fresh + (read or 0) + (write or 0),
        output_tokens=count(raw, "outputTokens", "outputTokenCount"),
        cache_read_tokens=read,
        cache_write_tokens=write,
        cache_write_1h_tokens=sum(kept) if kept else None,
    )


def _gemini(raw: Any) -> Usage | None:
    """`candidates_token_count` leaves thoughts out, and `tool_use_prompt_token_count` is not in the prompt's count."""
    prompt = count(raw, "prompt_token_count", "promptTokenCount")
    if prompt is None:
        return None
    said = count(raw, "candidates_token_count", "candidatesTokenCount")
    thought = count(raw, "thoughts_token_count", "thoughtsTokenCount")
    tools = count(raw, "tool_use_prompt_token_count", "toolUsePromptTokenCount")
    given = _modalities(field(raw, "prompt_tokens_details", "promptTokensDetails"))
    made = _modalities(field(raw, "candidates_tokens_details", "candidatesTokensDetails"))
    return Usage(
        input_tokens=prompt + (tools or 0),
        output_tokens=None if said is None and thought is None else (said or 0) + (thought or 0),
        cache_read_tokens=count(raw, "cached_content_token_count", "cachedContentTokenCount"),
        reasoning_tokens=thought,
        audio_input_tokens=given.get("AUDIO"),
        audio_output_tokens=made.get("AUDIO"),
        text_input_tokens=given.get("TEXT"),
        text_output_tokens=made.get("TEXT"),
        image_input_tokens=given.get("IMAGE"),
        image_output_tokens=made.get("IMAGE"),
    )


def _modalities(details: Any) -> dict[str, int]:
    """Gemini's `[{modality, token_count}]`, by the modality's name."""
    out: dict[str, int] = {}
    for item in _items(details):
        modality, tokens = field(item, "modality"), count(item, "token_count", "tokenCount")
        if modality is not None and tokens is not None:
            out[str(getattr(modality, "name", modality)).upper()] = tokens
    return out


def _cohere(raw: Any) -> Usage:
    tokens = field(raw, "tokens", "billed_units")
    return Usage(
        input_tokens=count(tokens, "input_tokens"),
        output_tokens=count(tokens, "output_tokens"),
        cache_read_tokens=count(raw, "cached_tokens"),
    )


def _ollama(raw: Any) -> Usage:
    return Usage(input_tokens=count(raw, "prompt_eval_count"), output_tokens=count(raw, "eval_count"))


_READERS: tuple[Callable[[Any], Usage | None], ...] = (_gemini, _bedrock, _anthropic, _openai, _cohere, _ollama)


def _items(value: Any) -> Sequence[Any]:
    """The items of a list; none where a stranger put something else in its place."""
    return value if isinstance(value, Sequence) and not isinstance(value, (str, bytes)) else ()


def _either(first: int | None, second: int | None) -> int | None:
    return second if first is None else first


def end_of_response(raw: Any) -> str | None:
    """Why one of OpenAI's responses ended: they tell no finish reason, but a status, and why it is `incomplete`.

    None for what is none of them, and while it goes on.
    """
    if field(raw, "object") != "response":
        return None
    reason = field(field(raw, "incomplete_details"), "reason") or field(raw, "status")
    return reason if isinstance(reason, str) and reason not in _GOES_ON else None


_GOES_ON = frozenset({"in_progress", "queued"})
