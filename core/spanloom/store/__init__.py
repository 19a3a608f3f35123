"""The SQLite file that traces are kept in: its schema, writing within bounds, and reading.

`destinations.local` writes it and the command line reads it. It knows rows and JSON, and no span.
"""

from .file import SCHEMA_VERSION, StoreError
from .reading import Reading
from .row import Call, Row
from .writing import Store

__all__ = ["SCHEMA_VERSION", "Call", "Reading", "Row", "Store", "StoreError"]
