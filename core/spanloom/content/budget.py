"""Content within bounds: what is too long is cut inside its texts, so that JSON stays whole, and says so in place."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from typing import Any

import orjson

from ..step import (
    Document,
    Media,
    Message,
    OtherPart,
    Part,
    Reasoning,
    Text,
    ToolCall,
    ToolCallResponse,
    ToolDefinition,
)
from .batch import COPYING, Known
from .walk import map_text, texts
from .written import json_bytes

ATTRIBUTE_BYTES = 64 * 1024
"""The default budget of one attribute, in bytes of UTF-8."""

_LEAST_TEXT = 64  # what any text keeps, the mark of its cut included
_MARK = 48  # bytes of a mark
_MAX_KEY = 256  # characters

_CUTTABLE: dict[type, tuple[str, ...]] = {  # the fields that may be cut; all others are short labels
    Message: ("parts",),
    Text: ("content",),
    Reasoning: ("content",),
    ToolCall: ("arguments",),
    ToolCallResponse: ("response",),
    OtherPart: ("value",),
    Media: (),
    Document: ("content", "metadata"),
    ToolDefinition: ("description", "parameters"),
}

_NAMES_OF = {kind: tuple(f.name for f in fields(kind) if f.compare) for kind in _CUTTABLE}

Measure = Callable[[str], int]


def fit(value: Any, limit: int) -> tuple[Any, int]:
    """`value` with its longest texts cut until its JSON is about `limit` bytes; and how many texts and items went.

    Short texts stay whole: the budget is shared so that every text keeps as much as the longest may. Where a structure
    is too large even with every text cut, whole items go: a conversation keeps its first and its last messages, and
    anything else its first items. A mark stands wherever something was cut.
    """

    def size(text: str) -> int:
        return len(text) if len(text) > limit else _bytes(text)  # too long in any case: no need to measure

    if _most(value, limit) <= limit:
        return value, 0
    batch = COPYING.batch
    if (_cost(value, size) if batch is None else _known_cost(value, limit, size, batch.costs)) <= limit:
        return value, 0
    pruning = _Pruning()
    value = pruning.prune(value, limit)
    room = limit - _cost(value, lambda _: 0)
    longest = max(_LEAST_TEXT, _share(sorted(map(size, texts(value))), room))
    cut = pruning.cut

    def shorten(text: str) -> str:
        nonlocal cut
        if size(text) <= longest:
            return text
        cut += 1
        keep = _head(text, longest - _MARK)
        return f"{keep}… [{len(text) - len(keep)} characters cut]"

    return map_text(value, shorten), cut


def _share(sizes: Sequence[int], room: int) -> int:
    """The largest L for which the sum of min(size, L) is at most `room`. `sizes` is sorted."""
    left = len(sizes)
    for size in sizes:
        if size * left > room:
            break
        room -= size
        left -= 1
    return room // left if left else 0


def _allot(costs: Sequence[int], room: int) -> list[int]:
    """How much of `room` each of the first items may take: the small ones all they need, the large ones equal parts."""
    floors: list[int] = []
    for cost in costs:
        floors.append(min(cost, 2 * _LEAST_TEXT))
        room -= floors[-1]
        if room < 0:
            room += floors.pop()
            break
    extras = [cost - floor for cost, floor in zip(costs, floors, strict=False)]
    longest = max(extras, default=0) if sum(extras) <= room else _share(sorted(extras), room)
    return [floor + min(extra, longest) for floor, extra in zip(floors, extras, strict=True)]


class _Pruning:
    """Leaves out items until what is left fits with each text cut to its least. `cut` counts them."""

    def __init__(self) -> None:
        self.cut = 0

    def prune(self, value: Any, room: int) -> Any:
        if _least(value) <= room:
            return value
        if isinstance(value, dict):
            return self._dict(value, room)
        if isinstance(value, (list, tuple)):
            ends = len(value) > 1 and isinstance(value[0], Message)
            items = self._ends(value, room) if ends else self._head(value, room)
            return tuple(items) if isinstance(value, tuple) else items
        if type(value) in _CUTTABLE:
            kept: dict[str, Any] = dict.fromkeys(_CUTTABLE[type(value)])
            room -= _least(replace(value, **kept))
            for name in tuple(kept):
                kept[name] = self.prune(getattr(value, name), room)
                room -= _least(kept[name])
            return replace(value, **kept)
        return value

    def _dict(self, value: dict[str, Any], room: int) -> dict[str, Any]:
        room -= _MARK
        out: dict[str, Any] = {}
        for (key, inner), own in zip(value.items(), _allot([_least(v) for v in value.values()], room), strict=False):
            name = self._key(key)
            room -= _bytes(name) + 2
            if room < _LEAST_TEXT:
                break
            out[name] = self.prune(inner, min(own, room))
            room -= _least(out[name])
        if left := len(value) - len(out):
            self.cut += left
            out["…"] = f"[{left} more cut]"
        return out

    def _head(self, value: Sequence[Any], room: int) -> list[Any]:
        room -= _MARK
        out: list[Any] = []
        for inner, own in zip(value, _allot([_least(v) + 1 for v in value], room), strict=False):
            if room < _LEAST_TEXT:
                break
            out.append(self.prune(inner, min(own, room)))
            room -= _least(out[-1]) + 1
        if left := len(value) - len(out):
            self.cut += left
            out.append(_mark(value[len(out)], left))
        return out

    def _key(self, key: str) -> str:
        if len(key) <= _MAX_KEY:
            return key
        self.cut += 1
        return f"{key[:_MAX_KEY]}… [{len(key) - _MAX_KEY} characters cut]"

    def _ends(self, value: Sequence[Message], room: int) -> list[Any]:
        """The last message, first ones in a quarter of the room, last ones in the rest, and a mark between them."""
        room -= 2 * _MARK + _LEAST_TEXT
        first, last = 0, len(value) - 1
        tail = [self.prune(value[last], room)]
        room -= _least(tail[0])
        left = room // 4
        while first < last and (cost := _least(value[first]) + 1) <= left:
            left -= cost
            first += 1
        left += room - room // 4
        while last > first and (cost := _least(value[last - 1]) + 1) <= left:
            left -= cost
            last -= 1
            tail.insert(0, value[last])
        if first == last:
            return [*value[:first], *tail]
        self.cut += last - first
        return [*value[:first], _mark(value[first], last - first), *tail]


def _mark(like: Any, count: int) -> Any:
    """What stands in the place of `count` items, of the kind that stood there."""
    text = f"… [{count} more cut]"
    match like:
        case Message(role, _, _, finish_reason):
            return Message(role, (Text(text),), None, finish_reason)
        case Document():
            return Document(text)
        case ToolDefinition():
            return ToolDefinition(text)
    return Text(text) if isinstance(like, Part) else text


_MOST_OF_A_CHARACTER = 6  # bytes in JSON: \u001f
_MOST_OF_JSON = 2  # `_cost` counts a byte more for each value than its JSON takes, and a few for a number or a record


def _most(value: Any, limit: int) -> int:
    """No less than `_cost` counts with the true size of every text; some number over `limit` where that is passed.

    It takes no look into texts, or leaves it to an encoder in C; and nearly everything fits by it.
    """
    kind = type(value)
    if kind is str:
        return _MOST_OF_A_CHARACTER * len(value) + 3
    if kind is tuple and value and type(value[0]) is Message:
        total = 2
        for message in value:
            size = message.made.get("bytes")  # its true size, once: it comes again with each turn of its chat
            if size is None:
                size = message.made["bytes"] = _cost(message, _bytes)
            total += size + 1
            if total > limit:
                break
        return total
    written = json_bytes(value, limit)
    return limit + 1 if written is None else _MOST_OF_JSON * written


def _least(value: Any) -> int:
    return _cost(value, lambda text: _LEAST_TEXT if len(text) >= _LEAST_TEXT else min(_LEAST_TEXT, _bytes(text)))


def _cost(value: Any, measure: Measure) -> int:
    """About how many bytes `value` takes as JSON, each of its texts counted as `measure` says."""
    if isinstance(value, str):
        return measure(value) + 1
    if type(value) is Text:
        return _OF_A_TEXT + measure(value.content)
    if isinstance(value, dict):
        return 2 + sum(_bytes(k) + 2 + _cost(v, measure) for k, v in value.items())
    if isinstance(value, (list, tuple)):
        return 2 + sum(_cost(v, measure) + 1 for v in value)
    if type(value) in _CUTTABLE:
        cuttable = _CUTTABLE[type(value)]
        total = 20  # its type, its braces
        for name in _NAMES_OF[type(value)]:
            inner = getattr(value, name)
            if inner is not None:
                total += len(name) + 6
                total += _cost(inner, measure if name in cuttable else _bytes)
        return total
    return len(str(value)) + 1


def _known_cost(value: Any, limit: int, measure: Measure, known: Known) -> int:
    """As `_cost`, with the costs of the batch's objects; some number over `limit` where that is passed."""
    kind = type(value)
    if kind is list:
        total = 2
        for inner in value:
            total += _known_cost(inner, limit, measure, known) + 1
            if total > limit:
                break
        return total
    if kind is not dict:
        return _cost(value, measure)
    if (before := known.get(id(value))) is not None:
        return before[1]  # type: ignore[no-any-return]
    cost = 2
    for key, inner in value.items():
        cost += _bytes(key) + 2 + _known_cost(inner, limit, measure, known)
        if cost > limit:
            return cost
    known[id(value)] = value, cost
    return cost


_OF_A_TEXT = 20 + len("content") + 6 + 1


def _bytes(text: str) -> int:
    """Bytes of `text` in JSON, quotes and escapes included."""
    try:
        return len(orjson.dumps(text))
    except TypeError:  # lone surrogates
        return len(json.dumps(text, ensure_ascii=False).encode("utf-8", "replace"))


def _head(text: str, size: int) -> str:
    """The start of `text` that takes at most `size` bytes in JSON."""
    head = text[:size]
    while head and (over := _bytes(head) - size) > 0:
        head = head[: -max(1, over // 6)]
    return head
