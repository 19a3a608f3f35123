"""The default redactor: patterns with checks, offline, for texts of any language."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from operator import itemgetter

from ...errors import ConfigurationError
from .finding import Entity, Finding
from .outline import Covers, Outline
from .parts import Parts, Span
from .view import View

REGIONS = ("US", "GB", "DE", "FR", "ES", "IT", "NL", "BE", "AT", "CH", "PT", "PL")
"""Whose phone numbers are known as they are written at home."""

Detector = Callable[[Outline], Iterable[tuple[int, int]]]
# Where two overlap the first wins, then the longer, then the earlier.
_ORDER = (Entity.SECRET, Entity.EMAIL, Entity.IBAN, Entity.CARD, Entity.NATIONAL_ID, Entity.IP, Entity.PHONE)
_START = itemgetter(2)
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

    def find(self, text: str, parts: Parts | None = None) -> Sequence[Finding]:
        """The findings in `text`, in order, without overlaps; a secret wins over what it contains.

        `parts` remembers what these patterns, and no others, found in parts of texts.
        """
        outline = Outline(text)
        if not outline.promises():
            return ()
        view = View(text)
        as_it_is = view.text == text
        if not as_it_is:
            outline = Outline(view.text)
        found = self._search(outline) if parts is None else parts.search(outline, self._search)
        if as_it_is:
            return [Finding(start, end, _ORDER[rank]) for rank, _, start, end in found]
        return sorted(
            (Finding(*view.source(start, end), _ORDER[rank]) for rank, _, start, end in found), key=lambda f: f.start
        )

    def _search(self, outline: Outline) -> list[Span]:
        """What is found in a text as the patterns see it, in order."""
        entities = self.entities
        detectors = [known for known in _detectors(tuple(self.regions)) if known[0] in entities]
        found: list[Span] = []
        again = detectors
        # What lost against a neighbour may show a smaller finding once that is covered: redacting again finds nothing.
        for _ in range(_ROUNDS):
            candidates = [
                (rank, start - end, start, end)
                for _, rank, signs, detector, _ in again
                if signs(outline)
                for start, end in detector(outline)
            ]
            if not candidates:
                break
            here = _apart(candidates, len(outline.text))
            found += here
            covers = Covers([(start, end) for _, _, start, end in here])
            again = [known for known in detectors if known[4](outline, covers)]
            if not again:
                break
            outline = outline.covered(covers)
        found.sort(key=_START)
        return found


@cache
def _detectors(
    regions: tuple[str, ...],
) -> tuple[tuple[Entity, int, Callable[[Outline], object], Detector, Callable[[Outline, Covers], bool]], ...]:
    """What finds each kind: its rank, what a text must contain for it, and whether it may find more beside covers."""
    from . import accounts, addresses, national_ids, secrets  # noqa: PLC0415 - these load numbering plans
    from .phones import Phones  # noqa: PLC0415

    found: dict[Entity, tuple[Callable[[Outline], object], Detector, Callable[[Outline, Covers], bool]]] = {
        Entity.SECRET: (Outline.promises, secrets.secrets, secrets.may_show),
        Entity.EMAIL: (lambda outline: b"@" in outline.shape, addresses.emails, addresses.may_show_emails),
        Entity.IBAN: (lambda outline: outline.lettered, accounts.ibans, accounts.may_show_ibans),
        Entity.CARD: (lambda outline: outline.islands, accounts.cards, accounts.may_show_cards),
        Entity.NATIONAL_ID: (national_ids.may_be_in, national_ids.national_ids, national_ids.may_show),
        Entity.IP: (
            lambda outline: outline.dotted or b":" in outline.shape,
            addresses.ip_addresses,
            addresses.may_show_ip_addresses,
        ),
        Entity.PHONE: (lambda outline: outline.islands, phones := Phones(regions), phones.may_show),
    }
    return tuple((kind, rank, *found[kind]) for rank, kind in enumerate(_ORDER))


def _apart(candidates: list[Span], size: int) -> list[Span]:
    """The best of those that overlap, in order; `size` is the text's."""
    if len(candidates) == 1:
        return candidates
    candidates.sort(key=_START)
    end = 0
    for _, _, start, last in candidates:
        if start < end:
            break
        end = last
    else:
        return candidates
    kept: list[Span] = []
    covered = bytearray(size)
    for candidate in sorted(candidates):
        _, _, start, end = candidate
        if 1 not in covered[start:end]:
            kept.append(candidate)
            covered[start:end] = b"\1" * (end - start)
    return sorted(kept, key=_START)
