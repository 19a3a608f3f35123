"""Whatever a framework hands over can be written as JSON in UTF-8."""

import array
import dataclasses
import datetime as dt
import decimal
import enum
import json
import math
import uuid
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from spanloom.content.plain import clean, label, plain, text_of


def encoded(value):
    return json.dumps(value, allow_nan=False, ensure_ascii=False).encode("utf-8")


class Unprintable:
    def __str__(self):
        raise RuntimeError("no")

    __repr__ = __str__


class Liar:
    """Raises wherever it is touched."""

    @property
    def __class__(self):
        raise RuntimeError("no class")

    def __getattr__(self, name):
        raise RuntimeError(name)


class BadMapping(dict):
    def items(self):
        raise RuntimeError("no items")


class BadList(list):
    def __iter__(self):
        raise RuntimeError("no iteration")

    def __len__(self):
        raise RuntimeError("no length")


class BadText(str):
    __slots__ = ()

    def encode(self, *_):
        raise RuntimeError("no")

    def __str__(self):
        raise RuntimeError("no")


class BadInt(int):
    def __int__(self):
        raise RuntimeError("no")

    def bit_length(self):
        raise RuntimeError("no")


class Colour(enum.Enum):
    RED = {"r": 255}  # noqa: RUF012


class Loop(enum.Enum):
    ME = 1

    @property
    def value(self):
        return self


@dataclasses.dataclass
class Query:
    text: str
    embedding: list
    key: str = dataclasses.field(default="secret", repr=False)


HOSTILE = [
    Unprintable(), Liar(), BadMapping(a=1), BadList([1]), BadText("x"), BadInt(3), Colour.RED, Loop.ME,
    Query("q", [0.5]), object(), type, lambda: None, 10**5000, float("nan"), float("-inf"), b"\xff", bytearray(3),
    memoryview(b"abc"), array.array("d", [0.25]), decimal.Decimal("NaN"), 1 + 2j, Fraction(1, 3), uuid.UUID(int=7),
    dt.datetime(2026, 1, 1, tzinfo=dt.UTC), range(5), iter([1]), {1, 2}, frozenset({"a"}), NotImplemented, ...,
    Exception("x"), "\ud800",
]  # fmt: skip
hostile = st.integers(0, len(HOSTILE) - 1).map(lambda n: HOSTILE[n])  # hypothesis prints what it samples from

anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.binary(max_size=5)
    | st.text(st.characters(codec=None, exclude_categories=()), max_size=8)
    | hostile,
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.tuples(inner, inner)
        | st.dictionaries(
            st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=()), max_size=4), inner
        )
        | st.dictionaries(st.sampled_from([Colour.RED, (1, 2), frozenset(), b"k", "\udfff", BadText("k")]), inner)
    ),
    max_leaves=30,
)


@given(anything)
@settings(max_examples=150, deadline=None)
def test_any_value_becomes_json_in_utf_8(value):
    encoded(plain(value))


@given(anything)
@settings(max_examples=150, deadline=None)
def test_what_is_plain_is_read_as_it_is(value):
    """So what `makes_plain` need not be read again."""
    once = plain(value)
    assert repr(plain(once)) == repr(once)
    assert repr(plain(once, lambda v: v)) == repr(once)


@given(st.dictionaries(st.text(st.characters(exclude_categories=()), max_size=4), anything, max_size=4))
@settings(max_examples=150, deadline=None)
def test_what_is_read_at_a_glance_is_what_reading_makes_of_it(value):
    assert repr(plain(value)) == repr(plain(value, lambda v: v))


@given(st.text(st.characters(exclude_categories=())))
def test_clean_text_is_the_same_text_unless_it_has_lone_surrogates(text):
    assert isinstance(clean(text).encode(), bytes)
    try:
        text.encode()
    except UnicodeEncodeError:
        assert "\\ud" in clean(text)
    else:
        assert clean(text) == text


def test_a_circle_ends_in_a_mark():
    circle = {"name": "a"}
    circle["self"] = [circle]
    assert plain(circle) == {"name": "a", "self": ["<circular>"]}


def test_the_same_object_twice_is_no_circle():
    shared = ["x"]
    assert plain([shared, shared]) == [["x"], ["x"]]


def test_depth_ends_in_a_mark():
    deep = []
    for _ in range(10_000):
        deep = [deep]
    assert "<too deep>" in json.dumps(plain(deep))


def test_width_ends_in_a_mark_and_reads_no_further():
    read = 0

    class Endless(dict):
        def items(self):
            nonlocal read
            while True:
                read += 1
                yield read, "x"

    seen = plain(Endless())
    assert seen["…"] == "<more left out>"
    assert read < 25_000
    assert plain(list(range(100_000)))[-1] == "<more left out>"


def test_what_cannot_be_printed_is_named():
    assert plain(Unprintable()) == "<unprintable Unprintable>"
    assert plain(BadMapping()) == "<unreadable BadMapping>"
    assert text_of(Unprintable()) == "<unprintable Unprintable>"


def test_keys_that_are_no_text_become_text_and_none_is_lost():
    assert plain({1: "a", None: "b", (1, 2): "c", "1": "d"}) == {"1": "a", "None": "b", "(1, 2)": "c", "1 (str)": "d"}


def test_bytes_are_counted_not_shown():
    assert plain([b"abc", bytearray(2), memoryview(b"xyz!")]) == ["<3 bytes>", "<2 bytes>", "<4 bytes>"]


def test_numbers_that_json_has_not_become_text():
    assert plain([math.nan, math.inf, 2**70, 10**5000]) == ["nan", "inf", str(2**70), "<integer of 16610 bits>"]


def test_numbers_of_other_libraries_are_numbers():
    assert plain([Fraction(1, 4), True, BadInt(3)]) == [0.25, True, "<unreadable BadInt>"]


@pytest.mark.parametrize(
    "value",
    [
        [0.5] * 17,
        [0.5, 1, 0] * 700,
        {"embedding": [0.5, 0.25]},
        {"embedding": [1, 2]},
        {"query_embedding": (0.5, 0.25)},
        {"embeddings": [[0.5, 0.25], [0.25, 0.5]]},
        {"embedding_dict": {"a": [0.5, 0.25]}},
        {"Vector": [0.5]},
        array.array("f", [0.5, 0.25]),
        Query("q", [0.5, 0.25]),
        [Query("q", [[0.5], [0.25]])],
    ],
)
def test_a_vector_is_never_shown(value):
    shown = json.dumps(plain(value))
    assert "vector of" in shown
    assert "0.5" not in shown
    assert "0.25" not in shown


def test_short_lists_and_whole_numbers_stay():
    assert plain({"scores": [0.5, 0.25], "ids": list(range(40))}) == {"scores": [0.5, 0.25], "ids": list(range(40))}
    assert plain({"embedding": "text-embedding-3-small"}) == {"embedding": "text-embedding-3-small"}


def test_numpy_scores_are_numbers_and_numpy_vectors_are_not_shown():
    numpy = pytest.importorskip("numpy")
    assert plain(numpy.float32(0.5)) == 0.5
    assert plain(numpy.int64(3)) == 3
    assert plain(numpy.ones((2, 3))) == "<array of shape (2, 3)>"
    assert plain([numpy.float32(0.5)] * 20) == "<vector of 20 numbers>"


def test_a_pydantic_model_shows_the_fields_that_it_would_dump():
    pydantic = pytest.importorskip("pydantic")

    class Settings(pydantic.BaseModel):
        model_config = pydantic.ConfigDict(extra="allow", arbitrary_types_allowed=True)
        name: str
        key: str = pydantic.Field(repr=False)
        client: object = pydantic.Field(exclude=True)

    assert plain(Settings(name="a", key="k", client=object(), more=1)) == {"name": "a", "more": 1}


def test_an_adapter_may_read_an_object_its_own_way():
    assert plain([Query("q", [])], lambda v: v.text if isinstance(v, Query) else v) == ["q"]


def test_a_label_is_short_clean_text():
    assert label(None) is None
    assert label("\ud800" * 3) == "\\ud800" * 3
    assert len(label("x" * 10_000)) == 256
    assert label(Unprintable()) == "<unprintable Unprintable>"
