"""Fake models, retrievers and tools: scripted, offline, and with a span of "another library" inside each body."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractContextManager
from typing import Any

from langchain_core.documents import Document
from langchain_core.language_models import LLM, BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult, GenerationChunk
from langchain_core.retrievers import BaseRetriever
from langchain_core.tools import tool
from opentelemetry import trace
from pydantic import Field, PrivateAttr


def probe(name: str = "probe") -> AbstractContextManager[Any]:
    """The span that an instrumented Redis or HTTP client would open."""
    return trace.get_tracer("probe").start_as_current_span(name)


USAGE = {
    "input_tokens": 20,
    "output_tokens": 5,
    "total_tokens": 25,
    "input_token_details": {"cache_read": 8},
    "output_token_details": {"reasoning": 1},
}


class Chat(BaseChatModel):
    """Answers with `answers` in turn (the last one repeats), word by word where it streams."""

    answers: list[AIMessage] = Field(default_factory=lambda: [AIMessage("one two three")])
    model_name: str = "fake-1"
    probe_name: str | None = None
    error: Any = None
    fails: int = 0
    delay: float = 0.0
    gate: Any = None  # an asyncio.Event that the async body waits for
    _turn: int = PrivateAttr(default=0)
    _lock: Any = PrivateAttr(default_factory=threading.Lock)

    @property
    def _llm_type(self) -> str:
        return "fake"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {"model_name": self.model_name}

    def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
        return self.bind(tools=[getattr(t, "name", str(t)) for t in tools])

    def _next(self) -> AIMessage:
        if self.probe_name:
            with probe(self.probe_name):
                pass
        with self._lock:
            turn = self._turn
            self._turn += 1
        if turn < self.fails or self.error is not None:
            raise self.error or ConnectionError("503")
        answer = self.answers[min(turn - self.fails, len(self.answers) - 1)]
        metadata = {"model_name": "fake-1-0601", "finish_reason": "tool_calls" if answer.tool_calls else "stop"}
        return answer.model_copy(update={"usage_metadata": USAGE, "response_metadata": metadata, "id": None})

    def _generate(
        self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **kw: Any
    ) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=self._next())])

    async def _agenerate(
        self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **kw: Any
    ) -> ChatResult:
        if self.gate is not None:
            await self.gate.wait()
        await asyncio.sleep(0)
        return ChatResult(generations=[ChatGeneration(message=self._next())])

    def _chunks(self) -> Iterator[ChatGenerationChunk]:
        answer = self._next()
        words = str(answer.content).split(" ")
        for n, word in enumerate(words):
            yield ChatGenerationChunk(message=AIMessageChunk(word if n == 0 else f" {word}"))
        last = AIMessageChunk(
            "", usage_metadata=answer.usage_metadata, response_metadata=answer.response_metadata,
            tool_call_chunks=[
                {"name": c["name"], "args": json.dumps(c["args"]), "id": c["id"], "index": n, "type": "tool_call_chunk"}
                for n, c in enumerate(answer.tool_calls)
            ],
        )  # fmt: skip
        yield ChatGenerationChunk(message=last)

    def _stream(
        self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **kw: Any
    ) -> Iterator[ChatGenerationChunk]:
        yield from self._chunks()

    async def _astream(
        self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **kw: Any
    ) -> AsyncIterator[ChatGenerationChunk]:
        for chunk in self._chunks():
            if self.gate is not None:
                await self.gate.wait()
            await asyncio.sleep(0)
            yield chunk


class Words(LLM):
    """A string model."""

    probe_name: str | None = None

    @property
    def _llm_type(self) -> str:
        return "words"

    def _call(self, prompt: str, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> str:
        if self.probe_name:
            with probe(self.probe_name):
                pass
        return f"answer to {prompt}"

    def _stream(self, prompt: str, stop: Any = None, run_manager: Any = None, **kw: Any) -> Iterator[GenerationChunk]:
        for word in ("an", "swer"):
            if run_manager is not None:
                run_manager.on_llm_new_token(word, chunk=GenerationChunk(text=word))
            yield GenerationChunk(text=word)


class Shelf(BaseRetriever):
    """Two documents for every query, after a look into a "cache"."""

    error: Any = None
    gate: Any = None

    def _get_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
        with probe("redis"):
            if self.error is not None:
                raise self.error
        return [
            Document(f"{query} {n}", id=f"d{n}", metadata={"source": f"s{n}", "score": 0.9 - n / 10}) for n in (0, 1)
        ]

    async def _aget_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
        if self.gate is not None:
            await self.gate.wait()
        await asyncio.sleep(0)
        return self._get_relevant_documents(query, run_manager=run_manager)


@tool
def search(q: str) -> str:
    """Search the shelf."""
    with probe("redis"):
        return f"found {q}"


@tool
async def weather(city: str) -> str:
    """Tell the weather."""
    with probe("http"):
        await asyncio.sleep(0)
        return f"sunny in {city}"


@tool
def broken(q: str) -> str:
    """Fail, always."""
    raise ValueError(f"no {q}")


def call(name: str, n: int = 0, **args: Any) -> AIMessage:
    """An answer that asks for one tool."""
    return AIMessage("", tool_calls=[{"name": name, "args": args, "id": f"call_{n}_{name}"}])
