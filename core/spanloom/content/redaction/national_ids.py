"""Numbers that a state gives to a person: social security, tax, identity card and passport.

Where form and checksum are telling, they are found by themselves; where a plain number might be one, a word before it
must say so. The checks are python-stdnum's; those that it has not, or not up to date,
stand here.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Iterator
from functools import cache, lru_cache
from operator import itemgetter
from string import ascii_letters, digits

from .outline import COVER, STEMS, Covers, Outline, table
from .words import lowered

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


def _resident(number: str) -> bool:
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
    return re.fullmatch(r"[A-Z0-9]{7,10}", plain) is not None and sum(c.isdigit() for c in plain) >= 4  # noqa: PLR2004


# Form, and check. All but Italy's begin with letters, if any, and six digits with at most one sign between any two.
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
    (r"\d{17}[\dX]", _resident),
    (r"\d{6}-[1-4]\d{6}", _any_of("kr.rrn")),
    (r"[A-Z]{4}\d{6}[HM][A-Z]{5}[\dA-Z]\d", _any_of("mx.curp")),
)  # fmt: skip
_BEFORE = r"(?<![A-Za-z0-9_])(?<!\d[.,/])(?<![A-Za-z0-9_]-)"
_AFTER = r"(?![A-Za-z0-9_])(?![.,/]\d)(?!-[A-Za-z0-9])"
_NUMBERED = [
    pattern.replace("(", f"(?P<g{nth}>", 1).replace(r"\1", f"(?P=g{nth})") if r"\1" in pattern else pattern
    for nth, (pattern, _) in enumerate(_FORMS)
]
_ANY_FORM = re.compile(f"(?:{'|'.join(_NUMBERED)}){_AFTER}")
_COMPILED = [(re.compile(f"(?:{pattern}){_AFTER}"), check) for pattern, check in _FORMS]
_ITALIAN = re.compile(_BEFORE + next(pattern for pattern, _ in _FORMS if pattern.startswith("[A-Za-z]{6}")) + _AFTER)
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


_LETTERS_BEFORE, _LOOK, _LONGEST_FORM = 5, 3, 40  # of a form's first digit, with a sign; before and behind a form
_FEWEST = 9  # digits, where there is no letter
# What is a digit in a form, as it is in an outline's shape.
_DIGIT_OF_A_FORM = re.compile(r"(\{[^}]*\}|\(\?P[^>)]*[>)])|\[[^]]*(?:\\d|[0-9])[^]]*\]|\\d|[0-9]")
_ANY_SHAPE = re.compile(_DIGIT_OF_A_FORM.sub(lambda m: m[1] or "0", "|".join(_NUMBERED)).encode())


def may_be_in(outline: Outline) -> bool:
    """Whether there is a digit, if not here: a codice fiscale may be of letters alone."""
    return outline.amid or b"0" in outline.shape


def national_ids(outline: Outline) -> Iterator[tuple[int, int]]:
    """By form and checksum, and by the word before. They may overlap."""
    text = outline.text
    for start, end in outline.islands:
        if _may_have_form(outline, start, end) and outline.near(start - _LETTERS_BEFORE - _LOOK, end + _LONGEST_FORM):
            for begin in _BEGIN.finditer(text, max(0, start - _LETTERS_BEFORE), end):
                yield from _formed(text, begin.start())
    for start in _italian_places(outline):
        yield from _formed(text, start)
    yield from _said_so(outline)


def may_show(outline: Outline, covers: Covers) -> bool:
    """Whether there may be one more in `outline` once `covers` are."""
    if outline.names_numbers or any(_in_word(outline, start, end) for start, end in covers.spans):
        outline.names_numbers = True
        return True
    return any(
        not covers.hold(start, end)
        and covers.near(start - _LETTERS_BEFORE - _LOOK, end + _LONGEST_FORM)
        and _may_have_form(outline, start, end)
        for start, end in outline.islands
    ) or any(
        not covers.hold(begin, end) and covers.near(begin - _LONGEST_FORM, end + _LONGEST_FORM)
        for begin, end in outline.once(_all_threes)
    )


def _in_word(outline: Outline, start: int, end: int) -> bool:
    """Whether a word goes on where a finding begins or ends: what is left of it may be a word too."""
    text = outline.text
    return (start > 0 and text[start - 1].isalpha()) or text[end : end + 1].isalpha()


def _may_be_said(outline: Outline, start: int, end: int) -> bool:
    """Whether the island has digits enough for a number that a word names, or a letter behind it."""
    return outline.shape.count(b"0", start, end) >= _FEWEST or outline.shape.find(b"a", end, end + 2) >= 0


def _may_have_form(outline: Outline, start: int, end: int) -> bool:
    """Whether a form may begin in the island: where no capital goes on behind it, nor the plus of the aged, its own
    shape tells."""
    shape = outline.shape
    return (
        (shape.count(b"0", start, end) >= _FEWEST and _is_shape_of_form(shape[start:end]))
        or outline.latin[end : end + 2].isupper()
        or shape.startswith(b"+", end)
    )


@lru_cache(maxsize=4_096)
def _is_shape_of_form(shape: bytes) -> bool:
    """Of digits, spaces and signs, which are few: `00 00 0000 0000`."""
    return _ANY_SHAPE.search(shape) is not None


def _formed(text: str, start: int) -> Iterator[tuple[int, int]]:
    if _ANY_FORM.match(text, start):
        for pattern, check in _COMPILED:
            if (match := pattern.match(text, start)) and check(match[0]):
                yield match.span()


# Codice fiscale: the digits may be letters, and the last three before the last letter stand together.
_OMOCODIA = table({digits + "LMNPQRSTUV": "0", "".join(set(ascii_letters) - set("LMNPQRSTUV")): "a"})
_LETTER = ord("a")
_THREE = b"000"
_ROW = re.compile(rb"0+")
_TO_LETTER, _SPACES = 11, 4  # from the beginning to the letter before the three, and how many spaces may stand between


def _italian_places(outline: Outline) -> Iterator[int]:
    shape, whole = outline.shape, len(outline.text)
    for first, last in outline.changed(_LONGEST_FORM):
        threes = (
            outline.once(_all_threes)
            if last - first == whole
            else _threes(outline, outline.latin[first:last].translate(_OMOCODIA), first)
        )
        for begin, end in threes:
            letters = [begin - 1] if begin > first and _OMOCODIA[outline.latin[begin - 1]] == _LETTER else []
            if shape.find(b"a", begin, end) >= 0:
                # Behind that, letters stand before where it would begin; other scripts' digits do not count as such.
                farthest = end - 3 if outline.foreign else min(end - 3, begin + _TO_LETTER + _SPACES + 1)
                letters += [at for at in range(begin, farthest) if shape[at] == _LETTER]
            for letter in letters:
                for start in range(letter - _TO_LETTER, max(-1, letter - _TO_LETTER - _SPACES - 1), -1):
                    if _ITALIAN.match(outline.text, start):
                        yield start


def _all_threes(outline: Outline) -> list[tuple[int, int]]:
    return _threes(outline, outline.latin.translate(_OMOCODIA), 0)


def _threes(outline: Outline, strokes: bytes, first: int) -> list[tuple[int, int]]:
    """Three or more that are digits or stand for them, in `strokes` of the text from `first` on, with a letter."""
    shape, found = outline.shape, []
    begin = strokes.find(_THREE)
    while begin >= 0:
        end = _ROW.match(strokes, begin).end()  # type: ignore[union-attr]
        if (begin and strokes[begin - 1] == _LETTER) or shape.find(b"a", first + begin, first + end) >= 0:
            found.append((first + begin, first + end))
        begin = strokes.find(_THREE, end)
    return found


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


def _said_so(outline: Outline) -> Iterator[tuple[int, int]]:
    lower, end = outline.lower, 0
    numbers = [start for start, last in outline.islands if _may_be_said(outline, start, last)]
    if outline.shape.count(b"0") >= _FEWEST and b"9" in outline.latin:
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
