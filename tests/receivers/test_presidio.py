"""Presidio in an environment of its own, with a spaCy model that the test trains, and without a network."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.receivers.servers import environment

pytestmark = [pytest.mark.receiver, pytest.mark.timeout(1800)]

ROOT = Path(__file__).parents[2]
TEXTS = (
    "My name is Olivia Walker and I live in Leeds.",
    "Please call Emma Taylor about the order. Write to emma@example.com.",
    "Emma Taylor moved to Berlin last year.",
    "The order was sent on Friday.",
)


@pytest.fixture(scope="module")
def answer(tmp_path_factory):
    python = environment("presidio", f"{ROOT}[presidio]") / "python"
    command = [python, Path(__file__).with_name("presidio_process.py"), tmp_path_factory.mktemp("model"), *TEXTS]
    variables = {"PATH": os.environ["PATH"], "HOME": str(tmp_path_factory.mktemp("home"))}
    done = subprocess.run(
        command,
        env={**variables, "PYTHONPATH": str(ROOT / "core")},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_names_and_places_get_placeholders_beside_what_the_patterns_find(answer):
    assert answer["redacted"] == [
        "My name is <PERSON_1> and I live in <LOCATION_1>.",
        "Please call <PERSON_2> about the order. Write to <EMAIL_1>.",
        "<PERSON_2> moved to <LOCATION_2> last year.",
        "The order was sent on Friday.",
    ]


def test_placeholders_are_no_names(answer):
    assert answer["again"] == answer["redacted"]


def test_a_text_longer_than_one_piece_is_read_whole(answer):
    assert answer["long"] > 4_900  # of 5,000; a name at the cut may be lost


def test_presidios_own_recognizers_work_too(answer):
    assert answer["own"] == ["EMAIL", "MAC_ADDRESS"]
    assert answer["alone"] == ["EMAIL_ADDRESS"]


def test_a_missing_model_is_refused_in_one_sentence(answer):
    name = "en_core_web_lg"
    assert answer["refused"] == (
        f"The spaCy model {name!r} is not installed: python -m spacy download {name}, or give its folder."
    )


def test_nothing_reaches_for_the_network(answer):
    assert answer["attempts"] == []
