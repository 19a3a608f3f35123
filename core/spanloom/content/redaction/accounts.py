"""Payment cards and IBANs: told from other numbers by their issuers and checksums."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache

from stdnum import iban, luhn, numdb

from .outline import Covers, Outline

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


_FEWEST, _BEFORE, _BEHIND = 14, 6, 3  # digits of a card, and how far the pattern looks before and behind it


def cards(outline: Outline) -> Iterator[tuple[int, int]]:
    """Numbers of an issuer's range that pass Luhn's check."""
    for start, end in outline.islands:
        if outline.shape.count(b"0", start, end) < _FEWEST or not outline.near(start - _BEFORE, end + _BEHIND):
            continue
        for match in _CARD.finditer(outline.text, start, end + _BEHIND):
            if _is_card(match[0]):
                yield match.span()
            elif match["more"] and _is_card(match["four"]):
                yield match.start(), match.end("four")


def may_show_cards(outline: Outline, covers: Covers) -> bool:
    """Whether there may be one more in `outline` once `covers` are."""
    return any(
        outline.shape.count(b"0", start, end) >= _FEWEST
        and covers.near(start - _BEFORE, end + _BEHIND)
        and not covers.hold(start, end)
        for start, end in outline.islands
    )


def _is_card(written: str) -> bool:
    digits = re.sub(r"\D", "", written)
    return _ISSUERS.fullmatch(digits) is not None and luhn.is_valid(digits)


_IBAN = re.compile(r"(?<![A-Za-z0-9_])[A-Za-z]{2}\d{2}(?=[ -]?[A-Za-z0-9]{2})")
_REACH = 200
_LONGEST = 34 + 33  # with a separator between any two characters


def ibans(outline: Outline) -> Iterator[tuple[int, int]]:
    """As long as the country has it, with a right checksum; spaces and hyphens may group it."""
    text, end = outline.text, 0
    for start in outline.lettered:
        if (
            start < end
            or not outline.near(start - _REACH, start + _REACH)
            or _IBAN.match(text, start) is None
            or (whole := _whole(text[start : start + 2].upper())) is None
        ):
            continue
        written = whole.match(text[start : start + _LONGEST])
        if written and iban.is_valid(re.sub(r"[ -]", "", written[0]).upper(), check_country=False):
            end = start + written.end()
            yield start, end


def may_show_ibans(outline: Outline, covers: Covers) -> bool:
    """Whether there may be one more in `outline` once `covers` are."""
    return any(
        not covers.hold(start, start + 1) and covers.near(start - _REACH, start + _REACH) for start in outline.lettered
    )


@cache
def _whole(country: str) -> re.Pattern[str] | None:
    """An IBAN of that country as it may be written; None where there are none."""
    length = _length(country)
    return re.compile(rf"(?:[A-Za-z0-9][ -]?){{{length - 1}}}[A-Za-z0-9](?![A-Za-z0-9])") if length else None


def _length(country: str) -> int:
    """Of an IBAN of that country; 0 where there are none. The structure, `8!n10!n`, comes from the registry."""
    ((_, properties), *_) = numdb.get("iban").info(country + "00")
    return 4 + sum(map(int, re.findall(r"(\d+)!", properties["bban"]))) if "bban" in properties else 0
