"""What a model's object says before a call, and what its raw responses say after it.

Only `response.raw` tells usage, finish reasons and the model that answered: the provider's own object, a mapping or an
object, in as many shapes as there are providers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

from llama_index.core.base.llms.types import ChatResponse, CompletionResponse, TextBlock
from spanloom.providers import end_of_response, field, provider_name, usage_of
from spanloom.step import Step
from spanloom.usage import Usage

_MODEL_FIELDS = ("model", "model_name", "model_id", "deployment_name", "engine")

_PARAMETERS = {  # LlamaIndex's integrations' words -> the conventions'
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "max_tokens": "max_tokens",
    "max_output_tokens": "max_tokens",
    "max_completion_tokens": "max_tokens",
    "seed": "seed",
    "random_seed": "seed",
    "frequency_penalty": "frequency_penalty",
    "presence_penalty": "presence_penalty",
    "stop": "stop_sequences",
    "stop_sequences": "stop_sequences",
}

# A model's `class_name()`, in lower case and without separators, begins with one of these.
_PROVIDERS = (
    ("azureopenai", "azure_openai"),
    ("azure", "azure_ai"),
    ("openailike", None),
    ("openrouter", "openrouter"),
    ("openai", "openai"),
    ("anthropic", "anthropic"),
    ("bedrock", "bedrock"),
    ("gemini", "gemini"),
    ("genai", "gemini"),
    ("googlegenai", "gemini"),
    ("vertex", "vertex"),
    ("mistral", "mistral"),
    ("cohere", "cohere"),
    ("groq", "groq"),
    ("deepseek", "deepseek"),
    ("perplexity", "perplexity"),
    ("ollama", "ollama"),
    ("watsonx", "watsonx"),
    ("ibm", "watsonx"),
    ("xai", "xai"),
    ("together", "together_ai"),
    ("fireworks", "fireworks"),
    ("huggingface", "huggingface"),
    ("replicate", "replicate"),
    ("litellm", "litellm"),
    ("voyage", "voyage_ai"),
    ("jina", "jina_ai"),
    ("moonshot", "moonshot"),
)


def describe(step: Step, model: Any, arguments: dict[str, Any] | None = None) -> None:
    """Write onto `step` what `model` (an LLM or an embedding model) and the call's own `arguments` say."""
    step.provider = _provider_of(model)
    name = field(model, *_MODEL_FIELDS)
    if isinstance(name, str) and name != "unknown":
        step.request_model = name
    where = field(model, "api_base", "azure_endpoint", "base_url")
    if isinstance(where, str):
        step.server_address, step.server_port = _address(where)
    if arguments is None:
        return
    parameters = _parameters({}, vars(model)) if hasattr(model, "__dict__") else {}
    if arguments:
        parameters = _parameters(parameters, arguments)
        if isinstance(name := arguments.get("model"), str):
            step.request_model = name
    if parameters:
        step.parameters = parameters


def _parameters(found: dict[str, Any], source: Mapping[str, Any]) -> dict[str, Any]:
    """`found`, with the sampling parameters of `source`."""
    for ours, theirs in _PARAMETERS.items():
        value = source.get(ours)
        if value is None:
            continue
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            found[theirs] = value
        elif theirs == "stop_sequences" and value and isinstance(value, (list, tuple, str)):
            found[theirs] = [value] if isinstance(value, str) else [str(s) for s in value]
    return found


def _provider_of(model: Any) -> str | None:
    try:
        said = str(model.class_name())
    except Exception:  # a custom class's own business
        said = ""
    return _provider(said) or _provider(type(model).__name__)


@lru_cache(maxsize=1_000)
def _provider(class_name: str) -> str | None:
    flat = class_name.lower().replace("_", "").replace("-", "").replace(" ", "")
    return next((provider_name(provider) for prefix, provider in _PROVIDERS if flat.startswith(prefix)), None)


@lru_cache(maxsize=1_000)
def _address(url: str) -> tuple[str | None, int | None]:
    try:
        parts = urlsplit(url if "//" in url else f"//{url}")
        default = {"https": 443, "http": 80}.get(parts.scheme)
        return parts.hostname, parts.port or default
    except ValueError:
        return None, None


EARLY_CHUNKS, LATE_CHUNKS = 4, 8
"""Of how many chunks, at the beginning and at the end of a stream, the provider's own object is read.

Anthropic and Bedrock tell the input's tokens first; all tell the rest at the end, OpenAI in the last chunk but one.
"""


def says_something(response: Any) -> bool:
    """Whether a piece of a stream brings anything of the answer: a text, a thought or a call of a tool.

    OpenAI's first piece tells the role alone, and its Responses send several before the model has thought.
    """
    if getattr(response, "delta", None):
        return True
    if isinstance(response, CompletionResponse):
        return bool(response.text)
    if not isinstance(response, ChatResponse):
        return True  # a custom model's own
    message = response.message
    return bool(message.additional_kwargs.get("tool_calls")) or any(
        bool(block.text) if isinstance(block, TextBlock) else True for block in message.blocks
    )


_USAGE = ("usage", "usage_metadata", "usageMetadata", "token_usage")
_COUNTS = ("eval_count", "prompt_eval_count", "prompt_tokens", "input_tokens")  # where the answer itself has them


def read(step: Step, response: Any) -> None:
    """Write onto `step` what one response tells; what it leaves out stays as it was."""
    raw = getattr(response, "raw", None)
    if raw is not None:
        _read_raw(step, raw)
    if step.usage is None:
        extra = getattr(response, "additional_kwargs", None)
        if extra and (usage := usage_of(field(extra, *_USAGE)) or usage_of(extra)):
            step.usage = usage


def read_late(step: Step, late: Iterable[Any], last: Any) -> None:
    """Write onto `step` what the last chunks of a stream tell, but for `last`, which is read with its response."""
    for raw in late:
        if raw is not last:
            _read_raw(step, raw)


def _read_raw(step: Step, raw: Any) -> None:
    """Write onto `step` what the provider's own object tells."""
    body = _body(raw)
    model = field(body, "model", "model_version", "modelVersion", "modelId")
    if isinstance(model, str):
        step.response_model = model
    answer_id = field(body, "id", "response_id", "responseId")
    if isinstance(answer_id, str):
        step.response_id = answer_id
    reasons = _finish_reasons(body)
    if reasons:
        step.finish_reasons = reasons
    told = field(body, *_USAGE)
    tier = field(body, "service_tier") or (field(told, "service_tier") if told is not None else None)
    if isinstance(tier, str):
        step.service_tier = tier
    usage = usage_of(told if told is not None else field(body, "meta"))
    if usage is None and told is None:
        usage = usage_of(body) if field(body, *_COUNTS) is not None else None
    if usage:
        step.usage = _added(step.usage, usage)


def _body(raw: Any) -> Any:
    """The answer itself, where an event of a stream or a client's own object stands around it.

    `message` of Anthropic's first event, `response` of OpenAI's responses and of Cohere's last event, `data` of
    Mistral's chunks, `metadata` of Bedrock's last event, `_raw_response` of Vertex.
    """
    kind = field(raw, "type")
    if kind == "message_start":
        inner = field(raw, "message")
    elif (isinstance(kind, str) and kind.startswith("response.")) or field(raw, "event_type") == "stream-end":
        inner = field(raw, "response")
    elif field(raw, "usage", "choices") is None:
        inner = field(raw, "_raw_response", "data")
        if inner is None and field(field(raw, "metadata"), "usage") is not None:
            inner = field(raw, "metadata")
    else:
        inner = None
    return raw if inner is None or isinstance(inner, (str, bytes, list)) else inner


def _added(before: Usage | None, new: Usage) -> Usage:
    """The newer counts; Anthropic's stream tells the input first and the output last.

    Its last event may repeat the fresh input alone: then the total that has the cached tokens stays.
    """
    if before is None or before == new:
        return new
    counts = new.inclusive()
    cached = (before.cache_read_tokens or 0) + (before.cache_write_tokens or 0)
    if cached and new.cache_read_tokens is None and counts.get("input_tokens") == (before.input_tokens or 0) - cached:
        del counts["input_tokens"]
    return replace(before, **counts)


def _finish_reasons(body: Any) -> tuple[str, ...]:
    choices = field(body, "choices", "candidates")
    if isinstance(choices, (list, tuple)):
        found = [field(choice, "finish_reason", "finishReason") for choice in choices]
    else:
        delta = field(body, "delta")
        found = [
            field(body, "finish_reason", "stop_reason", "stopReason", "done_reason")
            or (field(delta, "stop_reason") if delta is not None and type(delta) is not str else None)
            or end_of_response(body)
        ]
    return tuple([str(getattr(reason, "value", reason)) for reason in found if reason is not None])
