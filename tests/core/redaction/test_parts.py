"""What is found in a text is the same where parts of it are known from other texts."""

import itertools

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from spanloom.content.redaction import Patterns
from spanloom.content.redaction import parts as rooms
from spanloom.content.redaction.outline import Outline
from spanloom.content.redaction.parts import Parts
from spanloom.content.redaction.seams import seams
from spanloom.content.redaction.view import View

from tests.core.redaction.test_as_before import WORDS, texts

PLAIN = Patterns()
BORDERS = ["\n\n"] * 6 + ["\n---\n", "\n-----", "----\n", "\n\n\n", " \n\n", "\n\n ", "\n \n", "\n", "\\n\\n"]
# What stands at the end or at the begin of a paragraph and may mean something beyond it.
EDGES = [
    *("password", "password:", "api key", '"token"', "secret =", "passwort>", "=>", ">", "</p>", "the password is "),
    *("Bearer", "authorization: basic", "authorization", "beaſic", "toKen", "negotiate", "bearer\u200b"),
    *("call", "Tel.", "order", "ref #", "passport no", "BSN", "ssn", "tax id", "v", "§", "version", "=", "x", "X", "'"),
    *("415 555 2671", "+49 30 901820", "2671x", "10.0.0.1", "4111 1111 1111 1111", "AB1234567", "1 Kings", "2024 was"),
    *("RSSMRAULALMHRLMD", "hunter2!x", ": hunter2!x", "= hunter2!x", "aGVsbG86d29ybGQ=", "km", "EUR", "-----END"),
    *("\u2028", "\u00a0", "\u200b", "\0", "\\u003a", "%40", "Bearer\\u003a", '"'),
]  # fmt: skip
edges = st.sampled_from(EDGES)
paragraphs = st.builds(
    lambda *said: "".join(said),
    st.one_of(st.just(""), edges, st.sampled_from(WORDS)),
    st.one_of(st.just(" "), st.just(""), texts, st.text("aAbB xX.-,'", max_size=70)),
    st.one_of(st.just(""), edges, st.sampled_from(WORDS)),
)
papers = st.lists(st.tuples(paragraphs, st.sampled_from(BORDERS)), min_size=2, max_size=6)


@pytest.fixture(scope="module", autouse=True)
def _parts_of_any_length():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rooms, "LEAST", 1)
        yield


def in_pieces(text):
    """What is found in each piece by itself, where it stands in the text."""
    outline = Outline(View(text).text)
    cuts = seams(outline)
    begins, ends = [0, *(begin for _, begin in cuts)], [*(end for end, _ in cuts), len(outline.text)]
    return [
        (rank, size, start + begin, start + last)
        for start, end in zip(begins, ends, strict=True)
        for rank, size, begin, last in PLAIN._search(Outline(outline.text[start:end], amid=True))
    ]


ENDS = [
    *("password", "password:", "password: ", "passwort =", "token", "api key:", "secret=>", "secret :=", '"password"'),
    *("Bearer", "use basic", "Authorization: token", "authorization: Digest", "authorization", "authorization:"),
    *("authorization: apikey", "authorization=negotiate", "authorization: toKen", "authorization: bearer", "baſic"),
    *("<passwort>", "<mein passwort>a", "<password>b\n", "call", "Tel.", "my number", "order", "ref #", "sms"),
    *("passport no", "bsn", "ssn", "tax id", "nhs", "nino", "v", "§", "version", "~", "the server 10.0.0.1", "x", "is"),
    *("415 555 2671x", "my password is", "-----BEGIN PRIVATE KEY-----", "RSSMRAULALMHRLMD", "$", "ann@", "a", ""),
    *("my password is '", 'api_key="', "the token is `", "das Passwort ist „"),
    *("rufnummer ", "-----BEGIN RSA PRIVATE KEY----- abc"),
]  # fmt: skip
BEGINS = [
    *("hunter2!x", ": hunter2!x", "= hunter2!x", "=> hunter2!x", " : hunter2!x", "aGVsbG86d29ybGQ=", "aGVsbGbxdxybGQ="),
    *("sesame street 7</p>", "a" * 490 + "</p>", "x</p> <p>b</p>", "415 555 2671", "(415) 555-2671", "at 415.555.2671"),
    *("+49 30 901820", "AB1234567", "1234567 is", "078-05-1120", "943 476 5919", "111222333", "QQ 12 34 56 C"),
    *("fe80::1:2", "y", "m", "km 7", "abc\n-----END PRIVATE KEY----- 7", "example.com 7", "", "no 7"),
    *("10.0.0.1", "1.2.3.4", "--abc!def+x", "a " * 20 + "AB1234567", "41. 55. 55. 26. 71", "abcdefghijklmnop"),
]  # fmt: skip


def test_whatever_ends_before_a_blank_line_and_begins_behind_it():
    for end, begin in itertools.product(ENDS, BEGINS):
        for text in (
            *(f"{end}\n\n{begin}", f"5 or so {end}\n\nand then we have {begin}", f"{end}\n\n\n{begin} or 5"),
            *(f"{end}\n---{begin}", f"{end}\n---\n{begin}", f"{end} ---\n{begin}", f"7 {end}----\nand then {begin}"),
        ):
            assert in_pieces(text) == PLAIN._search(Outline(View(text).text, amid=True)), text


def same(said, known):
    text = "".join(part + border for part, border in said)
    wanted = PLAIN.find(text)
    for part, _ in said[::2]:
        assert list(PLAIN.find(part, known)) == list(PLAIN.find(part))
    for _ in range(2):
        assert list(PLAIN.find(text, known)) == list(wanted)


KNOWN = Parts(500)


@given(papers)
@example([("RSSMRAULALMHRLMD", "\n\n"), ("nothing", "\n\n"), ("call 415 555 2671", "")])
@example([("my password is !geheim", "\n\n"), ("room 7", "")])
@example([("my password is !geheim", "\n\n"), ("a@b7.de", "")])
@example([("call 415 555 2671x", "\n\n"), ("y", "")])
@settings(max_examples=500, deadline=None)
def test_known_parts_show_what_the_whole_text_shows(said):
    same(said, KNOWN)


@pytest.mark.soak
@given(papers)
@settings(max_examples=20_000, deadline=None)
def test_known_parts_show_what_the_whole_text_shows_in_a_long_run(said):
    same(said, KNOWN)


@given(papers)
@settings(max_examples=200, deadline=None)
def test_a_text_shows_at_its_seams_what_its_pieces_show(said):
    text = "".join(part + border for part, border in said)
    assert in_pieces(text) == PLAIN._search(Outline(View(text).text, amid=True))


CODE = "Signor Rossi: RSSMRAULALMHRLMD"  # of letters alone, which is sought in a text with a digit only


def test_a_part_without_digits_shows_what_it_shows_in_the_text_that_it_is_part_of():
    known = Parts(100)
    assert list(PLAIN.find(CODE, known)) == []
    assert list(PLAIN.find("He lives in room 7", known)) == []
    with_digit, without = f"{CODE}\n\nHe lives in room 7", f"{CODE}\n\nHe lives in a room"
    for _ in range(2):
        assert (
            [f.kind for f in PLAIN.find(with_digit, known)]
            == ["NATIONAL_ID"]
            == [f.kind for f in PLAIN.find(with_digit)]
        )
        assert list(PLAIN.find(without, known)) == [] == list(PLAIN.find(without))


DOCUMENTS = [
    f"Guide {n}. Whoever has lost a card by day or by night, and has looked for it at home and at work, calls {number} "
    f"first and writes to {name}@example.com then. The rest is done by us, within a day or two, and there is no fee."
    for n, (number, name) in enumerate([("+44 20 7946 0123", "ann"), ("+49 30 901820", "bob"), ("415-555-2671", "eve")])
]  # fmt: skip


def searched(text, known):
    read = []

    def search(outline):
        read.append(outline.text)
        return PLAIN._search(outline)

    known.search(Outline(text), search)
    return read


def test_documents_are_not_searched_again_in_a_context_nor_that_in_a_prompt():
    known = Parts(100)
    for document in DOCUMENTS:
        PLAIN.find(document, known)
    context = "\n\n".join(DOCUMENTS)
    assert searched(context, known) == []
    assert searched(f"Use the context and nothing else.\n\n{context}\n\nQuestion: who is 7?", known) == [
        "Use the context and nothing else.\n\0\nQuestion: who is 7?"
    ]


def test_nor_is_the_context_of_a_prompt_of_llama_index():
    known = Parts(100)
    for document in DOCUMENTS:
        PLAIN.find(document, known)
    prompt = f"Context information is below.\n-----\n{DOCUMENTS[0]}\n\n{DOCUMENTS[1]}\n-----\nAnswer the query 7."
    assert searched(prompt, known) == ["Context information is below.\n\0\n-----\n\0\n-----\n\0\nAnswer the query 7."]


def test_new_paragraphs_are_known_then_wherever_they_stand():
    known = Parts(100)
    context = "\n\n".join(DOCUMENTS)
    assert searched(context, known) == [context]
    assert searched(DOCUMENTS[2] + "\n\n" + DOCUMENTS[0], known) == []


@pytest.mark.parametrize(
    "text",
    [
        "my password:\n\nhunter2!x and more",
        "call me on\n\n415 555 2671",
        "passport no\n\nAB1234567",
        "-----BEGIN PRIVATE KEY-----\n\nabcd\n\nefgh",
        "<password>\n\nsesame street 7\n\n</password>",
        "Authorization: Bearer\n\nabcdefghijklmnop",
    ],
)
def test_a_text_is_not_cut_where_something_reaches_over(text):
    assert seams(Outline(text)) == []


def test_what_is_known_is_bounded():
    known = Parts(10)
    for n in range(50):
        PLAIN.find(f"{n}. {DOCUMENTS[0]}\n\nAnd so on for {n}. {DOCUMENTS[1]}", known)
    assert len(known._known) == 10
