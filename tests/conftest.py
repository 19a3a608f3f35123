"""What holds for every test."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def _only_what_is_new_is_collected() -> Iterator[None]:
    """Many tests collect garbage to see a stream go. What frameworks and earlier tests have left, millions of objects
    by the end, need not be walked each time."""
    gc.freeze()
    yield
    gc.unfreeze()
