"""Where traces go. A destination is a dialect, a content policy and an exporter behind a queue of its own."""

from .langfuse import Langfuse
from .local import Local
from .otlp import Otlp

__all__ = ["Langfuse", "Local", "Otlp"]
