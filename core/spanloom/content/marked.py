"""A value inside of others that is of a category of its own, whatever it stands in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .category import Category


@dataclass(frozen=True, slots=True)
class Marked:
    """An adapter marks what it recognises in a chain's input or output: a message's text, a document, a tool's answer.

    >>> {"role": "user", "content": Marked(Category.USER_PROMPT, "Why is it slow?")}
    """

    category: Category
    value: Any
