"""The default redactor: patterns with checks, offline, for texts of any language."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cache

from spanloom.content.redaction.finding import Entity, Finding
from spanloom.errors import ConfigurationError

from .view import View

REGIONS = ("US", "GB", "DE", "FR", "ES", "IT", "NL", "BE", "AT", "CH", "PT", "PL")
"""Whose phone numbers are known as they are written at home."""

Detector = Callable[[str], Iterator[Finding]]

# Where two overlap the first wins, then the longer, then the earlier.
_ORDER = (Entity.SECRET, Entity.EMAIL, Entity.IBAN, Entity.CARD, Entity.NATIONAL_ID, Entity.IP, Entity.PHONE)
_RANK = {kind: rank for rank, kind in enumerate(_ORDER)}
# A key may be of letters alone, but is long.
_WORTH_A_LOOK = re.compile(r"[\d@:=＠﹫：＝]|</|(?<![A-Za-z_-])[A-Za-z_-]{20}|-----BEGIN")
_ROUNDS = 4
_REGION = re.compile("[A-Z]{2}")


@dataclass(frozen=True, slots=True)
class Patterns:
    """Finds e-mail addresses, phone numbers, payment cards, IBANs, national ids, IP addresses and secrets.

    `entities`: which of them, all by default. `regions`: ISO 3166 codes of the countries whose phone numbers are found
    without their country code, `US` among them for all of North America. Anything else raises `ConfigurationError`.
    Nothing is loaded before the first `find`, which takes some 100 ms; it takes time in proportion to the text.
    """

    entities: Collection[str] = frozenset(Entity)
    regions: Sequence[str] = REGIONS

    def __post_init__(self) -> None:
        if isinstance(self.entities, str) or (unknown := sorted(set(self.entities) - set(Entity))):
            wrong = self.entities if isinstance(self.entities, str) else ", ".join(map(str, unknown))
            raise ConfigurationError(f"Patterns(entities=…) takes a set of {', '.join(Entity)}, not {wrong}.")
        if isinstance(self.regions, str) or not all(_REGION.fullmatch(r) for r in self.regions):
            raise ConfigurationError('Patterns(regions=…) takes two-letter codes of countries, such as ("US", "DE").')
        object.__setattr__(self, "entities", frozenset(Entity(e) for e in self.entities))
        object.__setattr__(self, "regions", tuple(self.regions))

    def find(self, text: str) -> Sequence[Finding]:
        """The findings in `text`, in order, without overlaps; a secret wins over what it contains."""
        if not _WORTH_A_LOOK.search(text):
            return ()
        view = View(text)
        found: list[Finding] = []
        # What lost against a neighbour may show a smaller finding once that is covered: redacting again finds nothing.
        for _ in range(_ROUNDS):
            here = _apart(self._candidates(view.text), len(view.text))
            if not here:
                break
            found += [Finding(*view.source(f.start, f.end), f.kind) for f in here]
            view.cover(here)
        return sorted(found, key=lambda f: f.start)

    def _candidates(self, text: str) -> Iterator[Finding]:
        for kind, signs, detector in _detectors(tuple(self.regions)):
            if kind in self.entities and signs.search(text):
                yield from detector(text)


_DIGIT = re.compile(r"\d")


@cache
def _detectors(regions: tuple[str, ...]) -> tuple[tuple[Entity, re.Pattern[str], Detector], ...]:
    """What finds each kind, and what a text must contain for it."""
    from .accounts import cards, ibans
    from .addresses import emails, ip_addresses
    from .national_ids import national_ids
    from .phones import Phones
    from .secrets import secrets

    return (
        (Entity.SECRET, _WORTH_A_LOOK, secrets),
        (Entity.EMAIL, re.compile("@"), emails),
        (Entity.IBAN, re.compile(r"\d\d[ -]?[A-Za-z0-9]"), ibans),
        (Entity.CARD, re.compile(r"\d{4}"), cards),
        (Entity.NATIONAL_ID, _DIGIT, national_ids),
        (Entity.IP, re.compile(r"\d\.\d|:"), ip_addresses),
        (Entity.PHONE, _DIGIT, Phones(regions)),
    )


def _apart(candidates: Iterator[Finding], size: int) -> list[Finding]:
    """The best of those that overlap, in order; `size` is the text's."""
    kept: list[Finding] = []
    covered = bytearray(size)
    for finding in sorted(candidates, key=lambda f: (_RANK[Entity(f.kind)], f.start - f.end, f.start)):
        if 1 not in covered[finding.start : finding.end]:
            kept.append(finding)
            covered[finding.start : finding.end] = b"\1" * (finding.end - finding.start)
    return sorted(kept, key=lambda f: f.start)
