"""A text's outline, in which forms are looked for at the speed of memory before any pattern is tried."""

from __future__ import annotations

import re
import string

_LETTERS, _DIGITS = string.ascii_letters.encode(), string.digits.encode()
_OUTLINE = bytes.maketrans(_LETTERS + _DIGITS, b"a" * len(_LETTERS) + b"0" * len(_DIGITS))
_FOREIGN_DIGIT = re.compile(r"[^\D0-9]")  # what `\d` matches beside 0 to 9


def outline(text: str, table: bytes = _OUTLINE) -> bytes:
    """One byte a character, at the same place: `0` for a digit of any script, `a` for a letter from A to Z in either
    case, `?` for whatever else is not ASCII. `table` may say otherwise, for the bytes of ASCII."""
    if not text.isascii():
        text = _FOREIGN_DIGIT.sub("0", text)
    return text.encode("ascii", "replace").translate(table)


# A key may be of letters alone, but is long.
_SIGN, _LETTER, _OTHER = b"!", b"a", b" "
_KEY_LETTERS = _LETTERS + b"_-"
_WORTH = bytes(
    ord(_SIGN if byte in _DIGITS + b"@:=" else _LETTER if byte in _KEY_LETTERS else _OTHER) for byte in range(256)
)
_LONG = _LETTER * 20
_FOREIGN_SIGN = re.compile(r"[^\D0-9]|[＠﹫：＝]")


def is_worth_a_look(text: str) -> bool:
    """Whether anything may be found in it: it has a digit, a sign such as `@`, `:` or `=`, or a long word."""
    signs = text.encode("ascii", "replace").translate(_WORTH)
    return (
        _SIGN in signs
        or _LONG in signs
        or "</" in text
        or "-----BEGIN" in text
        or (not text.isascii() and _FOREIGN_SIGN.search(text) is not None)
    )
