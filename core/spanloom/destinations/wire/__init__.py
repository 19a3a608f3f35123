"""What goes over the network: how spans are encoded, how the bytes are sent, and what an answer means."""

from .answer import Answer, Verdict, Wire

__all__ = ["Answer", "Verdict", "Wire"]
