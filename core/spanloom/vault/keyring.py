"""Data keys in a SQLite file. Whoever has the file reads the vault."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from ..errors import ConfigurationError
from ..store.file import StoreError as FileError
from ..store.file import connect, make_private, transaction
from .errors import Unavailable
from .keys import DataKey

_APPLICATION_ID = 0x53504C4B  # "SPLK", PRAGMA application_id: says whose file it is
_VERSION = 1  # PRAGMA user_version
_SCHEMA = """
CREATE TABLE keys (
    subject TEXT NOT NULL,
    id TEXT NOT NULL,
    key BLOB NOT NULL,
    made_ns INTEGER NOT NULL,
    PRIMARY KEY (subject, id)
) WITHOUT ROWID
"""


class Keyring:
    """Data keys in the local SQLite file `path`, made where there is none, readable by its owner alone.

    The keys stand in it as they are: **whoever has the file, or a copy of it, reads the vault.** Keep it apart from the
    store, and out of backups that outlive an erasure. Several processes of one machine may use it; it must not lie on a
    network drive. Destroyed keys are overwritten in the file; what the disk itself still keeps, such as the worn cells
    of an SSD or a snapshot of the file system, is beyond it.
    """

    def __init__(self, path: str | Path = "spanloom-keys.db") -> None:
        if not isinstance(path, (str, os.PathLike)):
            raise ConfigurationError(f'Keyring(path={path!r}) is no path: write Keyring("spanloom-keys.db").')
        self.path = Path(path).expanduser().absolute()  # the application may change its working directory

    def __repr__(self) -> str:
        return f"Keyring({str(self.path)!r})"

    def open(self) -> None:
        """Raises `ConfigurationError` where the file cannot be used."""
        try:
            with self._connection():
                pass
        except Unavailable as error:
            raise ConfigurationError(f"Keyring(…): {error}") from error

    def create(self, subject: str) -> DataKey:
        key = DataKey(os.urandom(16).hex(), os.urandom(32))
        with self._connection() as db, transaction(db):
            db.execute("INSERT INTO keys VALUES (?, ?, ?, ?)", (subject, key.id, key.key, time.time_ns()))
        return key

    def get(self, subject: str, key_id: str) -> bytes | None:
        with self._connection() as db:
            row = db.execute("SELECT key FROM keys WHERE subject = ? AND id = ?", (subject, key_id)).fetchone()
        return None if row is None else bytes(row[0])

    def ids(self, subject: str) -> list[str]:
        with self._connection() as db:
            return [id for (id,) in db.execute("SELECT id FROM keys WHERE subject = ? ORDER BY id", (subject,))]

    def destroy(self, subject: str) -> int:
        with self._connection() as db:
            with transaction(db):
                count = db.execute("DELETE FROM keys WHERE subject = ?", (subject,)).rowcount
            # `secure_delete` zeroes the rows that it deletes. What moving rows between pages left behind earlier it may
            # miss (seen in a table with row ids: 3 of 1,491 keys); writing the file anew leaves nothing of either.
            db.execute("VACUUM")
        return int(count)

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        """A connection of its own each time: a forked child must not inherit one."""
        try:
            make_private(self.path)
            with closing(connect(str(self.path))) as db:
                db.execute("PRAGMA secure_delete = ON").fetchone()
                db.execute("PRAGMA temp_store = MEMORY")  # VACUUM would write keys to a file elsewhere
                db.execute("PRAGMA synchronous = FULL")  # a key is there for good before anything is sealed with it
                self._lay_out(db)
                yield db
        except FileError as error:
            raise Unavailable(str(error)) from error
        except sqlite3.OperationalError as error:
            raise Unavailable(f"{self.path} cannot be used: {error}.") from error
        except sqlite3.DatabaseError as error:
            raise Unavailable(f"{self.path} is no keyring: name another path, or move it away.") from error

    def _lay_out(self, db: sqlite3.Connection) -> None:
        db.execute("BEGIN")  # one view of the file, which another process may be laying out
        ours = self._is_ours(db)
        db.commit()
        if ours:
            return
        with transaction(db):
            if not self._is_ours(db):  # another process was faster
                db.execute(_SCHEMA)
                db.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
                db.execute(f"PRAGMA user_version = {_VERSION}")

    def _is_ours(self, db: sqlite3.Connection) -> bool:
        (application,) = db.execute("PRAGMA application_id").fetchone()
        (version,) = db.execute("PRAGMA user_version").fetchone()
        if application == _APPLICATION_ID and version == _VERSION:
            return True
        if application or version or db.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone():
            raise Unavailable(f"{self.path} is no keyring of this version: name another path, or move it away.")
        return False
