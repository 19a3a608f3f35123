"""A score as OpenTelemetry's event `gen_ai.evaluation.result`.

A log record, where the application has set a LoggerProvider, placed on the scored span; else an event of that span, as
long as it is open. OpenTelemetry's logs API has no content policy of ours behind it: the comment stays out of both.
"""

from __future__ import annotations

import warnings
from typing import Any

from opentelemetry import _logs
from opentelemetry.context import Context
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context

from .dialects import scores as dialect
from .scores import Score
from .weave import SCOPE

_NO_SPAN = 0


def emit(score: Score, span: Any = None) -> bool:
    """Tell OpenTelemetry of `score`; False where nobody listens. `span` is the scored span, where it is still open."""
    provider = _logger_provider()
    if provider is not None:
        provider.get_logger(SCOPE).emit(_record(score, provider))
        return True
    if span is not None and span.is_recording():
        span.add_event(dialect.EVALUATION, dialect.genai(score), score.time_ns)
        return True
    return False


def _record(score: Score, provider: Any) -> Any:
    """The API's record; of SDKs before 1.39 their own, since their exporters look for its resource."""
    from opentelemetry.sdk import _logs as sdk_logs  # noqa: PLC0415  whoever set a provider has imported it

    said: dict[str, Any] = {
        "timestamp": score.time_ns,
        "context": _place(score),
        "severity_number": _logs.SeverityNumber.INFO,
        "event_name": dialect.EVALUATION,
        "attributes": dialect.genai(score),
    }
    former = getattr(sdk_logs, "LogRecord", None)
    if former is None:
        return _logs.LogRecord(**said)
    with warnings.catch_warnings():  # 1.38 announces that it will go
        warnings.simplefilter("ignore")
        return former(**said, resource=getattr(provider, "resource", None))


def _place(score: Score) -> Context:
    ids = SpanContext(
        int(score.trace_id, 16),
        int(score.span_id, 16) if score.span_id is not None else _NO_SPAN,
        is_remote=False,
        trace_flags=TraceFlags(TraceFlags.SAMPLED),
    )
    return set_span_in_context(NonRecordingSpan(ids), Context())


def _logger_provider() -> Any:
    """The one that the application has set, and None for the API's stand-ins."""
    provider = _logs.get_logger_provider()
    return None if type(provider).__module__.startswith("opentelemetry._logs") else provider
