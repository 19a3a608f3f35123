"""One placeholder for one value within a trace; bounded, and without the values."""

import gc
import pickle
import re
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from spanloom.content.redaction import Finding, Patterns, Placeholders, redacted

PATTERNS = Patterns()


def test_a_value_has_one_placeholder_within_a_trace():
    placeholders = Placeholders()
    first, counted = redacted("a@x.de wrote to b@x.de, cc A@X.de", PATTERNS, placeholders, 1)
    assert first == "<EMAIL_1> wrote to <EMAIL_2>, cc <EMAIL_1>"
    assert counted == {"EMAIL": 3}
    assert redacted("b@x.de answered", PATTERNS, placeholders, 1)[0] == "<EMAIL_2> answered"
    assert redacted("b@x.de answered", PATTERNS, placeholders, 2)[0] == "<EMAIL_1> answered"


def test_kinds_are_numbered_apart():
    text = "a@x.de, 10.0.0.7, password=geheim1, b@x.de"
    assert redacted(text, PATTERNS, Placeholders(), 1)[0] == "<EMAIL_1>, <IP_1>, password=<SECRET_1>, <EMAIL_2>"


@pytest.mark.parametrize(
    ("kind", "spellings"),
    [
        ("EMAIL", ["a@x.de", "A@X.DE", "a@x\u200b.de"]),
        (
            "CARD",
            ["4111111111111111", "4111 1111 1111 1111", "4111-1111-1111-1111", "４１１１ １１１１ １１１１ １１１１"],
        ),
        ("IBAN", ["DE89370400440532013000", "de89 3704 0044 0532 0130 00"]),
        ("PHONE", ["+49 30 901820", "+49 (0)30 901820", "004930901820", "+49-30-901820"]),
        ("NATIONAL_ID", ["12345678Z", "12.345.678-z"]),
        ("IP", ["2001:db8::1", "2001:0DB8:0:0::1"]),
        ("PERSON", ["Anna Weber", "anna  weber"]),
    ],
)
def test_other_spellings_share_it(kind, spellings):
    placeholders = Placeholders()
    assert {placeholders.label(1, kind, s) for s in spellings} == {f"<{kind}_1>"}


def test_secrets_that_differ_in_case_differ():
    placeholders = Placeholders()
    assert placeholders.label(1, "SECRET", "abc") != placeholders.label(1, "SECRET", "ABC")


def test_past_the_bound_of_a_trace_values_share_number_0():
    placeholders = Placeholders(values_per_trace=3)
    labels = [placeholders.label(1, "EMAIL", f"a{i}@x.de") for i in range(5)]
    assert labels == ["<EMAIL_1>", "<EMAIL_2>", "<EMAIL_3>", "<EMAIL_0>", "<EMAIL_0>"]
    assert placeholders.label(1, "EMAIL", "a1@x.de") == "<EMAIL_2>"
    assert redacted("<EMAIL_0>", PATTERNS, placeholders, 1) == ("<EMAIL_0>", {})


def test_past_the_bound_in_all_the_oldest_trace_is_forgotten():
    placeholders = Placeholders(values_per_trace=2, values=4)
    for trace in (1, 2):
        for i in range(2):
            placeholders.label(trace, "EMAIL", f"a{i}@x.de")
    placeholders.label(1, "EMAIL", "a1@x.de")  # asked for again: trace 2 is the oldest now
    placeholders.label(3, "EMAIL", "c@x.de")
    assert placeholders.label(1, "EMAIL", "a1@x.de") == "<EMAIL_2>"
    assert placeholders.label(2, "EMAIL", "a1@x.de") == "<EMAIL_1>"


def test_a_million_values_of_many_traces_stay_within_the_bound():
    placeholders = Placeholders(values_per_trace=10, values=1_000)
    for trace in range(20_000):
        placeholders.label(trace, "EMAIL", f"{trace}@x.de")
    assert sum(len(t.numbers) for t in placeholders._traces.values()) <= 1_000
    assert len(placeholders._traces) <= 1_000


def test_no_value_stays_in_memory():
    placeholders = Placeholders()
    placeholders.label(1, "EMAIL", "very.secret@example.com")
    held = [placeholders._traces, placeholders._key]
    for _ in range(6):
        held += [o for h in held for o in gc.get_referents(h) if not isinstance(o, type)]
        held = list({id(o): o for o in held}.values())
    assert not [o for o in held if isinstance(o, str) and "very.secret" in o]
    assert b"very.secret" not in pickle.dumps({t: s.numbers for t, s in placeholders._traces.items()})


def test_two_processes_hash_differently():
    def digests(placeholders):
        placeholders.label(1, "EMAIL", "a@x.de")
        return set(placeholders._traces[1].numbers)

    assert not digests(Placeholders()) & digests(Placeholders())


def test_threads_agree():
    placeholders, ready = Placeholders(), threading.Barrier(8)

    def labels(_):
        ready.wait(10)
        return {i: placeholders.label(1, "EMAIL", f"a{i}@x.de") for i in range(300)}

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(labels, range(8)))
    assert all(a == answers[0] for a in answers)
    assert {int(re.sub(r"\D", "", label)) for label in answers[0].values()} == set(range(1, 301))


def test_a_redactor_that_takes_placeholders_for_names_changes_none():
    class Eager:
        def find(self, text):
            return [Finding(0, len(text), "PERSON")]

    assert redacted("<EMAIL_1>", Eager(), Placeholders(), 1) == ("<EMAIL_1>", {})
    assert redacted("Anna", Eager(), Placeholders(), 1) == ("<PERSON_1>", {"PERSON": 1})
