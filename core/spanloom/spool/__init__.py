"""Encoded batches in a SQLite file until a receiver has them: across outages, and across processes."""

from .file import Kept, Place, Spool, SpoolError, SpoolFullError
from .owner import can_lock

__all__ = ["Kept", "Place", "Spool", "SpoolError", "SpoolFullError", "can_lock"]
