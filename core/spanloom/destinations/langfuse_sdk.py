"""Langfuse's own SDK in the same process: it sends its spans, Spanloom sends its steps, and nobody sends both.

The SDK puts a span processor on the tracer provider that exports its own spans, and every other span with a `gen_ai.*`
attribute: so also the live spans of steps, bare of content. Langfuse keeps one row a span, so that whichever comes last
would win. The processor's own `should_export_span` decides, and is asked to leave the steps to us.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan

from ..guard import warn_once
from ..weave import SCOPE

SDK_SCOPE = "langfuse-sdk"
"""The instrumentation scope of `@observe` and `start_as_current_observation`."""

_FILTER = "_should_export_span"


class Leave:
    """The processor's filter, less the spans of steps while `on`.

    When a span starts, the filter says whether it will be exported; then a step counts, since we export it: a span of
    the SDK inside a step is not the top of its trace.
    """

    def __init__(self, exports: Callable[[ReadableSpan], bool]) -> None:
        self.exports, self.on = exports, True

    def __call__(self, span: ReadableSpan) -> bool:
        if self.on and span.instrumentation_scope is not None and span.instrumentation_scope.name == SCOPE:
            return span.end_time is None
        return self.exports(span)


def left_to_us(processor: Any, public_key: str | None) -> Leave | None:
    """Let the SDK's `processor` for the project of `public_key` export no steps; None for any other processor."""
    if not _is_sdks(processor) or getattr(processor, "public_key", None) != public_key:
        return None
    exports = getattr(processor, _FILTER, None)
    if isinstance(exports, Leave):
        exports.on = True
        return exports
    leave = Leave(exports if callable(exports) else bool)
    if callable(exports):
        setattr(processor, _FILTER, leave)
    else:
        warn_once(
            "langfuse-sdk",
            "spanloom: this version of Langfuse's SDK exports Spanloom's spans a second time: pass it "
            'should_export_span=lambda span: span.instrumentation_scope.name != "spanloom".',
        )
    return leave


def _is_sdks(processor: Any) -> bool:
    """Told by its name, since the SDK is not to be imported here."""
    return any(
        kind.__name__ == "LangfuseSpanProcessor" and kind.__module__.partition(".")[0] == "langfuse"
        for kind in type(processor).__mro__
    )
