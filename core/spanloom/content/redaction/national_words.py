"""National numbers that a word before them names: where a plain number might be one, a word must say so."""

from __future__ import annotations

import re
from collections.abc import Iterator
from operator import itemgetter

from .national_checks import (
    FEWEST_DIGITS,
    Check,
    american,
    any_of,
    insurance,
    passport,
    pension_or_austrian,
    undotted,
)
from .outline import COVER, STEMS, Outline
from .words import lowered

_WORDS: tuple[tuple[tuple[str, ...], Check], ...] = (
    (("ssn", "social security", "itin", "tax id", "taxpayer id", "tax identification"), american),
    (("ahv", "avs", "oasi"), any_of("ch.ssn")),
    (("nhs",), any_of("gb.nhs")),
    (("utr", "unique taxpayer"), any_of("gb.utr")),
    (("nino", "national insurance", "ni number"), insurance),
    (("steuer-id", "steuerid", "steueridentifikation", "identifikationsnummer", "idnr", "tin"), any_of("de.idnr")),
    (("steuernummer", "steuer-nr", "steuernr"), any_of("de.stnr")),
    (("rentenversicherung", "sozialversicherung", "versicherungsnummer", "svnr", "rvnr"), pension_or_austrian),
    (("sécurité sociale", "securite sociale", "nir"), any_of("fr.nir")),
    (("numéro fiscal", "numero fiscal", "spi"), any_of("fr.nif")),
    (("dni", "nie", "nif", "documento nacional", "identidad", "contribuinte"), undotted("es.dni", "es.nie", "pt.nif")),
    (("bsn", "burgerservicenummer"), any_of("nl.bsn")),
    (("rijksregister", "registre national"), any_of("be.nn")),
    (("pesel",), any_of("pl.pesel")),
    (("personnummer", "cpr", "fødselsnummer"), any_of("se.personnummer", "dk.cpr", "no.fodselsnummer")),
    (("sin", "social insurance"), any_of("ca.sin")),
    (("aadhaar",), any_of("in_.aadhaar")),
    (("cpf",), any_of("br.cpf")),
    (
        (
            *("passport", "reisepass", "personalausweis", "ausweisnummer", "passeport", "pasaporte", "passaporto"),
            *("paspoort", "carte d'identité", "carte d’identité"),
        ),
        passport,
    ),
)
_REACH = 48  # characters between the word and the number
_NUMBER = re.compile(r"(?<![A-Za-z0-9_])[A-Za-z]{0,6}\d(?:[ ./-]?[A-Za-z0-9]){4,17}(?![A-Za-z0-9_])")
_LONGEST = 32


# Most of these numbers have six digits together but for signs, so their words are sought before islands only.
# A passport's may have less, a Dutch one is filled up with zeros, and an American's is read through letters.
_ANYWHERE = {check for words, check in _WORDS if "passport" in words or "bsn" in words}
_ANYWHERE_BY_STEM: dict[bytes, list[tuple[str, int, Check]]] = {}
for _words, _check in _WORDS:
    if _check in _ANYWHERE:
        for _word in _words:
            _stem = next(stem for stem in STEMS if stem in _word)
            _ANYWHERE_BY_STEM.setdefault(_stem.encode("latin-1"), []).append((_word, _word.index(_stem), _check))
_WHOLE = 4  # letters: as long as that, no letter may follow; longer words may have endings
_START = re.compile(rb"[a-z\xe0-\xf6\xf8-\xff]+")
_STEM = 5  # letters
_BY_STEM: dict[bytes, list[tuple[str, Check]]] = {}
for _words, _check in _WORDS:
    if _check not in _ANYWHERE:
        for _word in _words:
            _BY_STEM.setdefault(_START.match(_word.encode("latin-1"))[0][:_STEM], []).append((_word, _check))  # type: ignore[index]
_LONGEST_WORD = max(len(word) for words, _ in _WORDS for word in words)
_FARTHEST = _REACH + 6 + _LONGEST_WORD  # from a word to the number's first digit, behind letters
_FIRST, _TO_STEM = frozenset(_BY_STEM), itemgetter(slice(_STEM))
_WORDS_ONLY = bytes(i if _START.match(bytes([i])) else 32 for i in range(256))
_ITIN = re.compile(rb"9(?=(?:(?:[ ./-]?[A-Za-z]){0,9}[ ./-]?[0-9]){8})")


def said_so(outline: Outline) -> Iterator[tuple[int, int]]:
    """Numbers by the word before. They may overlap."""
    lower, end = outline.lower, 0
    numbers = [start for start, last in outline.islands if _may_be_said(outline, start, last)]
    if outline.shape.count(b"0") >= FEWEST_DIGITS and b"9" in outline.latin:
        for first, last in outline.changed(4 * _FARTHEST):
            numbers += [match.start() for match in _ITIN.finditer(outline.latin, first, last)]
        numbers.sort()
    for number in numbers:
        begin = max(end, number - _FARTHEST)
        end = number
        if not outline.near(begin - 1, number + 2 * _FARTHEST) or not _begins_word(lower[begin:end]):
            continue
        outline.names_numbers = True
        for start in _START.finditer(lower, begin, end):
            for word, check in _BY_STEM.get(start[0][:_STEM], ()):
                yield from _behind(outline, start.start(), word, check)
    for place, stem in outline.occurrences():
        for word, before, check in _ANYWHERE_BY_STEM.get(stem, ()):
            outline.names_numbers = True
            yield from _behind(outline, place - before, word, check)


def _may_be_said(outline: Outline, start: int, end: int) -> bool:
    """Whether the island has digits enough for a number that a word names, or a letter behind it."""
    return outline.shape.count(b"0", start, end) >= FEWEST_DIGITS or outline.shape.find(b"a", end, end + 2) >= 0


def _begins_word(lower: bytes) -> bool:
    """Whether something begins as the words do that are sought before islands."""
    return not _FIRST.isdisjoint(map(_TO_STEM, lower.translate(_WORDS_ONLY).split()))


def may_name_number(outline: Outline, end: int) -> bool:
    """Whether a word that ends before `end` may name a number that begins behind it."""
    lower = outline.lower[max(0, end - _FARTHEST) : end]
    return _begins_word(lower) or any(stem in lower for stem in _ANYWHERE_BY_STEM)


def _behind(outline: Outline, start: int, word: str, check: Check) -> Iterator[tuple[int, int]]:
    """The number that is behind `word`, if the word stands at `start` and the number is one of its kind."""
    text, lower = outline.text, outline.lower
    end = start + len(word)
    if (
        start >= 0
        and lower.startswith(word.encode("latin-1", "replace"), start)
        and (not outline.foreign or lowered(text[start:end]) == word)
        and not text[max(0, start - 1) : start].isalpha()
        and not (len(word) <= _WHOLE and text[end : end + 1].isalpha())
    ):
        yield from _said(text[end : end + _REACH + _LONGEST].partition(COVER)[0], end, check)


def _said(text: str, offset: int, check: Check) -> Iterator[tuple[int, int]]:
    """The first number after the word, if it is one; a number may have caught the words after it."""
    number = _NUMBER.search(text)
    if number is None or number.start() > _REACH:
        return
    written = number[0]
    while written:
        if check(written):
            yield offset + number.start(), offset + number.start() + len(written)
            return
        written = re.sub(r"[ ./-]*[^\W_]+$", "", written)
