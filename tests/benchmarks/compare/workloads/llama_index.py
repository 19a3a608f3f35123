"""LlamaIndex: a query engine over a vector store, whole and as a stream."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

from llama_index.core import VectorStoreIndex
from llama_index.core.base.llms.types import ChatMessage, ChatResponse, CompletionResponse, LLMMetadata
from llama_index.core.embeddings import BaseEmbedding
from llama_index.core.llms.callbacks import llm_chat_callback, llm_completion_callback
from llama_index.core.llms.llm import LLM
from llama_index.core.schema import TextNode

from .. import corpus
from . import CHUNKS

_DIMENSION = 32


def _raw(out: int) -> dict[str, Any]:
    return {
        "id": "chatcmpl-1",
        "model": "gpt-4o-mini-2024-07-18",
        "choices": [{"finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1040, "completion_tokens": out, "total_tokens": 1040 + out},
    }


class Model(LLM):
    """A chat model that answers at once; where it streams, in `pieces` pieces."""

    model: str = "gpt-4o-mini"
    temperature: float = 0.2
    pieces: int = CHUNKS

    @property
    def metadata(self) -> LLMMetadata:
        return LLMMetadata(is_chat_model=True, model_name=self.model, context_window=128_000)

    def _number(self, messages: Any) -> int:
        text = messages[-1].content
        return int(text[text.rindex("My order is number ") + 19 :].split(".")[0]) - 100_000

    @llm_chat_callback()
    def chat(self, messages: Any, **kwargs: Any) -> ChatResponse:
        said = corpus.answer(self._number(messages))
        return ChatResponse(message=ChatMessage(role="assistant", content=said), raw=_raw(72))

    @llm_chat_callback()
    def stream_chat(self, messages: Any, **kwargs: Any) -> Any:
        words = corpus.long_answer(self._number(messages), CHUNKS)
        pieces = words if self.pieces > 1 else ["".join(words)]

        def stream() -> Iterator[ChatResponse]:
            text = ""
            for n, piece in enumerate(pieces, 1):
                text += piece
                message = ChatMessage(role="assistant", content=text)
                yield ChatResponse(message=message, delta=piece, raw=_raw(len(words)) if n == len(pieces) else None)

        return stream()

    @llm_chat_callback()
    async def achat(self, messages: Any, **kwargs: Any) -> ChatResponse:
        raise NotImplementedError

    @llm_chat_callback()
    async def astream_chat(self, messages: Any, **kwargs: Any) -> Any:
        raise NotImplementedError

    @llm_completion_callback()
    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        raise NotImplementedError

    @llm_completion_callback()
    def stream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> Any:
        raise NotImplementedError

    @llm_completion_callback()
    async def acomplete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        raise NotImplementedError

    @llm_completion_callback()
    async def astream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> Any:
        raise NotImplementedError


class Embedding(BaseEmbedding):
    """A point of its own for each text, so that other questions find other documents."""

    model_name: str = "text-embedding-3-small"

    def _point(self, text: str) -> list[float]:
        chance = random.Random(text)
        return [chance.uniform(-1, 1) for _ in range(_DIMENSION)]

    def _get_query_embedding(self, query: str) -> list[float]:
        return self._point(query)

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return self._point(query)

    def _get_text_embedding(self, text: str) -> list[float]:
        return self._point(text)


def build() -> dict[str, Any]:
    nodes = [TextNode(text=text, id_=id_, metadata={"source": f"{id_}.md"}) for id_, text in corpus.whole()]
    index = VectorStoreIndex(nodes, embed_model=Embedding())

    def engine(**settings: Any) -> Any:
        return index.as_query_engine(similarity_top_k=corpus.PICKED, **settings)

    whole = engine(llm=Model())
    streams = {pieces: engine(llm=Model(pieces=pieces), streaming=True) for pieces in (CHUNKS, 1)}

    def stream(pieces: int) -> Any:
        def run(number: int, config: Any) -> None:
            for _ in streams[pieces].query(corpus.question(number)).response_gen:
                pass

        return run

    return {
        "w4": lambda number, config: whole.query(corpus.question(number)),
        "w5": stream(CHUNKS),
        "w5-whole": stream(1),
    }
