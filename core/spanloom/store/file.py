"""The SQLite file: whose it is, its schema, its privacy, and connections to it."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

SCHEMA_VERSION = 2  # PRAGMA user_version
_APPLICATION_ID = 0x53504C4D  # "SPLM", PRAGMA application_id: says whose file it is
_BUSY_SECONDS = 5.0  # how long to wait for another process that writes

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
    model TEXT,
    cost TEXT,
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

_MIGRATIONS = {  # from the version before it
    2: """
ALTER TABLE spans ADD COLUMN model TEXT;
ALTER TABLE spans ADD COLUMN cost TEXT;
UPDATE spans SET model = coalesce(json_extract(record, '$.response_model'), json_extract(record, '$.request_model'))
    WHERE kind IN ('llm', 'embedding') AND json_valid(record);
""",
}


class StoreError(Exception):
    """The file cannot be used. The message is one sentence that names it and says what to do."""


_making = threading.Lock()
if hasattr(os, "register_at_fork"):

    def _in_child() -> None:
        global _making
        _making = threading.Lock()

    os.register_at_fork(after_in_child=_in_child)


def make_private(path: Path) -> None:
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


class _Connection(sqlite3.Connection):
    """What SQLite says of a damaged file quotes what is in it, which is no text any more."""

    def execute(self, *args: Any) -> sqlite3.Cursor:
        try:
            return super().execute(*args)
        except UnicodeDecodeError as error:
            damaged = sqlite3.DatabaseError("the file is damaged")
            damaged.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
            raise damaged from error


def connect(
    database: str, *, uri: bool = False, timeout: float = _BUSY_SECONDS, check_same_thread: bool = True
) -> sqlite3.Connection:
    # The class, not `sqlite3.connect`: that name is what instrumentations patch, and this file is not to be traced.
    return _Connection(database, timeout=timeout, isolation_level=None, uri=uri, check_same_thread=check_same_thread)


@contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[None]:
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        db.rollback()
        raise
    db.commit()


def is_ours(db: sqlite3.Connection, path: Path) -> bool:
    """Whether the schema is there, be it an older one; False for a file that is still empty.

    `StoreError` for anybody else's file, and for one that a newer version of Spanloom wrote.
    """
    if db.in_transaction:
        application, version, empty = _marks(db)
    else:
        db.execute("BEGIN")  # one view of the file, which another process may be laying out
        application, version, empty = _marks(db)
        db.commit()
    if application == _APPLICATION_ID and 1 <= version <= SCHEMA_VERSION:
        return True
    if application == _APPLICATION_ID:
        raise StoreError(
            f"{path} was written by another version of Spanloom (schema {version}, this one reads {SCHEMA_VERSION}): "
            "name another path, or move the file away."
        )
    if version or application or not empty:
        raise StoreError(foreign(path))
    return False


def _marks(db: sqlite3.Connection) -> tuple[int, int, bool]:
    """Whose file it is, its schema's version, and whether it holds nothing yet."""
    empty = db.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone() is None
    (application,) = db.execute("PRAGMA application_id").fetchone()
    (version,) = db.execute("PRAGMA user_version").fetchone()
    return application, version, empty


def lay_out(db: sqlite3.Connection, path: Path) -> None:
    db.execute("PRAGMA auto_vacuum = INCREMENTAL")  # before anything is written: so that pruning can shrink the file
    db.execute("PRAGMA journal_mode = WAL").fetchone()
    with transaction(db):
        if is_ours(db, path):  # another process was faster
            return
        for statement in _SCHEMA.split(";"):
            db.execute(statement)
        db.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
        db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def migrate(db: sqlite3.Connection) -> None:
    """Bring an older file of ours to this version's schema, keeping what is in it."""
    if _marks(db)[1] == SCHEMA_VERSION:
        return
    with transaction(db):
        for version in range(_marks(db)[1] + 1, SCHEMA_VERSION + 1):  # read again: another process may be faster
            for statement in _MIGRATIONS[version].split(";"):
                db.execute(statement)
            db.execute(f"PRAGMA user_version = {version}")


def foreign(path: Path) -> str:
    return f"{path} is not a Spanloom file: name another path, or move it away."


def _reason(error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return "its folder does not exist"
    return (error.strerror or str(error)).lower()
