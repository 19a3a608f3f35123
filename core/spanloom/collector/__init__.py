"""Configurations for the OpenTelemetry Collector (its contrib distribution): gateways that keep traces together,
samplers that decide, hide and route; or one Collector that does it all.
"""

from .settings import Content, LangfuseBackend, OtlpBackend, Place, Samplers, Sampling, Tier
from .tiers import configuration, written

__all__ = [
    "Content",
    "LangfuseBackend",
    "OtlpBackend",
    "Place",
    "Samplers",
    "Sampling",
    "Tier",
    "configuration",
    "written",
]
