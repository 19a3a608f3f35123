"""Usage as the integrations of LangChain and LlamaIndex deliver it: one model, no token lost or counted twice.

The shapes are transcribed from the packages of November 2026: langchain-openai 1.7, -anthropic 1.7, -aws 1.9,
-google-genai 4.4, -google-vertexai 3.2, -mistralai 1.1, -cohere 0.6; llama-index-llms-openai 0.8, -anthropic 0.12,
-bedrock-converse 0.15, -google-genai 0.11, -vertex 0.8, -mistralai 0.11, -cohere 0.9.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.outputs import ChatGeneration, LLMResult
from langchain_openai.chat_models.base import _create_usage_metadata, _create_usage_metadata_responses
from llama_index.core.base.llms.types import ChatMessage, ChatResponse, CompletionResponse
from spanloom.step import Kind, Step
from spanloom.usage import Usage
from spanloom_langchain.results import note_result
from spanloom_llama_index import models


@dataclass(frozen=True)
class Call:
    """What truly happened, in counts that share no token."""

    fresh: int
    read: int
    write_5m: int
    write_1h: int
    said: int
    thought: int

    @property
    def write(self):
        return self.write_5m + self.write_1h

    @property
    def input(self):
        return self.fresh + self.read + self.write

    @property
    def output(self):
        return self.said + self.thought

    @property
    def total(self):
        return self.input + self.output


def obj(**fields):
    """A client's own object: attributes, where others have keys."""
    return SimpleNamespace(**{k: obj(**v) if isinstance(v, dict) else v for k, v in fields.items()})


# ---------------------------------------------------------------- the providers' own words
def openai_raw(c):
    return {
        "prompt_tokens": c.input, "completion_tokens": c.output, "total_tokens": c.total,
        "prompt_tokens_details": {"cached_tokens": c.read, "cache_write_tokens": c.write, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": c.thought, "audio_tokens": 0},
    }  # fmt: skip


def responses_raw(c):
    return {
        "input_tokens": c.input, "output_tokens": c.output, "total_tokens": c.total,
        "input_tokens_details": {"cached_tokens": c.read, "cache_write_tokens": c.write},
        "output_tokens_details": {"reasoning_tokens": c.thought},
    }  # fmt: skip


def anthropic_raw(c):
    return {
        "input_tokens": c.fresh, "output_tokens": c.output, "cache_read_input_tokens": c.read,
        "cache_creation_input_tokens": c.write,
        "cache_creation": {"ephemeral_5m_input_tokens": c.write_5m, "ephemeral_1h_input_tokens": c.write_1h},
        "output_tokens_details": {"thinking_tokens": c.thought},
    }  # fmt: skip


def bedrock_raw(c):
    details = [{"ttl": "5m", "inputTokens": c.write_5m}, {"ttl": "1h", "inputTokens": c.write_1h}]
    return {
        "inputTokens": c.fresh, "outputTokens": c.output, "totalTokens": c.total, "cacheReadInputTokens": c.read,
        "cacheWriteInputTokens": c.write, "cacheDetails": details,
    }  # fmt: skip


class Modality(StrEnum):
    TEXT = "TEXT"


def gemini_raw(c):
    return {
        "prompt_token_count": c.input, "candidates_token_count": c.said, "thoughts_token_count": c.thought,
        "cached_content_token_count": c.read, "total_token_count": c.total, "tool_use_prompt_token_count": None,
        "prompt_tokens_details": [{"modality": Modality.TEXT, "token_count": c.input}],
    }  # fmt: skip


def mistral_raw(c):
    return {
        "prompt_tokens": c.input, "completion_tokens": c.output, "total_tokens": c.total, "prompt_audio_seconds": None,
        "prompt_tokens_details": {"cached_tokens": c.read},
    }  # fmt: skip


def cohere_raw(c):
    tokens = {"input_tokens": float(c.input), "output_tokens": float(c.output)}
    return {"billed_units": {"input_tokens": 1.0, "output_tokens": 1.0}, "tokens": tokens}


# ---------------------------------------------------------------- LangChain: usage_metadata of the message
def lc_anthropic(c):
    given = {"cache_read": c.read, "cache_creation": 0 if c.write else c.write}
    given |= {"ephemeral_5m_input_tokens": c.write_5m, "ephemeral_1h_input_tokens": c.write_1h}
    return metadata(c, given, {"reasoning": c.thought})


def lc_bedrock(c):
    given = {"cache_read": c.read, "cache_creation": 0 if c.write else c.write}
    given |= {
        k: n for k, n in (("ephemeral_5m_input_tokens", c.write_5m), ("ephemeral_1h_input_tokens", c.write_1h)) if n
    }
    return metadata(c, given, {"reasoning": c.thought})


def lc_gemini(c):
    return metadata(c, {"cache_read": c.read}, {"reasoning": c.thought} if c.thought else {})


def lc_vertex(c):  # the output leaves the thoughts out, the total does not
    return {
        **metadata(c, {"cache_read": c.read}, {"reasoning": c.thought} if c.thought else {}),
        "output_tokens": c.said,
    }


def lc_plain(c):
    return {"input_tokens": c.input, "output_tokens": c.output, "total_tokens": c.total}


def metadata(c, given, made):
    return {**lc_plain(c), "input_token_details": given, "output_token_details": made}


def through_langchain(usage_metadata, chunked=False):
    step = Step("r", Kind.LLM, "m")
    kind = AIMessageChunk if chunked else AIMessage
    message = kind(content="hi", usage_metadata=usage_metadata)
    if chunked:  # as a stream ends up: the usage stands in one chunk, the text in others
        message = AIMessageChunk(content="oh ") + message + AIMessageChunk(content="!")
    note_result(step, LLMResult(generations=[[ChatGeneration(message=message)]]))
    return step.usage


def token_usage_only(llm_output):
    """Older integrations, and string models: usage in `llm_output` alone."""
    step = Step("r", Kind.LLM, "m")
    note_result(step, LLMResult(generations=[[ChatGeneration(message=AIMessage(content="hi"))]], llm_output=llm_output))
    return step.usage


# ---------------------------------------------------------------- LlamaIndex: raw, of the answer or of each chunk
def through_llama_index(*responses):
    step = Step("r", Kind.LLM, "m")
    for response in responses:
        models.read(step, response)
    return step.usage


def chat(raw=None, **extra):
    return ChatResponse(message=ChatMessage(role="assistant", content="hi"), raw=raw, additional_kwargs=extra)


def li_anthropic_stream(c):
    start = obj(usage={**anthropic_raw(c), "output_tokens": 1}, model="claude", id="msg_1")
    final = {"type": "message_delta", "delta": obj(stop_reason="end_turn"), "usage": obj(**anthropic_raw(c))}
    return chat({"type": "message_start", "message": start}), chat({"type": "content_block_delta"}), chat(final)


def li_anthropic_sparse(c):
    """The last event tells the fresh input and the output alone."""
    start = obj(usage={**anthropic_raw(c), "output_tokens": 1}, model="claude", id="msg_1")
    usage = {"input_tokens": c.fresh, "output_tokens": c.output, "cache_read_input_tokens": None}
    return chat({"type": "message_start", "message": start}), chat({"type": "message_delta", "usage": obj(**usage)})


def li_bedrock_stream(c):
    counts = {
        "prompt_tokens": c.fresh, "completion_tokens": c.output, "total_tokens": c.total,
        "cache_read_input_tokens": c.read, "cache_creation_input_tokens": c.write,
    }  # fmt: skip
    last = {"metadata": {"usage": bedrock_raw(c), "metrics": {"latencyMs": 1}}}
    return chat({"contentBlockDelta": {"delta": {"text": "hi"}}}), chat(last, **counts)


def li_gemini_stream(c):
    early = {
        "content": {},
        "usage_metadata": {**gemini_raw(c), "candidates_token_count": None, "thoughts_token_count": None},
    }
    return chat(early), chat({"content": {}, "usage_metadata": gemini_raw(c)}, prompt_tokens=c.input)


def li_responses_stream(c):
    response = obj(id="resp_1", model="gpt-5", usage=responses_raw(c))
    delta = obj(type="response.output_text.delta", delta="hi")
    return chat(delta), chat(obj(type="response.completed", response=response), usage=obj(**responses_raw(c)))


EVERYTHING = {"read", "write", "write_1h", "thought"}
NO_HOURS = EVERYTHING - {"write_1h"}
SHAPES = {
    "LangChain openai chat": (lambda c: through_langchain(_create_usage_metadata(openai_raw(c))), NO_HOURS),
    "LangChain openai flex": (
        lambda c: through_langchain(_create_usage_metadata(openai_raw(c), "flex")), NO_HOURS,
    ),
    "LangChain openai responses": (
        lambda c: through_langchain(_create_usage_metadata_responses(responses_raw(c), "priority")),
        NO_HOURS,
    ),
    "LangChain openai llm_output": (lambda c: token_usage_only({"token_usage": openai_raw(c)}), NO_HOURS),
    "LangChain anthropic": (lambda c: through_langchain(lc_anthropic(c)), EVERYTHING),
    "LangChain anthropic stream": (lambda c: through_langchain(lc_anthropic(c), chunked=True), EVERYTHING),
    "LangChain anthropic llm_output": (lambda c: token_usage_only({"usage": anthropic_raw(c)}), EVERYTHING),
    "LangChain bedrock": (lambda c: through_langchain(lc_bedrock(c)), EVERYTHING),
    "LangChain gemini": (lambda c: through_langchain(lc_gemini(c)), {"read", "thought"}),
    "LangChain vertex": (lambda c: through_langchain(lc_vertex(c)), {"read", "thought"}),
    "LangChain mistral": (lambda c: through_langchain(lc_plain(c)), set()),
    "LangChain cohere": (lambda c: through_langchain(lc_plain(c)), set()),
    "LlamaIndex openai": (lambda c: through_llama_index(chat(obj(usage=openai_raw(c)))), NO_HOURS),
    "LlamaIndex openai responses": (
        lambda c: through_llama_index(chat(obj(id="r", usage=responses_raw(c)))), NO_HOURS,
    ),
    "LlamaIndex openai responses stream": (lambda c: through_llama_index(*li_responses_stream(c)), NO_HOURS),
    "LlamaIndex anthropic": (lambda c: through_llama_index(chat({"usage": obj(**anthropic_raw(c))})), EVERYTHING),
    "LlamaIndex anthropic stream": (lambda c: through_llama_index(*li_anthropic_stream(c)), EVERYTHING),
    "LlamaIndex anthropic sparse stream": (lambda c: through_llama_index(*li_anthropic_sparse(c)), EVERYTHING),
    "LlamaIndex bedrock": (lambda c: through_llama_index(chat({"usage": bedrock_raw(c)})), EVERYTHING - {"thought"}),
    "LlamaIndex bedrock stream": (lambda c: through_llama_index(*li_bedrock_stream(c)), EVERYTHING - {"thought"}),
    "LlamaIndex gemini": (
        lambda c: through_llama_index(chat({"usage_metadata": gemini_raw(c)}, prompt_tokens=c.input)),
        {"read", "thought"},
    ),
    "LlamaIndex gemini stream": (lambda c: through_llama_index(*li_gemini_stream(c)), {"read", "thought"}),
    "LlamaIndex vertex": (
        lambda c: through_llama_index(chat({"_raw_response": obj(usage_metadata=obj(**gemini_raw(c)))})),
        {"read", "thought"},
    ),
    "LlamaIndex mistral": (lambda c: through_llama_index(chat({"usage": obj(**mistral_raw(c))})), {"read"}),
    "LlamaIndex mistral stream": (
        lambda c: through_llama_index(chat(obj(data={"choices": [], "usage": mistral_raw(c)}))), {"read"},
    ),
    "LlamaIndex cohere": (lambda c: through_llama_index(chat({"meta": obj(**cohere_raw(c))})), set()),
    "LlamaIndex cohere completion": (
        lambda c: through_llama_index(CompletionResponse(text="hi", raw={"meta": cohere_raw(c)})), set(),
    ),
}  # fmt: skip

count = st.integers(0, 10**6)
calls = st.builds(Call, st.integers(1, 10**6), count, count, count, st.integers(1, 10**6), count)


@pytest.mark.parametrize("shape", SHAPES)
@settings(max_examples=40)
@given(call=calls)
def test_no_token_is_lost_or_counted_twice(shape, call):
    read, told = SHAPES[shape]
    usage = read(call)
    assert (usage.input_tokens, usage.output_tokens) == (call.input, call.output)
    assert usage.total_tokens == call.total
    for part, name in (
        ("read", "cache_read"),
        ("write", "cache_write"),
        ("write_1h", "cache_write_1h"),
        ("thought", "reasoning"),
    ):
        said = getattr(usage, f"{name}_tokens")
        if part in told:
            assert (said or 0) == getattr(call, part), part
        else:
            assert not said, part


@pytest.mark.parametrize("shape", SHAPES)
@settings(max_examples=40)
@given(call=calls)
def test_both_views_add_up(shape, call):
    read, told = SHAPES[shape]
    usage = read(call)
    buckets, view = usage.disjoint(), usage.inclusive()
    assert sum(buckets.values()) == call.total
    assert buckets["input"] == call.input - sum(getattr(call, p) for p in ("read", "write") if p in told)
    assert buckets["output"] == call.output - (call.thought if "thought" in told else 0)
    assert view["input_tokens"] + view["output_tokens"] == call.total
    assert view.get("cache_read_tokens", 0) + view.get("cache_write_tokens", 0) <= view["input_tokens"]
    assert view.get("reasoning_tokens", 0) <= view["output_tokens"]


def test_sound_and_pictures_are_subsets_too():
    raw = {
        "prompt_tokens": 100, "completion_tokens": 50,
        "prompt_tokens_details": {"audio_tokens": 30, "image_tokens": 20},
        "completion_tokens_details": {"audio_tokens": 10, "text_tokens": 40},
    }  # fmt: skip
    assert through_llama_index(chat(obj(usage=raw))) == Usage(
        100, 50, audio_input_tokens=30, image_input_tokens=20, audio_output_tokens=10, text_output_tokens=40
    )
    gemini = {
        "prompt_token_count": 300, "candidates_token_count": 10,
        "prompt_tokens_details": [{"modality": "AUDIO", "token_count": 200}, {"modality": "TEXT", "token_count": 100}],
    }  # fmt: skip
    read = through_llama_index(chat({"usage_metadata": gemini}))
    assert (read.audio_input_tokens, read.text_input_tokens) == (200, 100)
    spoken = metadata(Call(60, 0, 0, 0, 40, 0), {"audio": 30}, {"audio": 10})
    assert through_langchain(spoken) == Usage(60, 40, audio_input_tokens=30, audio_output_tokens=10)


def test_the_service_tier_is_read():
    step = Step("r", Kind.LLM, "m")
    message = AIMessage(content="hi", response_metadata={"service_tier": "flex", "model_name": "gpt-5"})
    note_result(step, LLMResult(generations=[[ChatGeneration(message=message)]]))
    assert step.service_tier == "flex"
    step = Step("r", Kind.LLM, "m")
    models.read(step, chat(obj(model="gpt-5", service_tier="priority", usage=responses_raw(Call(1, 0, 0, 0, 1, 0)))))
    assert step.service_tier == "priority"
