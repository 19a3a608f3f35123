"""Vaults for tests: a folder with a store and a keyring, and what is asked of them."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

from spanloom.identity import Identity
from spanloom.vault import DataKey, Keyring, Vault

TRACE, SPAN = 0xA1, 0xB2


def user(name):
    return Identity(user_id=name)


class Place:
    """A folder with a store and a keyring in it, and vaults upon them as processes of their own would have them."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.store, self.keyring = folder, folder / "store", folder / "keys.db"
        self._vaults = []

    def vault(self, store=None, keys=None, **settings):
        vault = Vault(str(store or self.store), keys or Keyring(self.keyring), **settings)
        vault.open()
        self._vaults.append(vault)
        return vault

    def bytes(self):
        """The bytes of every file there is, by path: store, keyring, journals and what is left over."""
        return {p: p.read_bytes() for p in self.folder.rglob("*") if p.is_file()}

    def close(self):
        for vault in self._vaults:
            vault.close()


def kept(vault, content, identity=None, *, trace=TRACE, span=SPAN, recorded_ns=None):
    """The reference of content that is stored."""
    kept = vault.keep(identity or user("u1"), trace, span, recorded_ns or time.time_ns(), content)
    assert kept.wait(), (kept.reason, vault.counts())
    return kept.reference


def balanced(counts):
    return counts["kept"] == counts["stored"] + counts["failed"] + counts["dropped"] + counts["queued"]


class Broken:
    """The store of `vault`, which answers nothing until it is `up()`."""

    def __init__(self, vault, *, up=True):
        self.vault, self._real = vault, vault._place.objects()
        self.asked = 0
        self._up = threading.Event()
        if up:
            self._up.set()
        vault._place._objects = self

    def up(self):
        self._up.set()

    def __getattr__(self, name):
        method = getattr(self._real, name)

        def answer(*arguments):
            self.asked += 1
            if not self._up.is_set():
                raise ConnectionError("the store is down: CANARY")
            return method(*arguments)

        return answer


class Mine:
    """A provider of one's own, as the documentation describes it."""

    def __init__(self):
        self.held = {}

    def create(self, subject):
        key = DataKey(os.urandom(8).hex(), os.urandom(32))
        self.held.setdefault(subject, {})[key.id] = key.key
        return key

    def get(self, subject, key_id):
        return self.held.get(subject, {}).get(key_id)

    def ids(self, subject):
        return list(self.held.get(subject, {}))

    def destroy(self, subject):
        return len(self.held.pop(subject, {}))
