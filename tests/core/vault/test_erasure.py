"""After an erasure nothing of the subject can be had again, by trying; all else stays."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import textwrap
import threading
import time

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sinks import wait_until
from spanloom import ConfigurationError
from spanloom.vault import Erased, Keyring, Unavailable, VaultError
from spanloom.vault.sealed import taken_apart
from spanloom.vault.subject import pseudonym
from vaults import SPAN, TRACE, Broken, Mine, balanced, kept, user

DEADLINE = 60.0


def raw_keys(place, *names):
    """The data keys of users, as the keyring holds them."""
    ring = Keyring(place.keyring)
    subjects = [pseudonym("user", name) for name in names]
    return {ring.get(s, id) for s in subjects for id in ring.ids(s)}


def attacked(place):
    """Everything that whoever takes the whole folder can decrypt, with whatever 32 bytes may be a key."""
    files = place.bytes()
    ring = place.keyring.read_bytes()
    keys = {ring[at : at + 32] for at in range(len(ring) - 31)} if len(ring) < 200_000 else set()
    for path, data in files.items():
        if "objects" not in path.parts:
            continue
        sealed = taken_apart(data)
        aad = sealed.header + path.relative_to(place.store).as_posix().encode()
        for key in keys:
            try:
                yield AESGCM(key).decrypt(sealed.nonce, sealed.ciphertext, aad)
            except InvalidTag:
                continue


def test_nothing_of_the_subject_can_be_found_or_decrypted(place, vault):
    gone = [kept(vault, f"CANARY-a-{n}", user("a"), span=n) for n in range(1, 6)]
    stay = [kept(vault, f"CANARY-b-{n}", user("b"), span=n) for n in range(1, 3)]
    stolen = {p: d for p, d in place.bytes().items() if "objects" in p.parts}  # a copy of the store from before
    keys = raw_keys(place, "a")
    assert len(keys) == 1
    ring = place.keyring.read_bytes()
    assert all(key in ring for key in keys)  # the search below would have found them
    assert len([text for text in attacked(place) if b"CANARY-a" in text]) == 5

    done = vault.erase(user="a")

    assert (len(done.keys), done.objects, done.objects_left, done.verified) == (1, 5, 0, True)
    for data in place.bytes().values():
        assert b"CANARY" not in data
        assert not [k for k in keys if k in data or k[:16] in data or k[16:] in data]
    for path, data in stolen.items():  # put the copy back: without its key it is worth nothing
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    found = list(attacked(place))
    assert not [text for text in found if b"CANARY-a" in text]
    assert len([text for text in found if b"CANARY-b" in text]) == 2
    for reference in gone:
        with pytest.raises(Erased):
            vault.read(reference)
    assert [vault.read(r) for r in stay] == ["CANARY-b-1", "CANARY-b-2"]


@pytest.mark.parametrize("seed", [1, 2])
def test_no_destroyed_key_stays_in_the_keyring(tmp_path, seed):
    """Rows move between pages as a file grows: SQLite's secure_delete alone leaves some of them behind."""
    path = tmp_path / f"{seed}.db"
    ring, chance = Keyring(path), random.Random(seed)
    live, dead = {}, []
    for _ in range(80):
        subject = f"{chance.getrandbits(128):032x}" if chance.random() < 0.7 or not live else chance.choice([*live])
        live.setdefault(subject, []).append(ring.create(subject).key)
        if chance.random() < 0.1:
            subject = chance.choice([*live])
            assert ring.destroy(subject) == len(live[subject])
            dead += live.pop(subject)
    ring.destroy("none")
    data = b"".join(p.read_bytes() for p in tmp_path.glob(f"{seed}.db*"))
    assert not [k for k in dead if k[:16] in data or k[16:] in data]
    assert all(k in data for keys in live.values() for k in keys)
    assert [p.name for p in tmp_path.glob(f"{seed}.db*")] == [path.name]


def test_what_is_kept_later_is_readable(vault):
    before = kept(vault, "before")
    first = vault.erase(user="u1")
    after = kept(vault, "after")
    assert vault.read(after) == "after"
    with pytest.raises(Erased):
        vault.read(before)
    second = vault.erase(user="u1")
    assert second.objects == 1
    assert set(first.keys).isdisjoint(second.keys)


def test_erasing_again_is_no_error(vault, caplog):
    kept(vault, "x")
    vault.erase(user="u1")
    again = vault.erase(user="u1")
    assert (again.keys, again.objects, again.objects_left, again.verified) == ((), 0, 0, True)
    assert "nothing of the user to be erased was found" in caplog.text
    assert "u1" not in caplog.text
    assert len(vault.audit().records) == 2


def test_an_erasure_names_exactly_one_subject(vault):
    for wrong in ({}, {"user": "a", "tenant": "b"}, {"user": ""}):
        with pytest.raises(ConfigurationError, match="one subject"):
            vault.erase(**wrong)


def test_content_recorded_before_is_not_written_after(place, vault):
    early = time.time_ns()
    vault.erase(user="u1")
    other = place.vault()  # another process, which has not heard of it
    for one in (vault, other):
        late = one.keep(user("u1"), TRACE, SPAN, early, "CANARY")
        assert not late.wait()
        assert late.reason == "erased"
        assert one.counts()["dropped"] == 1
        assert balanced(one.counts())
        with pytest.raises(Erased):
            one.read(late.reference)
    assert not list(place.store.glob("objects/*/*/*/*"))


def test_a_key_held_by_another_process_is_given_up(place, vault):
    other = place.vault()
    early = time.time_ns()
    before = kept(other, "before")  # it holds a key now
    vault.erase(user="u1")
    late = other.keep(user("u1"), TRACE, SPAN, early, "CANARY")
    assert not late.wait()
    assert late.reason == "erased"
    assert not list(place.store.glob("objects/*/*/*/*"))
    after = kept(other, "after")
    assert vault.read(after) == "after"
    with pytest.raises(Erased):
        vault.read(before)


def test_what_is_queued_of_the_subject_is_discarded(place):
    vault = place.vault(writers=1)
    held, going = threading.Event(), threading.Event()
    real = vault._place.objects()

    class Slow:
        def __getattr__(self, name):
            return getattr(real, name)

        def put(self, path, data):
            if path.startswith("objects"):
                going.set()
                assert held.wait(DEADLINE)
            real.put(path, data)

    vault._place._objects = Slow()
    mine = [vault.keep(user("a"), TRACE, n, time.time_ns(), "CANARY") for n in range(1, 4)]
    others = vault.keep(user("b"), TRACE, 1, time.time_ns(), "other")
    assert going.wait(DEADLINE)
    eraser = threading.Thread(target=lambda: results.append(vault.erase(user="a")))
    results = []
    eraser.start()
    wait_until(lambda: vault.counts()["dropped"] == 3, "the queue to be emptied of the subject")
    held.set()
    eraser.join(DEADLINE)
    assert results[0].verified
    assert [k.wait() for k in mine] == [False] * 3
    assert {k.reason for k in mine} == {"erased"}
    assert others.wait()
    wait_until(lambda: not vault._queue._writing, "the end of the attempt")
    assert len(list(place.store.glob("objects/*/*/*/*"))) == 1


# ---------------------------------------------------------------- keys and stores that do not do their part
def test_the_wrong_keys_erase_nothing(place, vault):
    reference = kept(vault, "x")
    other = place.vault(keys=Keyring(place.folder / "other.db"))
    with pytest.raises(VaultError, match="does not have"):
        other.erase(user="u1")
    assert vault.read(reference) == "x"
    assert not vault.audit().records


def test_keys_that_do_not_go_are_an_error_and_on_record(place):
    class Hoarding(Mine):
        def destroy(self, subject):
            return len(self.ids(subject))

    vault = place.vault(keys=Hoarding())
    kept(vault, "x")
    with pytest.raises(VaultError, match="still has 1 of 1 keys"):
        vault.erase(user="u1")
    (record,) = vault.audit().records
    assert not record.erasure.verified


def test_a_store_that_does_not_delete_leaves_what_nobody_can_read(place, vault):
    reference = kept(vault, "x")
    real = vault._place.objects()

    class Sticky:
        def __getattr__(self, name):
            return getattr(real, name)

        def remove_under(self, prefix):
            raise PermissionError

    vault._place._objects = Sticky()
    done = vault.erase(user="u1")
    assert (done.objects, done.objects_left, done.verified) == (0, 1, True)
    with pytest.raises(Erased):
        vault.read(reference)
    vault._place._objects = real
    assert vault.erase(user="u1").objects == 1


def test_nothing_is_erased_while_the_store_is_away(place, vault):
    reference = kept(vault, "x")
    broken = Broken(vault, up=False)
    with pytest.raises(Unavailable) as caught:
        vault.erase(user="u1")
    assert "CANARY" not in str(caught.value)
    broken.up()
    assert vault.read(reference) == "x"
    assert vault.erase(user="u1").objects == 1


# ---------------------------------------------------------------- the audit log
@pytest.fixture
def logged(place, vault):
    for name in "abc":
        kept(vault, "CANARY-content", user(f"CANARY-{name}"))
        vault.erase(user=f"CANARY-{name}")
    return vault, sorted(place.store.glob("audit/*"))


def test_the_log_says_what_was_done_and_of_whom_by_pseudonym(logged):
    vault, files = logged
    log = vault.audit()
    assert [r.erasure.subject for r in log.records] == [pseudonym("user", f"CANARY-{n}") for n in "abc"]
    assert all(r.erasure.objects == 1 and len(r.erasure.keys) == 1 for r in log.records)
    assert [r.previous for r in log.records] == [(), (log.records[0].digest,), (log.records[1].digest,)]
    assert not log.faults
    assert not [f for f in files if b"CANARY" in f.read_bytes()]


@pytest.mark.parametrize("which", [0, 1, 2])
def test_an_altered_record_shows(logged, which):
    vault, files = logged
    said = json.loads(files[which].read_text())
    files[which].write_text(json.dumps({**said, "objects": 7}, indent=1))
    assert vault.audit().faults


@pytest.mark.parametrize("which", [0, 1])
def test_a_missing_record_shows(logged, which):
    vault, files = logged
    files[which].unlink()
    assert "missing" in vault.audit().faults[0]


def test_a_missing_end_shows_to_whoever_noted_the_digest(logged):
    vault, files = logged
    digest = vault.audit().records[-1].digest
    assert not vault.audit((digest,)).faults
    files[-1].unlink()
    assert not vault.audit().faults
    assert vault.audit((digest,)).faults == (f"No record has the digest {digest}.",)


def test_what_is_no_record_shows(logged):
    vault, files = logged
    files[0].with_name("2026-x.json").write_text("{}")
    assert "is no record" in vault.audit().faults[0]


@pytest.mark.parametrize(
    "altered",
    [
        {"written": "2026-11-25T12:00:00", "previous": []},
        {"erased_ns": float("inf")},
        {"objects": float("inf")},
        {"objects_left": "none"},
        {"keys": 7},
    ],
)
def test_what_somebody_wrote_into_a_record_shows_and_keeps_nobody_from_erasing(logged, altered):
    vault, files = logged
    said = json.loads(files[1].read_text())
    files[1].write_text(json.dumps({**said, **altered}))
    assert any("is no record" in fault for fault in vault.audit().faults)
    kept(vault, "x", user("d"))
    assert vault.erase(user="d").objects == 1
    assert vault.audit().records[-1].erasure.subject == pseudonym("user", "d")


@pytest.mark.parametrize("said", ["[" * 100_000, '{"done_ns": Infinity}', '{"keys": 7}'])
def test_an_announcement_that_cannot_be_read_keeps_nobody_from_erasing(place, vault, said):
    kept(vault, "x", user("d"))
    folder = place.store / "erasures" / pseudonym("user", "d")
    folder.mkdir(parents=True)
    (folder / f"{1:020}").write_text(said)
    assert vault.erase(user="d").objects == 1


def test_two_erasures_at_once_are_both_on_record(place):
    one, other = place.vault(), place.vault()
    kept(one, "x", user("a"))
    kept(one, "y", user("b"))
    threads = [
        threading.Thread(target=vault.erase, kwargs={"user": name}) for vault, name in ((one, "a"), (other, "b"))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE)
    one.erase(user="a")
    log = one.audit()
    assert len(log.records) == 3
    assert not log.faults
    assert {r.erasure.subject for r in log.records} == {pseudonym("user", n) for n in "ab"}


# ---------------------------------------------------------------- a crash half-way
CRASHING = """
import os
from spanloom.vault import Keyring, Vault

steps = 0


class Counted:
    def __init__(self, real):
        self.real = real

    def __getattr__(self, name):
        method = getattr(self.real, name)
        if not callable(method) or name == "open":
            return method

        def step(*arguments):  # before one is after the one before
            global steps
            steps += 1
            if steps == DIES:
                os._exit(77)
            return method(*arguments)

        return step


vault = Vault(STORE, Counted(Keyring(KEYS)))
vault._place._objects = Counted(vault._place.objects())
vault.erase(user="a")
steps += 1
if steps == DIES:
    os._exit(77)
print(steps)
"""


def erasing(place, dies=0):
    header = f"STORE, KEYS, DIES = {str(place.store)!r}, {str(place.keyring)!r}, {dies}\n"
    done = subprocess.run(
        [sys.executable, "-c", header + CRASHING], capture_output=True, text=True, timeout=DEADLINE, check=False,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": os.environ.get("PYTHONPATH", "")},
    )  # fmt: skip
    assert done.returncode == (77 if dies else 0), done.stderr
    return int(done.stdout or 0)


def erasing_in_a_fork(place, dies):
    """As `erasing`, without the start of an interpreter."""
    child = os.fork()
    if child == 0:
        try:
            exec(compile(CRASHING, "crashing", "exec"), {
                "STORE": str(place.store), "KEYS": str(place.keyring), "DIES": dies, "print": lambda *_: None,
            })  # fmt: skip
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 77


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_crash_between_any_two_steps_leaves_what_a_second_run_can_end(place, vault):
    texts = {"a": "CANARY-a", "b": "CANARY-b"}

    def begin():
        return {name: kept(vault, text, user(name), span=SPAN + round) for name, text in texts.items()}

    round = 0
    references = begin()
    steps = erasing(place)
    assert steps > 15
    for dies in range(1, steps + 1):
        round = dies
        before = references
        vault._writing_keys.forget(pseudonym("user", "a"))
        references = begin()
        keys, early = raw_keys(place, "a"), time.time_ns()
        erasing_in_a_fork(place, dies)
        late = vault.keep(user("a"), TRACE, SPAN, early, "CANARY-late")
        late.wait()
        done = vault.erase(user="a")
        assert done.verified
        assert done.objects_left == 0
        for reference in (references["a"], before["a"], late.reference):
            with pytest.raises(Erased):
                vault.read(reference)
        assert vault.read(references["b"]) == "CANARY-b"
        assert not [k for k in keys for data in place.bytes().values() if k[:16] in data or k[16:] in data]
        assert keys
        log = vault.audit()
        assert not log.faults
        said = {id for record in log.records for id in record.erasure.keys}
        assert said.issuperset(done.keys)
        assert not list(place.store.glob(f"objects/{pseudonym('user', 'a')}/*"))
    after = kept(vault, "after", user("a"))
    assert vault.read(after) == "after"


def test_the_record_after_a_crash_names_the_keys_that_it_destroyed(place, vault):
    kept(vault, "x", user("a"))
    (id,) = Keyring(place.keyring).ids(pseudonym("user", "a"))

    class Dying(Keyring):
        def destroy(self, subject):
            super().destroy(subject)
            raise RuntimeError

    with pytest.raises(Unavailable):
        place.vault(keys=Dying(place.keyring)).erase(user="a")
    assert Keyring(place.keyring).ids(pseudonym("user", "a")) == []
    assert vault.erase(user="a").keys == (id,)
    assert vault.erase(user="a").keys == ()


# ---------------------------------------------------------------- while others write
WRITING = """
import time
from spanloom.identity import Identity
from spanloom.vault import Keyring, Vault

vault = Vault(STORE, Keyring(KEYS))
vault.open()
print("ready", flush=True)
end, n = time.monotonic() + 60, 0
while time.monotonic() < end:
    n += 1
    now = time.time_ns()
    kept = vault.keep(Identity(user_id="a"), 1, n, now, f"CANARY-{n}")
    stored = kept.wait()
    print(now, int(stored), kept.reference, kept.reason, flush=True)
    if STOP.exists():
        break
print("end", vault.counts(), flush=True)
vault.close()
"""


def test_an_erasure_while_two_processes_write(place, vault, tmp_path):
    stop = tmp_path / "stop"
    header = (
        "from pathlib import Path\n"
        f"STORE, KEYS, STOP = {str(place.store)!r}, {str(place.keyring)!r}, Path({str(stop)!r})\n"
    )
    outputs = [tmp_path / f"{n}.txt" for n in range(2)]
    writers = []
    for output in outputs:
        with output.open("w") as file:
            writers.append(
                subprocess.Popen(
                    [sys.executable, "-c", header + textwrap.dedent(WRITING)], stdout=file, stderr=subprocess.STDOUT
                )
            )

    def said(output):
        whole = [line.split() for line in output.read_text().splitlines(keepends=True) if line.endswith("\n")]
        return [(int(line[0]), line[1] == "1", line[2]) for line in whole if line[0].isdigit()]

    try:
        wait_until(lambda: all(len(said(o)) > 20 for o in outputs), "both to write", DEADLINE)
        done = vault.erase(user="a")
        returned = time.time_ns()
        wait_until(
            lambda: all(sum(at > returned for at, *_ in said(o)) > 20 for o in outputs), "both to write on", DEADLINE
        )
        stop.touch()
        assert [w.wait(DEADLINE) for w in writers] == [0, 0], [o.read_text()[-500:] for o in outputs]
    finally:
        for writer in writers:
            if writer.poll() is None:
                writer.kill()
                writer.wait()
    assert done.verified
    assert len(done.keys) >= 2
    for output in outputs:
        for at, stored, reference in said(output):
            if at <= done.erased_ns:
                with pytest.raises(Erased):
                    vault.read(reference)
            elif at > returned:
                assert stored
                assert vault.read(reference).startswith("CANARY")
    ids = Keyring(place.keyring).ids(pseudonym("user", "a"))
    assert set(ids).isdisjoint(done.keys)
    assert len(ids) >= 2
