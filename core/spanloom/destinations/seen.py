"""What a destination sees of a span: everything on it and beside it, after the destination's policy."""

from __future__ import annotations

import copy
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from opentelemetry.trace import Link

from ..content import ContentPolicy
from ..content.acting import Situation
from ..content.application import Application
from ..content.category import Categories, Category
from ..content.digest import canonical_value
from ..content.plain import label, plain
from ..content.read import Reading, metadata
from ..content.visible import Visible
from ..dialects import genai, others
from ..ended import Ended
from ..guard import GUARD
from ..scores import Score
from ..step import Kind, Step
from .names import named as _named
from .names import nameless, text_only

_NAMES: Categories = (Category.NAMES,)
_ERROR: Categories = (Category.EXCEPTION_TEXT,)
_VAULT_SECONDS = 5.0

OwnEvent = tuple[str, int, dict[str, Any]]
"""The name, the time in nanoseconds and the attributes of an event."""


@dataclass(slots=True)
class Seen:
    """One span as one policy shows it.

    `attributes`, `events` and `links` are what stands on the live span: the application's and other libraries', and
    Spanloom's own structure: all of it on a span of the SDK, on a light one what not every dialect renders. `step` has
    the names that may go out; None for a span of another library. `name` is a span of the SDK's, else empty.
    """

    name: str
    step: Step | None
    content: Visible
    attributes: dict[str, Any] = field(default_factory=dict)
    events: list[OwnEvent] = field(default_factory=list)
    links: Sequence[Link] = ()
    status_description: str | None = None
    root_name: str = ""


def seen(ended: Ended, policy: ContentPolicy) -> Seen:
    """What `policy` shows of the span, with every text within its budget.

    Content is read once for all destinations, and what a policy decides once for all that have it. What cannot be read
    or decided is left out: structure goes in any case.
    """
    key = _decisions(policy)
    with ended.reading:
        before: Seen | None = ended.seen.get(key)
        if before is None:
            before = ended.seen[key] = _decided(ended, policy)
    try:
        fitted = policy.fitted(before.content)
        return before if fitted is before.content else _with(before, fitted)
    except Exception as error:
        _swallow("spanloom.content.fit", error)
    return _with(before, Visible())


def _swallow(where: str, error: Exception) -> None:
    with suppress(Exception):  # a strict guard raises it, and has kept it
        GUARD.caught(where, error)


def shown_of(scores: Sequence[Score], policy: ContentPolicy) -> list[Score]:
    """The scores that `policy` lets out, as it shows them."""
    out: list[Score] = []
    for score in scores:
        with suppress(Exception), GUARD.watching("spanloom.content.score"):
            if (shown := policy.score(score)) is not None:
                out.append(shown)
    return out


def wait_for_vaults(batch: Sequence[Ended], policy: ContentPolicy) -> None:
    """Let the vaults that `policy` sends content to answer for this batch, all of it at once, and note what they said.

    A span never claims more than it knows: content that was not stored in time is not stored at all.
    """
    if not policy.vaults:
        return
    for ended in batch:
        seen(ended, policy)
    whole = (ended.seen[_decisions(policy)].content for ended in batch)  # before any is cut to size
    asked = [content for content in whole if content.kept]
    deadline = time.monotonic() + max((v.wait_seconds for v in policy.vaults), default=_VAULT_SECONDS)
    for content in asked:
        if content.vault_status is None:
            stored = [kept.wait(deadline) for kept in content.kept]
            content.vault_status = "stored" if all(stored) else "unavailable"


def _decisions(policy: ContentPolicy) -> tuple[Any, ...]:
    return id(policy.rules), policy.hashes, policy.hash_key, policy.structure


def _with(before: Seen, content: Visible) -> Seen:
    after = copy.copy(before)
    after.content = content
    return after


def _decided(ended: Ended, policy: ContentPolicy) -> Seen:
    span, step = ended.span, ended.step
    try:
        ids = span.context
        at = Situation(
            ids.trace_id if ids is not None else 0,
            ids.span_id if ids is not None else 0,
            step.kind if step is not None else Kind.OTHER,
            ended.identity,
        )
        if policy.keeps:
            at.recorded_ns, at.shelves = span.end_time or 0, ended.shelves
        pass_ = policy.application(at)
        content = policy.apply(_read(ended), pass_=pass_)
        shown = Seen("", None, content)
        if step is not None:
            shown.step = _named(step, pass_)
        if step is None or not ended.is_light:
            shown.name = label(pass_.called(span.name)) or span.kind.name.lower()
            _note_others(shown, span, span.attributes or {}, policy, pass_)
        else:
            assert shown.step is not None
            if ended.is_touched:
                _note_others(shown, span, span.own_attributes, policy, pass_)  # type: ignore[attr-defined]
            elif step.links:
                shown.links = [_link(link, policy, pass_) for link in step.links]
            if beside := genai.beside(shown.step):
                shown.attributes = {**shown.attributes, **beside} if shown.attributes else beside
        if ended.root_name:
            shown.root_name = label(pass_.called(ended.root_name)) or ""
        if at.shelves:
            content.kept = at.settle()
        return shown
    except Exception as error:
        _swallow("spanloom.content.decide", error)
    return Seen(span.kind.name.lower(), nameless(step), Visible())


def _note_others(
    shown: Seen, span: Any, attributes: Mapping[str, Any], policy: ContentPolicy, pass_: Application
) -> None:
    """What the application and other libraries have written on a live span."""
    if attributes:
        shown.attributes = _attributes(attributes, policy, pass_)
    if span.events:
        shown.events = [_event(event, policy, pass_) for event in span.events]
    if span.links:
        shown.links = [_link(link, policy, pass_) for link in span.links]
    if span.status.description is not None:
        shown.status_description = text_only(pass_.of(_ERROR, span.status.description))


def _event(event: Any, policy: ContentPolicy, pass_: Application) -> OwnEvent:
    name = label(pass_.called(event.name)) or "event"
    return name, event.timestamp, _attributes(event.attributes or {}, policy, pass_, event.name)


def _read(ended: Ended) -> Visible:
    if ended.content is None:
        step = ended.step
        if step is None:
            ended.content = Visible(identity=ended.identity, metadata=metadata(ended.identity.metadata))
        else:
            ended.content = Reading(step.content, step.identity, step.tool_description)
            if ended.prompts is not None and step.kind is Kind.LLM:
                ended.prompts.note(step, ended.content.prompt_hash)
    return ended.content


# ---------------------------------------------------------------- attributes
def _attributes(
    given: Mapping[str, Any], policy: ContentPolicy, pass_: Application, event: str | None = None
) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for key, value in given.items():
        if policy.is_structure(key):
            out[key] = value
            continue
        holds = others.categories_of(key) if event is None else others.in_event(event, key)
        if holds is None:
            out[key] = value
            continue
        if others.is_measure(holds, value):
            out[pass_.key(_NAMES, pass_.key(holds, key))] = value  # it goes out where its category is dropped, too
            continue
        read_value = plain(_decoded(value))
        shown = pass_.named(key, holds, read_value)
        if others.is_url(key) and shown != read_value:
            shown = pass_.value(_NAMES, others.bare_url(key, read_value))
        if (kept := _attribute(shown, read_value)) is not None:
            out[pass_.key(holds, key)] = kept
    return out


def _link(link: Link, policy: ContentPolicy, pass_: Application) -> Link:
    return Link(link.context, _attributes(link.attributes, policy, pass_)) if link.attributes else link


def _decoded(value: Any) -> Any:
    return value.decode(errors="replace") if isinstance(value, bytes) else value


def _attribute(shown: Any, given: Any) -> Any:
    """What an action made of an attribute, as an attribute; None for what was dropped, and for what a vault keeps."""
    if isinstance(shown, (str, bool, int, float)):
        return shown
    if isinstance(shown, list) and isinstance(given, list) and given and not isinstance(given[0], (list, dict)):
        return [one for one in shown if isinstance(one, type(given[0]))]
    if isinstance(shown, (list, dict)) and shown:
        return canonical_value(shown)
    return None
