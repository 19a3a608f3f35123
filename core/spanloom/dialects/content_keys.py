"""Which attributes carry content: for whatever must hash, redact or drop it after it has left the application.

Spanloom's own dialects, less OpenInference's, which no Collector is sent; `others.py` knows what others write.
"""

from __future__ import annotations

ATTRIBUTES = (
    "gen_ai.system_instructions",
    "gen_ai.input.messages",
    "gen_ai.output.messages",
    "gen_ai.tool.definitions",
    "gen_ai.tool.description",
    "gen_ai.tool.call.arguments",
    "gen_ai.tool.call.result",
    "gen_ai.retrieval.query.text",
    "gen_ai.retrieval.documents",
    "spanloom.step.input",
    "spanloom.step.output",
    "spanloom.prompt.variables",
    "langfuse.observation.input",
    "langfuse.observation.output",
    "langfuse.observation.metadata.tool_description",
    "langfuse.observation.metadata.prompt_variables",
    "langfuse.observation.metadata.exception_stack",
)
"""What was said, given and answered, as text."""

EVENT_ATTRIBUTES = ("exception.message", "exception.stacktrace")
"""Of the `exception` event."""

STATUS_MESSAGE = "langfuse.observation.status_message"
"""An error's type and message; for another outcome its name, which is no content. So it is with the span's status."""

METADATA = "spanloom.metadata."
"""How the keys of the user's metadata begin."""

HASHES = (
    "spanloom.prompt.hash",
    "spanloom.prompt.template.hash",
    "langfuse.observation.metadata.prompt_template_hash",
    "spanloom.completion.hash",
    "langfuse.observation.metadata.prompt_hash",
    "langfuse.observation.metadata.completion_hash",
)
"""What `ContentPolicy.hashed()` shows of prompts and completions, and `none()` does not."""

TAGS = ("spanloom.tags", "langfuse.trace.tags")
"""The user's tags, which `none()` leaves out."""

WHO = (
    "user.id",
    "session.id",
    "enduser.id",
    "gen_ai.conversation.id",
    "spanloom.tenant",
    "langfuse.observation.metadata.tenant",
)
"""Who a span belongs to. Policies leave it as it is: a user whose id is an e-mail address is still that user."""

IDS = (
    "gen_ai.response.id",
    "gen_ai.tool.call.id",
    "langfuse.observation.metadata.response_id",
    "langfuse.observation.metadata.tool_call_id",
)
"""Names that providers gave, which digits alone could make look like a card's number."""
