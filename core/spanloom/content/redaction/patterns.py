"""The default redactor: patterns with checks, offline, for texts of any language."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from operator import attrgetter

from ...errors import ConfigurationError
from .finding import Entity, Finding
from .outline import is_worth_a_look, outline
from .view import View

REGIONS = ("US", "GB", "DE", "FR", "ES", "IT", "NL", "BE", "AT", "CH", "PT", "PL")
"""Whose phone numbers are known as they are written at home."""

Detector = Callable[[str, bytes], Iterator[Finding]]
"""Finds one kind in a text, of which it is told the `outline` too."""

# Where two overlap the first wins, then the longer, then the earlier.
_ORDER = (Entity.SECRET, Entity.EMAIL, Entity.IBAN, Entity.CARD, Entity.NATIONAL_ID, Entity.IP, Entity.PHONE)
_RANK = {kind: rank for rank, kind in enumerate(_ORDER)}
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
        if not is_worth_a_look(text):
            return ()
        view = View(text)
        found: list[Finding] = []
        # What lost against a neighbour may show a smaller finding once that is covered: redacting again finds nothing.
        for _ in range(_ROUNDS):
            candidates = self._candidates(view.text, seen=view.text is text)
            if not candidates:
                break
            here = _apart(candidates, len(view.text))
            found += [Finding(*view.source(f.start, f.end), f.kind) for f in here]
            view.cover(here)
        return sorted(found, key=_start) if found else ()

    def _candidates(self, text: str, *, seen: bool) -> list[Finding]:
        """`seen`: it is known that the text is worth a look."""
        shape = outline(text)
        entities = self.entities
        found: list[Finding] = []
        for kind, sign, detector in _detectors(self.regions):
            if kind in entities and (sign in shape if sign else seen or is_worth_a_look(text)):
                found.extend(detector(text, shape))
        return found


_start = attrgetter("start")


@cache
def _detectors(regions: tuple[str, ...]) -> tuple[tuple[Entity, bytes, Detector], ...]:
    """What finds each kind, and what a text's outline must contain for it; of secrets, that it is worth a look."""
    from .accounts import cards, ibans  # noqa: PLC0415 - these load numbering plans
    from .addresses import emails, version_4, version_6  # noqa: PLC0415
    from .national_ids import national_ids  # noqa: PLC0415
    from .phones import Phones  # noqa: PLC0415
    from .secrets import secrets  # noqa: PLC0415

    return (
        (Entity.SECRET, b"", secrets),
        (Entity.EMAIL, b"@", emails),
        (Entity.IBAN, b"aa00", ibans),
        (Entity.CARD, b"0000", cards),
        (Entity.NATIONAL_ID, b"0", national_ids),
        (Entity.IP, b"0.0", version_4),
        (Entity.IP, b":", version_6),
        (Entity.PHONE, b"0", Phones(regions)),
    )


def _apart(candidates: Collection[Finding], size: int) -> list[Finding]:
    """The best of those that overlap, in order; `size` is the text's."""
    kept: list[Finding] = []
    covered = bytearray(size)
    for finding in sorted(candidates, key=lambda f: (_RANK[Entity(f.kind)], f.start - f.end, f.start)):
        if 1 not in covered[finding.start : finding.end]:
            kept.append(finding)
            covered[finding.start : finding.end] = b"\1" * (finding.end - finding.start)
    return sorted(kept, key=_start)
