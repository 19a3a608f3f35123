"""Managed prompts from Langfuse into LlamaIndex; and which prompt of `llm.predict(prompt, …)`, managed or not, a
generation was made from."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from llama_index.core.base.llms.types import ChatMessage, MessageRole
from llama_index.core.prompts import (
    ChatPromptTemplate,
    PromptTemplate,
    RichPromptTemplate,
    SelectorPromptTemplate,
)
from spanloom.identity import check_prompt, prompt_in
from spanloom.step import Deferred, Message, Step

from . import translate, values
from .frames import ChatFrame, Frame, Frames
from .snapshots import held, said

_VARIABLE = re.compile(r"\{\{\s*(\w+)\s*\}\}")
_ROLES = {role.value for role in MessageRole}


def prompt_from_langfuse(prompt: Any) -> PromptTemplate | ChatPromptTemplate:
    """A prompt of Langfuse's SDK (`get_client().get_prompt(name)`) as LlamaIndex's, which keeps the link.

    The generation that `llm.predict(prompt, …)`, a query engine or a synthesizer makes of it carries the prompt's name
    and version. A text prompt becomes a `PromptTemplate`, a chat prompt a `ChatPromptTemplate`. Raises `ValueError` for
    a chat prompt with placeholders for messages, which LlamaIndex's templates do not have, and `ConfigurationError`
    for what is no prompt of Langfuse's SDK.
    """
    check_prompt(prompt)
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


class Predicted:
    """What a span predicts with: a template, and the managed prompt that it is, by its metadata, with its variables."""

    __slots__ = ("prompt", "template", "variables")

    def __init__(self, template: Any, variables: Mapping[str, Any] | None) -> None:
        self.template = template
        metadata = getattr(template, "metadata", None)
        self.prompt = prompt_in(metadata) if metadata else None
        self.variables: Any = None
        if self.prompt is not None:
            self.variables = held({**getattr(template, "kwargs", {}), **(variables or {})})


def give(step: Step, frame: Frame, frames: Frames, model: Any) -> None:
    """Let the step of `model`, whose span is `frame`, carry the prompt that the spans right above it predict with."""
    above = frames.open.get(frame.parent_id)
    while above is not None and above.step is None:
        if (found := above.prompt) is not None:
            step.content.template = Deferred(template_of, (found.template, model, _is_in_chat(above, frames)))
            if found.prompt is not None:
                step.content.prompt_variables = Deferred(values.readable, (found.variables,))
                step.identity = replace(step.identity, prompt=found.prompt)
            return
        above = frames.open.get(above.parent_id)


def _is_in_chat(frame: Frame, frames: Frames) -> bool:
    above: Frame | None = frame
    while above is not None and type(above) is not ChatFrame:
        above = frames.open.get(above.parent_id)
    return above is not None


# ---------------------------------------------------------------- on the worker
def template_of(template: Any, model: Any, in_chat: bool = False) -> tuple[Message, ...]:
    """The messages of a template with their placeholders; a string template is one message of the user.

    Chat engines write the chat so far into a template of their own, between its first and its last message: in a chat
    these two are the static ones.
    """
    match template:
        case SelectorPromptTemplate():
            for fits, candidate in template.conditionals or ():
                if fits(model):
                    return template_of(candidate, model, in_chat)
            return template_of(template.default_template, model, in_chat)
        case ChatPromptTemplate():
            given = template.message_templates
            return translate.messages(said([given[0], given[-1]] if in_chat and len(given) > 1 else given))
        case PromptTemplate():
            return translate.prompt(template.template)
        case RichPromptTemplate():
            return translate.prompt(template.template_str)
    return translate.prompt(template.get_template(model))
