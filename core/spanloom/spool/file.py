"""The spool's SQLite file: batches as they will be sent, in WAL mode, for its owner's eyes alone."""

from __future__ import annotations

import errno
import os
import sqlite3
import threading
import time
import zlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import ParamSpec, TypeVar

from ..store.file import StoreError, connect, make_private, transaction
from .owner import Owner, is_alive

P = ParamSpec("P")
R = TypeVar("R")

SCHEMA_VERSION = 1  # PRAGMA user_version
_APPLICATION_ID = 0x5350_4C53  # "SPLS", PRAGMA application_id
_BUSY_SECONDS = 2.0
_PAGE = 4096
_ROW_BYTES = 200  # beside the body
_SCHEMA = """
CREATE TABLE batches (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    destination TEXT NOT NULL,
    owner TEXT NOT NULL,
    lane TEXT NOT NULL,
    items INTEGER NOT NULL,
    created REAL NOT NULL,
    body BLOB NOT NULL
);
CREATE INDEX batches_by_owner ON batches (destination, owner, id);
"""


Place = tuple[int, int]
"""Where a batch is: which file it is in (the first, the one after it was set aside, …), and its id there."""

Body = tuple[str, int, bytes]
"""Lane, how many items, and the request's body."""


class SpoolError(StoreError):
    """The file cannot be used just now (a full disk, a lock, a folder that is gone)."""


class SpoolFullError(SpoolError):
    """The batch does not fit within the spool's bound, whatever goes."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A batch on the disk. `age` is seconds since it was written, by the clock on the wall, and never negative."""

    place: Place
    lane: str
    items: int
    age: float


class Spool:
    """The batches of one destination in the file at `path`, which other destinations and processes may share.

    `most_bytes` bounds the pages in use. Where they are full, batches go that are older than `most_seconds` and of
    which no process that lives sends any: no destination has their name any more. `unclaimed` counts their items. A
    corrupted file is renamed and a new one begun; `set_aside` counts that. Safe between threads; never to be used in a
    forked child.
    """

    def __init__(self, path: Path, destination: str, most_bytes: int, most_seconds: float) -> None:
        self.path, self._destination, self._most, self._seconds = path, destination, most_bytes, most_seconds
        self.set_aside = self.generation = self.unclaimed = 0
        self._lock = threading.Lock()
        self._db: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None
        self._owner: Owner | None = None
        self._begun = False  # from then on what the file is does not come as a surprise

    def open(self) -> None:
        """`StoreError` where the file is somebody else's, or no place for one. A corrupted one is set aside."""
        try:
            self._held(self._opened)
        finally:
            self._begun = True

    def append(self, batches: Sequence[Body]) -> tuple[list[Place], list[Place]]:
        """Write them, in one transaction. Where they are, and which ones went to make room."""
        return self._held(self._append, batches)

    def body(self, place: Place) -> bytes | None:
        """None where it is gone, or damaged."""
        return self._held(self._body, place)

    def remove(self, places: Sequence[Place]) -> None:
        self._held(self._remove, places)

    def replace(self, place: Place, batches: Sequence[Body]) -> list[Place]:
        """Others in the place of one, in one transaction; where they are."""
        return self._held(self._replace, place, batches)

    def adopt(self) -> list[Kept]:
        """Batches of this destination that no living process owns, oldest first: from now on they are this one's."""
        return self._held(self._adopt)

    def used(self) -> int:
        """Bytes in use, of all destinations."""
        return self._held(self._used_bytes)

    def begin_anew(self) -> None:
        """Leave the open file, which is no longer the one at `path`."""
        with self._lock:
            self._shut()
            self.generation += 1

    def is_in_place(self) -> bool:
        """Whether the open file is still the one at `path`."""
        with suppress(OSError):
            found = self.path.stat()
            return self._file is None or self._file == (found.st_dev, found.st_ino)
        return self._file is None

    def close(self, *, in_child: bool = False) -> None:
        """Let go of the file, and of the claim on what is in it.

        In a forked child the connection stays as it is: SQLite must not touch what its parent has open.
        """
        if self._owner is not None:
            self._owner.release()
        if in_child:
            _inherited.append(self._db)
            return
        with self._lock:
            self._shut()

    # ---------------------------------------------------------------- with the lock held
    def _held(self, act: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        with self._lock:
            try:
                return act(*args, **kwargs)
            except sqlite3.DatabaseError as error:
                if not _is_corrupt(error):
                    raise SpoolError(type(error).__name__) from error
            except OSError as error:
                raise SpoolError(type(error).__name__) from error
            except SpoolError:
                raise
            except StoreError as error:
                if self._begun or getattr(error.__cause__, "errno", None) in _NO_ROOM:
                    raise SpoolError(str(error)) from error
                raise
            self._set_aside()
            try:
                return act(*args, **kwargs)
            except (sqlite3.Error, OSError, StoreError) as error:
                raise SpoolError(type(error).__name__) from error

    def _opened(self) -> sqlite3.Connection:
        if self._db is not None:
            return self._db
        make_private(self.path)
        db = connect(str(self.path), timeout=_BUSY_SECONDS, check_same_thread=False)
        try:
            _lay_out(db, self.path)
            if self._owner is None:
                self._owner = Owner(self.path)
            self._owner.hold()  # its file may have gone with the spool
        except BaseException:
            db.close()
            raise
        found = self.path.stat()
        self._file, self._db = (found.st_dev, found.st_ino), db
        return db

    def _append(self, batches: Sequence[Body]) -> tuple[list[Place], list[Place]]:
        db = self._opened()
        packed = [(lane, items, zlib.compress(body, 1)) for lane, items, body in batches]
        need = sum(len(body) + _ROW_BYTES for _, _, body in packed)
        with transaction(db):
            unclaimed, gone = self._make_room(db, need)
            places = self._insert(db, packed)
        self.unclaimed += unclaimed
        return places, gone

    def _insert(self, db: sqlite3.Connection, packed: Sequence[Body]) -> list[Place]:
        assert self._owner is not None
        places = []
        for lane, items, body in packed:
            row = (self._destination, self._owner.name, lane, items, time.time(), body)
            done = db.execute(
                "INSERT INTO batches (destination, owner, lane, items, created, body) VALUES (?, ?, ?, ?, ?, ?)", row
            )
            places.append((self.generation, done.lastrowid or 0))
        return places

    def _make_room(self, db: sqlite3.Connection, need: int) -> tuple[int, list[Place]]:
        """What nobody sends goes first, then this process's own oldest batches; `SpoolFullError` where that is not
        enough. How many items nobody sends, and which batches of its own."""
        excess, unclaimed = self._used(db) + need - self._most, 0
        if excess > 0 and (unclaimed := self._forget_unclaimed(db)):
            excess = self._used(db) + need - self._most
        if excess <= 0:
            return unclaimed, []
        assert self._owner is not None
        gone = []
        rows = db.execute(
            "SELECT id, length(body) FROM batches WHERE destination = ? AND owner = ? ORDER BY id",
            (self._destination, self._owner.name),
        )
        for id, size in rows:
            if excess <= 0:
                break
            gone.append(id)
            excess -= size
        if excess > 0:
            raise SpoolFullError(f"{self.path} is full.")
        db.executemany("DELETE FROM batches WHERE id = ?", [(id,) for id in gone])
        return unclaimed, [(self.generation, id) for id in gone]

    def _forget_unclaimed(self, db: sqlite3.Connection) -> int:
        old = "destination != ? AND created < ?"
        values = (self._destination, time.time() - self._seconds)
        items = 0
        for (name,) in db.execute(f"SELECT DISTINCT owner FROM batches WHERE {old}", values).fetchall():  # noqa: S608
            if not is_alive(self.path, name):
                theirs = f"FROM batches WHERE {old} AND owner = ?"
                (found,) = db.execute(f"SELECT sum(items) {theirs}", (*values, name)).fetchone()
                db.execute(f"DELETE {theirs}", (*values, name))
                items += found
        return items

    def _body(self, place: Place) -> bytes | None:
        db, (generation, id) = self._opened(), place
        if generation != self.generation:
            return None
        found = db.execute("SELECT body FROM batches WHERE id = ?", (id,)).fetchone()
        with suppress(zlib.error):  # a checksum is part of it
            return None if found is None else zlib.decompress(found[0])
        return None

    def _remove(self, places: Sequence[Place]) -> None:
        db = self._opened()
        with transaction(db):
            for generation, id in places:
                if generation == self.generation:
                    db.execute("DELETE FROM batches WHERE id = ?", (id,))
        if db.execute("PRAGMA freelist_count").fetchone()[0] > _MOST_FREE_PAGES:
            db.execute("PRAGMA incremental_vacuum").fetchall()

    def _replace(self, place: Place, batches: Sequence[Body]) -> list[Place]:
        db = self._opened()
        with transaction(db):
            if place[0] == self.generation:
                db.execute("DELETE FROM batches WHERE id = ?", (place[1],))
            return self._insert(db, [(lane, items, zlib.compress(body, 1)) for lane, items, body in batches])

    def _adopt(self) -> list[Kept]:
        db = self._opened()
        assert self._owner is not None
        self._owner.hold()
        mine, found = self._owner.name, []
        for (name,) in db.execute(
            "SELECT DISTINCT owner FROM batches WHERE destination = ? AND owner != ?", (self._destination, mine)
        ).fetchall():
            if is_alive(self.path, name):
                continue
            with transaction(db):
                rows = db.execute(
                    "SELECT id, lane, items, created FROM batches WHERE destination = ? AND owner = ? ORDER BY id",
                    (self._destination, name),
                ).fetchall()
                db.execute(
                    "UPDATE batches SET owner = ? WHERE destination = ? AND owner = ?", (mine, self._destination, name)
                )
            now = time.time()
            found += [
                Kept((self.generation, id), lane, items, max(0.0, now - created)) for id, lane, items, created in rows
            ]
        return sorted(found, key=lambda kept: kept.place)

    def _used_bytes(self) -> int:
        return self._used(self._opened())

    @staticmethod
    def _used(db: sqlite3.Connection) -> int:
        (pages,), (free,) = db.execute("PRAGMA page_count").fetchone(), db.execute("PRAGMA freelist_count").fetchone()
        return int((pages - free) * _PAGE)

    def _shut(self) -> None:
        db, self._db, self._file = self._db, None, None
        if db is not None:
            with suppress(sqlite3.Error):
                db.close()

    def _set_aside(self) -> None:
        """Rename the corrupted file, unless another process has done so and begun a new one."""
        same = self.is_in_place()
        self._shut()
        self.generation += 1
        if not same:
            return
        self.set_aside += 1
        stamp = f"corrupt-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}-{self.set_aside}"
        for suffix in ("", "-wal", "-shm"):
            with suppress(FileNotFoundError):
                file = self.path.with_name(self.path.name + suffix)
                file.rename(self.path.with_name(f"{self.path.name}.{stamp}{suffix}"))


_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_MOST_FREE_PAGES = 2_000  # 8 MB
_inherited: list[object] = []  # a parent's connections, kept from being closed


def _lay_out(db: sqlite3.Connection, path: Path) -> None:
    ours = _is_ours(db, path)  # before anything is changed of what may be somebody else's
    if db.execute("PRAGMA page_size").fetchone() != (_PAGE,):
        db.execute(f"PRAGMA page_size = {_PAGE}")
    db.execute("PRAGMA auto_vacuum = INCREMENTAL")
    db.execute("PRAGMA journal_mode = WAL").fetchone()
    db.execute("PRAGMA synchronous = NORMAL")  # safe from a killed process; a power cut may take the last second
    db.execute("PRAGMA journal_size_limit = 16777216")
    if ours:
        return
    with transaction(db):
        if _is_ours(db, path):  # another process was faster
            return
        for statement in _SCHEMA.split(";"):
            db.execute(statement)
        db.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
        db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def _is_ours(db: sqlite3.Connection, path: Path) -> bool:
    (application,) = db.execute("PRAGMA application_id").fetchone()
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if (application, version) == (_APPLICATION_ID, SCHEMA_VERSION):
        return True
    empty = db.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone() is None
    if application or version or not empty:
        raise StoreError(f"{path} is another file than a spool of this version: name another path, or move it away.")
    return False


def _is_corrupt(error: sqlite3.DatabaseError) -> bool:
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:
        return False
    return code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
