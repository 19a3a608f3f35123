"""How much is found of what should be, and how much of what is found is right: on made sentences, with lower bounds.

`python -m tests.core.redaction.sentences` prints the table, and each miss.
"""

from pathlib import Path
from random import Random
from string import ascii_letters, digits

import pytest
from spanloom.content.redaction import Entity, Patterns

from tests.core.redaction import known
from tests.core.redaction.sentences import HELD_OUT, LANGUAGES, SHOWN, Score, negatives, positives, table

DOCUMENT = (Path(__file__).parents[3] / "docs" / "redaction.md").read_text()

# Recall and precision, at least, in every language.
BOUNDS = dict.fromkeys(Entity, (0.97, 0.98)) | {Entity.PHONE: (0.90, 0.95)}


@pytest.fixture(scope="module")
def scores():
    redactor = Patterns()
    return {
        "all": Score(redactor, positives(SHOWN) + positives(HELD_OUT) + negatives()),
        "held out": Score(redactor, positives(HELD_OUT, seed=7) + negatives(seed=7)),
    }


def test_the_set_is_as_large_as_it_claims():
    sentences, lookalikes = positives(SHOWN) + positives(HELD_OUT), negatives()
    assert len({s.text for s in sentences}) >= 500
    assert len({s.text for s in lookalikes}) >= 150
    for language in LANGUAGES:
        assert {kind for s in sentences if s.language == language for *_, kind in s.gold} == set(Entity)


@pytest.mark.parametrize("part", ["all", "held out"])
@pytest.mark.parametrize("kind", list(Entity))
def test_each_kind_is_found_in_each_language(scores, part, kind):
    recall, precision = BOUNDS[kind]
    for language in LANGUAGES:
        assert scores[part].recall(kind, [language]) >= recall, scores[part].missed
        assert scores[part].precision(kind, [language]) >= precision, scores[part].wrong


def test_lookalikes_stay():
    redactor = Patterns()
    wrong = [(s.text, redactor.find(s.text)) for s in negatives(seed=8) if redactor.find(s.text)]
    assert len(wrong) <= len(negatives(seed=8)) * 0.01, wrong


@pytest.mark.parametrize(("kind", "recall"), known.BOUNDS.items())
def test_values_that_another_library_makes_are_found(kind, recall):
    found, whole, missed = known.recall(Patterns(), kind)
    assert found / whole >= recall, missed


@pytest.mark.parametrize("form", ['password="{}"', "DB_PASSWORD={}", "Passwort: {}", '{{"api_key": "{}", "n": 1}}'])
def test_any_password_is_found_whole(form):
    letters = ascii_letters + digits + "!#$%*+-./:?@^_~()[]{}"
    random, missed, redactor = Random(5), [], Patterns({"SECRET"})
    for _ in range(500):
        value = "".join(random.choices(letters, k=random.randint(8, 16))) + "7z"
        text = form.format(value)
        if not any(
            (f.start, f.end) == (text.index(value), text.index(value) + len(value)) for f in redactor.find(text)
        ):
            missed.append(value)
    assert len(missed) <= 15, missed  # those that begin like a template's variable, or with code


def test_the_document_says_what_is_measured(scores):
    assert table(scores["all"]) in DOCUMENT
    assert f"{len(positives(SHOWN) + positives(HELD_OUT))} made sentences and {len(negatives())} lookalikes" in DOCUMENT


def test_the_documents_example_runs():
    _, _, rest = DOCUMENT.partition("```python\n")
    names = {}
    exec(rest.partition("```")[0], names)
    assert names["text"] == "Write to <EMAIL_1>, cc <EMAIL_1>"
    assert names["counts"] == {"EMAIL": 2}
