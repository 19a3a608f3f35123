"""OpenTelemetry's own switch for content, which holds for `Otlp(…)` where it is given no policy."""

from __future__ import annotations

import os

from ..content import ContentPolicy
from ..guard import warn_once

VARIABLE = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"

_ON_SPANS = {"SPAN_ONLY", "SPAN_AND_EVENT", "TRUE"}
_NOT_ON_SPANS = {"NO_CONTENT", "EVENT_ONLY", "FALSE"}


def policy_in_environment() -> ContentPolicy:
    """`full()` for `SPAN_ONLY`, `SPAN_AND_EVENT` and `true`; `none()` for `NO_CONTENT`, `EVENT_ONLY` and `false`; where
    it is not set, and for any other value, which is said once, `hashed()`."""
    said = os.environ.get(VARIABLE, "").strip()
    if said.upper() in _ON_SPANS:
        return ContentPolicy.full()
    if said.upper() in _NOT_ON_SPANS:
        return ContentPolicy.none()
    if said:
        warn_once(VARIABLE, "spanloom: %s has a value that is not known: hashes are sent, and no content", VARIABLE)
    return ContentPolicy.hashed()
