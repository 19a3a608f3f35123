"""Spanloom: one trace of every LangChain, LangGraph and LlamaIndex request, for OpenTelemetry and Langfuse at once."""

from .content import ContentPolicy
from .destinations import Langfuse, Local, Otlp
from .errors import ConfigurationError
from .identity import Prompt, using
from .setup import Loom, configure

__version__ = "0.1.0"

__all__ = ["ConfigurationError", "ContentPolicy", "Langfuse", "Local", "Loom", "Otlp", "Prompt", "configure", "using"]
