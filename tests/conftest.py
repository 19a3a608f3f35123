"""What holds for every test."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def _only_what_is_new_is_collected(request: pytest.FixtureRequest) -> Iterator[None]:
    """Many tests collect garbage to see a stream go. What frameworks and earlier tests have left, millions of objects
    by the end, need not be walked each time. Those that weigh the whole memory must see all of it."""
    if request.node.get_closest_marker("soak") is not None:
        yield
        return
    gc.freeze()
    yield
    gc.unfreeze()
