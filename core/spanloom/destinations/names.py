"""What a policy shows of the names in a step: of itself, of its tool and agent, of its place in a graph."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from operator import attrgetter
from typing import Any

from ..content.application import Application
from ..content.bare import Bare
from ..content.category import Categories, Category
from ..content.plain import clean, label, text_of
from ..step import Event as StepEvent
from ..step import Step

_WHO: Categories = (Category.IDENTITY,)
_STEP_NAMES = ("name", "tool_name", "agent_name", "workflow_name", "data_source_id", "root_name")
_names_in_a_step = attrgetter(*_STEP_NAMES)
_LABEL = 256  # characters: no label is cut there
_PLACE = "checkpoint_ns"  # of LangGraph: names of nodes, each with the id of its task, which is new with every step
_TASK = re.compile(":[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}(?![^|])")
_ONE_TASK = re.compile("([^:|]*:)[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}")
_THREAD = "thread"  # of LangGraph: the session


def named(step: Step, pass_: Application) -> Step:
    """The step with the names that may go out; the step itself where they all may."""
    changed: dict[str, Any] = {}
    leaves, names = pass_.leaves, _names_in_a_step(step)
    if leaves is None or not leaves.all(names):
        for name, value in zip(_STEP_NAMES, names, strict=True):
            if value and (shown := text_only(pass_.called(value))) != value:
                changed[name] = shown or ("" if name in ("name", "root_name") else None)
    if step.graph and not _all_left(step.graph, leaves) and (graph := _graph(step.graph, pass_)) != step.graph:
        changed["graph"] = graph
    if (stops := step.parameters.get("stop_sequences")) and (shown_stops := _names_of(stops, pass_)) != stops:
        changed["parameters"] = {**step.parameters, "stop_sequences": shown_stops}
    if step.events and (events := [_named_event(event, pass_) for event in step.events]) != step.events:
        changed["events"] = events
    if not changed:
        return step
    return _changed(step, changed)


def _all_left(values: Mapping[str, Any], leaves: Bare | None) -> bool:
    """Whether `_graph` and `_names_in` would give all of the values back."""
    if leaves is None or _THREAD in values:
        return False
    for key, value in values.items():
        kind = type(value)
        if kind is int:
            continue
        if kind is not str or len(value) > _LABEL or not value.isascii():
            return False
        if not leaves.one(_less_tasks(value) if key == _PLACE else value):
            return False
    return True


def _less_tasks(place: str) -> str:
    task = _ONE_TASK.fullmatch(place)  # as most are, and told at half the price
    return task[1] if task is not None else _TASK.sub(":", place)


def _graph(graph: Mapping[str, Any], pass_: Application) -> Mapping[str, Any]:
    named = _names_in({k: v for k, v in graph.items() if k != _THREAD}, pass_)
    if (thread := graph.get(_THREAD)) and (shown := text_only(pass_.of(_WHO, thread))) is not None:
        return {**named, _THREAD: shown}
    return named


def _names_of(names: Sequence[Any], pass_: Application) -> list[str]:
    return [shown for name in names if (shown := _named_text(name, pass_)) is not None]


def _named_text(name: Any, pass_: Application) -> str | None:
    """A name as far as it goes out, cut to a label only then: half an address is not recognised any more."""
    text = name if isinstance(name, str) else text_of(name)
    return label(text_only(pass_.called(clean(text))))


def _names_in(values: Mapping[str, Any], pass_: Application) -> Mapping[str, Any]:
    """`values` with the texts among them that may go out: in a step's own records they are names."""
    out: dict[str, Any] = {}
    for key, value in values.items():
        shown: Any = value
        if isinstance(value, str):
            shown = _named_text(value, pass_)
        elif isinstance(value, (list, tuple)):
            shown = _names_of(value, pass_)
        if shown is not None:
            out[key] = shown
    return out


def _named_event(event: StepEvent, pass_: Application) -> StepEvent:
    if not event.data or _all_left(event.data, pass_.leaves):
        return event
    data = _names_in(event.data, pass_)
    return event if data == event.data else StepEvent(event.name, event.time_ns, dict(data))


def nameless(step: Step | None) -> Step | None:
    """The step where nothing could be decided on."""
    if step is None:
        return None
    names = {**dict.fromkeys(_STEP_NAMES[1:-1]), "name": "", "root_name": ""}
    parameters = {key: value for key, value in step.parameters.items() if key != "stop_sequences"}
    return _changed(step, {**names, "graph": {}, "events": [], "parameters": parameters})


def _changed(step: Step, fields: Mapping[str, Any]) -> Step:
    other = copy.copy(step)
    for name, value in fields.items():
        setattr(other, name, value)
    return other


def text_only(value: Any) -> str | None:
    """A text; None for what an action made of one that is none."""
    return value if isinstance(value, str) else None
