"""A lexical search engine with a cache in front of it. Any application might have one; nothing here knows Spanloom."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import bm25s
from corpus import Passage

_HOUSEKEEPING_SECONDS = 0.4


class Search:
    """BM25 over `passages`, with answers kept in the SQLite file `cache`.

    `bm25s` does the ranking: well kept (0.3.16 is of October 2026), and it needs nothing but NumPy.

    On the first lookup the cache is slow, once and for a reason that happens: its housekeeping runs, which locks the
    file for about 400 ms, and the lookup waits for the lock. This is what the trace is to show: the time is lost in
    the cache, under the retriever, not in the model.
    """

    def __init__(self, passages: Sequence[Passage], cache: Path) -> None:
        self._passages = passages
        self._index = bm25s.BM25()
        self._index.index(_tokens([f"{p.source} {p.text}" for p in passages]), show_progress=False)
        self._cache, self._clean = cache, False
        self._lock = threading.Lock()
        # Named at run time, for instrumentations patch this name. The agents call from several threads, under the lock.
        self._db = sqlite3.connect(cache, timeout=5, isolation_level=None, check_same_thread=False)
        self._db.execute("CREATE TABLE IF NOT EXISTS answers (query TEXT PRIMARY KEY, hits TEXT, at REAL)")

    def __call__(self, query: str, k: int = 4) -> list[tuple[Passage, float]]:
        """The `k` best passages with their BM25 scores, best first; those without a word in common are left out."""
        with self._lock:
            if not self._clean:
                self._clean = True
                self._keep_house()
            cursor = self._db.cursor()
            cursor.execute("SELECT hits FROM answers WHERE query = ?", (query,))
            if (row := cursor.fetchone()) is not None:
                return [(Passage(source, text), score) for source, text, score in json.loads(row[0])]
            hits = self._rank(query, k)
            kept = json.dumps([(p.source, p.text, score) for p, score in hits])
            cursor.execute("INSERT OR REPLACE INTO answers VALUES (?, ?, ?)", (query, kept, time.time()))
            return hits

    def _rank(self, query: str, k: int) -> list[tuple[Passage, float]]:
        found, scores = self._index.retrieve(_tokens([query]), k=min(k, len(self._passages)), show_progress=False)
        return [(self._passages[int(i)], float(s)) for i, s in zip(found[0], scores[0], strict=True) if s > 0]

    def _keep_house(self) -> None:
        """Drop old answers on another thread, which holds the file's lock meanwhile. Returns when the lock is held."""
        held = threading.Event()

        def run() -> None:
            db = sqlite3.Connection(self._cache, isolation_level=None)
            db.execute("BEGIN EXCLUSIVE")
            held.set()
            db.execute("DELETE FROM answers WHERE at < ?", (time.time() - 3600,))
            time.sleep(_HOUSEKEEPING_SECONDS)
            db.execute("COMMIT")
            db.close()

        threading.Thread(target=run, daemon=True).start()
        held.wait()


def _tokens(texts: list[str]) -> Any:
    return bm25s.tokenize(texts, stemmer=lambda words: [w.removesuffix("s") for w in words], show_progress=False)
