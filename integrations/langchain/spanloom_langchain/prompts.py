"""Managed prompts from Langfuse into LangChain; and which prompt, managed or not, a generation was made from."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Container, Hashable, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from spanloom.identity import Prompt, check_prompt, prompt_in
from spanloom.loaded import loaded
from spanloom.recorder import Recorder
from spanloom.step import Deferred, Kind, Step

from .templates import template_among

if TYPE_CHECKING:
    from langchain_core.prompts import ChatPromptTemplate

_MOST_LINKS = 10_000
_MOST_PARENTS = 2_000  # each holds what up to so many prompts have rendered:
_MOST_BESIDE = 8
_MOST_LEVELS = 64  # between a generation and the run that its prompt was made in
_ROLES = {"user": "human", "assistant": "ai", "developer": "system"}
_TEMPLATED = frozenset({"human", "ai", "system"})
_VARIABLE = re.compile(r"\{\{\s*(\w+)\s*\}\}")
_AGENT, _TOOL, _RETRIEVER = Kind.AGENT, Kind.TOOL, Kind.RETRIEVER


def prompt_from_langfuse(prompt: Any) -> ChatPromptTemplate:
    """A prompt of Langfuse's SDK (`get_client().get_prompt(name)`) as a `ChatPromptTemplate` that keeps the link.

    The generation that the template feeds carries the prompt's name and version. A text prompt becomes one message of
    the user. Langfuse's `{{variable}}` is a variable of the template, its placeholders are `MessagesPlaceholder`s, and
    all other braces stay text. Raises `ConfigurationError` for what is no prompt of Langfuse's SDK.
    """
    check_prompt(prompt)
    from langchain_core.prompts import (  # noqa: PLC0415  brings Jinja, 50 ms: only where used
        ChatMessagePromptTemplate,
        ChatPromptTemplate,
        MessagesPlaceholder,
    )

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


NAMING = ("langfuse_prompt", "prompt_name", "lc_hub_repo")
"""The keys of a run's metadata that may name its prompt."""


def prompt_of_run(metadata: Mapping[str, Any]) -> Prompt | None:
    """The prompt that a run's metadata names, be it as `prompt_in` reads it or as LangChain's hub notes it."""
    if ("langfuse_prompt" in metadata or "prompt_name" in metadata) and (found := prompt_in(metadata)) is not None:
        return found
    name = metadata.get("lc_hub_repo")
    return Prompt(name, metadata.get("lc_hub_commit_hash")) if isinstance(name, str) else None


class _Run:
    """The run of a prompt. `template` is the prompt, as LangChain serializes it; `rendered` is its value, once the run
    has ended."""

    __slots__ = ("rendered", "step", "template")

    def __init__(self, step: Step, template: Mapping[str, Any] | None) -> None:
        self.step, self.template = step, template
        self.rendered: Any = None


@lru_cache(maxsize=1_000)  # LangChain's own answer takes as long as all else here
def _is_prompt_value(kind: type) -> bool:
    return issubclass(kind, loaded("langchain_core.prompt_values", "PromptValue"))


def _is_given(given: Any, rendered: Any) -> bool:
    """Whether a model is given the prompt value `rendered`: messages that end with its own last one, or its text."""
    if not _is_prompt_value(type(rendered)):  # type: ignore[arg-type]  # a class can be hashed
        return False
    last = given[-1] if given and not isinstance(given, str) else given
    if messages := getattr(rendered, "messages", None):
        return messages[-1] is last
    text = getattr(rendered, "text", None)
    return isinstance(text, str) and text == (last if isinstance(last, str) else getattr(last, "content", None))


class Links:
    """From the run of a prompt to the generations that it feeds: those beside it, below the same parent. Bounded.

    A generation that is given just what a prompt has rendered carries that one's link, or none. Where somebody has made
    something else of it, the link of a managed prompt holds until a generation has succeeded with it (so a retry or a
    fallback has it too), another prompt has run beside it, or the parent has ended. Templates are matched by what they
    rendered, on the worker: the last few prompts that ran beside a generation may each be its own.
    """

    def __init__(self) -> None:
        self._links: OrderedDict[Hashable, _Run] = OrderedDict()  # by the parent's run
        self._runs: OrderedDict[Hashable, tuple[_Run, ...]] = OrderedDict()  # by the parent's run, the newest first

    def note(self, step: Step, parent: Hashable, template: Mapping[str, Any] | None) -> None:
        """A prompt begins below `parent`; its input are its variables, `template` is its serialized form."""
        if parent is None:
            return
        run = _Run(step, template)
        self._runs[parent] = (run, *self._runs.get(parent, ())[: _MOST_BESIDE - 1])
        if step.identity.prompt is None:
            self._links.pop(parent, None)
        else:
            self._links[parent] = run
        if len(self._runs) > _MOST_PARENTS or len(self._links) > _MOST_LINKS:
            with suppress(KeyError):  # another thread was faster
                if len(self._runs) > _MOST_PARENTS:
                    self._runs.popitem(last=False)
                if len(self._links) > _MOST_LINKS:
                    self._links.popitem(last=False)

    def rendered(self, step: Step, value: Any) -> None:
        """The run of a prompt has ended with `value`."""
        for run in self._runs.get(step.parent_run_id, ()):
            if run.step is step:
                run.rendered = value

    def give(self, step: Step, given: Any, parent: Hashable, recorder: Recorder) -> None:
        """Let the generation `step`, which begins below `parent`, carry the prompt that feeds it. `given` is what the
        model is given: messages, or a text."""
        if not (self._runs or self._links):
            return
        at, in_agent = self._holder(self._runs, parent, recorder)
        runs = self._runs.get(at, ()) if at is not None else ()
        link = next((run for run in runs if _is_given(given, run.rendered)), None)
        if link is None:
            linked, _ = self._holder(self._links, parent, recorder)
            link = self._links.get(linked) if linked is not None else None
        if link is not None and link.step.identity.prompt is not None:
            step.content.prompt_variables = link.step.content.input
            step.identity = replace(step.identity, prompt=link.step.identity.prompt)
        if at is not None and not in_agent:  # an agent's own prompt says more of its calls
            beside = tuple((run.template, run.rendered) for run in runs if run.template is not None)
            step.content.template = Deferred(template_among, (beside, given))

    def used(self, step: Step, recorder: Recorder) -> None:
        """The generation `step` has succeeded."""
        if self._links and (at := self._holder(self._links, step.parent_run_id, recorder)[0]) is not None:
            self._links.pop(at, None)

    def forget(self, run: Hashable) -> None:
        """The run has ended, and with it what was fed below it."""
        if self._runs or self._links:
            self._links.pop(run, None)
            self._runs.pop(run, None)

    def _holder(self, held: Container[Hashable], run: Hashable, recorder: Recorder) -> tuple[Hashable, bool]:
        """The nearest run, from `run` upwards, that is `held`, None where there is none; and whether an agent lies
        between."""
        in_agent = False
        for _ in range(_MOST_LEVELS if held else 0):
            if run in held:
                return run, in_agent
            step = recorder.get(run)
            if step is None or step.kind is _TOOL or step.kind is _RETRIEVER:
                break  # what runs inside these asks models for reasons of its own
            in_agent |= step.kind is _AGENT
            if (run := step.parent_run_id) is None:
                break
        return None, in_agent
