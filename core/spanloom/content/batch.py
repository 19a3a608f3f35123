"""What a worker has read and decided of the spans that it copies at a time, so that it does each thing once.

The messages of a graph's state stand in the input and the output of every step of it, and the documents of a retriever
in its step's, in the chain's and in the prompt's. While a batch is copied they are the same objects.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

Known = dict[int, tuple[Any, ...]]
"""By the id of a value: the value itself first, which stays alive, and so its id its own; then what came of it."""


class Labels(Protocol):
    """What numbers the values of a trace: `redaction.Placeholders`."""

    def label(self, trace_id: int, kind: str, value: str) -> str: ...


class Redacted:
    """What one redactor has left of texts and of objects in one trace, and the `labels` that it was given."""

    __slots__ = ("_labels", "_said", "objects", "texts")

    def __init__(self, labels: Labels) -> None:
        self.texts: dict[str, str] = {}
        self.objects: Known = {}
        self._labels = labels
        self._said: dict[tuple[str, str], str] = {}

    def label(self, trace_id: int, kind: str, value: str) -> str:
        said = self._said.get((kind, value))
        if said is None:
            said = self._said[kind, value] = self._labels.label(trace_id, kind, value)
        return said


class Batch:
    """What came of the values of one batch. Nothing in it is changed by anybody."""

    __slots__ = ("_read", "_redacted", "_shown", "costs", "written")

    def __init__(self) -> None:
        self._read: dict[Any, Known] = {}
        self._shown: dict[Any, Known] = {}
        self._redacted: dict[Any, Redacted] = {}
        self.written: Known = {}  # the JSON, and its bytes
        self.costs: Known = {}

    def read(self, *way: Any) -> Known:
        """What was read in one `way`: by which adapter, and with marks or without."""
        known = self._read.get(way)
        if known is None:
            known = self._read[way] = {}
        return known

    def shown(self, policy: Any, trace_id: int) -> Known:
        """What `policy` leaves of objects with marks, in that trace."""
        known = self._shown.get((policy, trace_id))
        if known is None:
            known = self._shown[policy, trace_id] = {}
        return known

    def redacted(self, redactor: Any, trace_id: int, labels: Labels) -> Redacted:
        known = self._redacted.get((id(redactor), trace_id))
        if known is None:
            known = self._redacted[id(redactor), trace_id] = Redacted(labels)
        return known


class _Copying(threading.local):
    batch: Batch | None = None


COPYING = _Copying()
"""The batch that this thread is at; None between batches."""


@contextmanager
def together() -> Iterator[None]:
    """Read and redact each object once inside the block, which holds them until its end."""
    COPYING.batch = Batch()
    try:
        yield
    finally:
        COPYING.batch = None
