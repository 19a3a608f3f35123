"""Managed prompts from Langfuse into LangChain; and which prompt, managed or not, a generation was made from."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Hashable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from langchain_core.prompts import ChatMessagePromptTemplate, ChatPromptTemplate, MessagesPlaceholder
from spanloom.identity import Prompt, prompt_in
from spanloom.recorder import Recorder
from spanloom.step import Deferred, Kind, Step

from .templates import template_of

_MOST_LINKS = 10_000
_ROLES = {"user": "human", "assistant": "ai", "developer": "system"}
_TEMPLATED = frozenset({"human", "ai", "system"})
_VARIABLE = re.compile(r"\{\{\s*(\w+)\s*\}\}")
_APART = frozenset({Kind.TOOL, Kind.RETRIEVER})  # what runs inside these asks models for reasons of its own


def prompt_from_langfuse(prompt: Any) -> ChatPromptTemplate:
    """A prompt of Langfuse's SDK (`get_client().get_prompt(name)`) as a `ChatPromptTemplate` that keeps the link.

    The generation that the template feeds carries the prompt's name and version. A text prompt becomes one message of
    the user. Langfuse's `{{variable}}` is a variable of the template, its placeholders are `MessagesPlaceholder`s, and
    all other braces stay text.
    """
    said = prompt.prompt
    messages: list[Any] = []
    for one in [{"role": "user", "content": said}] if isinstance(said, str) else said:
        if one.get("type") == "placeholder":
            messages.append(MessagesPlaceholder(one["name"]))
            continue
        role, text = _ROLES.get(one["role"], one["role"]), _template(one["content"])
        if role in _TEMPLATED:
            messages.append((role, text))
        else:
            messages.append(ChatMessagePromptTemplate.from_template(text, role=role))
    return ChatPromptTemplate(messages, metadata={"langfuse_prompt": prompt})


def _template(text: str) -> str:
    """Langfuse's template in Python's format: variables in single braces, and every other brace doubled."""
    pieces = _VARIABLE.split(text)  # text, name, text, name, …
    return "".join(
        f"{{{piece}}}" if n % 2 else piece.replace("{", "{{").replace("}", "}}") for n, piece in enumerate(pieces)
    )


def prompt_of_run(metadata: Mapping[str, Any]) -> Prompt | None:
    """The prompt that a run's metadata names, be it as `prompt_in` reads it or as LangChain's hub notes it."""
    if (found := prompt_in(metadata)) is not None:
        return found
    name = metadata.get("lc_hub_repo")
    return Prompt(name, metadata.get("lc_hub_commit_hash")) if isinstance(name, str) else None


@dataclass(frozen=True, slots=True)
class _Link:
    prompt: Prompt | None  # where it is a managed one
    variables: Any
    template: Mapping[str, Any] | None  # the prompt, as LangChain serializes it


class Links:
    """From the run of a prompt to the generations that it feeds: those beside it, below the same parent. Bounded.

    A link holds until a generation has succeeded with it (so a retry or a fallback has it too), another prompt has run
    beside it, or the parent has ended.
    """

    def __init__(self) -> None:
        self._links: OrderedDict[Hashable, _Link] = OrderedDict()  # by the parent's run

    def note(self, step: Step, parent: Hashable, template: Mapping[str, Any] | None) -> None:
        """A prompt has run below `parent`; its input are its variables, `template` is its serialized form."""
        if parent is None:
            return
        self._links[parent] = _Link(step.identity.prompt, step.content.input, template)
        if len(self._links) > _MOST_LINKS:
            with suppress(KeyError):
                self._links.popitem(last=False)

    def give(self, step: Step, parent: Hashable, recorder: Recorder) -> None:
        """Let the generation `step`, which begins below `parent`, carry the prompt that feeds it."""
        if not self._links:
            return
        at, in_agent = self._holder(parent, recorder)
        if at is None or (link := self._links.get(at)) is None:
            return
        if link.prompt is not None:
            step.content.prompt_variables = link.variables
            step.identity = replace(step.identity, prompt=link.prompt)
        if link.template is not None and not in_agent:  # an agent's own prompt says more of its calls
            step.content.template = Deferred(template_of, (link.template,))

    def used(self, step: Step, recorder: Recorder) -> None:
        """The generation `step` has succeeded."""
        if self._links and (at := self._holder(step.parent_run_id, recorder)[0]) is not None:
            self._links.pop(at, None)

    def forget(self, run: Hashable) -> None:
        """The run has ended, and with it what was fed below it."""
        if self._links:
            self._links.pop(run, None)

    def _holder(self, run: Hashable, recorder: Recorder) -> tuple[Hashable, bool]:
        """The nearest run, from `run` upwards, that holds a link, None where there is none; and whether an agent lies
        between."""
        in_agent = False
        while run is not None:
            if run in self._links:
                return run, in_agent
            step = recorder.get(run)
            if step is None or step.kind in _APART:
                break
            in_agent |= step.kind is Kind.AGENT
            run = step.parent_run_id
        return None, in_agent
