"""Which content a destination may show, by category."""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace

from ..step import Message, Part, Reasoning, ToolCall, ToolCallResponse
from .budget import ATTRIBUTE_BYTES, fit
from .visible import Visible


class Category(enum.StrEnum):
    """The kinds of content that a policy decides on."""

    SYSTEM_PROMPT = "system_prompt"
    USER_PROMPT = "user_prompt"
    COMPLETION = "completion"
    REASONING = "reasoning"
    TOOL_DEFINITIONS = "tool_definitions"
    TOOL_ARGUMENTS = "tool_arguments"
    TOOL_RESULTS = "tool_results"
    RETRIEVAL_QUERIES = "retrieval_queries"
    DOCUMENTS = "documents"
    EXCEPTION_TEXT = "exception_text"
    METADATA = "metadata"
    PROMPT_VARIABLES = "prompt_variables"
    SCORE_COMMENTS = "score_comments"


@dataclass(frozen=True, slots=True)
class ContentPolicy:
    """What of the content reaches a destination.

    Structure always does: kinds, names, models, parameters, tokens, ids, times, outcome, the type of an error; and who
    the trace belongs to: user, session, tags, tenant, the name and version of a prompt. User metadata is content.

    Use a preset: `none()`, `hashed()` or `full()`. `kept` are the categories that go out as they are; `hashes` adds
    the SHA-256 of each model call's prompt and completion; `attribute_bytes` bounds every attribute.
    """

    kept: frozenset[Category] = frozenset()
    hashes: bool = False
    attribute_bytes: int = ATTRIBUTE_BYTES

    @classmethod
    def none(cls) -> ContentPolicy:
        """Structure only."""
        return cls()

    @classmethod
    def hashed(cls) -> ContentPolicy:
        """Structure, and the SHA-256 of each prompt and each completion."""
        return cls(hashes=True)

    @classmethod
    def full(cls) -> ContentPolicy:
        """Everything, within the byte budget; and the hashes."""
        return cls(kept=frozenset(Category), hashes=True)

    def apply(self, content: Visible) -> Visible:
        """What of `content` this policy shows; `content` itself is left as it is."""
        shown = Visible(
            identity=content.identity,
            prompt_hash=content.prompt_hash if self.hashes else None,
            template_hash=content.template_hash if self.hashes else None,
            completion_hash=content.completion_hash if self.hashes else None,
        )
        keeps = self.kept.__contains__
        if keeps(Category.USER_PROMPT):
            shown.input = content.input
        if keeps(Category.COMPLETION):
            shown.output = content.output
        shown.input_messages = tuple(
            self._message(m)
            for m in content.input_messages
            if keeps(Category.SYSTEM_PROMPT if m.role == "system" else _of_role(m))
        )
        if keeps(Category.COMPLETION):
            shown.output_messages = tuple(self._message(m) for m in content.output_messages)
        if keeps(Category.TOOL_DEFINITIONS):
            shown.tool_definitions, shown.tool_description = content.tool_definitions, content.tool_description
        if keeps(Category.TOOL_ARGUMENTS):
            shown.arguments = content.arguments
        if keeps(Category.TOOL_RESULTS):
            shown.result = content.result
        if keeps(Category.RETRIEVAL_QUERIES):
            shown.query = content.query
        if keeps(Category.DOCUMENTS):
            shown.documents = content.documents
        if keeps(Category.PROMPT_VARIABLES):
            shown.prompt_variables = content.prompt_variables
        if keeps(Category.EXCEPTION_TEXT):
            shown.error_message, shown.error_stack = content.error_message, content.error_stack
        if keeps(Category.METADATA):
            shown.metadata = content.metadata
        return self._fitted(shown)

    def comment(self, text: str | None) -> str | None:
        """What this policy shows of a score's comment."""
        if text is None or Category.SCORE_COMMENTS not in self.kept:
            return None
        return str(fit(text, self.attribute_bytes)[0])

    def _message(self, message: Message) -> Message:
        parts = tuple(self._part(p) for p in message.parts if self._shows(p))
        return replace(message, parts=parts)

    def _shows(self, part: Part) -> bool:
        return not isinstance(part, Reasoning) or Category.REASONING in self.kept

    def _part(self, part: Part) -> Part:
        if isinstance(part, ToolCall) and Category.TOOL_ARGUMENTS not in self.kept:
            return ToolCall(part.name, None, part.id)
        if isinstance(part, ToolCallResponse) and Category.TOOL_RESULTS not in self.kept:
            return ToolCallResponse(None, part.id)
        return part

    def _fitted(self, shown: Visible) -> Visible:
        for name in (
            "input", "output", "input_messages", "output_messages", "tool_definitions", "tool_description", "arguments",
            "result", "query", "documents", "prompt_variables", "error_message", "error_stack", "metadata",
        ):  # fmt: skip
            value = getattr(shown, name)
            if value:
                value, cut = fit(value, self.attribute_bytes)
                shown.truncated += cut
                setattr(shown, name, value)
        return shown


def _of_role(message: Message) -> Category:
    """An earlier answer of the model is a completion, wherever it stands; a tool's is decided part by part."""
    return Category.COMPLETION if message.role == "assistant" else Category.USER_PROMPT
