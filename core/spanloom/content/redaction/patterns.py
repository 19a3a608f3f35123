"""The default redactor: patterns with checks, offline, for texts of any language."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cache

from ...errors import ConfigurationError
from .finding import Entity, Finding
from .outline import Outline
from .view import View

REGIONS = ("US", "GB", "DE", "FR", "ES", "IT", "NL", "BE", "AT", "CH", "PT", "PL")
"""Whose phone numbers are known as they are written at home."""

Detector = Callable[[Outline], Iterator[Finding]]

# Where two overlap the first wins, then the longer, then the earlier.
_ORDER = (Entity.SECRET, Entity.EMAIL, Entity.IBAN, Entity.CARD, Entity.NATIONAL_ID, Entity.IP, Entity.PHONE)
_RANK: dict[str, int] = {kind: rank for rank, kind in enumerate(_ORDER)}
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
        outline = Outline(text)
        if not outline.promises():
            return ()
        view = View(text)
        as_it_is = view.text == text
        if not as_it_is:
            outline = Outline(view.text)
        found: list[Finding] = []
        # What lost against a neighbour may show a smaller finding once that is covered: redacting again finds nothing.
        for _ in range(_ROUNDS):
            here = _apart(self._candidates(outline), len(outline.text))
            if not here:
                break
            found += here if as_it_is else [Finding(*view.source(f.start, f.end), f.kind) for f in here]
            outline = outline.covered([(f.start, f.end) for f in here])
        return sorted(found, key=lambda f: f.start)

    def _candidates(self, outline: Outline) -> Iterator[Finding]:
        for kind, signs, detector in _detectors(tuple(self.regions)):
            if kind in self.entities and signs(outline):
                yield from detector(outline)


@cache
def _detectors(regions: tuple[str, ...]) -> tuple[tuple[Entity, Callable[[Outline], bool], Detector], ...]:
    """What finds each kind, and what a text must contain for it."""
    from .accounts import cards, ibans  # noqa: PLC0415 - these load numbering plans
    from .addresses import emails, ip_addresses  # noqa: PLC0415
    from .national_ids import national_ids  # noqa: PLC0415
    from .phones import Phones  # noqa: PLC0415
    from .secrets import secrets  # noqa: PLC0415

    return (
        (Entity.SECRET, Outline.promises, secrets),
        (Entity.EMAIL, lambda outline: b"@" in outline.shape, emails),
        (Entity.IBAN, lambda outline: b"00" in outline.shape, ibans),
        (Entity.CARD, lambda outline: bool(outline.islands), cards),
        (Entity.NATIONAL_ID, lambda outline: b"0" in outline.shape, national_ids),
        (Entity.IP, lambda outline: b"0.0" in outline.shape or b":" in outline.shape, ip_addresses),
        (Entity.PHONE, lambda outline: bool(outline.islands), Phones(regions)),
    )


def _apart(candidates: Iterator[Finding], size: int) -> list[Finding]:
    """The best of those that overlap, in order; `size` is the text's."""
    kept: list[Finding] = []
    covered = bytearray(size)
    for finding in sorted(candidates, key=lambda f: (_RANK[f.kind], f.start - f.end, f.start)):
        if 1 not in covered[finding.start : finding.end]:
            kept.append(finding)
            covered[finding.start : finding.end] = b"\1" * (finding.end - finding.start)
    return sorted(kept, key=lambda f: f.start)
