"""Where a text may be cut in two: what is found in the text is what is found in both.

That is at blank lines, and at rows of hyphens, as LlamaIndex puts them around its contexts.

Of all patterns, few reach over a line break: values behind their names, numbers behind words that say what they are,
what is between two tags, keys of many lines. Where one of them might, there is no seam.
"""

from __future__ import annotations

import re

from .addresses import VERSION_SIGNS
from .national_words import may_name_number
from .outline import Outline
from .phone_words import REACH, may_say_phone

_BORDER = re.compile(rb"\n(?:\n|(?=---)|(?<=---\n))")
_SPAN, _BLANK = re.Match.span, len("\n\n")
_FIRST_OF_A_KEY = b"-----BEGIN"  # has no end, where none is written
# A number soon behind a blank line may be one because of a word before: within 48 characters for national ids, six
# letters before the first digit not counted; 40 for phone numbers, 16 for versions.
_NUMBER = re.compile(rb"0(?:[ ./-]?[0a]){4}|0(?:[ ./()-]{0,3}0){4}|0\.0")
_REACH = 80  # of which a number that begins within 54 has its first five signs
# What goes on behind it is a value, in a text with its name before, or a number's next sign.
_GOES_ON = (":", "=", "=>", "x", "bearer", "basic", "token", "digest", "apikey", "negotiate")
_GOES_ON_FOREIGN = re.compile(f"(?:{'|'.join(_GOES_ON)})$", re.IGNORECASE)
_QUOTES = ('"', "'", "`", "«", "„", "“")  # one line break may stand behind them, before a value
_LONGEST_END = max(map(len, _GOES_ON))
_CLOSE, _LONGEST_TAGGED = b"</", 501


def seams(outline: Outline) -> list[tuple[int, int]]:
    """Where no pattern reaches over a border: the end of what is before it, the begin of what is behind."""
    latin = outline.latin
    tagged = _CLOSE in latin
    found = [
        (end, start)
        for end, start in map(_SPAN, _BORDER.finditer(latin))
        if _is_seam(outline, end, start) and not (tagged and _is_in_tag(latin, end, start))
    ]
    return found if found and _FIRST_OF_A_KEY not in latin else []


def _is_seam(outline: Outline, end: int, start: int) -> bool:
    text = outline.text
    first, last = text[start : start + 1], text[max(0, end - _LONGEST_END) : end]
    if not first or first in ":=" or first.isspace() or last[-1:].isspace():
        return False
    if last.lower().endswith(_GOES_ON) if last.isascii() else _GOES_ON_FOREIGN.search(last):
        return False
    whole = start - end == _BLANK
    if not whole and last.endswith(_QUOTES):
        return False
    # Over one line break "order ---" goes on too.
    return not _NUMBER.search(outline.shape, start, start + _REACH) or (whole and not _may_say_number(outline, end))


def _is_in_tag(latin: bytes, end: int, start: int) -> bool:
    """Whether it may stand in what is between two tags."""
    close = latin.find(_CLOSE, start, start + _LONGEST_TAGGED)
    return close >= 0 and latin.rfind(b">", max(0, close - _LONGEST_TAGGED), end) >= 0


def _may_say_number(outline: Outline, end: int) -> bool:
    """Whether the words that end before `end` may say what a number behind the blank line is."""
    text = outline.text
    return (
        text[end - 1 : end] in VERSION_SIGNS
        or may_say_phone(text[max(0, end - REACH) : end])
        or may_name_number(outline, end)
    )
