"""OpenTelemetry's transformation language: literals, and the two questions that we ask of a trace id.

A trace id's last 56 bits are random (W3C Trace Context, level 2). Their upper end decides what is kept, their lower end
which sampler a trace goes to, so that neither depends on the other. The tracestate may name another randomness
(https://opentelemetry.io/docs/specs/otel/trace/tracestate-probability-sampling/).
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

RANDOM_BITS = 56


def literal(said: str) -> str:
    """`said` as a string literal."""
    return json.dumps(said, ensure_ascii=False)


def attribute(key: str, of: str = "span") -> str:
    """The path of an attribute."""
    return f"{of}.attributes[{literal(key)}]"


def beginning(prefix: str) -> str:
    """The pattern of keys that begin with `prefix`."""
    return "^" + re.escape(prefix)


def one_of(keys: Sequence[str]) -> str:
    """The pattern of these keys."""
    return f"^({'|'.join(re.escape(key) for key in keys)})$"


def threshold(keep: float) -> int:
    """From which value of a trace id's last 56 bits on a trace is kept, for the share `keep` of them.

    OpenTelemetry's rule for consistent probability sampling: keep where `R >= T`, with `T = (1 - p) * 2**56`.
    """
    return (1 << RANDOM_BITS) - round(keep * (1 << RANDOM_BITS))


def is_kept(keep: float) -> list[str]:
    """Whether a trace belongs to the share `keep`, so that every service and Collector agrees: one of these holds."""
    least, said = threshold(keep), literal("(^|;)rv:(?P<rv>[0-9a-f]{14})(;|$)")
    entry = 'trace_state["ot"]'
    return [
        f"not IsMatch({entry}, {said}) and ParseInt(Substring(trace_id.string, 18, 14), 16) >= {least}",
        f'IsMatch({entry}, {said}) and ParseInt(ExtractPatterns({entry}, {said})["rv"], 16) >= {least}',
    ]


def is_share(index: int, of: int) -> str:
    """Whether a span's trace belongs to share number `index` of `of` equal ones. (The language has no remainder.)"""
    low = "ParseInt(Substring(trace_id.string, 28, 4), 16)"
    return f"{low} - ({low} / {of}) * {of} == {index}"
