"""Which traces are in a share: OpenTelemetry's consistent probability sampling, by the trace id.

A trace has a randomness R of 56 bits, the last of its id. It is in a share where R is at least the threshold T, so what
is in 5 % is also in 20 %, whoever asks.
"""

from __future__ import annotations

BITS = 56
ALL = 1 << BITS


def threshold_of(probability: float) -> int:
    """T: 0 takes everything, 2**56 nothing."""
    return ALL - round(probability * ALL)


def randomness_in(trace_id: int) -> int:
    """R of a trace id."""
    return trace_id & (ALL - 1)
