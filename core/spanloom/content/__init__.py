"""What a step said and read: how it is read safely, which of it a policy shows, and how it is kept within bounds.

The policy and its actions are imported when they are named first: the adapters, which only read, go without them.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .category import Category

if TYPE_CHECKING:
    from . import actions
    from .policy import ContentPolicy

__all__ = ["Category", "ContentPolicy", "actions"]


def __getattr__(name: str) -> Any:
    match name:
        case "ContentPolicy":
            found = import_module(f"{__name__}.policy").ContentPolicy
        case "actions":
            found = import_module(f"{__name__}.actions")
        case _:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
