"""Models, retrievers and tools without a network, and a span of "another library"."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import Any

from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    CompletionResponse,
    LLMMetadata,
    TextBlock,
    ToolCallBlock,
)
from llama_index.core.bridge.pydantic import Field, PrivateAttr
from llama_index.core.embeddings import MockEmbedding
from llama_index.core.llms.callbacks import llm_chat_callback, llm_completion_callback
from llama_index.core.llms.custom import CustomLLM
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.llms.llm import ToolSelection
from llama_index.core.retrievers import BaseRetriever
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode
from opentelemetry import trace


def probe(name: str = "probe") -> AbstractContextManager[trace.Span]:
    """The span that an instrumented client of another library would open."""
    return trace.get_tracer("another-library").start_as_current_span(name)


def says(text: str = "", **tools: dict[str, Any]) -> dict[str, Any]:
    """One answer of the model: a text, or calls of tools by name."""
    return {"text": text, "tools": tools}


def raw(said: dict[str, Any]) -> dict[str, Any]:
    """The provider's own object, in OpenAI's shape."""
    return {
        "id": "resp-1",
        "model": "fake-1-0601",
        "choices": [{"finish_reason": "tool_calls" if said["tools"] else "stop"}],
        "usage": {
            "prompt_tokens": 100,
            "completion_tokens": 20,
            "prompt_tokens_details": {"cached_tokens": 30},
            "completion_tokens_details": {"reasoning_tokens": 5},
        },
    }


class FakeLLM(FunctionCallingLLM):
    """Says what it is told to, in order; the last answer repeats."""

    model: str = "fake-1"
    temperature: float = 0.3
    max_tokens: int = 256
    answers: list[dict[str, Any]] = Field(default_factory=lambda: [says("one two three")])
    breaks_after: int = -1  # pieces of a stream
    error: Any = None
    wait: Any = None  # an asyncio.Event that async calls wait for
    _said: int = PrivateAttr(default=0)
    _lock: Any = PrivateAttr(default_factory=threading.Lock)

    @property
    def metadata(self) -> LLMMetadata:
        return LLMMetadata(is_function_calling_model=True, is_chat_model=True, model_name=self.model)

    def _next(self) -> dict[str, Any]:
        if self.error is not None:
            raise self.error
        with self._lock:
            self._said += 1
            return self.answers[min(self._said, len(self.answers)) - 1]

    def _message(self, said: dict[str, Any], text: str) -> ChatMessage:
        calls = [
            ToolCallBlock(tool_call_id=f"call-{name}", tool_name=name, tool_kwargs=arguments)
            for name, arguments in said["tools"].items()
        ]
        return ChatMessage(role="assistant", blocks=[TextBlock(text=text), *calls])

    def _whole(self, said: dict[str, Any]) -> ChatResponse:
        return ChatResponse(message=self._message(said, said["text"]), raw=raw(said))

    def _pieces(self, said: dict[str, Any]) -> Iterable[ChatResponse]:
        words = said["text"].split(" ")
        for n, word in enumerate(words):
            if n == self.breaks_after:
                raise ConnectionError("the stream broke")
            delta = word if n == 0 else f" {word}"
            text = " ".join(words[: n + 1])
            if n + 1 == len(words):
                yield ChatResponse(message=self._message(said, text), delta=delta, raw=raw(said))
            else:
                yield ChatResponse(message=ChatMessage(role="assistant", content=text), delta=delta, raw=None)

    @llm_chat_callback()
    def chat(self, messages: Any, **kwargs: Any) -> ChatResponse:
        return self._whole(self._next())

    @llm_chat_callback()
    async def achat(self, messages: Any, **kwargs: Any) -> ChatResponse:
        if self.wait is not None:
            await self.wait.wait()
        return self._whole(self._next())

    @llm_chat_callback()
    def stream_chat(self, messages: Any, **kwargs: Any) -> Any:
        said = self._next()

        def stream() -> Any:
            yield from self._pieces(said)

        return stream()

    @llm_chat_callback()
    async def astream_chat(self, messages: Any, **kwargs: Any) -> Any:
        said = self._next()

        async def stream() -> Any:
            for piece in self._pieces(said):
                await asyncio.sleep(0)
                if self.wait is not None:
                    await self.wait.wait()
                yield piece

        return stream()

    @llm_completion_callback()
    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        said = self._next()
        return CompletionResponse(text=said["text"], raw=raw(said))

    @llm_completion_callback()
    async def acomplete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        said = self._next()
        return CompletionResponse(text=said["text"], raw=raw(said))

    @llm_completion_callback()
    def stream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> Any:
        said = self._next()
        return (CompletionResponse(text=str(p.message.content), delta=p.delta, raw=p.raw) for p in self._pieces(said))

    @llm_completion_callback()
    async def astream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> Any:
        said = self._next()

        async def stream() -> Any:
            for p in self._pieces(said):
                yield CompletionResponse(text=str(p.message.content), delta=p.delta, raw=p.raw)

        return stream()

    def _prepare_chat_with_tools(
        self, tools: Any, user_msg: Any = None, chat_history: Any = None, **kwargs: Any
    ) -> dict[str, Any]:
        messages = list(chat_history or [])
        if user_msg is not None:
            messages.append(ChatMessage(user_msg) if isinstance(user_msg, str) else user_msg)
        return {"messages": messages, "tools": [t.metadata.to_openai_tool() for t in tools]}

    def get_tool_calls_from_response(self, response: Any, error_on_no_tool_call: bool = True, **kwargs: Any) -> Any:
        return [
            ToolSelection(tool_id=b.tool_call_id, tool_name=b.tool_name, tool_kwargs=b.tool_kwargs)
            for b in response.message.blocks
            if isinstance(b, ToolCallBlock)
        ]


class Completing(CustomLLM):
    """A string model: `CustomLLM` answers chats through it."""

    model: str = "completing-1"

    @property
    def metadata(self) -> LLMMetadata:
        return LLMMetadata(model_name=self.model)

    @llm_completion_callback()
    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        return CompletionResponse(text="one two", raw=raw(says("one two")))

    @llm_completion_callback()
    def stream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> Any:
        def stream() -> Any:
            yield CompletionResponse(text="one", delta="one")
            yield CompletionResponse(text="one two", delta=" two", raw=raw(says("one two")))

        return stream()


class Shelf(BaseRetriever):
    """Two documents for any question; another library's span inside."""

    def __init__(self, error: Exception | None = None, wait: asyncio.Event | None = None) -> None:
        super().__init__()
        self.error, self.wait = error, wait

    def _found(self) -> list[NodeWithScore]:
        if self.error is not None:
            raise self.error
        return [
            NodeWithScore(node=TextNode(text=f"text {i}", id_=f"n{i}", metadata={"page": i}), score=0.9 - i / 10)
            for i in range(2)
        ]

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        with probe():
            return self._found()

    async def _aretrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        with probe():
            if self.wait is not None:
                await self.wait.wait()
            await asyncio.sleep(0)
            return self._found()


def embedding(**settings: Any) -> MockEmbedding:
    return MockEmbedding(embed_dim=4, **settings)


def add(a: int, b: int) -> int:
    """Add two numbers."""
    with probe():
        return a + b


def fail(a: int) -> int:
    """Always fails."""
    raise ValueError("no such number")
