"""The documentation the demo answers from: this project's own, cut into passages."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_MOST = 700  # characters of a passage


@dataclass(frozen=True)
class Passage:
    """A piece of text and where it stands: `README.md#2`, `core/spanloom/setup.py:configure`."""

    source: str
    text: str


def passages(root: Path = ROOT) -> list[Passage]:
    """README, changelog, contributing guide, licence, and every docstring of the core package."""
    found = [p for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE") for p in _file(root / name)]
    for module in sorted((root / "core" / "spanloom").rglob("*.py")):
        found += _docstrings(module, str(module.relative_to(root)))
    return found


def _file(path: Path) -> Iterator[Passage]:
    if path.is_file():
        for i, text in enumerate(_pieces(path.read_text())):
            yield Passage(f"{path.name}#{i}", text)


def _docstrings(path: Path, name: str) -> Iterator[Passage]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and (text := ast.get_docstring(node)):
            label = getattr(node, "name", "")
            if not label.startswith("_"):
                for piece in _pieces(text):
                    yield Passage(f"{name}:{label}" if label else name, piece)


def _pieces(text: str) -> Iterator[str]:
    """Paragraphs, joined as long as they make no more than a passage."""
    text = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    held = ""
    for paragraph in (" ".join(block.split()) for block in re.split(r"\n\s*\n", text)):
        if held and len(held) + len(paragraph) > _MOST:
            yield held
            held = ""
        held = f"{held} {paragraph}".strip()
    if held:
        yield held[:_MOST]
