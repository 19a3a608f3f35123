"""Attributes as OTLP's `KeyValue`s, in protobuf's wire format: a message's fields in the order of their numbers, each a
tag, a length where it is a text or a message, and the value (https://protobuf.dev/programming-guides/encoding/). The
numbers are those of `opentelemetry/proto/common/v1/common.proto`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from struct import Struct
from typing import Any

from ...guard import warn_once

_MOST_LEVELS = 94  # messages inside one value: with the six around an event's it is the hundred that parsers take
_MOST_HEADS = 4096  # kept for each field, of 150 bytes or so
_SHORT = 128  # bytes: a length of one byte
_INT64 = 1 << 63

_ONE_BYTE = [bytes((number,)) for number in range(_SHORT)]
_double = Struct("<d").pack


def varint(number: int) -> bytes:
    """`number` >= 0, seven bits a byte, the lowest first."""
    if number < 1 << 7:
        return _ONE_BYTE[number]
    if number < 1 << 14:
        return bytes((number & 0x7F | 0x80, number >> 7))
    if number < 1 << 21:
        return bytes((number & 0x7F | 0x80, number >> 7 & 0x7F | 0x80, number >> 14))
    return bytes((number & 0x7F | 0x80, number >> 7 & 0x7F | 0x80, number >> 14 & 0x7F | 0x80)) + varint(number >> 21)


def sized(tag: bytes, body: bytes) -> bytes:
    """A text or a message as a field."""
    return b"%b%b%b" % (tag, varint(len(body)), body)


def utf8(text: Any) -> bytes:
    """What protobuf takes for a text; None stands for an empty one."""
    if isinstance(text, str):
        return str.encode(text)
    if text is None:
        return b""
    if isinstance(text, bytes):
        text.decode()  # raises where it is none
        return text
    raise TypeError(f"a {type(text).__name__} is no text")


# what comes before a short text in an array
_ITEM_HEADS = [b"\x0a%b\x0a%b" % (varint(1 + len(varint(size)) + size), varint(size)) for size in range(_SHORT)]


class Attributes:
    """Attributes as the field `number` of the message that has them.

    What comes before the bytes of a text depends on its key and its length alone, so these heads are kept: a short text
    costs two look-ups. Any thread may use it: what is kept is only ever set or forgotten as a whole.
    """

    def __init__(self, number: int) -> None:
        self._tag = bytes((number << 3 | 2,))
        self._texts: dict[str, dict[int, bytes]] = {}  # by key and the text's length
        self._values: dict[str, dict[int, bytes]] = {}  # by key and the length of the other values' own field
        self._starts: dict[str, bytes] = {}
        self._kept = 0

    def into(self, parts: list[bytes], attributes: Mapping[str, Any]) -> None:
        """Append them to `parts`. Without one that OTLP has no form for, which is logged once for its type."""
        add, texts, values = parts.append, self._texts, self._values
        for key, value in attributes.items():
            try:
                if type(value) is str:
                    body, heads, inner = value.encode(), texts, b"\x0a"
                else:
                    body, heads, inner = any_value(value, _MOST_LEVELS), values, b""
                size = len(body)
                if size < _SHORT:
                    try:
                        head = heads[key][size]
                    except KeyError:
                        head = self._keep(heads, key, size, inner)
                    add(head)
                else:
                    parts += self._head(key, size, inner)
                add(body)
            except Exception as error:
                _leave_out(value, error)

    def _head(self, key: str, size: int, inner: bytes) -> tuple[bytes, ...]:
        """All before the last `size` bytes of an attribute. `inner` is the tag of a text within the `AnyValue`, whose
        length follows."""
        start = self._starts.get(key)
        if start is None:
            start = _start(key)
            if len(start) < _SHORT:
                if len(self._starts) >= _MOST_HEADS:
                    self._starts.clear()
                self._starts[key] = start
        if not inner:
            length = varint(size)
            return self._tag, varint(len(start) + len(length) + size), start, length
        own = varint(size)
        size += 1 + len(own)
        length = varint(size)
        return self._tag, varint(len(start) + len(length) + size), start, length, inner, own

    def _keep(self, heads: dict[str, dict[int, bytes]], key: str, size: int, inner: bytes) -> bytes:
        head = b"".join(self._head(key, size, inner))
        if len(head) < 2 * _SHORT:
            if self._kept >= _MOST_HEADS:
                self._texts.clear()
                self._values.clear()
                self._kept = 0
            self._kept += 1
            heads.setdefault(key, {})[size] = head
        return head


def any_value(value: Any, levels: int) -> bytes:
    """The fields of an `AnyValue`. Raises where there is no form for it, or more than `levels` messages in it."""
    if (encode := _BY_TYPE.get(type(value))) is not None:
        return encode(value, levels)
    for kind, encode_kind in _BY_KIND:
        if isinstance(value, kind):
            return encode_kind(value, levels)
    raise TypeError("no type of an attribute's value")


def _text(value: str, _: int) -> bytes:
    return sized(b"\x0a", str.encode(value))


def _integer(value: int, _: int) -> bytes:
    if 1 << 7 <= value < 1 << 14:  # as most counts of tokens are
        return bytes((0x18, value & 0x7F | 0x80, value >> 7))
    if -_INT64 <= value < _INT64:
        return b"\x18" + varint(value & 0xFFFF_FFFF_FFFF_FFFF)
    raise OverflowError("an integer of more than 64 bits")


def _array(value: Sequence[Any], levels: int) -> bytes:
    within = _within(levels, 2)
    parts: list[bytes] = []
    for item in value:
        if type(item) is str and len(body := item.encode()) < _SHORT:
            parts += _ITEM_HEADS[len(body)], body
        else:
            body = any_value(item, within)
            parts += b"\x0a", varint(len(body)), body
    body = b"".join(parts)
    return b"".join((b"\x2a", varint(len(body)), body))


def _mapping(value: Mapping[Any, Any], levels: int) -> bytes:
    parts: list[bytes] = []
    for key, item in value.items():
        start, body = _start(str(key)), any_value(item, _within(levels, 3))
        length = varint(len(body))
        parts += b"\x0a", varint(len(start) + len(length) + len(body)), start, length, body
    return sized(b"\x32", b"".join(parts))


def _within(levels: int, used: int) -> int:
    if levels < used:
        raise RecursionError("nested too deep")
    return levels - used


def _start(key: Any) -> bytes:
    """A `KeyValue` up to the length of its value."""
    text = utf8(key)
    return sized(b"\x0a", text) + b"\x12" if text else b"\x12"


_Encode = Callable[[Any, int], bytes]
_BY_TYPE: dict[type, _Encode] = {
    type(None): lambda _, __: b"",
    bool: lambda value, _: b"\x10\x01" if value else b"\x10\x00",
    str: _text,
    int: _integer,
    float: lambda value, _: b"\x21" + _double(value),
    bytes: lambda value, _: sized(b"\x3a", value),
    tuple: _array,
    list: _array,
    dict: _mapping,
}
_BY_KIND: list[tuple[type, _Encode]] = [  # of other types, in the official encoder's order
    *((kind, _BY_TYPE[kind]) for kind in (str, int, float, bytes)),
    (Sequence, _array),
    (Mapping, _mapping),
]


def _leave_out(value: object, error: Exception) -> None:
    kind = type(value).__name__
    warn_once(
        f"not in OTLP: {kind}",
        "spanloom: an attribute of type %s has no form in OTLP (%s) and is left out; others of the type likewise, "
        "without a word.",
        kind,
        type(error).__name__,
    )
