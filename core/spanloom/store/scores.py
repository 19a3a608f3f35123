"""Scores in the file: a table beside the spans, made where it is missing, so that older files gain it."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any

_MOST = 100_000  # the newest are kept

_MOST_STRAYS = 200  # scores whose trace may be on its way

_TABLE = """
CREATE TABLE IF NOT EXISTS scores (
    id TEXT NOT NULL UNIQUE,
    trace_id TEXT NOT NULL,
    span_id TEXT,
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    data_type TEXT NOT NULL,
    comment TEXT,
    time_ns INTEGER NOT NULL
)
"""
_COLUMNS = ("id", "trace_id", "span_id", "name", "value", "data_type", "comment", "time_ns")
_LIST = ", ".join(_COLUMNS)


def make_table(db: sqlite3.Connection) -> None:
    """Make the table and its index where there are none."""
    db.execute(_TABLE)
    db.execute("CREATE INDEX IF NOT EXISTS scores_by_trace ON scores (trace_id)")


def has_table(db: sqlite3.Connection) -> bool:
    return db.execute("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'scores'").fetchone() is not None


def insert(db: sqlite3.Connection, scores: Sequence[Mapping[str, Any]]) -> None:
    """Keep scores, as `dialects.scores.neutral` gives them; one with a known `id` replaces the former."""
    db.executemany(
        f"INSERT OR REPLACE INTO scores ({_LIST}) VALUES ({', '.join('?' * len(_COLUMNS))})",  # noqa: S608
        ([json.dumps(s["value"]) if column == "value" else s.get(column) for column in _COLUMNS] for s in scores),
    )
    db.execute("DELETE FROM scores WHERE rowid <= (SELECT max(rowid) FROM scores) - ?", (_MOST,))


def forget(db: sqlite3.Connection, trace_ids: Sequence[tuple[str]]) -> None:
    db.executemany("DELETE FROM scores WHERE trace_id = ?", trace_ids)


def forget_strays(db: sqlite3.Connection, *, alone: bool) -> bool:
    """Make room: forget the oldest scores of traces that are not in the file, down to a few, or, where there is hardly
    a trace that could go (`alone`), half of them. Whether any went."""
    strays = "FROM scores WHERE trace_id NOT IN (SELECT trace_id FROM traces)"
    (count,) = db.execute(f"SELECT count(*) {strays}").fetchone()
    most = min(_MOST_STRAYS, count // 2) if alone else _MOST_STRAYS
    if count <= most:
        return False
    db.execute(f"DELETE FROM scores WHERE rowid IN (SELECT rowid {strays} ORDER BY rowid LIMIT ?)", (count - most,))  # noqa: S608
    return True


def of_trace(db: sqlite3.Connection, trace_id: str) -> list[dict[str, Any]]:
    """The scores of one trace in the order they were given, as they were kept."""
    found = db.execute(
        f"SELECT {_LIST} FROM scores WHERE trace_id = ? ORDER BY time_ns, rowid",  # noqa: S608
        (trace_id,),
    )
    out = [{k: v for k, v in zip(_COLUMNS, row, strict=True) if v is not None} for row in found]
    return [{**score, "value": json.loads(score["value"])} for score in out]
