"""Writing the file, within bounds."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from . import scores
from .file import StoreError, connect, foreign, is_ours, lay_out, make_private, migrate, transaction
from .row import COLUMNS, LIGHT, Row

_PRUNED_AT_ONCE = 20  # one part in twenty of the traces
_INSERT = f"INSERT OR REPLACE INTO spans ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))})"  # noqa: S608


class Store:
    """One file, for writing. Makes it (readable by its owner alone) where there is none; `StoreError` where it cannot.

    Every write opens the file anew: a forked child must not inherit an open SQLite connection, and a file that was
    deleted meanwhile begins again. Several processes may write the same file.
    """

    def __init__(self, path: Path, *, max_traces: int, max_bytes: int) -> None:
        self.path, self._max_traces, self._max_bytes = path, max_traces, max_bytes
        with self._connection():
            pass

    def write(self, rows: Sequence[Row]) -> None:
        """Keep `rows` in one transaction, and forget the oldest traces beyond the bounds."""
        spans: dict[str, tuple[int, int]] = {}
        for row in rows:
            start, end = spans.get(row.trace_id, (row.start_ns, row.end_ns))
            spans[row.trace_id] = min(start, row.start_ns), max(end, row.end_ns)
        with self._connection() as db:
            with transaction(db):
                db.executemany(_INSERT, ([*_light(row), _json(row.record or {})] for row in rows))
                db.executemany(
                    "INSERT INTO traces (trace_id, start_ns, end_ns) VALUES (?, ?, ?) ON CONFLICT (trace_id) DO UPDATE "
                    "SET start_ns = min(start_ns, excluded.start_ns), end_ns = max(end_ns, excluded.end_ns)",
                    ((trace_id, *times) for trace_id, times in spans.items()),
                )
                pruned = self._prune(db)
            if pruned:
                _shrink(db)

    def write_scores(self, given: Sequence[Mapping[str, Any]]) -> None:
        """Keep scores, as `dialects.scores.neutral` gives them."""
        with self._connection() as db:
            with transaction(db):
                scores.make_table(db)
                scores.insert(db, given)
                pruned = self._prune(db)
            if pruned:
                _shrink(db)

    def _prune(self, db: sqlite3.Connection) -> bool:
        """Forget the traces that ended longest ago; before them the scores of traces that are not here. A trace that
        alone is too large loses its earliest spans."""
        pruned = False
        while True:
            (count,) = db.execute("SELECT count(*) FROM traces").fetchone()
            full = _used_bytes(db) > self._max_bytes
            if not full and count <= self._max_traces:
                return pruned
            if full and scores.has_table(db) and scores.forget_strays(db, alone=count <= 1):
                pruned = True
                continue
            if not count:
                return pruned
            pruned = True
            if count == 1:
                db.execute(
                    "DELETE FROM spans WHERE rowid IN "
                    "(SELECT rowid FROM spans ORDER BY end_ns LIMIT (SELECT (count(*) + 1) / 2 FROM spans))"
                )
                if not db.execute("SELECT 1 FROM spans LIMIT 1").fetchone():
                    db.execute("DELETE FROM traces")
            else:
                excess = max(count - self._max_traces, count // _PRUNED_AT_ONCE if count <= self._max_traces else 0, 1)
                oldest = db.execute("SELECT trace_id FROM traces ORDER BY end_ns LIMIT ?", (excess,)).fetchall()
                db.executemany("DELETE FROM spans WHERE trace_id = ?", oldest)
                db.executemany("DELETE FROM traces WHERE trace_id = ?", oldest)
                if scores.has_table(db):
                    scores.forget(db, oldest)

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        make_private(self.path)
        try:
            with closing(connect(str(self.path))) as db:
                if not is_ours(db, self.path):
                    lay_out(db, self.path)
                migrate(db)
                db.execute("PRAGMA synchronous = NORMAL")  # with WAL a crash of the machine costs the last batches only
                yield db
        except sqlite3.OperationalError as error:
            raise StoreError(f"{self.path} cannot be written: {error}.") from error
        except sqlite3.DatabaseError as error:
            raise StoreError(foreign(self.path)) from error


def _shrink(db: sqlite3.Connection) -> None:
    db.execute("PRAGMA incremental_vacuum").fetchall()


def _used_bytes(db: sqlite3.Connection) -> int:
    pages, free, size = (
        db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
    )
    return int((pages - free) * size)


def _light(row: Row) -> list[Any]:
    return [getattr(row, column) for column in LIGHT]


def _json(record: dict[str, Any]) -> str:
    """Records are JSON values; where one is not, after all, it must not cost the whole batch."""
    text = json.dumps(record, ensure_ascii=False, separators=(",", ":"), skipkeys=True, default=_mark)
    try:
        text.encode()
    except UnicodeEncodeError:
        return json.dumps(record, separators=(",", ":"), skipkeys=True, default=_mark)
    return text


def _mark(value: Any) -> str:
    return f"<{type(value).__name__}>"
