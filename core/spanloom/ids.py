"""Ids of traces and spans: random, quick, and never the same in two processes."""

from __future__ import annotations

import os
import random

_random = random.Random()  # noqa: S311  our own: an application that seeds Python's would make its processes agree


def trace_id() -> int:
    """128 random bits, not all of them zero."""
    return _random.getrandbits(128) or trace_id()


def span_id() -> int:
    """64 random bits, not all of them zero."""
    return _random.getrandbits(64) or span_id()


def seed(value: int | None = None) -> None:
    """Begin anew, from the system's own source of randomness unless a `value` is given: whoever goes on from a copy of
    this process (a fork, a snapshot that is restored) must not make the same ids."""
    _random.seed(value)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=seed)
