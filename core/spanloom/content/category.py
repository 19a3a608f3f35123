"""The kinds of content that a policy decides on, and which of them stands where."""

from __future__ import annotations

import enum

from ..step import Kind


class Category(enum.StrEnum):
    """The kinds of content that a policy decides on.

    `IDENTITY` is who a trace belongs to (user, session, tenant), `NAMES` what steps and spans are called; `METADATA`
    are the user's own values, and every text attribute that other libraries write and that no convention knows.
    """

    __hash__ = str.__hash__  # an enum's own is written in Python; a policy looks categories up for every piece

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
    TAGS = "tags"
    NAMES = "names"
    IDENTITY = "identity"


Categories = tuple[Category, ...]
"""What a piece of content may hold, where that cannot be told apart: the actions for all of them apply to it."""

QUESTION: Categories = (Category.USER_PROMPT,)
ANSWER: Categories = (Category.COMPLETION,)

_PLACES: dict[Kind, tuple[Categories, Categories]] = {
    Kind.PROMPT: ((Category.PROMPT_VARIABLES,), QUESTION),
    Kind.PARSER: (ANSWER, ANSWER),
    Kind.RERANKER: ((Category.DOCUMENTS,), (Category.DOCUMENTS,)),
    Kind.EMBEDDING: ((Category.RETRIEVAL_QUERIES, Category.DOCUMENTS), ANSWER),
}


def places(kind: Kind) -> tuple[Categories, Categories]:
    """What the `input` and the `output` of a step of that kind hold."""
    return _PLACES.get(kind, (QUESTION, ANSWER))


def of_role(role: str) -> Category:
    """What a message of that role says. An earlier answer of the model is a completion, wherever it stands."""
    return _ROLES.get(role, Category.USER_PROMPT)


def of_block(type: str) -> Categories:
    """What a part of a message holds besides what its role says: what one of the provider's own tools was asked, and
    what it answered (`web_search_tool_result`, `file_search_call`).

    Types of Anthropic, Google, OpenAI (whose calls bring their results) and LangChain.
    """
    if type == "search_result":  # that of a search of the application's own
        return (Category.DOCUMENTS,)
    if type.endswith(("_result", "_call_output", "_call_response")):
        return (Category.TOOL_RESULTS,)
    if type.endswith(("_tool_use", "_tool_call", "_tool_call_chunk")) or type == "executable_code":
        return (Category.TOOL_ARGUMENTS,)
    return (Category.TOOL_ARGUMENTS, Category.TOOL_RESULTS) if type.endswith("_call") else ()


ROLES = frozenset({"system", "developer", "user", "human", "assistant", "ai", "tool", "function", "model"})
"""The roles that conventions, providers and frameworks know."""

_ROLES = {
    "system": Category.SYSTEM_PROMPT,
    "developer": Category.SYSTEM_PROMPT,
    "assistant": Category.COMPLETION,
    "tool": Category.TOOL_RESULTS,
    "function": Category.TOOL_RESULTS,
}
