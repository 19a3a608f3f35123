"""Where traces go. A destination is a dialect, a content policy and an exporter behind a queue of its own."""

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
