"""The default redactor: what it finds in hard places, and what it leaves."""

import random
import subprocess
import sys

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from spanloom.content.redaction import Entity, Patterns, Placeholders, names_a_secret, redacted
from spanloom.errors import ConfigurationError

from tests.core.redaction import values

PATTERNS = Patterns()


def shown(text, redactor=PATTERNS):
    return redacted(text, redactor, Placeholders(), 1)[0]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("请联系zhang@example.com谢谢", "请联系<EMAIL_1>谢谢"),
        ("请打+86 138 1234 5678谢谢", "请打<PHONE_1>谢谢"),
        ("راسلنا علىali@example.comشكرا", "راسلنا على<EMAIL_1>شكرا"),
        ("メールはtaro@example.co.jpへ、カードは4111-1111-1111-1111です", "メールは<EMAIL_1>へ、カードは<CARD_1>です"),
        ("カード４１１１　１１１１　１１１１　１１１１", "カード<CARD_1>"),
        ("بطاقة ٤١١١ ١١١١ ١١١١ ١١١١", "بطاقة <CARD_1>"),
        ("card 4111\u00a01111\u202f1111\u00a01111 ok", "card <CARD_1> ok"),
        ("card 4111\u200b1111\u200b1111\u200b1111 ok", "card <CARD_1> ok"),
        ("al\u00adice@exam\u200bple.com!", "<EMAIL_1>!"),
        ("IBAN DE89‑3704‑0044‑0532‑0130‑00.", "IBAN <IBAN_1>."),
        ('{"a": "x\\nalice@example.com\\tok"}', '{"a": "x\\n<EMAIL_1>\\tok"}'),
        (r'"{\"body\": \"hi\\nj\\u00fcrgen@example.de\\n\"}"', r'"{\"body\": \"hi\\n<EMAIL_1>\\n\"}"'),
        (
            r'{\"password\": \"hunter 2\", \"mail\": \"a@b.de\"}',
            r'{\"password\": \"<SECRET_1>\", \"mail\": \"<EMAIL_1>\"}',
        ),
        ("?email=alice%40example.com&x=1", "?email=<EMAIL_1>&x=1"),
        ("https://sam:pw@host.example.com/a", "https://<SECRET_1>@host.example.com/a"),
        ("first line\nalice@example.com\n+49 30 901820\n", "first line\n<EMAIL_1>\n<PHONE_1>\n"),
        ("Call +49 (0)30 901820 or (415) 555-2671 x12", "Call <PHONE_1> or <PHONE_2> x12"),
        ("4111 1111 1111 1111 12/27 123", "<CARD_1> 12/27 123"),
        ("DE89 3704 0044 0532 0130 00 bitte", "<IBAN_1> bitte"),
        ("from 2001:db8::1 and ::ffff:192.0.2.7 and 10.0.0.1:8080", "from <IP_1> and ::ffff:<IP_2> and <IP_3>:8080"),
        ("x sk_live_AKJgLWjhBkomUaJsagbWHTMZ AKIADXCFUTJOBZLJPDEP y", "x <SECRET_1> <SECRET_2> y"),
        ("<password>hunter</password>", "<password><SECRET_1></password>"),
        ("Server=db;Password=x9!k;Database=app", "Server=db;Password=<SECRET_1>;Database=app"),
        ("headers={'Authorization': 'Bearer abc.def-123456'}", "headers={'Authorization': 'Bearer <SECRET_1>'}"),
        (
            "-----BEGIN RSA PRIVATE KEY-----\\nProc-Type: 4,ENCRYPTED\\nMIIEow==\\n-----END RSA PRIVATE KEY-----\\n",
            "<SECRET_1>\\n",
        ),
        ("-----BEGIN PRIVATE KEY-----\nMIIEow, and the text was cut", "<SECRET_1>"),
        ("Reisepass C01X00T47, SSN 536904399", "Reisepass <NATIONAL_ID_1>, SSN <NATIONAL_ID_2>"),
        ("NHS no 943 476 5919", "NHS no <NATIONAL_ID_1>"),
    ],
)  # fmt: skip
def test_what_is_found_in_hard_places(text, wanted):
    assert shown(text) == wanted


@pytest.mark.parametrize(
    "text",
    [
        "RunnableSequence",
        "gpt-4o-mini-2024-07-18",
        "<EMAIL_1> called <PHONE_2>, password=<SECRET_1>, Authorization: Bearer <SECRET_2>",
        "https://<SECRET_1>@host/ and postgres://${DB_USER}:${DB_PASSWORD}@host",
        "password=***, api_key='your-api-key', token: {{token}}",
        "http://127.0.0.1:4318, [::1]:80 and 0.0.0.0",
        "git clone git@github.com:acme/app.git && npm i react@18.2.0 icon@2x.png",
        "a[::2], std::vector, abc::def, 00:1a:2b:3c:4d:5e, 00:25:96:ff:fe:12:34:56",
        "ORD-4155552671, order 415-555-2671, uuid 12345678-1234-1234-1234-123456789012",
        "from 2019-07-18 to 18.07.2024, 12:30:45.123, 1.234.567,89 €",
        "def login(user: str, password: str, token: Token = None): return Client(password=password)",
        "The password is required. Bearer authentication needs a token: the server gives one.",
    ],
)
def test_what_stays(text):
    assert shown(text) == text


def test_where_two_overlap_the_more_telling_one_wins():
    assert [f.kind for f in PATTERNS.find("password=alice@example.com")] == ["SECRET"]
    assert [f.kind for f in PATTERNS.find("Tel 4111 1111 1111 1111")] == ["CARD"]


def test_only_the_chosen_entities_are_found():
    text = "alice@example.com from 10.1.2.3"
    assert shown(text, Patterns({Entity.IP})) == "alice@example.com from <IP_1>"
    assert shown(text, Patterns(["EMAIL"])) == "<EMAIL_1> from 10.1.2.3"


def test_numbers_at_home_are_those_of_the_regions():
    text = "Either 0412 345 678 or 612 345 678"
    assert shown("电话：010 6552 9988", Patterns(regions=("CN",))) == "电话：<PHONE_1>"
    assert shown(text, Patterns(regions=("AU",))) == "Either <PHONE_1> or 612 345 678"
    assert shown(text, Patterns(regions=("ES",))) == "Either 0412 345 678 or <PHONE_1>"


@pytest.mark.parametrize(
    "settings", [{"entities": {"NAME"}}, {"entities": "EMAIL"}, {"regions": "US"}, {"regions": ("USA",)}]
)
def test_wrong_settings_are_refused(settings):
    with pytest.raises(ConfigurationError, match=r"^Patterns\("):
        Patterns(**settings)


def test_names_that_say_secret():
    for name in ("password", "OPENAI_API_KEY", "x-api-key", "Authorization", "client_secret", "access_tokens"):
        assert names_a_secret(name)
    for name in ("max_tokens", "token_count", "author", "user", "key", "prompt"):
        assert not names_a_secret(name)


def test_nothing_heavy_is_loaded_before_the_first_text():
    code = (
        "import sys, spanloom; from spanloom.content.redaction import Patterns; p = Patterns(); p.find('plain words');"
        "heavy = {'phonenumbers', 'stdnum', 'presidio_analyzer'}; assert not heavy & set(sys.modules);"
        "p.find('a@b.co'); assert {'phonenumbers', 'stdnum'} <= set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


MAKERS = [
    values.email,
    values.phone,
    values.card,
    values.iban,
    values.national_id,
    values.ip,
    values.key,
    values.password,
]
bits = st.one_of(
    st.text(max_size=12),
    st.text("0123456789 +-./()@:=<>_\"'\\%ABab\0\u200b", max_size=16),
    st.builds(
        lambda maker, seed, language: maker(random.Random(seed), language),
        st.sampled_from(MAKERS), st.integers(0, 10_000), st.sampled_from(["en", "de", "fr", "es"]),
    ),
    st.sampled_from([
        "password=", "password: ", "Authorization: Bearer ", "https://", "://a:b@", "SSN ", "Tel. ", "order ",
        "?token=", "\\n", "\\u0040",
        "<EMAIL_1>", "<CARD_12>", "-----BEGIN PRIVATE KEY-----", "api_key='", "IBAN ", " is ", "%40",
        "@example.com", "sk-proj-",
    ]),
)  # fmt: skip
texts = st.lists(bits, max_size=8).map("".join)


@given(texts)
@example("Authorization: Bearer abc.def-123456")
@settings(max_examples=250, deadline=None)
def test_redacting_what_is_redacted_changes_nothing(text):
    placeholders = Placeholders()
    once, _ = redacted(text, PATTERNS, placeholders, 1)
    assert redacted(once, PATTERNS, placeholders, 1) == (once, {})


@given(texts)
@settings(max_examples=100, deadline=None)
def test_findings_are_in_order_and_apart(text):
    found = PATTERNS.find(text)
    ends = [0, *(f.end for f in found)]
    assert all(end <= f.start < f.end <= len(text) for end, f in zip(ends, found, strict=False))


@given(
    st.sampled_from(["en", "de", "fr", "es"]),
    st.integers(0, 10_000),
    st.sampled_from([" ", "\n", "，", "، ", '"', "(", ">", "|"]),
)
@settings(max_examples=100, deadline=None)
def test_no_card_iban_or_address_is_left_whatever_stands_around_it(language, seed, around):
    maker = random.Random(seed)
    for make in (values.email, values.card, values.iban, values.key):
        value = make(maker, language)
        assert value not in shown(f"x{around}{value}{around}y")


def test_a_resident_of_a_county_that_the_table_lacks_is_found_and_takes_no_text_along():
    assert shown("身份证 829998199001010013, a@b.com") == "身份证 <NATIONAL_ID_1>, <EMAIL_1>"
    assert shown("身份证 829998199001010014, a@b.com") == "身份证 829998199001010014, <EMAIL_1>"  # no check digit
