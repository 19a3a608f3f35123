"""The tree of a configuration as YAML with comments, which no YAML library that is small writes."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

Value: TypeAlias = Any
"""None, a bool, a number, a text, `Env`, `Noted`, or a sequence or a mapping of them."""

_PLAIN = re.compile(r"[A-Za-z_/][\w./@-]*|\d+(ms|s|m|h)")
_WORDS = {"true", "false", "null", "yes", "no", "on", "off", "y", "n"}  # that some reader takes for something else


class Env(str):
    """A text with `${env:NAME}` in it, which the Collector fills in. In any other text, a `$` is a `$`."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Noted:
    """A value with a comment above it."""

    comment: str
    value: Value


def text(tree: Mapping[str, Value], head: str) -> str:
    """The file: `head` as a comment, then the tree."""
    return "\n".join([*_comment(head, ""), "", *_mapping(tree, "")]) + "\n"


def plain(value: Value) -> Any:
    """The tree as a reader gets it: without comments, and a `$` doubled where the Collector must not fill in."""
    match value:
        case Noted():
            return plain(value.value)
        case Env():
            return str(value)
        case str():
            return value.replace("$", "$$")
        case Mapping():
            return {key: plain(item) for key, item in value.items()}
        case Sequence():
            return [plain(item) for item in value]
    return value


def _mapping(tree: Mapping[str, Value], indent: str) -> list[str]:
    lines: list[str] = []
    for key, item in tree.items():
        if isinstance(item, Noted):
            lines += _comment(item.comment, indent)
            item = item.value  # noqa: PLW2901
        key = _quoted(key)  # noqa: PLW2901
        if isinstance(item, Mapping) and item:
            lines += [f"{indent}{key}:", *_mapping(item, indent + "  ")]
        elif _is_list(item) and item:
            lines += [f"{indent}{key}:", *_sequence(item, indent + "  ")]
        else:
            lines.append(f"{indent}{key}: {_scalar(item)}".rstrip())
    return lines


def _sequence(items: Sequence[Value], indent: str) -> list[str]:
    lines: list[str] = []
    for item in items:
        if isinstance(item, Noted):
            lines += _comment(item.comment, indent)
            item = item.value  # noqa: PLW2901
        if isinstance(item, Mapping) and item:
            first, *rest = _mapping(item, indent + "  ")
            lines += [f"{indent}- {first.strip()}", *rest]
        else:
            lines.append(f"{indent}- {_scalar(item)}")
    return lines


def _scalar(value: Value) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case int() | float():
            said = repr(value)
            return said if "." in said else said.replace("e", ".0e")  # some readers take 1e-05 for a text
        case str():
            return _quoted(plain(value))
        case Mapping():
            return "{}"
    return "[]"


def _quoted(said: str) -> str:
    if _PLAIN.fullmatch(said) and said.lower() not in _WORDS:
        return said
    if said.isprintable() and ('"' in said or "\\" in said):
        return "'" + said.replace("'", "''") + "'"
    quoted = json.dumps(said, ensure_ascii=False)
    return "".join(c if c.isprintable() else f"\\U{ord(c):08x}" for c in quoted)


def _comment(said: str, indent: str) -> list[str]:
    return [f"{indent}# {line}".rstrip() for line in said.splitlines()]


def _is_list(value: Value) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)
