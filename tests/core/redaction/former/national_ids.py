"""Numbers that a state gives to a person: social security, tax, identity card and passport.

Where form and checksum are telling, they are found by themselves; where a plain number might be one, a word before it
must say so. The checks are python-stdnum's; those that it has not, or not up to date,
stand here.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Iterator
from functools import cache

from spanloom.content.redaction.finding import Entity, Finding

from .view import COVER
from .words import ends, lowered

Check = Callable[[str], bool]


@cache
def _module(name: str) -> Check:
    """python-stdnum's check of that name, imported when it is first needed."""
    check: Check = importlib.import_module(f"stdnum.{name}").is_valid
    return check


def _any_of(*names: str) -> Check:
    return lambda number: any(_module(name)(number) for name in names)


def _undotted(*names: str) -> Check:
    return lambda number: any(_module(name)(number.replace(".", "")) for name in names)


def _itin(number: str) -> bool:
    """Individual Taxpayer Identification Number: 9 first, and a group that the IRS gives (Publication 1915)."""
    plain = re.sub(r"\D", "", number)
    group = int(plain[3:5]) if re.fullmatch(r"9\d{8}", plain) else 0
    return 50 <= group <= 65 or 70 <= group <= 88 or 90 <= group <= 92 or 94 <= group <= 99


def _american(number: str) -> bool:
    return _module("us.ssn")(number) or _itin(number)


def _pension(number: str) -> bool:
    """Rentenversicherungsnummer: area, date of birth, initial, serial number; check digit as in § 2 VKVV."""
    plain = re.sub(r"[ -]", "", number).upper()
    if not re.fullmatch(r"\d\d(?:0[1-9]|[12]\d|3[01])(?:0[1-9]|1[0-2])\d\d[A-Z]\d{3}", plain):
        return False
    digits = f"{plain[:8]}{ord(plain[8]) - 64:02}{plain[9:11]}"
    products = (int(d) * w for d, w in zip(digits, (2, 1, 2, 5, 7, 1, 2, 1, 2, 1, 2, 1), strict=True))
    return sum(p // 10 + p % 10 for p in products) % 10 == int(plain[11])


def _pension_or_austrian(number: str) -> bool:
    return _pension(number) or _module("at.vnr")(number)


_INSURANCE = r"[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z]([ -]?)\d{2}\1\d{2}\1\d{2}\1[A-D]"


def _insurance(number: str) -> bool:
    """National Insurance number: prefixes that HMRC does not give are none (NIM39110)."""
    plain = number.upper()
    return re.fullmatch(_INSURANCE, plain) is not None and plain[:2] not in {"BG", "GB", "NK", "KN", "TN", "NT", "ZZ"}


def _passport(number: str) -> bool:
    """No checksum is printed on them: as long as they are, with digits."""
    plain = re.sub(r"[ -]", "", number)
    return re.fullmatch(r"[A-Z0-9]{7,10}", plain) is not None and sum(c.isdigit() for c in plain) >= 4


# Form, and check.
_FORMS: tuple[tuple[str, Check], ...] = (
    (r"\d{3}([ -])\d{2}\1\d{4}", _american),
    (_INSURANCE, _insurance),
    (r"\d{2}[ -]?\d{6}[ -]?[A-Z][ -]?\d{3}", _pension),
    (r"\d{2}([ /-]?)\d{3}\1\d{3}\1\d{3}", _any_of("de.idnr")),
    (r"[12] ?\d{2} ?\d{2} ?\d[\dAB] ?\d{3} ?\d{3}[ -]?\d{2}", _any_of("fr.nir")),
    (r"(?:\d{8}|\d{2}\.\d{3}\.\d{3})[ -]?[A-Z]", _undotted("es.dni")),
    (r"[XYZ][ -]?(?:\d{7}|\d\.\d{3}\.\d{3})[ -]?[A-Z]", _undotted("es.nie")),
    (r"[A-Za-z]{6} ?[\dLMNP-V]{2} ?[A-EHLMPRSTa-ehlmprst] ?[\dLMNP-V]{2} ?[A-Za-z][\dLMNP-V]{3} ?[A-Za-z]", _any_of("it.codicefiscale")),  # noqa: E501
    (r"\d{2}\.\d{2}\.\d{2}-\d{3}\.\d{2}", _any_of("be.nn")),
    (r"756\.\d{4}\.\d{4}\.\d{2}", _any_of("ch.ssn")),
    (r"\d{6}(?:\d{2})?[-+]\d{4}", _any_of("se.personnummer")),
    (r"\d{6}[-+A-FU-Y]\d{3}[0-9A-FHJ-NPR-Y]", _any_of("fi.hetu")),
    (r"\d{3}\.\d{3}\.\d{3}-\d{2}", _any_of("br.cpf")),
    (r"\d{17}[\dX]", _any_of("cn.ric")),
    (r"\d{6}-[1-4]\d{6}", _any_of("kr.rrn")),
    (r"[A-Z]{4}\d{6}[HM][A-Z]{5}[\dA-Z]\d", _any_of("mx.curp")),
)  # fmt: skip
_BEFORE = r"(?<![A-Za-z0-9_])(?<!\d[.,/])(?<![A-Za-z0-9_]-)"
_AFTER = r"(?![A-Za-z0-9_])(?![.,/]\d)(?!-[A-Za-z0-9])"
_COMPILED = [(re.compile(f"(?:{pattern}){_AFTER}"), check) for pattern, check in _FORMS]
_BEGIN = re.compile(_BEFORE + r"(?=\d{3}|\d\d[ ./-]?\d|\d[ .]?\d|[A-Z]{1,4}[ -]?\d|[A-Za-z]{6} ?[\dLMNP-V]{2})")

# What a word before a number says that it is.
_WORDS: tuple[tuple[tuple[str, ...], Check], ...] = (
    (("ssn", "social security", "itin", "tax id", "taxpayer id", "tax identification"), _american),
    (("ahv", "avs", "oasi"), _any_of("ch.ssn")),
    (("nhs",), _any_of("gb.nhs")),
    (("utr", "unique taxpayer"), _any_of("gb.utr")),
    (("nino", "national insurance", "ni number"), _insurance),
    (("steuer-id", "steuerid", "steueridentifikation", "identifikationsnummer", "idnr", "tin"), _any_of("de.idnr")),
    (("steuernummer", "steuer-nr", "steuernr"), _any_of("de.stnr")),
    (("rentenversicherung", "sozialversicherung", "versicherungsnummer", "svnr", "rvnr"), _pension_or_austrian),
    (("sécurité sociale", "securite sociale", "nir"), _any_of("fr.nir")),
    (("numéro fiscal", "numero fiscal", "spi"), _any_of("fr.nif")),
    (("dni", "nie", "nif", "documento nacional", "identidad", "contribuinte"), _undotted("es.dni", "es.nie", "pt.nif")),
    (("bsn", "burgerservicenummer"), _any_of("nl.bsn")),
    (("rijksregister", "registre national"), _any_of("be.nn")),
    (("pesel",), _any_of("pl.pesel")),
    (("personnummer", "cpr", "fødselsnummer"), _any_of("se.personnummer", "dk.cpr", "no.fodselsnummer")),
    (("sin", "social insurance"), _any_of("ca.sin")),
    (("aadhaar",), _any_of("in_.aadhaar")),
    (("cpf",), _any_of("br.cpf")),
    (
        (
            *("passport", "reisepass", "personalausweis", "ausweisnummer", "passeport", "pasaporte", "passaporto"),
            *("paspoort", "carte d'identité", "carte d’identité"),
        ),
        _passport,
    ),
)
_REACH = 48  # characters between the word and the number
_NUMBER = re.compile(r"(?<![A-Za-z0-9_])[A-Za-z]{0,6}\d(?:[ ./-]?[A-Za-z0-9]){4,17}(?![A-Za-z0-9_])")
_LONGEST = 32


def national_ids(text: str) -> Iterator[Finding]:
    """By form and checksum, and by the word before. They may overlap."""
    for begin in _BEGIN.finditer(text):
        for pattern, check in _COMPILED:
            if (match := pattern.match(text, begin.start())) and check(match[0]):
                yield Finding(match.start(), match.end(), Entity.NATIONAL_ID)
    lower = lowered(text)
    for words, check in _WORDS:
        for end, _ in ends(lower, words):
            yield from _said(text[end : end + _REACH + _LONGEST].partition(COVER)[0], end, check)


def _said(text: str, offset: int, check: Check) -> Iterator[Finding]:
    """The first number after the word, if it is one; a number may have caught the words after it."""
    number = _NUMBER.search(text)
    if number is None or number.start() > _REACH:
        return
    written = number[0]
    while written:
        if check(written):
            yield Finding(offset + number.start(), offset + number.start() + len(written), Entity.NATIONAL_ID)
            return
        written = re.sub(r"[ ./-]*[^\W_]+$", "", written)
