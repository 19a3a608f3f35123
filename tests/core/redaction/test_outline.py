"""What is looked for in a text's outline first is there whenever a pattern would find something."""

import re
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from spanloom.content.redaction import Entity, Patterns, accounts, addresses, names, national_ids, phones, secrets, view
from spanloom.content.redaction.outline import is_worth_a_look, outline
from spanloom.content.redaction.view import COVER, View
from spanloom.content.redaction.words import ends, lowered

from tests.core.redaction.sentences import HELD_OUT, SHOWN, negatives, positives

quick = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
around = st.text(st.sampled_from(" .,;:-\n(é日"), max_size=3)


def matching(pattern):
    """Texts with a match of `pattern` in them; digits are of any script."""
    return st.tuples(around, st.from_regex(pattern, fullmatch=True), around).map("".join).filter(pattern.search)


@given(st.text() | st.text(st.sampled_from("aZ_- é@:=＠﹫：＝<>/0٣𝟎-BEGIN")))
@settings(deadline=None)
def test_a_text_is_worth_a_look_where_it_has_a_sign_or_a_long_word(text):
    worth = re.search(r"[\d@:=＠﹫：＝]|</|(?<![A-Za-z_-])[A-Za-z_-]{20}|-----BEGIN", text)
    assert is_worth_a_look(text) == (worth is not None)
    if worth is None:
        assert Patterns().find(text) == ()


@given(st.text() | st.text(st.sampled_from("aZ09٣𝟎é -.")))
def test_an_outline_has_a_byte_for_each_character(text):
    shape = outline(text)
    assert len(shape) == len(text)
    for char, byte in zip(text, shape.decode(), strict=True):
        if char.isdecimal():
            assert byte == "0"
        elif char.isascii():
            assert byte == ("a" if char.isalpha() else char)
        else:
            assert byte == "?"


@pytest.mark.parametrize("n", range(len(national_ids._FORMS)))
def test_every_form_of_a_national_id_has_its_outline(n):
    pattern, check = national_ids._COMPILED[n]

    @given(matching(re.compile(national_ids._FORMS[n][0])))
    @quick
    def holds(text):
        assert (pattern, check) in national_ids._forms_in(text, outline(text))

    holds()


def mutated(random):
    """Sentences with personal data in them, some of them with a slip."""
    for sentence in positives(SHOWN) + positives(HELD_OUT) + negatives():
        text = sentence.text
        yield text
        at = random.randrange(len(text))
        yield text[:at] + random.choice(" .-/0A7é\0") + text[at + random.randrange(2) :]


def test_no_word_before_a_number_is_missed():
    for text in mutated(Random(3)):
        lower, everything, found = lowered(text), set(), set()
        for words, check in national_ids._WORDS:
            for end, _ in ends(lower, words):
                everything.update(national_ids._said(text[end : end + 80].partition(COVER)[0], end, check))
        for words, check in national_ids._told(lower, outline(text)):
            for end, _ in ends(lower, words):
                found.update(national_ids._said(text[end : end + 80].partition(COVER)[0], end, check))
        assert found == everything, text


@pytest.mark.parametrize(
    ("pattern", "shown"),
    [
        (accounts._CARD, lambda shape: any(form in shape for form in accounts._CARD_OUTLINES)),
        (re.compile(r"[A-Za-z]{2}\d{2}[ -]?[A-Za-z0-9]{2}"), lambda shape: b"aa00" in shape),
        (addresses._V4, lambda shape: b"0.0" in shape and addresses._V4_OUTLINE.search(shape)),
        (phones._ABROAD, phones._LONG_ENOUGH.search),
        (phones._AT_HOME, phones._LONG_ENOUGH.search),
    ],
    ids=["card", "iban", "ip", "phone abroad", "phone at home"],
)
def test_every_number_has_its_outline(pattern, shown):
    @given(matching(pattern))
    @quick
    def holds(text):
        assert shown(outline(text))

    holds()


@given(st.ip_addresses(v=6), st.booleans())
@quick
def test_every_ip_address_has_its_outline(address, exploded):
    assert addresses._V6_OUTLINE.search(outline(address.exploded if exploded else str(address)))


@pytest.mark.parametrize("n", range(len(phones._LOOKALIKES)))
def test_every_lookalike_has_its_outline(n):
    @given(matching(re.compile(phones._LOOKALIKES[n][0])))
    @quick
    def holds(text):
        assert phones._LOOKALIKE_OUTLINES[n].search(outline(text))

    holds()


@pytest.mark.parametrize("form", re.split(r"\|(?![^(]*\))", secrets._KEY.pattern.partition("(?:")[2][:-1]))
def test_every_key_is_looked_for(form):
    @given(matching(re.compile(form, re.ASCII)))
    @quick
    def holds(text):
        assert secrets._may_hold_a_key(text)

    holds()


def test_every_name_of_a_secret_has_a_stem():
    for name in (*names.STRONG, *names.WEAK):
        assert any(stem in name for stem in names.STEMS)


@given(
    st.text()
    | st.lists(st.sampled_from([r"\n", r"\\u0041", "%40", "%2b", "<A_1>", "<", "\u200b", "x", "٣", "＠"])).map("".join)
)
@settings(deadline=None)
def test_escapes_are_seen_as_one_pattern_would_see_them(text):
    pieces, at = [], 0
    for match in view._SUBSTITUTED.finditer(text):
        pieces += text[at : match.start()], view._substitute(match)
        at = match.end()
    assert View(text).text == ("".join(pieces) + text[at:]).translate(view._PLAIN)


def test_digits_of_any_script_end_a_search_too():
    """Mathematical digits are digits, but the checks know other ones."""
    assert Patterns().find("tax id 𝟎𝟎𝟎𝟎𝟎𝟎 x") == ()
    text = "from 𝟏.2.3.4 and 10.0.0.7"
    (found,) = Patterns({"IP"}).find(text)
    assert (text[found.start : found.end], found.kind) == ("10.0.0.7", Entity.IP)
