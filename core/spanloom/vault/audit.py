"""The audit log: one record an erasure, each naming the digests of those before it. No content, no plain subject."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from .objects import Objects

_FOLDER = "audit"


@dataclass(frozen=True, slots=True)
class Erasure:
    """What an erasure did.

    `subject` is the pseudonym, `erased_ns` the time up to which content is gone (ns since 1970), `keys` the ids of the
    data keys destroyed, `objects` how many objects were deleted, `objects_left` how many could not be (they cannot be
    read either; None where the store did not say). `verified`: the key provider was asked again, and has none of them.
    `record` names the record in the audit log, and `digest` is its SHA-256: kept elsewhere, it proves later that the
    log was not cut short.
    """

    subject: str
    erased_ns: int
    keys: tuple[str, ...]
    objects: int
    objects_left: int | None
    verified: bool
    record: str = ""
    digest: str = ""


@dataclass(frozen=True, slots=True)
class Record:
    """One record of the log. `written` is a time in UTC."""

    name: str
    digest: str
    written: str
    erasure: Erasure
    previous: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Log:
    """The whole log, oldest first, and what is wrong with it: one sentence each."""

    records: Sequence[Record] = ()
    faults: Sequence[str] = field(default=())


def append(objects: Objects, erasure: Erasure) -> Erasure:
    """Add a record, and say which. Two processes may do so at once: both records stay, and the next names both."""
    before = read(objects)
    followed = {digest for record in before.records for digest in record.previous}
    latest = sorted(r.digest for r in before.records if r.digest not in followed)
    written = datetime.now(UTC).isoformat(timespec="microseconds")
    said = {k: v for k, v in asdict(erasure).items() if k not in ("record", "digest")}
    data = json.dumps({"version": 1, "written": written, **said, "previous": latest}, indent=1).encode()
    digest = hashlib.sha256(data).hexdigest()
    name = f"{_FOLDER}/{written.replace(':', '')}-{digest[:16]}.json"
    objects.put(name, data)
    return Erasure(**said, record=name, digest=digest)


def read(objects: Objects) -> Log:
    """All records, and whether they hang together. Raises what the store raises."""
    records: list[Record] = []
    faults: list[str] = []
    for name in objects.under(_FOLDER):
        data = objects.get(name)
        if data is None:
            continue
        digest = hashlib.sha256(data).hexdigest()
        try:
            records.append(_record(name, digest, json.loads(data)))
        except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError):
            faults.append(f"{name} is no record.")
            continue
        if not name.endswith(f"-{digest[:16]}.json"):
            faults.append(f"{name} was altered: its digest is another.")
    known = {record.digest for record in records}
    for record in records:
        missing = sum(digest not in known for digest in record.previous)
        if missing:
            faults.append(f"{record.name} follows {missing} that are missing or were altered.")
    if len(first := [r for r in records if not r.previous]) > 1:
        # Two processes may have written the first one at once; else a beginning was cut away and begun anew.
        faults += [f"{r.name} follows none, though others were there." for r in first[1:] if not _twin(first[0], r)]
    return Log(tuple(records), tuple(faults))


_TWIN_SECONDS = 60.0


def _twin(one: Record, other: Record) -> bool:
    apart = datetime.fromisoformat(other.written) - datetime.fromisoformat(one.written)
    return abs(apart.total_seconds()) < _TWIN_SECONDS


def _record(name: str, digest: str, said: dict[str, Any]) -> Record:
    erasure = Erasure(
        subject=str(said["subject"]),
        erased_ns=int(said["erased_ns"]),
        keys=tuple(map(str, said["keys"])),
        objects=int(said["objects"]),
        objects_left=None if said["objects_left"] is None else int(said["objects_left"]),
        verified=bool(said["verified"]),
        record=name,
        digest=digest,
    )
    if datetime.fromisoformat(said["written"]).tzinfo is None:
        raise ValueError("a time without its offset")
    return Record(name, digest, said["written"], erasure, tuple(map(str, said["previous"])))


def checked(log: Log, expected: Sequence[str]) -> Log:
    """The log, with a fault for each digest of `expected` that no record has."""
    known = {record.digest for record in log.records}
    return Log(log.records, (*log.faults, *(f"No record has the digest {d}." for d in expected if d not in known)))
