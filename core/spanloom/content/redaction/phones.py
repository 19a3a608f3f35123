"""Phone numbers: by their form or by a word before them, and by the numbering plans that phonenumbers knows."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import phonenumbers

from .lookalikes import SIGNS, without_lookalikes
from .outline import COVER, Covers, Outline
from .phone_words import REACH, says_phone
from .verdicts import Verdicts

_BEFORE = r"(?<![A-Za-z0-9_+])(?<!\d[.,])(?<![A-Za-z0-9_/]-)"
_AFTER = r"(?![A-WYZa-wyz0-9_])(?![xX]\D)(?![.,/-]\d)"  # an extension may follow: x12
_ABROAD = re.compile(_BEFORE + r"\(?(?:\+ ?|00 ?)[1-9](?:[ ./()-]{0,3}\d){6,14}" + _AFTER)
_AT_HOME = re.compile(_BEFORE + r"(?<![A-Za-z0-9_]/)\(?\d(?:[ ./()-]{0,2}\d){6,13}" + _AFTER)
_LAST_GROUP = re.compile(r" [ ./()-]*[\d./-]+$")  # what stands behind a space may be another number
_UNIT = re.compile(
    r"\s?(?:€|\$|£|%|EUR\b|USD\b|GBP\b|CHF\b|euros?\b|dollars?\b|kg\b|km\b|ms\b|bytes\b|tokens\b|people\b|habit)"
)
_UNIT_REACH, _SOON = 16, 64
_LEAD, _BEHIND = 3, 2  # characters before the first digit, `(+ `, and how far the patterns look behind the last

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

_SAID, _UNSAID = "=", "-"
_TRIMS = 4  # how often what follows a number is taken off again


class Phones:
    """Finds numbers abroad (`+49 …`, `0049 …`) of any country, and at home those of `regions` (ISO 3166 codes)."""

    def __init__(self, regions: Sequence[str]) -> None:
        self.regions = tuple(regions)
        self._abroad, self._at_home = Verdicts(_number_abroad), Verdicts(self._decided)

    def __call__(self, outline: Outline) -> Iterator[tuple[int, int]]:
        spots = list(_spots(outline))
        if not spots:
            return
        text = without_lookalikes(outline, spots)
        taken = [
            (match.start(), match.start() + length)
            for start, end, *_ in spots
            if "+" in text[start : start + _LEAD] or text.find("00", start, end) >= 0
            for match in _ABROAD.finditer(text, start, end)
            if (length := self._abroad(match[0])) and not _UNIT.match(text, match.start() + length)
        ]
        yield from taken
        for before, after in _between(spots, taken):
            for match in _AT_HOME.finditer(text, before, after):
                if length := self._number_at_home(text, match):
                    yield match.start(), match.start() + length

    def may_show(self, outline: Outline, covers: Covers) -> bool:
        """Whether there may be one more in `outline` once `covers` are."""
        return any(
            outline.shape.count(b"0", start, end) >= _SHORTEST
            and not covers.hold(start, end)
            and covers.near(*_decisive(outline, start, end))
            for start, end in outline.islands
        )

    def _number_at_home(self, text: str, match: re.Match[str]) -> int:
        """How many characters of the match are a number; 0 if none is."""
        # No word counts from beyond what is redacted: it would be nearer, the next time.
        said = says_phone(text[max(0, match.start() - REACH) : match.start()].rpartition(COVER)[2])
        if said is False or _UNIT.match(text, match.end()):
            return 0
        return self._at_home((_SAID if said else _UNSAID) + match[0])

    def _decided(self, marked: str) -> int:
        """How many characters of a writing, behind the mark that says whether words say what it is, are a number."""
        said, written = marked[0] == _SAID, marked[1:]
        for _ in range(_TRIMS):
            digits = re.sub(r"\D", "", written)
            if len(digits) < (_SHORTEST if said else _SHORTEST_UNSAID):
                return 0
            regions = self._plausible(written, digits, said=said)
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


def _spots(outline: Outline) -> Iterator[tuple[int, int, int, int]]:
    """Where phone numbers could be, and how far what decides on them reaches: to the end of a row of signs that
    lookalikes are made of, since none begins or ends within another such row."""
    for start, end in outline.islands:
        if outline.shape.count(b"0", start, end) >= _SHORTEST:
            first, last = _decisive(outline, start, end)
            if outline.near(first, last):
                yield max(0, start - _LEAD), end + _BEHIND, first + _LEAD, last - _UNIT_REACH


def _decisive(outline: Outline, start: int, end: int) -> tuple[int, int]:
    """What decides on the island from `start` to `end`."""
    latin, size = outline.latin, len(outline.latin)
    before, behind = max(0, start - _LEAD - REACH), min(size, end + _UNIT_REACH)
    # Nearly always the row ends soon, so that there is no need to read the whole text.
    far = max(0, before - _SOON)
    first = latin[far:before].translate(SIGNS).rfind(b"x") + 1
    last = latin[behind : behind + _SOON].translate(SIGNS).find(b"x")
    if (far and not first) or (last < 0 and behind + _SOON < size):
        strokes = outline.strokes(SIGNS)
        far, first, last = 0, strokes.rfind(b"x", 0, before) + 1, strokes.find(b"x", behind) - behind
    return far + first - _LEAD, (size if last < 0 else behind + last) + _UNIT_REACH


def _between(spots: Sequence[tuple[int, int, int, int]], taken: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """What is left of `spots` where `taken` are cut out; both are in order."""
    first = 0
    for start, end, *_ in spots:
        while first < len(taken) and taken[first][1] <= start:
            first += 1
        at, nth = start, first
        while nth < len(taken) and taken[nth][0] < end:
            if at < taken[nth][0]:
                yield at, taken[nth][0]
            at = taken[nth][1]
            nth += 1
        if at < end:
            yield at, end


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
