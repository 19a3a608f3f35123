"""Managed prompts: from Langfuse into LlamaIndex, and from `llm.predict(prompt, …)` to the generation it makes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from llama_index.core.base.llms.types import ChatMessage, MessageRole
from llama_index.core.prompts import BasePromptTemplate, ChatPromptTemplate, PromptTemplate
from spanloom.identity import Prompt, prompt_in
from spanloom.step import Deferred, Step

from . import translate
from .frames import Frame, Frames

_VARIABLE = re.compile(r"\{\{\s*(\w+)\s*\}\}")
_ROLES = {role.value for role in MessageRole}


def prompt_from_langfuse(prompt: Any) -> PromptTemplate | ChatPromptTemplate:
    """A prompt of Langfuse's SDK (`get_client().get_prompt(name)`) as LlamaIndex's, which keeps the link.

    The generation that `llm.predict(prompt, …)`, a query engine or a synthesizer makes of it carries the prompt's name
    and version. A text prompt becomes a `PromptTemplate`, a chat prompt a `ChatPromptTemplate`. Raises `ValueError` for
    a chat prompt with placeholders for messages, which LlamaIndex's templates do not have.
    """
    metadata = {"langfuse_prompt": {"name": prompt.name, "version": prompt.version}}  # plain: it is copied and dumped
    if getattr(prompt, "is_fallback", False):
        metadata = {}
    said = prompt.prompt
    if isinstance(said, str):
        return PromptTemplate(_template(said), metadata=metadata)
    messages = []
    for one in said:
        if one.get("type") == "placeholder":
            raise ValueError(f"The Langfuse prompt {prompt.name!r} has a placeholder, which LlamaIndex cannot fill.")
        role = one["role"] if one["role"] in _ROLES else MessageRole.USER.value
        messages.append(ChatMessage(role=role, content=_template(one["content"])))
    return ChatPromptTemplate(messages, metadata=metadata)


def _template(text: str) -> str:
    """Langfuse's `{{variable}}` as LlamaIndex's `{variable}`; LlamaIndex leaves all other braces alone."""
    return _VARIABLE.sub(r"{\1}", text)


def predicted(template: BasePromptTemplate | Any, variables: Mapping[str, Any] | None) -> tuple[Prompt, Any] | None:
    """The managed prompt that `template` is, by its metadata, and its variables."""
    prompt = prompt_in(getattr(template, "metadata", None) or {})
    if prompt is None:
        return None
    return prompt, Deferred(translate.readable, ({**getattr(template, "kwargs", {}), **(variables or {})},))


def give(step: Step, frame: Frame, frames: Frames) -> None:
    """Let the model's step of `frame` carry the prompt that the spans right above it predict with."""
    above = frames.open.get(frame.parent_id) if frame.parent_id is not None else None
    while above is not None and above.step is None:
        if above.prompt is not None:
            prompt, step.content.prompt_variables = above.prompt
            step.identity = replace(step.identity, prompt=prompt)
            return
        above = frames.open.get(above.parent_id) if above.parent_id is not None else None
