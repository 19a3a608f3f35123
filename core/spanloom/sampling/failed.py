"""What counts as an error of a span: its step's outcome, or its status."""

from __future__ import annotations

from opentelemetry.trace import StatusCode

from ..dialects.sampling import is_control_flow
from ..ended import Ended
from ..step import Outcome


def failed(ended: Ended) -> bool:
    """Whether the span tells of an error. Interrupts, handoffs, cancellations and abandoned streams are none, also
    where another library's span sets its status for the exception that they travel as."""
    if ended.step is not None and ended.step.outcome is Outcome.ERROR:
        return True
    if ended.span.status.status_code is not StatusCode.ERROR:
        return False
    exceptions = [e.attributes or {} for e in ended.span.events if e.name == "exception"]
    return not exceptions or not all(map(is_control_flow, exceptions))
