"""Erasing a subject, step by step, so that a crash between any two of them leaves nothing that a second run cannot end.

1. *Announce* it, in the store: `erasures/<subject>/<time>`, with the ids of the keys that are to go. From here on,
   whoever makes a new key for the subject refuses what was recorded before.
2. *Destroy* the data keys, and ask the provider again. From here on nothing can be read.
3. *Delete* the objects, as far as the store does.
4. *Record* it in the audit log.
5. *Settle* the announcement: done, and when; older ones go.
"""

from __future__ import annotations

import json
import time
from contextlib import suppress
from dataclasses import dataclass

from . import audit
from .audit import Erasure
from .errors import Unreadable, VaultError
from .keys import Keys
from .objects import Objects
from .sealed import taken_apart
from .subject import folder

_FOLDER = "erasures"
_SAMPLE = 20


@dataclass(frozen=True, slots=True)
class Announced:
    """An erasure that was begun: of what was recorded until `erased_ns`. `done_ns` is 0 until it has ended."""

    name: str
    erased_ns: int
    keys: tuple[str, ...]
    done_ns: int


def announced(objects: Objects, subject: str) -> list[Announced]:
    """The subject's erasures that are known, oldest first. What cannot be understood counts as one that has not ended:
    its name says its time."""
    found = []
    for name in objects.under(f"{_FOLDER}/{subject}"):
        try:
            said = json.loads(objects.get(name) or b"{}")
            keys, done = tuple(map(str, said.get("keys", ()))), int(said.get("done_ns", 0))
        except (ArithmeticError, AttributeError, RecursionError, TypeError, ValueError):
            keys, done = (), 0
        if (stem := name.rpartition("/")[2]).isdigit():
            found.append(Announced(name, int(stem), keys, done))
    return sorted(found, key=lambda a: a.erased_ns)


def erased_ns(objects: Objects, subject: str) -> int:
    """The time of the last erasure of the subject, from its name alone; 0 where there was none."""
    names = (name.rpartition("/")[2] for name in objects.under(f"{_FOLDER}/{subject}"))
    return max((int(name) for name in names if name.isdigit()), default=0)


def announce(objects: Objects, keys: Keys, subject: str) -> Announced:
    """Step 1. `VaultError` where the objects name keys that this provider does not have: an erasure with the wrong keys
    would destroy nothing, and say that nothing is left."""
    before = announced(objects, subject)
    here = keys.ids(subject)
    _check_keys(objects, subject, set(here), max((a.done_ns or a.erased_ns for a in before), default=0))
    unfinished = [id for a in before if not a.done_ns for id in a.keys]
    now = max([time.time_ns(), *(a.erased_ns + 1 for a in before)])
    new = Announced(f"{_FOLDER}/{subject}/{now:020}", now, tuple(sorted({*here, *unfinished})), 0)
    _write(objects, new)
    return new


def carry_out(objects: Objects, keys: Keys, subject: str, said: Announced) -> Erasure:
    """Steps 2 to 5. Raises what the key provider raises; a store that does not delete is no failure."""
    gone = {*said.keys, *keys.ids(subject)}
    keys.destroy(subject)
    left = gone.intersection(keys.ids(subject)) | {id for id in gone if keys.get(subject, id) is not None}
    count, objects_left = (0, None) if left else _delete(objects, subject)
    result = Erasure(subject, said.erased_ns, tuple(sorted(gone)), count, objects_left, verified=not left)
    result = audit.append(objects, result)
    if left:
        raise VaultError(
            f"The key provider still has {len(left)} of {len(gone)} keys after it destroyed them: nothing is erased. "
            f"{result.record} says so."
        )
    _write(objects, Announced(said.name, said.erased_ns, (), time.time_ns()))
    for older in announced(objects, subject):
        if older.erased_ns < said.erased_ns:
            objects.remove(older.name)
    return result


def _write(objects: Objects, said: Announced) -> None:
    data = {"version": 1, "erased_ns": said.erased_ns, "keys": said.keys, "done_ns": said.done_ns}
    objects.put(said.name, json.dumps(data).encode())


def _check_keys(objects: Objects, subject: str, here: set[str], until_ns: int) -> None:
    recent = [p for p in objects.under(folder(subject)) if _recorded_ns(p) > until_ns]
    for path in recent[-_SAMPLE:]:
        data = objects.get(path)
        if data is None:
            continue
        try:
            key_id = taken_apart(data).key_id
        except Unreadable:
            continue
        if key_id not in here:
            raise VaultError(
                "Objects of this subject were sealed with keys that this key provider does not have: name the provider "
                f"that they were written with. If those keys are lost, delete {folder(subject)} in the store yourself."
            )


def _recorded_ns(path: str) -> int:
    try:
        return int(path.rpartition("/")[2][:16], 16)
    except ValueError:
        return 0


def _delete(objects: Objects, subject: str) -> tuple[int, int | None]:
    """How many objects went, and how many are left; None where the store does not say."""
    try:
        count = len(objects.under(folder(subject)))
    except Exception:  # the keys are gone: nobody can read them
        return 0, None
    removed = False
    with suppress(Exception):
        objects.remove_under(folder(subject))
        removed = True
    try:
        left = len(objects.under(folder(subject)))
    except Exception:
        return 0, None
    return max(count - left, 0), left if removed or left else None  # it may keep older versions
