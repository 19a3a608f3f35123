"""Spanloom: one trace of every LangChain, LangGraph and LlamaIndex request, for OpenTelemetry and Langfuse at once."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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
    from .sigterm import shutdown_on_sigterm
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
    "shutdown_on_sigterm",
    "using",
]

_NAMES_OF = {
    "content": ("ContentPolicy", "actions"),
    "content.redaction": ("Presidio",),
    "destinations": (
        "Datadog", "Dynatrace", "GrafanaCloud", "Honeycomb", "LangSmith", "Langfuse", "Local", "MLflow", "NewRelic",
        "Otlp", "Phoenix",
    ),
    "errors": ("ConfigurationError",),
    "identity": ("Prompt", "using"),
    "prices": ("Prices",),
    "sampling": ("TailSampling",),
    "scores": ("StepHandle",),
    "setup": ("Loom", "configure", "current_step"),
    "sigterm": ("shutdown_on_sigterm",),
    "vault": ("AwsKms", "Keyring", "Vault"),
}  # fmt: skip
_ROOM_OF = {name: room for room, names in _NAMES_OF.items() for name in names}


def __getattr__(name: str) -> Any:
    """A public name or a room, imported only now: whoever sends to one backend waits for no other's."""
    if name in _ROOM_OF:
        value = globals()[name] = getattr(import_module(f"{__name__}.{_ROOM_OF[name]}"), name)
        return value
    if name in _NAMES_OF:
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
