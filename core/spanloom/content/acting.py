"""How an action acts: what each of them does with a piece of content, and how several are combined."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from operator import is_
from typing import Any, Protocol

from ..chance import randomness_in, threshold_of
from ..errors import ConfigurationError
from ..identity import NOBODY, Identity
from ..step import Kind
from .batch import COPYING, Redacted
from .digest import canonical_value, digest
from .keeping import Keeper, Kept
from .plain import plain
from .redaction import Entity, Patterns, Placeholders, Redactor, names_a_secret, remembered
from .redaction.redacted import replaced
from .redaction.remembered import Remembered
from .redaction.view import PLACEHOLDER
from .walk import map_text


class Dropped:
    """The type of `DROPPED`."""

    def __repr__(self) -> str:
        return "DROPPED"


DROPPED = Dropped()
"""What an action returns for content that does not go out."""


@dataclass(slots=True)
class Situation:
    """Which span the content belongs to, and what was done to it: texts cut, and pieces put aside for a vault."""

    trace_id: int = 0
    span_id: int = 0
    kind: Kind = Kind.OTHER
    identity: Identity = NOBODY
    recorded_ns: int = 0
    name: str = ""  # what the value stands under, where that is known
    cut: int = 0
    shelves: dict[Keeper, Shelf] = field(default_factory=dict)
    redactor: Redactor | None = None  # the last one that was asked, and what it has left of what
    redacted: Redacted | None = None

    def shelf(self, vault: Keeper) -> Shelf:
        """What `vault` is asked to keep of this span."""
        found = self.shelves.get(vault)
        if found is None:
            found = self.shelves[vault] = Shelf(vault)
        return found

    def settle(self) -> list[Kept]:
        """Ask the vaults to keep what is new on their shelves: the objects referred to since the last time."""
        return [kept for shelf in self.shelves.values() for kept in shelf.settle()]


class Shelf:
    """What one vault is asked to keep of one span: an object for each policy that sends it something new.

    The same piece is kept once, whichever policies and destinations send it.
    """

    def __init__(self, vault: Keeper) -> None:
        self._vault = vault
        self._known: dict[str, tuple[str, Kept | None]] = {}  # by the piece's digest: its reference, and the object
        self._new: list[Any] = []
        self._reference = ""
        self._used: list[Kept] = []

    def put(self, piece: Any, at: Situation) -> str:
        """The reference to `piece`, which the vault is asked to keep at the next `settle`."""
        known = self._known.get(name := digest(canonical_value(piece)))
        if known is not None:
            if known[1] is not None:
                self._used.append(known[1])
            return known[0]
        if not self._new:
            self._reference = self._vault.reference(at.identity, at.trace_id, at.span_id, at.recorded_ns)
        reference = f"{self._reference}#{len(self._new)}"
        self._new.append(piece)
        self._known[name] = reference, None
        return reference

    def settle(self) -> list[Kept]:
        """Ask the vault to keep what is new: all the objects that the pieces since the last time are in."""
        if self._new:
            kept = self._vault.keep_under(self._reference, self._new)
            self._known = {n: (text, kept if own is None else own) for n, (text, own) in self._known.items()}
            self._used.append(kept)
            self._new = []
        used, self._used = self._used, []
        return list(dict.fromkeys(used))


class Action(Protocol):
    """Takes a plain JSON value, and returns what may go out of it, or `DROPPED`. What raises drops the content."""

    def __call__(self, value: Any, at: Situation) -> Any: ...


@dataclass(frozen=True, slots=True)
class Drop:
    def __call__(self, value: Any = None, at: Situation | None = None) -> Any:  # noqa: ARG002
        if at is None:
            raise ConfigurationError("actions.drop is an action as it stands: write it without ().")
        return DROPPED


@dataclass(frozen=True, slots=True)
class Keep:
    def __call__(self, value: Any = None, at: Situation | None = None) -> Any:
        if at is None:
            raise ConfigurationError("actions.keep is an action as it stands: write it without ().")
        return value


@dataclass(frozen=True, slots=True)
class Hash:
    key: bytes | None = field(default=None, repr=False)

    def __call__(self, value: Any, at: Situation) -> Any:  # noqa: ARG002
        return f"{'sha256' if self.key is None else 'hmac-sha256'}:{digest(canonical_value(value), self.key)}"


@dataclass(frozen=True, slots=True)
class Truncate:
    characters: int

    def __call__(self, value: Any, at: Situation) -> Any:
        def shorten(text: str) -> str:
            if len(text) <= self.characters:
                return text
            at.cut += 1
            return f"{text[: self.characters]}… [{len(text) - self.characters} characters cut]"

        return map_text(value, shorten)


@dataclass(frozen=True, slots=True)
class Sample:
    rate: float

    def __call__(self, value: Any, at: Situation) -> Any:
        return value if in_share(at.trace_id, self.rate) else DROPPED


_NUMBERS = frozenset({int, float})
_LEAST_NUMBER = 10**10  # below, nothing is found in a number that stands alone
_LEAST_TIME, _LEAST_CARD = 10**11, 10**13  # of the digits between, `Patterns` finds nothing alone
_EXACT = 1 << 53  # beyond, a float is no integer that anybody wrote


@dataclass(frozen=True, slots=True)
class Redact:
    """Gives back the value itself where nothing in it is found."""

    redactor: Redactor

    def __call__(self, value: Any, at: Situation) -> Any:
        if type(value) is str and not at.name:
            return self._text(value, at)
        return self._shown(value, at, secret=bool(at.name) and names_a_secret(at.name))

    def name(self, name: str, at: Situation) -> str:
        """As for a text, for what something is called."""
        return name if self.leaves(name) else self._text(name, at)

    def leaves(self, name: str) -> bool:
        """Whether a name is known as one in which nothing is found."""
        return isinstance(self.redactor, Remembered) and self.redactor.is_bare(name)

    def _shown(self, value: Any, at: Situation, *, secret: bool = False) -> Any:
        """`secret`: the value stands under a name such as `password`, and is one, whatever it looks like."""
        if isinstance(value, dict):
            return self._object(value, at)
        if isinstance(value, list):
            items = [self._shown(inner, at, secret=secret) for inner in value]
            return value if all(map(is_, items, value)) else items
        if secret and isinstance(value, (str, int, float)) and not isinstance(value, bool) and value != "":
            text = self._text(str(value), at)
            is_one = PLACEHOLDER.fullmatch(text) is not None
            return text if is_one else PLACEHOLDERS.label(at.trace_id, Entity.SECRET, str(value))
        if isinstance(value, str):
            return self._text(value, at)
        return self._number(value, at) if type(value) in _NUMBERS else value

    def _number(self, value: float, at: Situation) -> Any:
        """A card's or a person's number, which need not be written as a text; tables make floats of their integers."""
        if value < _LEAST_NUMBER or value % 1 or (type(value) is float and value >= _EXACT):
            return value
        if _LEAST_TIME <= value < _LEAST_CARD and self._is_thorough():
            return value  # worth the question: times in milliseconds stand in many a row
        digits = str(int(value))
        return value if (shown := self._text(digits, at)) == digits else shown

    def _object(self, value: dict[str, Any], at: Situation) -> dict[str, Any]:
        done = ((at.redactor is self.redactor and at.redacted) or self._done(at)).objects
        known = done.get(id(value))
        if known is not None:
            return known[1]  # type: ignore[no-any-return]
        out: dict[str, Any] = {}
        same = True
        for key, inner in value.items():
            name = key if self.leaves(key) else self._text(key, at)
            while name in out:  # two spellings of one address
                name += "′"
            secret = names_a_secret(key)
            if type(inner) is str and not secret:
                shown = self._text(inner, at)
            else:
                shown = self._shown(inner, at, secret=secret)
            out[name] = shown
            if shown is not inner or name is not key:
                same = False
        left = value if same else out
        done[id(value)] = value, left
        return left

    def _text(self, text: str, at: Situation) -> str:
        # A text stands in many a place of one span, and passes the actions for each of its categories.
        done = (at.redactor is self.redactor and at.redacted) or self._done(at)
        shown = done.texts.get(text)
        if shown is None:
            found = self.redactor.find(text)
            shown = done.texts[text] = replaced(text, found, done, at.trace_id) if found else text
            if found and self._is_thorough():  # a piece with a mark passes once for itself, and with what it stands in
                done.texts.setdefault(shown, shown)
        return text if shown == text else shown

    def _is_thorough(self) -> bool:
        """Whether nothing is found in what it has left."""
        return isinstance(self.redactor, Remembered) and type(self.redactor.redactor) is Patterns

    def _done(self, at: Situation) -> Redacted:
        """What was redacted of this trace in this batch, or else of this span."""
        batch = COPYING.batch
        at.redactor = self.redactor
        if batch is None:
            at.redacted = done = Redacted(PLACEHOLDERS)
        else:
            at.redacted = done = batch.redacted(self.redactor, at.trace_id, PLACEHOLDERS)
        return done


@dataclass(frozen=True, slots=True)
class Reference:
    vault: Keeper

    def __call__(self, value: Any, at: Situation) -> Any:
        return at.shelf(self.vault).put(value, at)


@dataclass(frozen=True, slots=True)
class Custom:
    function: Callable[[Any], Any]

    def __call__(self, value: Any, at: Situation) -> Any:  # noqa: ARG002
        said = self.function(value)
        return DROPPED if said is None else plain(said)


PLACEHOLDERS = Placeholders()  # one for the process, so that all destinations agree
PATTERNS = remembered(Patterns())


def chain(action: Any, where: str) -> tuple[Action, ...]:
    """One action or several, as a tuple; `ConfigurationError` for what is none."""
    found = tuple(action) if isinstance(action, (list, tuple)) else (action,)
    known = (Drop, Keep, Hash, Truncate, Sample, Redact, Reference, Custom)
    if not found or not all(isinstance(one, known) for one in found):
        names = "drop, keep, hash(), truncate(n), sample(rate), redact(), reference(vault) or custom(function)"
        raise ConfigurationError(f"{where} is {action!r}: write spanloom.actions.{names}, or a list of them.")
    if any(isinstance(one, (Drop, Reference)) for one in found[:-1]):
        raise ConfigurationError(f"{where}: nothing can come after drop or reference(…) in a list of actions.")
    return found


def combined(chains: Iterable[tuple[Action, ...]]) -> tuple[Action, ...]:
    """The actions for what may be of several categories: all of them, the ones that hide most at the end."""
    found = dict.fromkeys(action for one in chains for action in one)
    order = (Drop, Sample, Custom, Redact, Truncate, Keep, Hash, Reference)
    ordered = sorted(found, key=lambda action: order.index(type(action)))
    ends = [n for n, action in enumerate(ordered) if isinstance(action, (Drop, Hash, Reference))]
    return tuple(ordered[: ends[0] + 1]) if ends else tuple(ordered)


def in_share(trace_id: int, rate: float) -> bool:
    """Whether the trace is in the share `rate`: its last 56 bits, which are random, at or above `1 - rate` of their
    range (OpenTelemetry's "TraceState: Probability Sampling")."""
    return randomness_in(trace_id) >= threshold_of(rate)


def as_key(key: bytes | str | None, where: str) -> bytes | None:
    if key is None or (isinstance(key, bytes) and key):
        return key
    if isinstance(key, str) and key:
        return key.encode()
    raise ConfigurationError(f"{where} takes a key of bytes or text that is not empty.")
