"""The share that is kept by chance: the same for every service and destination, by OpenTelemetry's consistent
probability sampling (https://opentelemetry.io/docs/specs/otel/trace/tracestate-probability-sampling/).

A trace has a randomness R of 56 bits: `rv` of the tracestate's `ot` entry, else the last 56 bits of its id. It is kept
where R is at least the rejection threshold T. So what is kept at 5 % is also kept at 20 %, whoever asks.
"""

from __future__ import annotations

from opentelemetry.trace import SpanContext, TraceState

from ..chance import ALL, BITS, randomness_in

_DIGITS = BITS // 4
_KEY, _MOST, _MOST_ENTRIES = "ot", 256, 32  # characters of a tracestate's value; its entries


def probability_of(threshold: int) -> float:
    """The share that is kept at `threshold`."""
    return (ALL - threshold) / ALL


def randomness_of(context: SpanContext) -> int:
    """R of the trace that the span belongs to."""
    if context.trace_state:
        for member in _members(context.trace_state):
            if member.startswith("rv:") and len(member) == len("rv:") + _DIGITS:
                return _hexadecimal(member[3:], randomness_in(context.trace_id))
    return randomness_in(context.trace_id)


def threshold_in(state: TraceState | None) -> int:
    """T of the samplers that the trace came through before, as far as they say; else 0."""
    for member in _members(state) if state else ():
        if member.startswith("th:") and 0 < len(digits := member[3:]) <= _DIGITS:
            return _hexadecimal(digits.ljust(_DIGITS, "0"), 0)
    return 0


def marked(context: SpanContext, threshold: int) -> SpanContext:
    """`context` with `ot=th:…` in its tracestate, for a copy: the larger of `threshold` and the one that is there."""
    state = context.trace_state or TraceState()
    threshold = max(threshold, threshold_in(state))
    others = [m for m in _members(state) if m and not m.startswith("th:")]
    value = ";".join([f"th:{f'{threshold:014x}'.rstrip('0') or '0'}", *others])
    if len(value) > _MOST:
        return context
    rest = [(key, said) for key, said in state.items() if key != _KEY]
    state = TraceState([(_KEY, value), *rest[: _MOST_ENTRIES - 1]])
    return SpanContext(context.trace_id, context.span_id, context.is_remote, context.trace_flags, state)


def _members(state: TraceState) -> list[str]:
    return str(state.get(_KEY, "")).split(";")


def _hexadecimal(text: str, otherwise: int) -> int:
    try:
        return int(text, 16)
    except ValueError:
        return otherwise
