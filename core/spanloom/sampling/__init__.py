"""Tail sampling: which traces a destination keeps, decided when they have ended."""

from .deciding import Queue
from .policy import TailSampling
from .tail import Tail
from .view import TraceView

__all__ = ["Queue", "Tail", "TailSampling", "TraceView"]
