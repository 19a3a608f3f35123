"""What a wrong configuration raises."""

from __future__ import annotations


class ConfigurationError(ValueError):
    """A setting that cannot work. The message is one sentence that says what to write instead."""
