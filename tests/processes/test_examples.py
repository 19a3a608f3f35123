"""The examples that the other tests of this folder run: short, and said what they show."""

import ast
from pathlib import Path

import pytest

from tests.processes.conftest import EXAMPLES


@pytest.mark.parametrize("script", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.stem)
def test_an_example_is_short_says_what_it_shows_and_is_run(script):
    text = script.read_text()
    assert len(text.splitlines()) < 60
    assert ast.get_docstring(ast.parse(text))
    tests = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))
    named = (f'"{script.name}"', f'"{script.stem}"', f'"{script.stem}:app"', f'"{script.stem}.handler"')
    assert any(name in tests for name in named)
