"""What a policy does with a piece of content. Actions compose: each takes what the one before it left.

>>> ContentPolicy.redacted().replace(
...     completion=[actions.sample(0.1), actions.redact(), actions.truncate(500)],
...     documents=actions.drop,
... )

A piece is what stands for itself: a part of a message, a document, the arguments of a call, one value of the metadata.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..errors import ConfigurationError
from .acting import PATTERNS, Action, Custom, Drop, Hash, Keep, Redact, Reference, Sample, Truncate, as_key
from .keeping import Keeper
from .redaction import Patterns, Redactor, remembered

drop: Action = Drop()
"""Nothing goes out."""

keep: Action = Keep()
"""It goes out as it is."""


def hash(key: bytes | str | None = None) -> Action:
    """The SHA-256 of the canonical text in its place (`sha256:…`), or with `key` its HMAC-SHA256 (`hmac-sha256:…`).

    Without a key, the hash of a short text can be guessed. The canonical text of an object is its JSON with sorted keys
    and no spaces.
    """
    return Hash(as_key(key, "actions.hash(key=…)"))


def truncate(characters: int) -> Action:
    """Each text cut to so many characters, with a mark that says how many went: JSON stays whole.

    Redact before you cut: half an address is not recognised any more.
    """
    if not isinstance(characters, int) or isinstance(characters, bool) or characters < 0:
        raise ConfigurationError(f"actions.truncate({characters!r}) cannot work: write a whole number of characters.")
    return Truncate(characters)


def sample(rate: float) -> Action:
    """As it is in a share of the traces, `rate` from 0.0 to 1.0; nothing in the others.

    By the trace id, as OpenTelemetry's consistent probability sampling has it: all destinations, services and samplers
    agree on which traces these are.
    """
    if not isinstance(rate, (int, float)) or isinstance(rate, bool) or not 0 <= rate <= 1:
        raise ConfigurationError(f"actions.sample({rate!r}) cannot work: write a share from 0.0 to 1.0.")
    return Sample(float(rate))


def redact(*entities: str, redactor: Redactor | None = None) -> Action:
    """Personal data and secrets replaced by placeholders such as `<EMAIL_1>`, the same one throughout a trace.

    `entities` are the kinds to look for, by default all of them: see `docs/redaction.md`. `redactor` is one of your
    own, or `Presidio()`.
    """
    if not all(isinstance(entity, str) for entity in entities):
        raise ConfigurationError('actions.redact(…) takes kinds one by one: write actions.redact("EMAIL", "PHONE").')
    if redactor is not None:
        if entities:
            raise ConfigurationError("actions.redact() takes entities or a redactor=…, not both.")
        if isinstance(redactor, type) or not callable(getattr(redactor, "find", None)):
            raise ConfigurationError(
                f"actions.redact(redactor={redactor!r}) is no redactor: pass one with find(text), such as Presidio(…)."
            )
        return Redact(remembered(redactor))
    return Redact(remembered(Patterns(entities=entities)) if entities else PATTERNS)


def reference(vault: Keeper) -> Action:
    """The content goes to `vault`, encrypted; its reference goes out in its place (`vault:…`)."""
    if isinstance(vault, type) or not callable(getattr(vault, "keep_under", None)):
        raise ConfigurationError(f"actions.reference({vault!r}) is no vault: write actions.reference(Vault(…)).")
    return Reference(vault)


def custom(function: Callable[[Any], Any]) -> Action:
    """Whatever `function(value)` returns, on a worker: a plain JSON value; None drops it. Where it raises, nothing goes
    out."""
    if not callable(function):
        raise ConfigurationError(f"actions.custom({function!r}) takes a function of one value.")
    return Custom(function)
