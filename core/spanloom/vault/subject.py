"""Whose content it is: the subject that a data key belongs to, its pseudonym, and references to what is kept."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from ..errors import ConfigurationError
from ..identity import Identity
from .errors import NotFound

Kind = Literal["user", "tenant", "session"]
Rule = Kind | Callable[[Identity], str | None]

_FALLBACKS: dict[str, tuple[str, ...]] = {
    "user": ("user", "session"),
    "session": ("session",),
    "tenant": ("tenant",),
}
_SCHEME = "vault:"
_REFERENCE = re.compile(r"vault:([0-9a-f]{32})/([0-9a-f]{32})/([0-9a-f]{16})/([0-9a-f]{16})([0-9a-f]{16})")


def pseudonym(kind: str, name: str) -> str:
    """32 hexadecimal digits that stand for a subject in paths, keys and the audit log: SHA-256 of `kind:name`, cut.

    A user's id may be an e-mail address, which must not be a path. It is no secret: whoever guesses the id can check.
    """
    text = f"{kind}:{name}"
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


NOBODY_KNOWN = pseudonym("none", "")
"""Stands where nobody can tell whose the content is: nothing is kept under it."""


def checked(rule: Rule) -> Rule:
    """`rule`, or `ConfigurationError` where it is none."""
    if callable(rule) or rule in _FALLBACKS:
        return rule
    raise ConfigurationError(
        f'Vault(subject={rule!r}) is no subject: write "user", "tenant" or "session", or pass a function of the '
        "identity."
    )


def subject_of(rule: Rule, identity: Identity, trace_id: int) -> str:
    """The pseudonym of the subject whose data key protects this content.

    Content that has no such subject gets a key of its trace alone; with "user" the session comes before that. Nothing
    shares a default key. Raises what the user's function raises.
    """
    if callable(rule):
        if (name := rule(identity)) is not None:
            return pseudonym("subject", str(name))
    else:
        names = {"user": identity.user_id, "session": identity.session_id, "tenant": identity.tenant}
        for kind in _FALLBACKS[rule]:
            if name := names[kind]:
                return pseudonym(kind, name)
    return pseudonym("trace", f"{trace_id:032x}")


@dataclass(frozen=True, slots=True)
class Reference:
    """Where one piece of content is kept. As text: `vault:<subject>/<trace>/<span>/<time and random id>`."""

    subject: str
    trace: str
    span: str
    recorded_ns: int
    id: str

    @classmethod
    def new(cls, subject: str, trace_id: int, span_id: int, recorded_ns: int) -> Reference:
        return cls(subject, f"{trace_id:032x}", f"{span_id:016x}", recorded_ns, os.urandom(8).hex())

    @classmethod
    def parse(cls, text: str) -> Reference:
        """Raises `NotFound` for what is no reference."""
        if not isinstance(text, str) or (match := _REFERENCE.fullmatch(text.strip())) is None:
            raise NotFound("That is no reference of a vault: they look like vault:<subject>/<trace>/<span>/<id>.")
        subject, trace, span, recorded, id = match.groups()
        return cls(subject, trace, span, int(recorded, 16), id)

    def __str__(self) -> str:
        return f"{_SCHEME}{self.subject}/{self.trace}/{self.span}/{self.recorded_ns:016x}{self.id}"

    @property
    def path(self) -> str:
        """The object's path in the store."""
        return f"{folder(self.subject)}/{self.trace}/{self.span}/{self.recorded_ns:016x}{self.id}"


def folder(subject: str) -> str:
    """Where the objects of a subject stand."""
    return f"objects/{subject}"
