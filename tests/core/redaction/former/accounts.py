"""Payment cards and IBANs: told from other numbers by their issuers and checksums."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache

from spanloom.content.redaction.finding import Entity, Finding
from stdnum import iban, luhn, numdb

# As cards print them, or in one piece. Not within a decimal number, nor within an identifier.
_CARD = re.compile(
    r"(?<![A-Za-z0-9_])(?<!\d[.,])(?<![A-Za-z0-9_]-)(?<![A-Z]{2}\d\d[ -])"  # nor of a mistyped IBAN
    r"(?:(?P<four>\d{4}(?P<sep>[ .-]|  )\d{4}(?P=sep)\d{4}(?P=sep)\d{4})(?P<more>(?P=sep)\d{3})?"
    r"|\d{4}(?P<sep2>[ .-])\d{6}(?P=sep2)\d{4,5}"
    r"|\d{14,19})(?![A-Za-z0-9_])(?![.,]\d)(?!-[A-Za-z0-9])"
)
# Issuers' ranges (ISO/IEC 7812) with their lengths: a longer number that passes Luhn by chance is an order or an id.
_ISSUERS = re.compile(
    r"4\d{15}(?:\d{3})?"  # Visa; of 13 digits, as they once were, are goods by now
    r"|(?=\d{16}$)(?:5[1-5]|222[1-9]|22[3-9]\d|2[3-6]\d\d|27[01]\d|2720)\d+"  # Mastercard
    r"|3[47]\d{13}|3(?:0[0-5]|[689]\d)\d{11}(?:\d\d)?"  # American Express, Diners Club
    r"|(?:6011|64[4-9]\d|65\d\d)\d{12}(?:\d{3})?|35\d{14}|(?:2131|1800)\d{11}"  # Discover, JCB
    r"|62\d{14}(?:\d{3})?|(?:5018|5020|5038|5893|6304|6759|676[1-3])\d{12}(?:\d{3})?"  # UnionPay, Maestro
)


def cards(text: str) -> Iterator[Finding]:
    """Numbers of an issuer's range that pass Luhn's check."""
    for match in _CARD.finditer(text):
        if _is_card(match[0]):
            yield Finding(match.start(), match.end(), Entity.CARD)
        elif match["more"] and _is_card(match["four"]):
            yield Finding(match.start(), match.end("four"), Entity.CARD)


def _is_card(written: str) -> bool:
    digits = re.sub(r"\D", "", written)
    return _ISSUERS.fullmatch(digits) is not None and luhn.is_valid(digits)


_IBAN = re.compile(r"(?<![A-Za-z0-9_])[A-Za-z]{2}\d{2}(?=[ -]?[A-Za-z0-9]{2})")
_LONGEST = 34 + 33  # with a separator between any two characters


def ibans(text: str) -> Iterator[Finding]:
    """As long as the country has it, with a right checksum; spaces and hyphens may group it."""
    end = 0
    for match in _IBAN.finditer(text):
        length = _length(match[0][:2].upper())
        if not length or match.start() < end:
            continue
        whole = rf"(?:[A-Za-z0-9][ -]?){{{length - 1}}}[A-Za-z0-9](?![A-Za-z0-9])"
        written = re.match(whole, text[match.start() : match.start() + _LONGEST])
        if written and iban.is_valid(re.sub(r"[ -]", "", written[0]).upper(), check_country=False):
            end = match.start() + written.end()
            yield Finding(match.start(), end, Entity.IBAN)


@cache
def _length(country: str) -> int:
    """Of an IBAN of that country; 0 where there are none. The structure, `8!n10!n`, comes from the registry."""
    ((_, properties), *_) = numdb.get("iban").info(country + "00")
    return 4 + sum(map(int, re.findall(r"(\d+)!", properties["bban"]))) if "bban" in properties else 0
