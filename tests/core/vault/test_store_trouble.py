"""A store that is down, slow or full costs content, counted; never time, never memory, never another place."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time

import pytest
from sinks import wait_until
from spanloom.vault import Keyring, NotFound, Vault
from vaults import TRACE, Broken, balanced, kept, user

DEADLINE = 60.0


def keep(vault, n, content="CANARY"):
    return vault.keep(user("u"), TRACE, n, time.time_ns(), content)


def test_a_store_that_is_down_is_not_waited_for_until_it_is_back(place, caplog):
    vault = place.vault(wait_seconds=0.3, probe_seconds=0.05)
    broken = Broken(vault, up=False)
    assert not keep(vault, 1).wait()
    wait_until(lambda: vault._queue.down, "the store to count as down")
    assert {r.getMessage().split(":")[0] for r in caplog.records} == {"spanloom"}
    assert "CANARY" not in caplog.text
    asked = broken.asked
    refused = [keep(vault, n) for n in range(2, 202)]
    assert not any(k.wait() for k in refused)
    assert "store is down" in {k.reason for k in refused}
    assert broken.asked - asked < 20  # tried out now and then, not by each
    broken.up()
    wait_until(lambda: keep(vault, time.monotonic_ns()).wait(), "the store to be tried out again")
    assert not vault._queue.down
    kept(vault, "back")
    assert balanced(vault.counts())
    assert vault.counts()["failed"] >= 201
    assert not list(place.folder.glob("**/*.tmp"))


def test_a_vault_whose_store_was_away_when_it_was_opened_is_found_later(place):
    vault = Vault("memory://away-at-first", Keyring(place.keyring), wait_seconds=DEADLINE)
    broken = Broken(vault, up=False)
    vault.open()
    broken.up()
    assert not vault.exists()
    kept(vault, "x")
    assert vault.exists(), "else `spanloom vault erase` finds nothing there"
    vault.close()


def test_a_short_outage_costs_nothing(place):
    vault = place.vault(wait_seconds=DEADLINE)
    broken = Broken(vault, up=False)
    one = keep(vault, 1)
    wait_until(lambda: broken.asked > 2, "some attempts")
    broken.up()
    assert one.wait()
    assert vault.read(one.reference) == "CANARY"
    assert vault.counts()["stored"] == 1


class Hanging:
    """A store whose writes answer when they are let go."""

    def __init__(self, vault):
        self._real = vault._place.objects()
        self.going, self.let_go = threading.Semaphore(0), threading.Event()
        vault._place._objects = self

    def __getattr__(self, name):
        return getattr(self._real, name)

    def put(self, path, data):
        if path.startswith("objects"):
            self.going.release()
            assert self.let_go.wait(DEADLINE)
        self._real.put(path, data)


def test_a_store_that_hangs_is_given_up_and_what_it_writes_too_late_is_taken_back(place):
    vault = place.vault(wait_seconds=0.2, writers=2, probe_seconds=DEADLINE)
    hanging = Hanging(vault)
    before = time.monotonic()
    several = [keep(vault, n) for n in range(6)]
    assert not any(k.wait() for k in several)
    assert not keep(vault, 99).wait()  # at once: the store is down
    assert time.monotonic() - before < 5
    counts = vault.counts()
    assert (counts["queued"], counts["stored"], counts["failed"] + counts["dropped"]) == (0, 0, 7)
    hanging.let_go.set()
    wait_until(lambda: not vault._queue._writing, "the writers to end")
    assert vault.counts() == counts
    assert not list(place.store.glob("objects/*/*/*/*"))
    for one in several:
        with pytest.raises(NotFound):
            vault.read(one.reference)


def test_one_who_waits_less_gives_up_for_all(place):
    vault = place.vault(writers=1)
    hanging = Hanging(vault)
    now = time.time_ns()
    reference = vault.reference(user("u"), TRACE, 1, now)
    first = second = vault.keep_under(reference, "shared")
    assert hanging.going.acquire(timeout=DEADLINE)
    assert not first.wait(time.monotonic())
    assert not second.wait()
    hanging.let_go.set()
    wait_until(lambda: not vault._queue._writing, "the writer to end")
    assert not list(place.store.glob("objects/*/*/*/*"))


@pytest.mark.parametrize(
    ("bound", "content"), [({"queue_objects": 5}, "x"), ({"queue_megabytes": 0.005}, "x" * 998)], ids=["count", "bytes"]
)
def test_a_full_queue_drops_and_counts(place, bound, content):
    vault = place.vault(writers=1, wait_seconds=DEADLINE, **bound)
    hanging = Hanging(vault)
    first = keep(vault, 0, content)
    assert hanging.going.acquire(timeout=DEADLINE)  # it is being written, and stands in the queue no more
    queued = [keep(vault, n, content) for n in range(1, 6)]
    before = time.monotonic()
    beyond = [keep(vault, n, content) for n in range(6, 16)]
    assert not any(k.wait() for k in beyond)
    assert time.monotonic() - before < 5
    assert {k.reason for k in beyond} == {"queue is full"}
    assert vault.counts() == {"kept": 16, "stored": 0, "failed": 0, "dropped": 10, "queued": 6}
    hanging.let_go.set()
    assert all(k.wait() for k in [first, *queued])
    assert not vault.flush()  # ten were lost
    assert vault.flush()


def test_keep_never_waits_for_the_store(place):
    vault = place.vault(writers=1, wait_seconds=DEADLINE)
    hanging = Hanging(vault)
    before = time.monotonic()
    several = [keep(vault, n) for n in range(100)]
    assert time.monotonic() - before < 5
    hanging.let_go.set()
    assert all(k.wait() for k in several)


def test_close_is_bounded_and_counts_what_it_leaves(place):
    vault = place.vault(writers=1, wait_seconds=DEADLINE)
    hanging = Hanging(vault)
    several = [keep(vault, n) for n in range(5)]
    assert hanging.going.acquire(timeout=DEADLINE)
    before = time.monotonic()
    assert not vault.close(0.2)
    assert time.monotonic() - before < 5
    assert not any(k.wait() for k in several)
    assert vault.counts() == {"kept": 5, "stored": 0, "failed": 1, "dropped": 4, "queued": 0}
    hanging.let_go.set()
    wait_until(lambda: not vault._queue._writing, "the writer to end")
    assert not list(place.store.glob("objects/*/*/*/*"))
    wait_until(lambda: not vault._queue._threads, "the threads to end")


def test_many_threads_keep_at_once(place):
    vault = place.vault()
    results = []

    def work(name):
        several = [vault.keep(user(name), TRACE, n, time.time_ns(), f"{name}{n}") for n in range(1, 41)]
        results.extend((k.wait(), vault.read(k.reference) == f"{name}{n}") for n, k in enumerate(several, 1))

    threads = [threading.Thread(target=work, args=(f"u{n}",)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE)
    assert results == [(True, True)] * 240
    assert vault.counts() == {"kept": 240, "stored": 240, "failed": 0, "dropped": 0, "queued": 0}


FORKING = """
import os, time, warnings
warnings.filterwarnings("ignore", message=".*fork.*", category=DeprecationWarning)  # threads are the case in point
from spanloom.identity import Identity
from spanloom.vault import Keyring, Vault

vault = Vault(STORE, Keyring(KEYS))
vault.open()
who = Identity(user_id="u")
first = vault.keep(who, 1, 1, time.time_ns(), "before the fork")
assert first.wait()
vault._lock.acquire(); vault._queue._condition.acquire(); vault._writing_keys._lock.acquire()  # whatever is held
child = os.fork()
if child == 0:
    assert vault.counts()["kept"] == 0
    inside = vault.keep(who, 1, 2, time.time_ns(), "in the child")
    assert inside.wait(), inside.reason
    assert vault.read(inside.reference) == "in the child"
    assert vault.read(first.reference) == "before the fork"
    assert vault.counts()["stored"] == 1
    assert vault.close()
    os._exit(0)
vault._lock.release(); vault._queue._condition.release(); vault._writing_keys._lock.release()
_, status = os.waitpid(child, 0)
assert status == 0, status
assert vault.keep(who, 1, 3, time.time_ns(), "after the fork").wait()
assert vault.counts()["stored"] == 2
assert vault.close()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.parametrize("store", ["folder", "memory://forked/vault"])
def test_a_forked_child_has_a_queue_of_its_own(place, store):
    where = str(place.store) if store == "folder" else store
    header = f"STORE, KEYS = {where!r}, {str(place.keyring)!r}\n"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", header + FORKING],
        capture_output=True, text=True, timeout=DEADLINE, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
