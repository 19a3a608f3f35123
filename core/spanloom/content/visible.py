"""The content that one destination may show: read, plain, filtered and cut to size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any

from ..identity import NOBODY, Identity
from ..step import Document, Message, ToolDefinition
from .keeping import Kept

CONTENT = (
    "input", "output", "input_messages", "output_messages", "tool_definitions", "tool_description", "arguments",
    "result", "query", "documents", "prompt_variables", "error_message", "error_stack", "metadata",
)  # fmt: skip
"""The fields that a policy decides on, in the order in which it does."""

HASHED = frozenset({"input_messages", "output_messages", "template", "prompt_hash", "template_hash", "completion_hash"})
"""The fields that hashes are of, or that are hashes."""


@dataclass(slots=True)
class Visible:
    """Plain values only. `truncated` counts the texts that were cut; hashes are hexadecimal SHA-256."""

    input: Any = None
    output: Any = None
    input_messages: tuple[Message, ...] = ()
    output_messages: tuple[Message, ...] = ()
    tool_definitions: tuple[ToolDefinition, ...] = ()
    tool_description: str | None = None
    arguments: Any = None
    result: Any = None
    query: str | None = None
    documents: tuple[Document, ...] = ()
    prompt_variables: Any = None
    error_message: str | None = None
    error_stack: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)  # plain values, which a dialect makes attributes of
    identity: Identity = NOBODY
    prompt_hash: str | None = None
    template_hash: str | None = None
    completion_hash: str | None = None
    template: tuple[Message, ...] = ()  # what `template_hash` is of: read, and never shown
    truncated: int = 0
    kept: list[Kept] = field(default_factory=list)  # what vaults were asked to keep of this span
    vault_status: str | None = None  # "stored" or "unavailable", where a vault was asked

    @property
    def told(self) -> list[str]:
        """Those of the fields of `CONTENT` and of `HASHED` in which there is something, in that order."""
        return [name for name, value in zip(_TOLD, _values(self), strict=True) if value is not None and value != ()]


_TOLD = (*CONTENT, *sorted(HASHED.difference(CONTENT)))
_values = attrgetter(*_TOLD)
