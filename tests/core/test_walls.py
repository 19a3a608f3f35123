"""A wall that import-linter cannot keep: attribute keys are texts."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

CORE = Path(__file__).parents[2] / "core" / "spanloom"


@pytest.mark.parametrize(
    "path",
    [p for p in sorted(CORE.rglob("*.py")) if "dialects" not in p.parts]
    + sorted(CORE.parents[1].glob("integrations/*/*/*.py")),
    ids=lambda p: f"{p.parent.name}/{p.name}",
)
def test_attribute_keys_live_in_the_dialects(path):
    texts = [n.value for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Constant)]
    keys = [t for t in texts if isinstance(t, str) and t.startswith(("gen_ai.", "langfuse.", "openinference.", "llm."))]
    assert not [k for k in keys if " " not in k]
