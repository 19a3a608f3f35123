"""Spanloom: one trace of every LangChain, LangGraph and LlamaIndex request, for OpenTelemetry and Langfuse at once."""

from .content import ContentPolicy, actions
from .content.redaction import Presidio
from .destinations import (
    Datadog,
    Dynatrace,
    GrafanaCloud,
    Honeycomb,
    Langfuse,
    LangSmith,
    Local,
    MLflow,
    NewRelic,
    Otlp,
    Phoenix,
)
from .errors import ConfigurationError
from .identity import Prompt, using
from .prices import Prices
from .sampling import TailSampling
from .scores import StepHandle
from .setup import Loom, configure, current_step
from .vault import AwsKms, Keyring, Vault

__version__ = "0.1.0"

__all__ = [
    "AwsKms",
    "ConfigurationError",
    "ContentPolicy",
    "Datadog",
    "Dynatrace",
    "GrafanaCloud",
    "Honeycomb",
    "Keyring",
    "LangSmith",
    "Langfuse",
    "Local",
    "Loom",
    "MLflow",
    "NewRelic",
    "Otlp",
    "Phoenix",
    "Presidio",
    "Prices",
    "Prompt",
    "StepHandle",
    "TailSampling",
    "Vault",
    "actions",
    "configure",
    "current_step",
    "using",
]
