"""What a wrong configuration raises, and what a number in it may be."""

from __future__ import annotations

import math


class ConfigurationError(ValueError):
    """A setting that cannot work. The message is one sentence that says what to write instead."""


def is_number(value: object) -> bool:
    """Whether a setting is an int or a float, and neither a bool nor NaN nor infinite."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def is_whole(value: object) -> bool:
    """Whether a setting is an int, and no bool."""
    return isinstance(value, int) and not isinstance(value, bool)
