"""`Vault`: content under a key of its subject, in a store of one's own, until the subject is erased."""

from __future__ import annotations

import json
import os
import threading
import time
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from ..errors import ConfigurationError, is_number
from ..guard import GUARD, log, warn_once
from ..identity import Identity
from . import audit, erasure
from .audit import Erasure, Log
from .errors import Erased, NotFound, Unavailable, Unreadable, VaultError
from .keys import Keys, WritingKeys
from .objects import Objects, Place
from .queue import Item, Queue, State
from .sealed import opened, seal, taken_apart
from .subject import NOBODY_KNOWN, Reference, Rule, checked, pseudonym, subject_of

QUEUE_OBJECTS = 2_000
QUEUE_MEGABYTES = 64.0
WAIT_SECONDS = 5.0
WRITERS = 4
PROBE_SECONDS = 2.0
_ERASE_SECONDS = 10.0  # for objects of the subject that are being written
_TRIES = 3
_MARKER, _MARKED = "vault.json", b'{"spanloom_vault": 1}\n'


class Kept:
    """Content that was handed to a vault under `reference`; whether it is stored, `wait` says."""

    __slots__ = ("_item", "_queue", "reference")

    def __init__(self, queue: Queue, item: Item) -> None:
        self._queue, self._item, self.reference = queue, item, str(item.reference)

    def __repr__(self) -> str:
        return f"<Kept {self.reference} {self._item.state.name.lower()}>"

    def wait(self, deadline: float | None = None) -> bool:
        """Whether the store acknowledged it by `deadline` (`time.monotonic()`; at most, and by default, the vault's
        `wait_seconds` after it was kept). What it did not is dropped and counted: it is never written later."""
        latest = self._item.deadline
        return self._queue.wait(self._item, latest if deadline is None else min(deadline, latest))

    @property
    def reason(self) -> str | None:
        """Why it is not stored: "store is down", "time is over", "queue is full", "closed", "erased" or "error"; None
        where it is, or may still be."""
        return self._item.reason


class Vault:
    """An encrypted store for content, from which all content of a subject can be erased.

    `store` is a local folder, or any URL of fsspec's, such as `s3://bucket/vault`; `storage_options` are that file
    system's own. `keys` hold the data keys: `Keyring(…)`, `AwsKms(…)`, or an object of your own with the methods of
    `Keys`. Content is sealed with AES-256-GCM under a data key of its subject: the `"user"`, `"tenant"` or
    `"session"` of its trace, or what a function of the identity returns. Content that has no such subject has a key of
    its trace's alone (with `"user"`, the session comes before that).

    `keep` hands content to a queue of at most `queue_objects` and `queue_megabytes`; `writers` threads store it, and
    try again, for `wait_seconds` at most. A store that is down is tried again after `probe_seconds`, then less and less
    often; until it is back, content is refused at once. What is not stored is dropped and counted.

    `name` is what `loom.stats()` counts it under.

    Raises `ConfigurationError` for settings that cannot work; `open()` for a store or keys that cannot be used.
    """

    def __init__(
        self,
        store: str,
        keys: Keys,
        *,
        subject: Rule = "user",
        name: str = "vault",
        storage_options: Mapping[str, Any] | None = None,
        queue_objects: int = QUEUE_OBJECTS,
        queue_megabytes: float = QUEUE_MEGABYTES,
        wait_seconds: float = WAIT_SECONDS,
        writers: int = WRITERS,
        probe_seconds: float = PROBE_SECONDS,
    ) -> None:
        if isinstance(keys, type):
            raise ConfigurationError(f"Vault(keys=…) is the class {keys.__name__}: pass one of it, {keys.__name__}(…).")
        if missing := [n for n in ("create", "get", "ids", "destroy") if not callable(getattr(keys, n, None))]:
            raise ConfigurationError(
                f"Vault(keys=…) has no method {missing[0]!r}: pass Keyring(…), AwsKms(…), or an object with the "
                "methods of spanloom.vault.Keys."
            )
        for setting, value in (
            ("queue_objects", queue_objects), ("queue_megabytes", queue_megabytes), ("wait_seconds", wait_seconds),
            ("writers", writers), ("probe_seconds", probe_seconds),
        ):  # fmt: skip
            if not (is_number(value) and value > 0):
                raise ConfigurationError(f"Vault({setting}={value!r}) keeps nothing: write a number above 0.")
        self.keys, self.name, self.wait_seconds = keys, name, wait_seconds
        self._subject = checked(subject)
        self._place = Place(store, storage_options, "Vault(store=…)")
        self._queue = Queue(
            self._write,
            self._take_back,
            objects=queue_objects,
            bytes=int(queue_megabytes * 1_000_000),
            writers=writers,
            probe_seconds=probe_seconds,
        )
        self._users, self._checked, self._marked = 0, False, False
        self._begin()
        if hasattr(os, "register_at_fork"):
            again = weakref.WeakMethod(self._begin)
            os.register_at_fork(after_in_child=lambda: (begin := again()) and begin())

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._writing_keys = WritingKeys(self.keys, lambda s: erasure.erased_ns(self._place.objects(), s))

    def __repr__(self) -> str:
        return f"Vault({self._place!r}, {type(self.keys).__name__})"

    # ---------------------------------------------------------------- its life
    def open(self) -> None:
        """Begin to use it. Raises `ConfigurationError` where store or keys cannot be used; a store that is merely out
        of reach is told once, and tried again as content comes. Each `open` wants a `close`."""
        if not self._checked:
            if (check := getattr(self.keys, "open", None)) is not None:
                check()
            if (error := self._place.check(self._mark)) is not None:
                warn_once(
                    f"vault:open:{self!r}",
                    "spanloom: %r cannot be reached for now (%s): content for it is dropped, and counted",
                    self,
                    type(error).__name__,
                )
            self._checked = True
        with self._lock:
            self._users += 1
        self._queue.resume()

    def exists(self) -> bool:
        """Whether a vault was opened at this store before. Raises `Unavailable`."""
        with self._reaching():
            return self._objects().get(_MARKER) is not None

    def flush(self, timeout: float = 5.0) -> bool:
        """Wait until what is queued is settled. True where all that came since the last flush was stored."""
        return self._queue.flush(timeout)

    def close(self, timeout: float = 5.0) -> bool:
        """Store what is queued within `timeout` seconds; at the last `close`, drop and count the rest, and end the
        threads. It can still be read from, and opened again. True as for `flush`."""
        with self._lock:
            self._users = max(self._users - 1, 0)
            last = not self._users
        return self._queue.stop(timeout) if last else self._queue.flush(timeout)

    def counts(self) -> dict[str, int]:
        """`{kept, stored, failed, dropped, queued}` of this process; `kept` is the sum of the four after it. `failed`:
        the store did not take it. `dropped`: not tried, since the queue was full, its time over, the vault closed or
        the subject erased."""
        return self._queue.counts()

    # ---------------------------------------------------------------- keeping
    def reference(self, identity: Identity, trace_id: int, span_id: int, recorded_ns: int) -> str:
        """A new reference, under which one plain JSON value of that span may be kept, recorded at `recorded_ns` (ns
        since 1970). Never raises: where the function for the subject did, nothing can be kept under it."""
        with suppress(Exception), GUARD.watching("spanloom.vault.reference"):
            subject = subject_of(self._subject, identity, trace_id)
            return str(Reference.new(subject, trace_id, span_id, recorded_ns))
        return str(Reference.new(NOBODY_KNOWN, trace_id & (1 << 128) - 1, span_id & (1 << 64) - 1, 0))

    def keep(self, identity: Identity, trace_id: int, span_id: int, recorded_ns: int, content: Any) -> Kept:
        """Hand over `content` of that span under a new reference: as `keep_under` does."""
        return self.keep_under(self.reference(identity, trace_id, span_id, recorded_ns), content)

    def keep_under(self, reference: str, content: Any) -> Kept:
        """Hand over `content`, a plain JSON value, to be stored under `reference`. Never waits for the store, and never
        raises: what cannot be kept answers False to `wait`. `reference#n` names the item `n` of a list."""
        where = Reference.parse(reference)
        if where.subject != NOBODY_KNOWN:  # there is no key that it may be sealed with
            with suppress(Exception), GUARD.watching("spanloom.vault.keep"):
                data = json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")
                item = Item(where, data, time.monotonic() + self.wait_seconds)
                self._queue.put(item)
                return Kept(self._queue, item)
        item = Item(where, b"", 0)
        self._queue.refuse(item)
        return Kept(self._queue, item)

    def _write(self, item: Item) -> bool:
        """One attempt, on a writer's thread. The key is asked for again after the write: what is acknowledged can be
        read, also where the subject was erased by another process in between."""
        reference, objects, keys = item.reference, self._objects(), self._writing_keys
        for _ in range(_TRIES):
            key = keys.key(reference.subject, reference.recorded_ns)
            if key is None or item.state is not State.WRITING:
                return False
            if not self._marked:  # it was out of reach when it was opened
                self._mark(objects)
            objects.put(reference.path, seal(item.data, key, reference.path))
            if self._holds(reference.subject, key.id):
                return True
            keys.forget(reference.subject, key.id)
            objects.remove(reference.path)
        raise Unavailable("The key provider keeps none of the keys that it makes.")

    def _holds(self, subject: str, key_id: str) -> bool:
        if (holds := getattr(self.keys, "holds", None)) is not None:
            return bool(holds(subject, key_id))
        return self.keys.get(subject, key_id) is not None

    def _take_back(self, item: Item) -> None:
        self._objects().remove(item.reference.path)

    # ---------------------------------------------------------------- reading and erasing
    def read(self, reference: str) -> Any:
        """The content, as it was kept; of `reference#n`, the item `n`. Nothing is cached: what is erased anywhere is
        unreadable here at once.

        Raises `Erased`, `NotFound`, `Unreadable` (damaged, altered, or not these keys) or `Unavailable`; all of them
        are `VaultError`s.
        """
        whole, _, item = reference.partition("#") if isinstance(reference, str) else (reference, "", "")
        where = Reference.parse(whole)
        with self._reaching():
            objects = self._objects()
            data = objects.get(where.path)
            sealed = taken_apart(data) if data is not None else None
            key = self.keys.get(where.subject, sealed.key_id) if sealed is not None else None
            if sealed is None or key is None:
                gone = max((max(a.erased_ns, a.done_ns) for a in erasure.announced(objects, where.subject)), default=0)
                if where.recorded_ns <= gone:
                    raise Erased(f"The content of {where} was erased.")
        if sealed is None:
            raise NotFound(f"Nothing is stored under {where}.")
        if key is None:
            raise Unreadable(f"The key of {where} is not among these keys: are they the ones it was written with?")
        content = json.loads(opened(sealed, key, where.path).decode("utf-8", "surrogatepass"))
        if not item:
            return content
        try:
            return content[int(item)]
        except (ValueError, LookupError, TypeError) as error:
            raise NotFound(f"{where} holds no item {item!r}.") from error

    def erase(
        self,
        *,
        user: str | None = None,
        tenant: str | None = None,
        session: str | None = None,
        trace: str | None = None,
        subject: str | None = None,
    ) -> Erasure:
        """Make all content of one subject unreadable for good: destroy its data keys, verify that, delete its objects
        and write a record into the audit log.

        Name exactly one: a user, a tenant, a session, a trace (32 hexadecimal digits, for content without a subject) or
        what your own function returned (`subject`). It erases what was kept under that subject's own keys: a vault of
        users keeps nothing under a tenant. Content recorded while it runs may be erased with it; what is recorded later
        gets a new key. It may be called again at any time, and must be where it raised or the process ended in between:
        it carries on where it was.

        Raises `VaultError`: `Unavailable` where store or keys cannot be reached.
        """
        given = {"user": user, "tenant": tenant, "session": session, "trace": trace, "subject": subject}
        named = [(kind, name) for kind, name in given.items() if name is not None]
        if len(named) != 1 or not named[0][1]:
            raise ConfigurationError(
                "erase() wants one subject: write erase(user=…), tenant, session, trace or subject."
            )
        kind, name = named[0]
        whom = pseudonym(kind, str(name).lower() if kind == "trace" else str(name))
        with self._reaching():
            objects = self._objects()
            said = erasure.announce(objects, self.keys, whom)
            self._forget(whom)
            done = erasure.carry_out(objects, self.keys, whom, said)
        self._forget(whom)
        if not done.keys and not done.objects:
            log.warning("spanloom: nothing of the %s to be erased was found in the vault (%s)", kind, whom)
        return done

    def audit(self, expected: tuple[str, ...] = ()) -> Log:
        """The audit log, and whether it hangs together; `expected` are digests of records that must be in it. Raises
        `Unavailable`."""
        with self._reaching():
            return audit.checked(audit.read(self._objects()), expected)

    def _forget(self, subject: str) -> None:
        self._writing_keys.forget(subject)
        self._queue.discard(subject, _ERASE_SECONDS)
        self._writing_keys.forget(subject)

    # ---------------------------------------------------------------- the store
    def _mark(self, objects: Objects) -> None:
        """Write the marker that says that this is a vault: so an unwritable store is found out at once."""
        if objects.get(_MARKER) is None:
            objects.put(_MARKER, _MARKED)
        self._marked = True

    def _objects(self) -> Objects:
        return self._place.objects()

    @contextmanager
    def _reaching(self) -> Iterator[None]:
        try:
            yield
        except VaultError:
            raise
        except Exception as error:
            raise Unavailable(
                f"The vault's store or its keys cannot be reached, or refuse ({type(error).__name__})."
            ) from error


__all__ = ["Kept", "Vault"]
