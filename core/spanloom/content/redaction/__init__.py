"""Personal data and secrets: found in texts of any language, offline, and replaced by placeholders."""

from .finding import Entity, Finding, Redactor
from .names import names_a_secret
from .patterns import Patterns
from .placeholders import Placeholders
from .presidio import Presidio
from .redacted import redacted
from .remembered import remembered

__all__ = [
    "Entity",
    "Finding",
    "Patterns",
    "Placeholders",
    "Presidio",
    "Redactor",
    "names_a_secret",
    "redacted",
    "remembered",
]
