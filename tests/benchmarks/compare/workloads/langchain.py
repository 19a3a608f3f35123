"""LangChain and LangGraph: a RAG chain, an agent, a stream."""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Iterator
from typing import Any

from langchain_core.documents import Document
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableLambda, RunnablePassthrough
from langchain_core.tools import tool

from .. import corpus
from . import CHUNKS

_SYSTEM = "You answer customers of a shop. Use the context and nothing else.\n\n{context}"
_SAID = {"model_name": "gpt-4o-mini-2024-07-18", "finish_reason": "stop", "model_provider": "openai"}
_ASKED = {**_SAID, "finish_reason": "tool_calls"}


def _usage(out: int) -> dict[str, Any]:
    return {"input_tokens": 1040, "output_tokens": out, "total_tokens": 1040 + out}


class Model(BaseChatModel):
    """Answers at once, by a number that it finds in the last question."""

    model_name: str = "gpt-4o-mini"

    @property
    def _llm_type(self) -> str:
        return "openai-chat"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {"model_name": self.model_name}

    def _get_ls_params(self, stop: Any = None, **kwargs: Any) -> Any:
        return {
            "ls_provider": "openai",
            "ls_model_name": self.model_name,
            "ls_model_type": "chat",
            "ls_temperature": 0.2,
        }

    def _answer(self, messages: list[BaseMessage]) -> AIMessage:
        said = corpus.answer(number_in(messages))
        return AIMessage(said, usage_metadata=_usage(72), response_metadata=_SAID)

    def _generate(self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **_: Any) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=self._answer(messages))])

    async def _agenerate(
        self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **_: Any
    ) -> ChatResult:
        await asyncio.sleep(0)
        return ChatResult(generations=[ChatGeneration(message=self._answer(messages))])


class Streaming(Model):
    """The same, in `chunks` chunks of one word, or in one chunk of all words."""

    chunks: int = CHUNKS

    def _stream(
        self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **_: Any
    ) -> Iterator[ChatGenerationChunk]:
        words = corpus.long_answer(number_in(messages), CHUNKS)
        pieces = words if self.chunks > 1 else ["".join(words)]
        for piece in pieces[:-1]:
            yield ChatGenerationChunk(message=AIMessageChunk(piece))
        last = AIMessageChunk(pieces[-1], usage_metadata=_usage(len(words)), response_metadata=_SAID)
        yield ChatGenerationChunk(message=last)


class Agent(Model):
    """Asks for one tool after the other, then answers."""

    def bind_tools(self, tools: Any, **_: Any) -> Any:
        return self

    def _answer(self, messages: list[BaseMessage]) -> AIMessage:
        done = sum(message.type == "tool" for message in messages)
        if done == len(TOOLS):
            return super()._answer(messages)
        number = number_in(messages)
        call = {"name": TOOLS[done].name, "args": {"order": f"{100_000 + number}"}, "id": f"call_{number}_{done}"}
        return AIMessage("", tool_calls=[call], usage_metadata=_usage(18), response_metadata=_ASKED)


class Store(BaseRetriever):
    """Five documents of 800 characters for a question."""

    def _get_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
        return [
            Document(text, id=id_, metadata={"source": f"{id_}.md", "score": 0.91 - n / 20})
            for n, (id_, text) in enumerate(corpus.paragraphs(query))
        ]

    async def _aget_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
        await asyncio.sleep(0)
        return self._get_relevant_documents(query, run_manager=run_manager)


@tool
def find_order(order: str) -> str:
    """Find an order by its number."""
    return f"Order {order}: two items, paid by card, handed to the carrier."


@tool
def track_parcel(order: str) -> str:
    """Where the parcel of an order is."""
    return corpus.paragraphs(f"parcel of {order}.")[0][1]


@tool
def search_help(order: str) -> str:
    """What the help pages say on such an order."""
    return "\n\n".join(text for _, text in corpus.paragraphs(f"help on {order}.")[:2])


TOOLS = [find_order, track_parcel, search_help]


def number_in(messages: list[BaseMessage]) -> int:
    """The number of the run, from the last question among `messages`."""
    asked = next(m for m in reversed(messages) if m.type == "human")
    return int(asked.content.rstrip(".").rpartition(" ")[2]) - 100_000


def _joined(documents: list[Document]) -> str:
    return "\n\n".join(d.page_content for d in documents)


async def _ajoined(documents: list[Document]) -> str:
    return _joined(documents)


def _tidied(text: str) -> str:
    return text.strip()


async def _atidied(text: str) -> str:
    return _tidied(text)


def chain() -> Any:
    """Ten spans: sequence, parallel, sequence, retriever, join, question, prompt, model, parser, tidying."""
    prompt = ChatPromptTemplate.from_messages([("system", _SYSTEM), ("user", "{question}")])
    context = Store() | RunnableLambda(_joined, _ajoined, name="join")
    given = {"context": context, "question": RunnablePassthrough()}
    return given | prompt | Model() | StrOutputParser() | RunnableLambda(_tidied, _atidied, name="tidy")


@functools.cache
def agent() -> Any:
    """Fifteen spans: the agent, four turns of its model, three calls of its tools. Made when it is asked first."""
    from langchain.agents import create_agent

    return create_agent(Agent(), TOOLS, name="support_agent")


def build() -> dict[str, Any]:
    rag = chain()
    asked = ChatPromptTemplate.from_messages([("system", "You answer customers of a shop."), ("user", "{question}")])
    streams = {chunks: asked | Streaming(chunks=chunks) | StrOutputParser() for chunks in (CHUNKS, 1)}

    def stream(chunks: int) -> Any:
        def run(number: int, config: Any) -> None:
            for _ in streams[chunks].stream({"question": corpus.question(number)}, config):
                pass

        return run

    async def one(number: int, config: Any) -> float:
        began = time.perf_counter()
        await rag.ainvoke(corpus.question(number), config)
        return time.perf_counter() - began

    async def together(first: int, count: int, config: Any) -> list[float]:
        return await asyncio.gather(*(one(first + n, config) for n in range(count)))

    return {
        "w1": lambda number, config: rag.invoke(corpus.question(number), config),
        "w2": lambda number, config: agent().invoke({"messages": [("user", corpus.question(number))]}, config),
        "w3": stream(CHUNKS),
        "w3-whole": stream(1),
        "w6": together,
    }
