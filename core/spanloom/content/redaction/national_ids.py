"""Numbers that a state gives to a person: social security, tax, identity card and passport.

Where form and checksum are telling, they are found by themselves; where a plain number might be one, a word before it
must say so (`national_words.py`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from string import ascii_letters, digits

from .national_checks import FEWEST_DIGITS, INSURANCE, Check, american, any_of, insurance, pension, resident, undotted
from .national_words import said_so
from .outline import Covers, Outline, table

# Form, and check. All but Italy's begin with letters, if any, and six digits with at most one sign between any two.
_FORMS: tuple[tuple[str, Check], ...] = (
    (r"\d{3}([ -])\d{2}\1\d{4}", american),
    (INSURANCE, insurance),
    (r"\d{2}[ -]?\d{6}[ -]?[A-Z][ -]?\d{3}", pension),
    (r"\d{2}([ /-]?)\d{3}\1\d{3}\1\d{3}", any_of("de.idnr")),
    (r"[12] ?\d{2} ?\d{2} ?\d[\dAB] ?\d{3} ?\d{3}[ -]?\d{2}", any_of("fr.nir")),
    (r"(?:\d{8}|\d{2}\.\d{3}\.\d{3})[ -]?[A-Z]", undotted("es.dni")),
    (r"[XYZ][ -]?(?:\d{7}|\d\.\d{3}\.\d{3})[ -]?[A-Z]", undotted("es.nie")),
    (r"[A-Za-z]{6} ?[\dLMNP-V]{2} ?[A-EHLMPRSTa-ehlmprst] ?[\dLMNP-V]{2} ?[A-Za-z][\dLMNP-V]{3} ?[A-Za-z]", any_of("it.codicefiscale")),  # noqa: E501
    (r"\d{2}\.\d{2}\.\d{2}-\d{3}\.\d{2}", any_of("be.nn")),
    (r"756\.\d{4}\.\d{4}\.\d{2}", any_of("ch.ssn")),
    (r"\d{6}(?:\d{2})?[-+]\d{4}", any_of("se.personnummer")),
    (r"\d{6}[-+A-FU-Y]\d{3}[0-9A-FHJ-NPR-Y]", any_of("fi.hetu")),
    (r"\d{3}\.\d{3}\.\d{3}-\d{2}", any_of("br.cpf")),
    (r"\d{17}[\dX]", resident),
    (r"\d{6}-[1-4]\d{6}", any_of("kr.rrn")),
    (r"[A-Z]{4}\d{6}[HM][A-Z]{5}[\dA-Z]\d", any_of("mx.curp")),
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

_LETTERS_BEFORE, _LOOK, _LONGEST_FORM = 5, 3, 40  # of a form's first digit, with a sign; before and behind a form
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
    yield from said_so(outline)


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


def _may_have_form(outline: Outline, start: int, end: int) -> bool:
    """Whether a form may begin in the island: where no capital goes on behind it, nor the plus of the aged, its own
    shape tells."""
    shape = outline.shape
    return (
        (shape.count(b"0", start, end) >= FEWEST_DIGITS and _is_shape_of_form(shape[start:end]))
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
