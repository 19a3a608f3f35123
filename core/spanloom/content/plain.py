"""Any Python value as plain JSON values, whatever it is: circular, unprintable, not text, not a number.

The result holds only None, bool, int of at most 64 bits, finite float, str without lone surrogates, list, and dict with
str keys: `json.dumps(allow_nan=False)` and any UTF-8 encoder take it.
"""

from __future__ import annotations

import array
import dataclasses
import enum
import numbers
from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from traceback import TracebackException
from typing import Any, TypeVar

from .batch import COPYING
from .kinds import SMALL_INT, is_flat, is_scalar, is_vector, model_fields, real, shown_of, whole
from .marked import Marked

_MAX_DEPTH = 16
_MAX_FRAMES = 64
_MAX_NODES = 20_000
_MAX_LABEL = 256
_VECTOR_KEYS = ("embedding", "embeddings", "embedding_dict", "vector", "vectors")

Convert = Callable[[Any], Any]
"""An adapter's own reading of an object; returns it unchanged where it has none.

It is asked about dicts and tuples too, since messages are written as such; never about lists, texts, numbers and None.
"""

_Made = TypeVar("_Made", bound=Callable[..., Any])


def plain(value: Any, convert: Convert | None = None, *, marks: bool = False) -> Any:
    """`value` as plain JSON values. Vectors are replaced by their length, bytes by their size, cycles by a mark.

    At most 16 levels and 20,000 values are read; what is left out is marked in place. With `marks`, what is `Marked`
    stays so, around its plain value; else the marks are taken off.
    """
    kind = type(value)
    if kind is str and value.isascii():
        return value
    if kind is dict and convert is None and is_flat(flat := value.copy()):
        return flat
    return _Reader(convert, marks=marks).read(value, 0)


def makes_plain(build: _Made) -> _Made:
    """A decorator for what a `Deferred` builds with: its answers are plain values already, with their marks, and are
    not read a second time."""
    build.makes_plain = True  # type: ignore[attr-defined]
    return build


def clean(text: str) -> str:
    """`text` without lone surrogates, which no UTF-8 encoder takes: each becomes its escape, such as `\\ud800`."""
    if type(text) is not str:
        text = str.__str__(text)  # a str itself, where it was a subclass with ways of its own
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace").decode()
    return text


def text_of(value: Any) -> str:
    """`str(value)`, or a mark where that raises."""
    try:
        return clean(str(value))
    except Exception:  # another library's __str__ may raise anything
        return f"<unprintable {_type_name(value)}>"


def label(value: Any) -> str | None:
    """A name or an id as text, 256 characters of it at most; None stays None."""
    if value is None:
        return None
    if type(value) is str and len(value) <= _MAX_LABEL and value.isascii():
        return value
    text = clean(value) if isinstance(value, str) else text_of(value)
    return text if len(text) <= _MAX_LABEL else f"{text[: _MAX_LABEL - 1]}…"


class _Reader:
    __slots__ = ("broken", "convert", "deepest", "known", "marks", "nodes", "path")

    def __init__(self, convert: Convert | None, *, marks: bool) -> None:
        self.convert, self.marks = convert, marks
        self.nodes = self.deepest = 0
        self.broken = 0  # what was left out, or could not be read
        self.path: set[int] = set()
        batch = COPYING.batch
        self.known = None if batch is None or convert is None else batch.read(convert, marks)

    def read(self, value: Any, depth: int, *, vector: bool = False) -> Any:
        """`vector` says that the value stands under a key such as `embedding`: numbers in it are not read."""
        if value is None or value is True or value is False:
            return value
        self.nodes += 1
        # What JSON has is nearly all there is: it is told by its very type, and asks nothing of anybody.
        kind = type(value)
        if kind is str:
            return value if value.isascii() else clean(value)
        if kind is int:
            return value if -SMALL_INT < value < SMALL_INT else whole(value)
        if kind is float:
            return real(value)
        if id(value) in self.path:
            self.broken += 1
            return "<circular>"
        if depth >= _MAX_DEPTH:
            self.broken += 1
            return "<too deep>"
        if depth > self.deepest:  # noqa: PLR1730 - a call costs more, and it is done for every container
            self.deepest = depth
        if kind is Marked:  # made by an adapter a moment ago: it is on no path
            said = self.read(value.value, depth, vector=vector)
            return said if not self.marks else value if said is value.value else Marked(value.category, said)
        if self.known is not None and not vector and kind not in _MADE_ANEW:
            return self._once(value, depth)
        return self._read(value, depth, vector=vector)

    def _once(self, value: Any, depth: int) -> Any:
        """An object of a framework's, or what was read of it before in this batch: only where reading it again would
        come out the same, so never close to a limit, nor where anything of it was left out."""
        known = self.known.get(id(value))  # type: ignore[union-attr]
        if known is not None:
            _, made, nodes, height = known
            if self.nodes + nodes < _MAX_NODES and depth + height < _MAX_DEPTH:
                self.nodes += nodes
                self.deepest = max(self.deepest, depth + height)
                return made
        nodes, broken, deepest, self.deepest = self.nodes, self.broken, self.deepest, depth
        made = self._read(value, depth, vector=False)
        if self.broken == broken:
            self.known[id(value)] = value, made, self.nodes - nodes, self.deepest - depth  # type: ignore[index]
        self.deepest = max(self.deepest, deepest)
        return made

    def _read(self, value: Any, depth: int, *, vector: bool) -> Any:
        kind, me = type(value), id(value)
        self.path.add(me)
        try:
            if kind is list:
                return self._sequence(value, depth + 1, vector=vector)
            if kind is dict:
                converted = value if self.convert is None else self.convert(value)
                if converted is not value:
                    return self.read(converted, depth + 1)
                return self._mapping(value.items(), depth + 1, vector=vector)
            return self._other(value, depth + 1, vector=vector)
        except Exception:  # another library's iterator or property may raise anything
            self.broken += 1
            return f"<unreadable {_type_name(value)}>"
        finally:
            self.path.discard(me)

    def _other(self, value: Any, depth: int, *, vector: bool) -> Any:
        kind = type(value)
        if isinstance(value, Marked):
            inner = self.read(value.value, depth - 1, vector=vector)
            return Marked(value.category, inner) if self.marks else inner
        if kind is not tuple and (value.__class__ is not kind or is_scalar(kind)):
            if isinstance(value, str) and not isinstance(value, enum.Enum):
                return clean(value)
            if isinstance(value, (bytes, bytearray)):
                return f"<{len(value)} bytes>"
            if isinstance(value, memoryview):
                return f"<{value.nbytes} bytes>"
            if isinstance(value, enum.Enum):
                return self.read(value.value, depth)
            if isinstance(value, numbers.Integral):
                return whole(int(value))
            if isinstance(value, numbers.Real):
                return real(float(value))
        if self.convert is not None:
            converted = self.convert(value)
            if converted is not value:
                return self.read(converted, depth)
        if isinstance(value, Mapping):
            return self._mapping(value.items(), depth, vector=vector)
        if isinstance(value, (list, tuple)):
            return self._sequence(value, depth, vector=vector)
        if isinstance(value, AbstractSet):
            return self._items(value, depth, vector=vector)
        if isinstance(value, array.array):
            return f"<vector of {len(value)} numbers>"
        if hasattr(value, "shape") and hasattr(value, "dtype"):
            return f"<array of shape {text_of(value.shape)}>"
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            return self._mapping(
                [(name, getattr(value, name, None)) for name in shown_of(type(value))], depth, vector=False
            )
        if isinstance(fields := getattr(type(value), "model_fields", None), dict):
            return self._mapping(model_fields(value, fields), depth, vector=False)
        return text_of(value)

    def _mapping(self, pairs: Iterable[tuple[Any, Any]], depth: int, *, vector: bool) -> dict[str, Any]:
        out: dict[str, Any] = {}
        for key, value in pairs:
            if self.nodes >= _MAX_NODES:
                self.broken += 1
                out["…"] = "<more left out>"
                break
            is_clean = type(key) is str and key.isascii()
            name = key if is_clean else clean(key) if isinstance(key, str) else text_of(key)
            if name in out:  # such as 1 and "1"
                name = f"{name} ({_type_name(key)})"
            if type(value) is str and value.isascii():
                self.nodes += 1
                out[name] = value
            elif value is None:
                out[name] = None
            elif type(value) in _NUMBERS:
                out[name] = self.read(value, depth)
            else:
                out[name] = self.read(value, depth, vector=vector or name.lower().endswith(_VECTOR_KEYS))
        return out

    def _sequence(self, values: list[Any] | tuple[Any, ...], depth: int, *, vector: bool) -> Any:
        if is_vector(values, named=vector):
            return f"<vector of {len(values)} numbers>"
        return self._items(values, depth, vector=vector)

    def _items(self, values: Iterable[Any], depth: int, *, vector: bool) -> list[Any]:
        out: list[Any] = []
        for value in values:
            if self.nodes >= _MAX_NODES:
                self.broken += 1
                out.append("<more left out>")
                break
            out.append(self.read(value, depth, vector=vector))
        return out


_NUMBERS = frozenset({int, float, bool})
_MADE_ANEW = frozenset({list, dict, tuple, Marked})
"""What is copied when it is held, or made by an adapter: it is not met again."""


def _type_name(value: Any) -> str:
    try:
        return clean(type(value).__name__)
    except Exception:  # a metaclass may answer for its classes
        return "object"


# ---------------------------------------------------------------- exceptions
def describe_error(error: BaseException) -> tuple[str, TracebackException | None]:
    """The text of `error` and its stack, held without the frames, whose locals would be kept alive with them."""
    try:
        # An exception object that is raised again and again collects all its ways up: only the newest frames are read.
        stack = TracebackException(
            type(error), error, error.__traceback__, limit=_MAX_FRAMES, lookup_lines=False, compact=True
        )
    except Exception:  # an exception whose own attributes raise
        stack = None
    return text_of(error), stack


def stack_text(stack: TracebackException) -> str:
    """The formatted stack, as Python prints it. Reads source files: for the worker."""
    return clean("".join(stack.format()))
