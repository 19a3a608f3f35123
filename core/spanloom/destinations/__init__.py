"""Where traces go. A destination is a dialect, a content policy and an exporter behind a queue of its own.

Each is imported when it is named first, so that an application waits for those alone that it sends to.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .backends import Datadog, Dynatrace, GrafanaCloud, Honeycomb, LangSmith, MLflow, NewRelic
    from .langfuse import Langfuse
    from .local import Local
    from .otlp import Otlp
    from .phoenix import Phoenix

__all__ = [
    "Datadog",
    "Dynatrace",
    "GrafanaCloud",
    "Honeycomb",
    "LangSmith",
    "Langfuse",
    "Local",
    "MLflow",
    "NewRelic",
    "Otlp",
    "Phoenix",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    room = name.lower() if name in ("Langfuse", "Local", "Otlp", "Phoenix") else "backends"
    value = globals()[name] = getattr(import_module(f"{__name__}.{room}"), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
