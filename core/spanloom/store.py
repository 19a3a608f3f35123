"""The SQLite file that traces are kept in: its schema, writing within bounds, and reading.

`destinations.local` writes it and the command line reads it. It knows rows and JSON, and no span.
"""

from __future__ import annotations

import json
import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SCHEMA_VERSION = 1  # PRAGMA user_version
_APPLICATION_ID = 0x53504C4D  # "SPLM", PRAGMA application_id: says whose file it is
_BUSY_SECONDS = 5.0  # how long to wait for another process that writes
_PRUNED_AT_ONCE = 20  # one part in twenty of the traces

_SCHEMA = """
CREATE TABLE spans (
    trace_id TEXT NOT NULL,
    span_id TEXT NOT NULL,
    parent_id TEXT,
    name TEXT NOT NULL,
    kind TEXT NOT NULL,
    outcome TEXT,
    start_ns INTEGER NOT NULL,
    end_ns INTEGER NOT NULL,
    input_tokens INTEGER,
    output_tokens INTEGER,
    error_type TEXT,
    error_message TEXT,
    service TEXT,
    user_id TEXT,
    session_id TEXT,
    record TEXT NOT NULL,
    PRIMARY KEY (trace_id, span_id)
);
CREATE TABLE traces (
    trace_id TEXT PRIMARY KEY,
    start_ns INTEGER NOT NULL,
    end_ns INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX traces_by_start ON traces (start_ns);
CREATE INDEX traces_by_end ON traces (end_ns);
"""


class StoreError(Exception):
    """The file cannot be used. The message is one sentence that names it and says what to do."""


@dataclass(frozen=True, slots=True)
class Row:
    """A span as it is stored: the columns that are listed and filtered by, and the whole record as JSON values.

    Ids are lower-case hexadecimal, times nanoseconds since the epoch. `kind` is a step's, or `"span"` for a span of
    another library. The token counts are inclusive.
    """

    trace_id: str
    span_id: str
    parent_id: str | None
    name: str
    kind: str
    outcome: str | None
    start_ns: int
    end_ns: int
    input_tokens: int | None = None
    output_tokens: int | None = None
    error_type: str | None = None
    error_message: str | None = None
    service: str | None = None
    user_id: str | None = None
    session_id: str | None = None
    record: dict[str, Any] | None = None

    @property
    def duration_ns(self) -> int:
        return max(0, self.end_ns - self.start_ns)


_COLUMNS = Row.__slots__
_LIGHT = _COLUMNS[:-1]
_INSERT = f"INSERT OR REPLACE INTO spans ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))})"  # noqa: S608


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
            with _transaction(db):
                db.executemany(_INSERT, ([*_light(row), _json(row.record or {})] for row in rows))
                db.executemany(
                    "INSERT INTO traces (trace_id, start_ns, end_ns) VALUES (?, ?, ?) ON CONFLICT (trace_id) DO UPDATE "
                    "SET start_ns = min(start_ns, excluded.start_ns), end_ns = max(end_ns, excluded.end_ns)",
                    ((trace_id, *times) for trace_id, times in spans.items()),
                )
                pruned = self._prune(db)
            if pruned:
                db.execute("PRAGMA incremental_vacuum").fetchall()

    def _prune(self, db: sqlite3.Connection) -> bool:
        """Forget the traces that ended longest ago. A trace that alone is too large loses its earliest spans."""
        pruned = False
        (count,) = db.execute("SELECT count(*) FROM traces").fetchone()
        while count and (count > self._max_traces or _used_bytes(db) > self._max_bytes):
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
            (count,) = db.execute("SELECT count(*) FROM traces").fetchone()
        return pruned

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        _make_private(self.path)
        try:
            with closing(_connect(str(self.path))) as db:
                if not _is_ours(db, self.path):
                    _lay_out(db, self.path)
                db.execute("PRAGMA synchronous = NORMAL")  # with WAL a crash of the machine costs the last batches only
                yield db
        except sqlite3.OperationalError as error:
            raise StoreError(f"{self.path} cannot be written: {error}.") from error
        except sqlite3.DatabaseError as error:
            raise StoreError(_foreign(self.path)) from error


class Reading:
    """One file, for reading; `StoreError` where there is none or it is not Spanloom's. A context manager."""

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.is_file():
            raise StoreError(f"There is no file {path}.")
        # A reader takes part in the WAL's locking, and so writes beside the file. Where it may not, as with a copy in a
        # read-only folder, nobody writes the file either.
        alone = not os.access(path.resolve().parent, os.W_OK) and not Path(f"{path}-wal").exists()
        with self._readable():
            self._db = _connect(f"{path.resolve().as_uri()}?{'immutable=1' if alone else 'mode=ro'}", uri=True)
        try:
            with self._readable():
                if not _is_ours(self._db, path):
                    raise StoreError(f"{path} is empty: nothing has been traced into it.")
        except StoreError:
            self._db.close()
            raise

    @contextmanager
    def _readable(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            raise StoreError(f"{self.path} cannot be read: {error}.") from error
        except sqlite3.DatabaseError as error:
            raise StoreError(_foreign(self.path)) from error

    def __enter__(self) -> Reading:
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()

    def traces(
        self, limit: int, *, errors: bool = False, user: str | None = None, session: str | None = None
    ) -> list[list[Row]]:
        """The newest traces that have such a span, newest first; of each its spans by start, without their records."""
        wanted, values = ["1"], []
        if errors:
            wanted.append("spans.outcome = 'error'")
        for column, value in (("user_id", user), ("session_id", session)):
            if value is not None:
                wanted.append(f"spans.{column} = ?")
                values.append(value)
        found = self._all(
            "SELECT trace_id FROM traces WHERE EXISTS "  # noqa: S608  column names are ours
            f"(SELECT 1 FROM spans WHERE spans.trace_id = traces.trace_id AND {' AND '.join(wanted)}) "
            "ORDER BY start_ns DESC, trace_id LIMIT ?",
            (*values, limit),
        )
        return [self._spans(trace_id, _LIGHT) for (trace_id,) in found]

    def find(self, prefix: str = "", limit: int = 10) -> list[str]:
        """The ids of the newest traces that begin with `prefix`, newest first."""
        found = self._all(
            "SELECT trace_id FROM traces WHERE substr(trace_id, 1, ?) = ? ORDER BY start_ns DESC, trace_id LIMIT ?",
            (len(prefix), prefix.lower(), limit),
        )
        return [trace_id for (trace_id,) in found]

    def spans(self, trace_id: str) -> list[Row]:
        """The spans of one trace by start, with their records."""
        return self._spans(trace_id, _COLUMNS)

    def _all(self, query: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        with self._readable():
            return self._db.execute(query, values).fetchall()

    def _spans(self, trace_id: str, columns: Sequence[str]) -> list[Row]:
        found = self._all(
            f"SELECT {', '.join(columns)} FROM spans WHERE trace_id = ? ORDER BY start_ns, rowid",  # noqa: S608
            (trace_id,),
        )
        out = []
        for values in found:
            fields = dict(zip(columns, values, strict=True))
            if "record" in fields:
                fields["record"] = json.loads(fields["record"])
            out.append(Row(**fields))
        return out


_making = threading.Lock()
if hasattr(os, "register_at_fork"):

    def _in_child() -> None:
        global _making
        _making = threading.Lock()

    os.register_at_fork(after_in_child=_in_child)


def _make_private(path: Path) -> None:
    """Make the file, where there is none, for its owner alone: SQLite would let everybody read it.

    A file that is there is never opened here: closing it would drop the locks that this process's other connections
    hold on it.
    """
    try:
        with _making:
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        if path.is_dir():
            raise StoreError(f"{path} cannot be written: it is a folder.") from None
        if not os.access(path, os.W_OK):
            raise StoreError(f"{path} cannot be written: permission denied.") from None
    except OSError as error:
        raise StoreError(f"{path} cannot be written: {_reason(error)}.") from error


def _connect(database: str, *, uri: bool = False) -> sqlite3.Connection:
    # The class, not `sqlite3.connect`: that name is what instrumentations patch, and this file is not to be traced.
    return sqlite3.Connection(database, timeout=_BUSY_SECONDS, isolation_level=None, uri=uri)


@contextmanager
def _transaction(db: sqlite3.Connection) -> Iterator[None]:
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        db.rollback()
        raise
    db.commit()


def _is_ours(db: sqlite3.Connection, path: Path) -> bool:
    """Whether the schema is there; False for a file that is still empty. `StoreError` for anybody else's file."""
    if db.in_transaction:
        application, version, empty = _marks(db)
    else:
        db.execute("BEGIN")  # one view of the file, which another process may be laying out
        application, version, empty = _marks(db)
        db.commit()
    if application == _APPLICATION_ID and version == SCHEMA_VERSION:
        return True
    if application == _APPLICATION_ID:
        raise StoreError(
            f"{path} was written by another version of Spanloom (schema {version}, this one reads {SCHEMA_VERSION}): "
            "name another path, or move the file away."
        )
    if version or application or not empty:
        raise StoreError(_foreign(path))
    return False


def _marks(db: sqlite3.Connection) -> tuple[int, int, bool]:
    """Whose file it is, its schema's version, and whether it holds nothing yet."""
    empty = db.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone() is None
    (application,) = db.execute("PRAGMA application_id").fetchone()
    (version,) = db.execute("PRAGMA user_version").fetchone()
    return application, version, empty


def _lay_out(db: sqlite3.Connection, path: Path) -> None:
    db.execute("PRAGMA auto_vacuum = INCREMENTAL")  # before anything is written: so that pruning can shrink the file
    db.execute("PRAGMA journal_mode = WAL").fetchone()
    with _transaction(db):
        if _is_ours(db, path):  # another process was faster
            return
        for statement in _SCHEMA.split(";"):
            db.execute(statement)
        db.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
        db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def _used_bytes(db: sqlite3.Connection) -> int:
    pages, free, size = (
        db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
    )
    return int((pages - free) * size)


def _light(row: Row) -> list[Any]:
    return [getattr(row, column) for column in _LIGHT]


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


def _foreign(path: Path) -> str:
    return f"{path} is not a Spanloom file: name another path, or move it away."


def _reason(error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return "its folder does not exist"
    return (error.strerror or str(error)).lower()
