"""What a receiver takes of an attribute, where it takes less than we have."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ..content import ContentPolicy
from ..dialects.rendered import Attributes, Rendered

_TRIES = 4
_LEAST_BYTES = 256
_MOST_BYTES = 4  # of one character


@dataclass(frozen=True, slots=True)
class Limits:
    """A receiver's limits: bytes of UTF-8 in one text, items in one list, characters in an attribute's name."""

    text_bytes: int
    items: int | None = None
    name_characters: int | None = None

    def policy(self, policy: ContentPolicy) -> ContentPolicy:
        """`policy` with a budget that this receiver takes."""
        return replace(policy, attribute_bytes=min(policy.attribute_bytes, self.text_bytes))

    def rendered(self, policy: ContentPolicy, render: Callable[[ContentPolicy], Rendered]) -> Rendered:
        """What `render` makes within the limits.

        A budget counts a value's own text: names, escapes and brackets come on top. Where they make a text too long, it
        is rendered anew with half the budget, so that JSON is cut inside its texts and stays whole.
        """
        made = render(policy)
        for _ in range(_TRIES):
            if policy.attribute_bytes <= _LEAST_BYTES or not any(map(self._too_long, made.attributes.values())):
                break
            policy = replace(policy, attribute_bytes=max(_LEAST_BYTES, policy.attribute_bytes // 2))
            made = render(policy)
        made.attributes = self.within(made.attributes)
        made.events = [(name, time_ns, self.within(attributes)) for name, time_ns, attributes in made.events]
        return made

    def within(self, attributes: Mapping[str, Any]) -> Attributes:
        """`attributes` cut to the limits, each text at its end."""
        short = self.text_bytes // _MOST_BYTES
        out: Attributes = {}
        for key, value in attributes.items():
            kind = type(value)
            if (kind is str and len(value) > short) or kind is list or kind is tuple:
                out[key[: self.name_characters]] = self._cut(value)
            else:
                out[key[: self.name_characters]] = value
        return out

    def _cut(self, value: Any) -> Any:
        if isinstance(value, (list, tuple)):
            return [self._cut(v) for v in value[: self.items]]
        if not self._too_long(value):
            return value
        head: str = value.encode()[: self.text_bytes - len("…".encode())].decode(errors="ignore")
        return f"{head}…"

    def _too_long(self, value: Any) -> bool:
        return isinstance(value, str) and (
            len(value) > self.text_bytes
            or (len(value) * _MOST_BYTES > self.text_bytes and len(value.encode()) > self.text_bytes)
        )
