"""`spanloom vault`: what an operator sees."""

from __future__ import annotations

import pytest
from click.testing import CliRunner
from spanloom.cli import main
from spanloom.identity import Identity
from spanloom.vault import Erased, Keyring
from vaults import TRACE, kept, user


@pytest.fixture
def run(place, vault, monkeypatch):
    monkeypatch.chdir(place.folder)
    monkeypatch.setenv("SPANLOOM_VAULT_STORE", str(place.store))
    monkeypatch.setenv("SPANLOOM_VAULT_KEYS", str(place.keyring))

    def run(*arguments, answer=None, width="160"):
        done = CliRunner().invoke(main, ["vault", *arguments], input=answer, env={"COLUMNS": width})
        assert not done.exception or isinstance(done.exception, SystemExit), done.exception
        return done.exit_code, done.output

    return run


def test_show_prints_the_content(run, vault):
    assert run("show", kept(vault, "Where is my order?")) == (0, "Where is my order?\n")
    assert run("show", kept(vault, {"größe": [1]})) == (0, '{\n  "größe": [\n    1\n  ]\n}\n')


def test_what_strangers_wrote_does_not_reach_the_terminal_as_it_is(run, vault):
    _, output = run("show", kept(vault, "\x1b[31mred \ud800"))
    assert "\x1b" not in output
    assert "\\ud800" in output


def test_show_says_in_one_sentence_why_not(run, vault, place):
    reference = kept(vault, "x")
    assert run("show", "nonsense")[0] == 1
    code, output = run("show", reference[:-4] + "0000")
    assert (code, output.count("\n")) == (1, 1)
    assert "Nothing is stored under" in output
    vault.erase(user="u1")
    code, output = run("show", reference)
    assert (code, output.count("\n")) == (1, 1)
    assert "was erased" in output


def test_erase_asks_first(run, vault):
    reference = kept(vault, "x")
    code, output = run("erase", "--user", "u1", answer="n\n")
    assert code == 1
    assert "for good?" in output
    assert vault.read(reference) == "x"
    code, output = run("erase", "--user", "u1", answer="y\n")
    assert code == 0
    assert "Erased user u1: 1 key destroyed, 1 object deleted." in output
    (record,) = vault.audit().records
    assert record.digest in output
    assert record.name in output
    with pytest.raises(Erased):
        vault.read(reference)


@pytest.mark.parametrize(
    ("option", "name", "rule", "who"),
    [
        ("--session", "s", "session", Identity(session_id="s")),
        ("--tenant", "t", "tenant", Identity(tenant="t")),
        ("--trace", f"{TRACE:032x}", "user", Identity()),
        ("--subject", "c", lambda i: "c", Identity()),
    ],
)
def test_every_kind_of_subject_can_be_erased(run, place, option, name, rule, who):
    kept(place.vault(subject=rule), "x", who)
    code, output = run("erase", option, name, "--yes")
    assert code == 0
    assert "1 key destroyed, 1 object deleted" in output


def test_an_erasure_that_finds_nothing_says_so(run, vault):
    kept(vault, "x", Identity(user_id="u1", tenant="acme"))
    code, output = run("erase", "--tenant", "acme", "--yes")
    assert code == 0
    assert "Nothing of tenant acme is in this vault. Is it kept by tenant there?" in output


def test_erase_wants_one_subject(run):
    assert run("erase", "--yes")[0] == 2
    assert run("erase", "--user", "a", "--tenant", "b", "--yes")[0] == 2


def test_the_wrong_place_or_keys_are_named_and_nothing_is_made(run, vault, place):
    kept(vault, "x")
    code, output = run("erase", "--user", "u1", "--yes", "--store", str(place.folder / "none"))
    assert (code, output) == (1, f"Error: There is no vault at {place.folder / 'none'}: --store names another.\n")
    code, output = run("erase", "--user", "u1", "--yes", "--keys", "none.db")
    assert (code, output) == (1, "Error: There is no keyring at none.db: --keys names another.\n")
    assert not (place.folder / "none").exists()
    assert not (place.folder / "none.db").exists()
    Keyring(place.folder / "other.db").open()
    code, output = run("erase", "--user", "u1", "--yes", "--keys", "other.db")
    assert code == 1
    assert "does not have" in output
    assert run("audit")[1].startswith("Nothing was erased")


def test_audit_lists_and_verifies(run, vault, place):
    for name in "ab":
        kept(vault, "x", user(name))
        vault.erase(user=name)
    code, output = run("audit")
    assert code == 0
    records = vault.audit().records
    assert all(r.erasure.subject in output and r.digest[:16] in output for r in records)
    assert "2 records, unbroken." in output
    assert run("audit", "--expect", records[1].digest)[0] == 0
    (place.store / records[1].name).unlink()
    assert run("audit")[0] == 0
    code, output = run("audit", "--expect", records[1].digest)
    assert code == 1
    assert f"No record has the digest {records[1].digest}" in output
    (place.store / records[0].name).write_text("{}")
    code, output = run("audit")
    assert code == 1
    assert "FAILED" in output


def test_a_narrow_terminal_cuts_nothing_out_of_the_proof(run, vault):
    kept(vault, "x", user("a"))
    vault.erase(user="a")
    (record,) = vault.audit().records
    output = run("audit", width="40")[1]
    assert record.erasure.subject in output
    assert record.digest[:16] in output
    assert "…" not in output


def test_keys_in_aws_need_the_extra(run, vault, monkeypatch):
    import sys

    kept(vault, "x")
    monkeypatch.setitem(sys.modules, "boto3", None)
    code, output = run("show", "vault:x", "--keys", "aws-kms:alias/vault")
    assert code == 1
    assert "pip install 'spanloom[vault-aws]'" in output
