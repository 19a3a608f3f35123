"""What goes in comes out, for whoever has the keys, and unaltered or not at all."""

from __future__ import annotations

import json
import math
import os
import stat
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sinks import wait_until
from spanloom import ConfigurationError
from spanloom.identity import Identity
from spanloom.vault import AwsKms, Keyring, NotFound, Unavailable, Unreadable, Vault, VaultError
from vaults import SPAN, TRACE, Broken, Mine, balanced, kept, user

plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(plain)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_plain_value_comes_back(vault, content):
    assert vault.read(kept(vault, content)) == content


@pytest.mark.parametrize("content", ["", "\ud800 alone", "x" * 200_000, math.inf, {"": [None, -0.0, 10**30]}])
def test_odd_values_come_back(vault, content):
    assert vault.read(kept(vault, content)) == content


def test_content_is_encrypted_and_private(place, vault):
    reference = kept(vault, {"prompt": "CANARY-prompt"}, user("ada@example.com"))
    for path, data in place.bytes().items():
        assert b"CANARY" not in data
        assert b"ada@example.com" not in data
        assert "ada" not in str(path.relative_to(place.folder))
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert all(stat.S_IMODE(p.stat().st_mode) == 0o700 for p in [place.store, *place.store.rglob("*")] if p.is_dir())
    assert "ada" not in reference


def test_the_same_content_twice_is_two_ciphertexts(place, vault):
    kept(vault, "again", span=1)
    kept(vault, "again", span=2)
    one, other = (p.read_bytes() for p in sorted(place.store.glob("objects/*/*/*/*")))
    assert one[-20:] != other[-20:]


# ---------------------------------------------------------------- nothing but what was sealed
@pytest.fixture
def stored(place, vault):
    reference = kept(vault, "the content")
    (path,) = place.store.glob("objects/*/*/*/*")
    return reference, path


def test_every_altered_byte_is_found_out(vault, stored):
    reference, path = stored
    data = path.read_bytes()
    for at in range(len(data)):
        path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        with pytest.raises(Unreadable):
            vault.read(reference)
    path.write_bytes(data)
    assert vault.read(reference) == "the content"


def test_a_shortened_object_is_found_out(vault, stored):
    reference, path = stored
    data = path.read_bytes()
    for length in range(len(data)):
        path.write_bytes(data[:length])
        with pytest.raises(Unreadable):
            vault.read(reference)


def test_objects_cannot_be_swapped(place, vault):
    first, second = (kept(vault, text, span=n) for n, text in enumerate(("one", "two"), 1))
    one, two = (place.store / "objects" / r.removeprefix("vault:") for r in (first, second))
    ones = one.read_bytes()
    one.write_bytes(two.read_bytes())
    two.write_bytes(ones)
    for reference in (first, second):
        with pytest.raises(Unreadable):
            vault.read(reference)


def test_other_keys_read_nothing(place, stored):
    other = place.vault(keys=Keyring(place.folder / "other.db"))
    with pytest.raises(Unreadable, match="not among these keys"):
        other.read(stored[0])


def test_a_wrong_key_reads_nothing(place, stored):
    class Wrong(Keyring):
        def get(self, subject, key_id):
            return os.urandom(32)

    with pytest.raises(Unreadable):
        place.vault(keys=Wrong(place.keyring)).read(stored[0])


@pytest.mark.parametrize(
    "text", ["", "vault:", "x", "vault:../../etc/passwd", "vault:" + "0" * 32 + "/../../../etc", None, 7]
)
def test_what_is_no_reference_is_not_found(vault, text):
    with pytest.raises(NotFound, match="no reference"):
        vault.read(text)


def test_a_reference_to_nothing_is_not_found(vault):
    reference = kept(vault, "there")
    with pytest.raises(NotFound, match="Nothing is stored"):
        vault.read(reference[:-4] + "0000")


# ---------------------------------------------------------------- whose key
BOTH = Identity(user_id="u", session_id="s", tenant="t")


@pytest.mark.parametrize(
    ("rule", "identity", "owner"),
    [
        ("user", BOTH, {"user": "u"}),
        ("session", BOTH, {"session": "s"}),
        ("tenant", BOTH, {"tenant": "t"}),
        ("user", Identity(session_id="s", tenant="t"), {"session": "s"}),
        ("user", Identity(tenant="t"), {"trace": f"{TRACE:032x}"}),
        ("session", Identity(user_id="u"), {"trace": f"{TRACE:032x}"}),
        ("tenant", Identity(user_id="u"), {"trace": f"{TRACE:032X}"}),
        (lambda i: i.metadata["contract"], Identity(metadata={"contract": "c"}), {"subject": "c"}),
        (lambda i: None, BOTH, {"trace": f"{TRACE:032x}"}),
    ],
)
def test_the_subject_whose_erasure_takes_the_content_along(place, rule, identity, owner):
    vault = place.vault(subject=rule)
    reference = kept(vault, "x", identity)
    other = kept(vault, "y", Identity(metadata={"contract": "d"}), trace=TRACE + 1)
    assert vault.erase(**owner).objects == 1
    with pytest.raises(VaultError, match="was erased"):
        vault.read(reference)
    assert vault.read(other) == "y"


def test_subjects_share_no_key(place, vault):
    names = [user("a"), user("b"), Identity(session_id="a"), Identity(tenant="a"), Identity()]
    references = [kept(vault, "x", who, trace=n) for n, who in enumerate(names, 1)]
    subjects = {r.split("/")[0].removeprefix("vault:") for r in references}
    ids = [id for s in subjects for id in Keyring(place.keyring).ids(s)]
    assert len(subjects) == len(set(ids)) == len(ids) == 5


def test_a_function_for_the_subject_that_raises_keeps_nothing(place, lenient):
    vault = place.vault(subject=lambda identity: identity.metadata["missing"])
    kept = vault.keep(BOTH, TRACE, SPAN, time.time_ns(), "CANARY")
    assert not kept.wait()
    assert kept.reason == "error"
    assert vault.counts() == {"kept": 1, "stored": 0, "failed": 1, "dropped": 0, "queued": 0}
    assert not list(place.store.glob("objects/**/*"))
    assert lenient.swallowed["spanloom.vault.reference"] == 1


def test_an_item_of_a_list_has_a_reference_of_its_own(vault):
    reference = vault.reference(user("u"), TRACE, SPAN, time.time_ns())
    assert vault.keep_under(reference, ["a", {"b": 1}]).wait()
    assert [vault.read(reference), vault.read(f"{reference}#0"), vault.read(f"{reference}#1")] == [
        ["a", {"b": 1}], "a", {"b": 1},
    ]  # fmt: skip
    for item in ("2", "x"):
        with pytest.raises(NotFound, match="no item"):
            vault.read(f"{reference}#{item}")


def test_content_that_was_lost_is_kept_again(place):
    vault = place.vault(wait_seconds=10)
    broken = Broken(vault, up=False)
    now = time.time_ns()
    lost = vault.keep(user("u"), TRACE, SPAN, now, "x")
    assert not lost.wait(time.monotonic() + 0.2)
    broken.up()
    wait_until(lambda: not vault._queue._writing, "the end of the attempt")
    vault._queue._success()  # the pause before it is tried again
    again = vault.keep(user("u"), TRACE, SPAN, now, "x")
    assert again.wait()
    assert again.reference != lost.reference
    with pytest.raises(NotFound):
        vault.read(lost.reference)


# ---------------------------------------------------------------- settings
def test_settings_that_cannot_work(tmp_path, monkeypatch):
    keys = Keyring(tmp_path / "k.db")
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match='write "user", "tenant" or "session"'):
        Vault(str(tmp_path), keys, subject="team")
    with pytest.raises(ConfigurationError, match="no method 'create'"):
        Vault(str(tmp_path), "keys.db")
    with pytest.raises(ConfigurationError, match="wait_seconds"):
        Vault(str(tmp_path), keys, wait_seconds=0)
    for url in ("", "simplecache::s3://bucket/x", None):
        with pytest.raises(ConfigurationError, match="one plain URL"):
            Vault(url, keys)
    with pytest.raises(ConfigurationError, match="fsspec does not know"):
        Vault("nowhere://x", keys)
    with pytest.raises(ConfigurationError, match="names no place"):
        Vault("memory://", keys)
    with pytest.raises(ConfigurationError, match="cannot use"):
        Vault(str(tmp_path / "file"), keys).open()
    (tmp_path / "text.db").write_text("anything but SQLite " * 100)
    with pytest.raises(ConfigurationError, match="no keyring"):
        Vault(str(tmp_path / "s"), Keyring(tmp_path / "text.db")).open()
    keys.create("0" * 32)
    keys.path.write_bytes(keys.path.read_bytes().replace(b"tablekeyskeys", b"\xc2" * 13))
    with pytest.raises(ConfigurationError, match="no keyring"):
        Vault(str(tmp_path / "s"), keys).open()
    with pytest.raises(ConfigurationError, match="its folder does not exist"):
        Vault(str(tmp_path / "s"), Keyring(tmp_path / "no" / "k.db")).open()
    with pytest.raises(ConfigurationError, match="ARN of a KMS key"):
        AwsKms("", "s3://bucket/keys")


def test_what_is_not_installed_is_named(tmp_path, monkeypatch):
    import sys

    keys = Keyring(tmp_path / "k.db")
    for name in ("s3fs", "boto3"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ConfigurationError, match=r"pip install 'spanloom\[vault-aws\]'"):
        Vault("s3://bucket/x", keys)
    with pytest.raises(ConfigurationError, match=r"pip install 'spanloom\[vault-aws\]'"):
        AwsKms("alias/x", "memory://keys")
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'spanloom\[vault\]'"):
        Vault("folder", keys)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written(tmp_path):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    with pytest.raises(ConfigurationError, match="permission denied"):
        Vault(str(closed), Keyring(tmp_path / "k.db")).open()


def test_nothing_secret_is_printed(place):
    vault = place.vault("memory://secret-test/vault", storage_options={"key": "CANARY-key"})
    kept = vault.keep(user("CANARY-user"), TRACE, SPAN, time.time_ns(), "CANARY-content")
    made = Keyring(place.keyring).create("0" * 32)
    shown = repr([vault, vault.keys, kept, made, vault._place])
    assert "CANARY" not in shown
    assert repr(made.key) not in shown
    assert "user:password" not in repr(Vault("ftp://user:password@127.0.0.1/x", Keyring(place.keyring)))


# ---------------------------------------------------------------- other stores, other keys
def test_a_store_in_memory_and_keys_of_ones_own(place):
    vault = place.vault("memory://mine/vault", Mine())
    reference, other = kept(vault, ["a"], user("a")), kept(vault, ["b"], user("b"))
    assert vault.read(reference) == ["a"]
    done = vault.erase(user="a")
    assert (len(done.keys), done.objects, done.objects_left, done.verified) == (1, 1, 0, True)
    with pytest.raises(VaultError, match="was erased"):
        vault.read(reference)
    assert vault.read(other) == ["b"]
    assert not vault.audit().faults


def test_a_provider_that_forgets_its_keys_acknowledges_nothing(place, lenient):
    class Forgetful(Mine):
        def get(self, subject, key_id):
            return None

    vault = place.vault(keys=Forgetful(), wait_seconds=0.3)
    assert not vault.keep(user("u"), TRACE, SPAN, time.time_ns(), "x").wait()
    wait_until(lambda: not vault._queue._writing, "the end of the attempt")
    assert not list(place.store.glob("objects/*/*/*/*"))


def test_reading_where_the_store_is_away_says_so(place, vault):
    reference = kept(vault, "x")
    Broken(vault, up=False)
    with pytest.raises(Unavailable) as caught:
        vault.read(reference)
    assert "CANARY" not in str(caught.value)


def test_two_destinations_open_and_close_it(place):
    vault = place.vault()
    vault.open()
    assert vault.close()
    kept(vault, "still open")
    assert vault.close()
    late = vault.keep(user("u"), TRACE, SPAN, time.time_ns(), "late")
    assert not late.wait()
    assert late.reason == "closed"
    assert balanced(vault.counts())
    vault.open()
    kept(vault, "open again")


def test_the_marker_is_json(place, vault):
    assert json.loads((place.store / "vault.json").read_text()) == {"spanloom_vault": 1}
    assert vault.exists()
    assert not Vault(str(place.folder / "none"), vault.keys).exists()
