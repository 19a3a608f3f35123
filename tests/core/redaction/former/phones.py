"""Phone numbers: by their form or by a word before them, and by the numbering plans that phonenumbers knows."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

import phonenumbers
from spanloom.content.redaction.finding import Entity, Finding

from .view import COVER

_BEFORE = r"(?<![A-Za-z0-9_+])(?<!\d[.,])(?<![A-Za-z0-9_/]-)"
_AFTER = r"(?![A-WYZa-wyz0-9_])(?![xX]\D)(?![.,/-]\d)"  # an extension may follow: x12
_ABROAD = re.compile(_BEFORE + r"\(?(?:\+ ?|00 ?)[1-9](?:[ ./()-]{0,3}\d){6,14}" + _AFTER)
_AT_HOME = re.compile(_BEFORE + r"(?<![A-Za-z0-9_]/)\(?\d(?:[ ./()-]{0,2}\d){6,13}" + _AFTER)
_LAST_GROUP = re.compile(r" [ ./()-]*[\d./-]+$")  # what stands behind a space may be another number

# No phone number, whatever the digits say.
_LOOKALIKE = re.compile(
    r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}"  # UUID
    r"|(?<!\d)(?:19|20)\d\d([-/. ])(?:0?[1-9]|1[0-2])\1(?:0?[1-9]|[12]\d|3[01])(?!\d)"  # 2024-07-18
    r"|(?<!\d)(?:0?[1-9]|[12]\d|3[01])([-/. ])(?:0?[1-9]|[12]\d|3[01])\2(?:19|20)\d\d(?!\d)"  # 18.07.2024, 07/18/2024
    r"|(?<![A-Za-z0-9])[A-Z]{2}\d\d(?:[ -][A-Z0-9]{4}){2,7}(?:[ -][A-Z0-9]{1,3})?(?![A-Za-z0-9])"  # an IBAN with a slip
    r"|(?<![\d:])\d\d?:\d\d(?::\d\d)?(?:[.,]\d+)?(?![\d:])"  # 12:30:05.123
)

_SAYS_PHONE = re.compile(
    r"\b(?:tel|tél|telephone|téléphone|telefono|teléfono|telefon|telefonnummer|phone|phones|cell|mobile|mobil|móvil"
    r"|celular|handy|handynummer|mobilnummer|portable|fax|whatsapp|sms|text|texted|call|called|calling|dial"
    r"|ring (?:me|us|him|her)|reach|hotline|rufnummer|durchwahl|anrufen|ruf|rufen|ruft|anruf|erreichbar|erreichen"
    r"|erreichst|appeler|appelez|appelle|appel|joindre|joignable|rappeler|rappelez|rappel|llamar|llame|llama"
    r"|llamada|llámame|llámeme"
    r"|numéro de téléphone|contact number|phone number|my number|meine nummer|mon numéro|mi número)\b"
    r"|phone|telefon|téléphone|teléfono|手机|电话|電話|هاتف|телефон",
    re.IGNORECASE,
)
# Directly before: "order 415-…", "Auftragsnummer: …", "référence client n° …".
_SAYS_OTHER = re.compile(
    r"(?:\b(?:order|invoice|ticket|tracking|shipment|parcel|sku|isbn|issn|ean|gtin|upc|doi|ref|reference|case|batch"
    r"|serial|part|model|version|build|commit|ids?|uid|uuid|key|price|total|amount|sum|population|article|item|account"
    r"|customer|bestellung|rechnung|auftrag|artikel|kunden?|sendung|vorgang|preis|summe|betrag|konto|aktenzeichen"
    r"|commande|facture|colis|suivi|référence|dossier|série|article|prix|montant|client|compte|pedido|factura|envío"
    r"|seguimiento|referencia|expediente|serie|artículo|precio|importe|cliente|cuenta|timestamp|ts|seed|offset|page)"
    r"|\B(?:(?<!telefon)(?<!handy)(?<!mobil)(?<!ruf)(?<!fax)nummer|_id|_no|zeichen)|#|№)"
    r"(?:[ \t_-]{0,2}\b(?:no|nr|num|number|nummer|número|numéro|ids?|code|cliente?|is|was|ist|war|est|es|of|de|von|n))?"
    r"[ \t.:#°º=\"'-]{0,6}$",
    re.IGNORECASE,
)
_UNIT = re.compile(
    r"\s?(?:€|\$|£|%|EUR\b|USD\b|GBP\b|CHF\b|euros?\b|dollars?\b|kg\b|km\b|ms\b|bytes\b|tokens\b|people\b|habit)"
)
_REACH, _NEAR = 40, 16

# How national numbers are written: groups of digits, and where.
_PLAIN_GROUPS = {
    (3, 3, 4): ("US", "IT"),
    (1, 3, 3, 4): ("US",),
    (3, 3, 3): ("ES", "PL", "PT"),
    (3, 2, 2, 2): ("ES", "IT"),
    (2, 3, 2, 2): ("ES",),
    (3, 7): ("IT",),
    (5, 5): ("IN",),
    (2, 5, 4): ("BR",),
    (2, 4, 4): ("BR",),
}
_TRUNK = "0"
_ZIP = (5, 4)  # of Boston, 02110-1301
_AMERICAN = re.compile(r"(?:1[ .-])?(?:\([2-9]\d\d\) ?|[2-9]\d\d[.-])[2-9]\d\d[.-]\d{4}")
_FIXED_LENGTH = {"FR", "GB", "ES", "PT", "PL", "BE", "CH"}
_BARE = re.compile(r"0[1-9]\d{8,10}")  # with nothing said about it
_SHORTEST, _SHORTEST_UNSAID, _SHORTEST_BARE, _SHORTEST_ABROAD, _LONGEST = 7, 8, 9, 10, 15

_TRIMS = 4  # how often what follows a number is taken off again


class Phones:
    """Finds numbers abroad (`+49 …`, `0049 …`) of any country, and at home those of `regions` (ISO 3166 codes)."""

    def __init__(self, regions: Sequence[str]) -> None:
        self.regions = tuple(regions)

    def __call__(self, text: str) -> Iterator[Finding]:
        text = _LOOKALIKE.sub(lambda m: "\1" * len(m[0]), text)
        taken = [
            (match.start(), match.start() + length)
            for match in _ABROAD.finditer(text)
            if (length := _number_abroad(match[0])) and not _UNIT.match(text, match.start() + length)
        ]
        for start, end in taken:
            yield Finding(start, end, Entity.PHONE)
        for (_, before), (after, _) in pairwise([(0, 0), *taken, (len(text), len(text))]):
            for match in _AT_HOME.finditer(text, before, after):
                if length := self._number_at_home(text, match):
                    yield Finding(match.start(), match.start() + length, Entity.PHONE)

    def _number_at_home(self, text: str, match: re.Match[str]) -> int:
        """How many characters of the match are a number; 0 if none is."""
        # No word counts from beyond what is redacted: it would be nearer, the next time.
        said = _said(text[max(0, match.start() - _REACH) : match.start()].rpartition(COVER)[2])
        if said is False or _UNIT.match(text, match.end()):
            return 0
        written = match[0]
        for _ in range(_TRIMS):
            digits = re.sub(r"\D", "", written)
            if len(digits) < (_SHORTEST if said else _SHORTEST_UNSAID):
                return 0
            regions = self._plausible(written, digits, said=said is True)
            check = _is_likely if written == digits and not said else _is_valid
            if any(check(written, region) for region in regions) or (
                _AMERICAN.fullmatch(written) and "US" in self.regions  # told by its form, in an area not given too
            ):
                return len(written)
            written, cut = _LAST_GROUP.subn("", written)
            if not cut:
                return 0
        return 0

    def _plausible(self, written: str, digits: str, *, said: bool) -> Sequence[str]:
        """The regions in which a number may be written so."""
        groups = tuple(map(len, re.findall(r"\d+", written)))
        if max(groups) == 1:
            return ()  # a row of single digits
        if (
            said
            and len(digits) <= _LONGEST
            and (len(groups) > 1 or len(digits) >= _SHORTEST_BARE or digits[0] == _TRUNK)
        ):
            return self.regions
        if len(groups) == 1:
            return self.regions if _BARE.fullmatch(digits) and digits not in "01234567890" else ()
        if "  " in written:
            return ()
        if digits[0] == _TRUNK:  # 0171 2345678, 06 12 34 56 78; not 0-306-40615-2
            return self.regions if groups[0] > 1 and digits[1] != _TRUNK and groups != _ZIP else ()
        if groups == (3, 3, 3) and "." in written:
            return ()  # 612.345.678 is an amount too
        return [region for region in _PLAIN_GROUPS.get(groups, ()) if region in self.regions]


def _said(before: str) -> bool | None:
    """Whether the words before say that it is a phone number (True), or something else (False)."""
    if _SAYS_PHONE.search(before, max(0, len(before) - _NEAR)):
        return True
    if _SAYS_OTHER.search(before):
        return False
    return True if _SAYS_PHONE.search(before) else None


def _number_abroad(written: str) -> int:
    """How many characters are a number; what follows it may have been caught too.

    The sign or zeros say that it is meant as one: as long as the country has them suffices, in a range not given yet.
    """
    tried = []
    for _ in range(_TRIMS):
        number = _parsed(re.sub(r"^\(?00", "+", written) if "+" not in written[:2] else written, None)
        if number and phonenumbers.is_valid_number(number):
            return len(written)
        if number and phonenumbers.is_possible_number(number) and len(re.sub(r"\D", "", written)) >= _SHORTEST_ABROAD:
            tried.append(len(written))
        written, cut = _LAST_GROUP.subn("", written)
        if not cut:
            break
    return tried[0] if tried else 0


def _parsed(written: str, region: str | None) -> phonenumbers.PhoneNumber | None:
    try:
        return phonenumbers.parse(written, region)
    except phonenumbers.NumberParseException:
        return None


def _is_valid(written: str, region: str) -> bool:
    number = _parsed(written, region)
    return number is not None and phonenumbers.is_valid_number(number)


def _is_likely(written: str, region: str) -> bool:
    """Of digits alone, about which nothing is said: a plan without fixed lengths knows nearly every number."""
    number = _parsed(written, region)
    return number is not None and (
        phonenumbers.number_type(number) == phonenumbers.PhoneNumberType.MOBILE
        or (region in _FIXED_LENGTH and phonenumbers.is_valid_number(number))
    )
