"""LangChain's retrieved documents as the neutral record. Runs on the worker."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from langchain_core.documents import Document as LangChainDocument
from spanloom.content.plain import plain
from spanloom.step import Document

from .values import convert


def documents_of(held: Iterable[tuple[Any, Mapping[Any, Any]]]) -> tuple[Document, ...]:
    """Retrieved documents, each with the metadata that it had then.

    The score is what retrievers leave in the metadata: LangChain has no field for it.
    """
    return tuple([_document(document, metadata) for document, metadata in held])


def _document(item: Any, metadata: Mapping[Any, Any]) -> Document:
    if not isinstance(item, LangChainDocument):
        return Document(content=str(plain(item, convert)))
    score = next((metadata[k] for k in ("score", "relevance_score", "_score") if k in metadata), None)
    known = metadata.get("id") or metadata.get("_id") or metadata.get("doc_id")
    number = isinstance(score, (int, float)) or hasattr(score, "__float__")
    return Document(
        item.page_content,
        item.id or (str(known) if known is not None else None),
        float(score) if number else None,  # type: ignore[arg-type]
        metadata,
    )
