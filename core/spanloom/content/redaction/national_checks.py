"""Whether a writing is a number that a state gives to a person.

The checks are python-stdnum's; those that it has not, or not up to date, stand here.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from functools import cache

FEWEST_DIGITS = 9
"""Of a number without letters; but a passport's may have less."""

Check = Callable[[str], bool]


@cache
def _module(name: str) -> Check:
    """python-stdnum's check of that name, imported when it is first needed."""
    check: Check = importlib.import_module(f"stdnum.{name}").is_valid
    return check


def any_of(*names: str) -> Check:
    return lambda number: any(_module(name)(number) for name in names)


def undotted(*names: str) -> Check:
    return lambda number: any(_module(name)(number.replace(".", "")) for name in names)


def resident(number: str) -> bool:
    """A Chinese resident's number. python-stdnum asks last for the county, and raises where its table lacks that: the
    date of birth and the check digit are right then."""
    try:
        return _module("cn.ric")(number)
    except KeyError:
        return True


def _itin(number: str) -> bool:
    """Individual Taxpayer Identification Number: 9 first, and a group that the IRS gives (Publication 1915)."""
    plain = re.sub(r"\D", "", number)
    group = int(plain[3:5]) if re.fullmatch(r"9\d{8}", plain) else 0
    return 50 <= group <= 65 or 70 <= group <= 88 or 90 <= group <= 92 or 94 <= group <= 99  # noqa: PLR2004


def american(number: str) -> bool:
    return _module("us.ssn")(number) or _itin(number)


def pension(number: str) -> bool:
    """Rentenversicherungsnummer: area, date of birth, initial, serial number; check digit as in § 2 VKVV."""
    plain = re.sub(r"[ -]", "", number).upper()
    if not re.fullmatch(r"\d\d(?:0[1-9]|[12]\d|3[01])(?:0[1-9]|1[0-2])\d\d[A-Z]\d{3}", plain):
        return False
    digits = f"{plain[:8]}{ord(plain[8]) - 64:02}{plain[9:11]}"
    products = (int(d) * w for d, w in zip(digits, (2, 1, 2, 5, 7, 1, 2, 1, 2, 1, 2, 1), strict=True))
    return sum(p // 10 + p % 10 for p in products) % 10 == int(plain[11])


def pension_or_austrian(number: str) -> bool:
    return pension(number) or _module("at.vnr")(number)


INSURANCE = r"[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z]([ -]?)\d{2}\1\d{2}\1\d{2}\1[A-D]"


def insurance(number: str) -> bool:
    """National Insurance number: prefixes that HMRC does not give are none (NIM39110)."""
    plain = number.upper()
    return re.fullmatch(INSURANCE, plain) is not None and plain[:2] not in {"BG", "GB", "NK", "KN", "TN", "NT", "ZZ"}


def passport(number: str) -> bool:
    """No checksum is printed on them: as long as they are, with digits."""
    plain = re.sub(r"[ -]", "", number)
    return re.fullmatch(r"[A-Z0-9]{7,10}", plain) is not None and sum(c.isdigit() for c in plain) >= 4  # noqa: PLR2004
