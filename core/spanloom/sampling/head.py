"""Samplers of OpenTelemetry's SDK that decide at a trace's start, before anything is known of it."""

from __future__ import annotations

import re
from typing import Any

_RATIO = re.compile(r"(?:TraceId|TraceID)RatioBased\{(?:threshold=[^,}]*, ratio=)?([0-9.e+-]+)\}")
_INSIDE = r"(?:ParentBased\{root:|AlwaysRecordSampler\{|ComposableParentThreshold\{root=)*"
_OFF = re.compile(_INSIDE + r"(?:AlwaysOffSampler\b|ComposableAlwaysOff\b)")


def in_the_way(provider: Any) -> str | None:
    """The description of the provider's sampler, where it leaves out traces that a tail sampler should see; else None.

    Only the SDK's own are known by their description.
    """
    describe = getattr(getattr(provider, "sampler", None), "get_description", None)
    described = str(describe()) if callable(describe) else ""
    ratios = [float(ratio) for ratio in _RATIO.findall(described)]
    return described if any(ratio < 1 for ratio in ratios) or _OFF.match(described) else None
