"""Embeddings, which LangChain reports through no callback: a wrapper whose calls are steps."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Any

from langchain_core.embeddings import Embeddings
from spanloom.current import CurrentStep
from spanloom.errors import ConfigurationError
from spanloom.guard import GUARD
from spanloom.providers import provider_name
from spanloom.setup import Loom, checked_loom, current_loom
from spanloom.step import Kind, Outcome, Step

from .outcomes import outcome_of
from .runs import running_run


def trace_embeddings(embeddings: Embeddings, loom: Loom | None = None) -> Embeddings:
    """`embeddings` with every call a step under the current one: count, dimension and model, never the vectors.

    The result is an `Embeddings` too, and passes every other attribute through. Wrapping twice wraps once. Without
    `loom` it follows the last `configure()`. Raises `ConfigurationError` for what cannot embed.
    """
    if isinstance(embeddings, _Traced):
        return embeddings
    if isinstance(embeddings, type) or not callable(getattr(embeddings, "embed_query", None)):
        raise ConfigurationError(
            f"trace_embeddings() got {embeddings!r}: pass embeddings of LangChain, such as OpenAIEmbeddings()."
        )
    return _Traced(embeddings, checked_loom(loom, "trace_embeddings(loom=…)"))


class _Traced(Embeddings):
    def __init__(self, inner: Embeddings, loom: Loom | None) -> None:
        self._inner, self._loom = inner, loom

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        with _Call(self, "embed_documents", len(texts)) as call:
            return call.answer(self._inner.embed_documents(texts))

    def embed_query(self, text: str) -> list[float]:
        with _Call(self, "embed_query", 1) as call:
            return call.answer([self._inner.embed_query(text)])[0]

    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        with _Call(self, "aembed_documents", len(texts)) as call:
            return call.answer(await self._inner.aembed_documents(texts))

    async def aembed_query(self, text: str) -> list[float]:
        with _Call(self, "aembed_query", 1) as call:
            return call.answer([await self._inner.aembed_query(text)])[0]


class _Call:
    """One call as a step, current inside the call."""

    def __init__(self, traced: _Traced, method: str, size: int) -> None:
        self.step: Step | None = None
        with GUARD.watching("spanloom_langchain.embeddings"):
            self.loom = traced._loom or current_loom()
            inner = traced._inner
            name = type(inner).__name__
            step = Step(object(), Kind.EMBEDDING, f"{name}.{method}", embedding_count=size)
            model = getattr(inner, "model", None) or getattr(inner, "model_name", None)
            step.request_model = model if isinstance(model, str) else None
            step.provider = provider_name(name.removesuffix("Embeddings")) if name.endswith("Embeddings") else None
            if self.loom is not None:
                self.step = self.loom.recorder.open(step)

    def __enter__(self) -> _Call:
        if self.step is not None and self.loom is not None:
            with GUARD.watching("spanloom_langchain.embeddings"):
                recorder = self.loom.recorder
                self.current = CurrentStep(running_run, recorder.span_of, lambda: not recorder.active)
                self.current.enter(self.step, leaf=True)
        return self

    def answer(self, vectors: list[list[float]]) -> list[list[float]]:
        if self.step is not None and vectors:
            with GUARD.watching("spanloom_langchain.embeddings"):
                self.step.embedding_dimension = len(vectors[0]) if isinstance(vectors[0], Sequence) else None
        return vectors

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.step is None or self.loom is None:
            return
        with GUARD.watching("spanloom_langchain.embeddings"):
            self.current.leave(self.step)
            outcome = Outcome.OK if error is None else outcome_of(error)
            self.loom.recorder.close(self.step.run_id, outcome, error=error if outcome is Outcome.ERROR else None)
