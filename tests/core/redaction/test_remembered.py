"""A text that comes again is not read again, and what was found in it is the same."""

from hypothesis import given
from hypothesis import strategies as st
from spanloom import actions
from spanloom.content.redaction import Patterns, remembered
from spanloom.content.redaction.remembered import Remembered

LONG = "Please write to ann@example.com or to bob@example.com about parcel 7. " * 3


class Counting:
    __hash__ = None

    def __init__(self):
        self.read = []

    def find(self, text):
        self.read.append(text)
        return Patterns().find(text)


def test_a_text_is_read_once():
    counting = Counting()
    once = Remembered(counting)
    assert [once.find(LONG) for _ in range(3)] == [Patterns().find(LONG)] * 3
    assert counting.read == [LONG]


@given(st.text(min_size=60, max_size=300))
def test_what_is_found_is_what_the_redactor_finds(text):
    once = Remembered(Patterns())
    assert list(once.find(text)) == list(once.find(text)) == list(Patterns().find(text))


def test_it_is_bounded_and_keeps_no_text():
    once = Remembered(Counting(), texts=10)
    for n in range(50):
        once.find(f"{n} {LONG}")
    assert len(once._found) == 10
    assert "example" not in repr(once._found._values)


def test_equal_redactors_share_what_they_know():
    assert remembered(Patterns({"CARD"})) is remembered(Patterns({"CARD"}))
    assert actions.redact("CARD") == actions.redact("CARD") != actions.redact("IBAN")
    assert actions.redact(redactor=Counting()) is not None
