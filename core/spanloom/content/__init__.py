"""What a step said and read: how it is read safely, which of it a policy shows, and how it is kept within bounds."""

from . import actions
from .category import Category
from .policy import ContentPolicy

__all__ = ["Category", "ContentPolicy", "actions"]
