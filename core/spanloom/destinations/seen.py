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
from ..content.plain import label
from ..content.read import metadata, read
from ..content.visible import Visible
from ..dialects import others
from ..guard import GUARD
from ..step import Kind, Step
from ..weave import Ended

_NAMES: Categories = (Category.NAMES,)
_ERROR: Categories = (Category.EXCEPTION_TEXT,)
_STEP_NAMES = ("name", "tool_name", "agent_name", "workflow_name", "data_source_id", "root_name")
_VAULT_SECONDS = 5.0

OwnEvent = tuple[str, int, dict[str, Any]]
"""The name, the time in nanoseconds and the attributes of an event."""


@dataclass(slots=True)
class Seen:
    """One span as one policy shows it. `attributes`, `events` and `links` are what stands on the live span: the
    application's and other libraries'. `step` has the names that may go out; None for a span of another library."""

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
    with ended.reading:
        before = ended.seen.get(key := _decisions(policy))
        if before is None:
            before = ended.seen[key] = _decided(ended, policy)
    with suppress(Exception), GUARD.watching("spanloom.content.fit"):
        fitted = policy.fitted(before.content)
        return before if fitted is before.content else _with(before, fitted)
    return _with(before, Visible())


def wait_for_vaults(batch: Sequence[Ended], policy: ContentPolicy) -> None:
    """Let the vaults that `policy` sends content to answer for this batch, all of it at once, and note what they said.

    A span never claims more than it knows: content that was not stored in time is not stored at all.
    """
    if not policy.vaults:
        return
    asked = [shown.content for ended in batch if (shown := seen(ended, policy)).content.kept]
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
    ids = span.context
    at = Situation(
        trace_id=ids.trace_id if ids is not None else 0,
        span_id=ids.span_id if ids is not None else 0,
        kind=step.kind if step is not None else Kind.OTHER,
        identity=ended.identity,
        recorded_ns=span.end_time or 0,
    )
    pass_ = Application(policy.chain, at)
    with suppress(Exception), GUARD.watching("spanloom.content.decide"):
        content = policy.apply(_read(ended), at)
        return Seen(
            name=label(pass_.of(_NAMES, span.name)) or span.kind.name.lower(),
            step=_named(step, pass_) if step is not None else None,
            content=content,
            attributes=_attributes(span.attributes or {}, policy, pass_),
            events=[
                (
                    label(pass_.of(_NAMES, event.name)) or "event",
                    event.timestamp,
                    _attributes(event.attributes or {}, policy, pass_, event.name),
                )
                for event in span.events
            ],
            links=[_link(link, policy, pass_) for link in span.links],
            status_description=_text(pass_.of(_ERROR, span.status.description)),
            root_name=label(pass_.of(_NAMES, ended.root_name)) or "",
        )
    return Seen(span.kind.name.lower(), _nameless(step), Visible())


def _read(ended: Ended) -> Visible:
    if ended.content is None:
        step = ended.step
        if step is None:
            ended.content = Visible(identity=ended.identity, metadata=metadata(ended.identity.metadata))
        else:
            ended.content = read(step.content, step.identity, step.tool_description)
            if ended.prompts is not None:
                ended.prompts.note(step, ended.content.prompt_hash)
    return ended.content


# ---------------------------------------------------------------- names
def _named(step: Step, pass_: Application) -> Step:
    """The step with the names that may go out; the step itself where they all may."""
    changed: dict[str, Any] = {}
    for name in _STEP_NAMES:
        if (value := getattr(step, name)) and (shown := _text(pass_.of(_NAMES, value))) != value:
            changed[name] = shown or ("" if name in ("name", "root_name") else None)
    if (node := step.graph.get("node")) and (shown := _text(pass_.of(_NAMES, node))) != node:
        changed["graph"] = {**step.graph, "node": shown}
    if not changed:
        return step
    return _changed(step, changed)


def _nameless(step: Step | None) -> Step | None:
    return None if step is None else _changed(step, {**dict.fromkeys(_STEP_NAMES[1:-1]), "name": "", "root_name": ""})


def _changed(step: Step, fields: Mapping[str, Any]) -> Step:
    other = copy.copy(step)
    for name, value in fields.items():
        setattr(other, name, value)
    return other


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
        if holds is None or (others.is_unknown(holds) and not _is_text(value)):
            out[key] = value
            continue
        shown = pass_.named(key, holds, _plain(value))
        if others.is_url(key) and shown != value:
            shown = pass_.value(_NAMES, others.bare_url(key, value))
        if (kept := _attribute(shown, value)) is not None:
            out[key] = kept
    return out


def _link(link: Link, policy: ContentPolicy, pass_: Application) -> Link:
    return Link(link.context, _attributes(link.attributes, policy, pass_)) if link.attributes else link


def _is_text(value: Any) -> bool:
    return isinstance(value, (str, bytes)) or (isinstance(value, (list, tuple)) and any(map(_is_text, value)))


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return list(value) if isinstance(value, tuple) else value


def _attribute(shown: Any, given: Any) -> Any:
    """What an action made of an attribute, as an attribute; None for what was dropped or is none any more."""
    if isinstance(shown, (str, bool, int, float)):
        return shown
    if isinstance(shown, list) and isinstance(given, (list, tuple)):
        return [one for one in shown if isinstance(one, type(given[0]))] if given else []
    return None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None
