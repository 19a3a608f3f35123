"""E-mail and IP addresses."""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from collections.abc import Iterator

from .outline import Covers, Outline, places

# Latin, Greek and Cyrillic letters. Scripts that put no space between words are left out: their words would stick to
# the address.
_LETTERS = "A-Za-z\u00c0-\u024f\u0370-\u03ff\u0400-\u04ff\u1e00-\u1fff"
_LOCAL = re.compile(rf"[{_LETTERS}0-9._+'-]{{1,64}}")
_DOMAIN = re.compile(
    rf"(?:[{_LETTERS}0-9](?:[{_LETTERS}0-9-]{{0,62}})\.){{1,8}}(?:xn--[a-z0-9-]{{2,59}}|[{_LETTERS}]{{2,24}})"
    rf"(?![{_LETTERS}0-9])"
)
_FILES = {"png", "jpg", "jpeg", "gif", "svg", "webp", "ico", "css", "js", "ts", "pdf", "html", "json", "py", "whl"}
_SERVICES = {"git", "svn", "hg"}  # git@github.com is no person
_LONGEST_LOCAL, _LONGEST_DOMAIN = 64, 600
_VERSION = re.compile(r"\d+\.\d+(?:\.|$)")


def _ats(outline: Outline) -> list[int]:
    return places(outline.shape, b"@")


def emails(outline: Outline) -> Iterator[tuple[int, int]]:
    """From each `@` back and forth."""
    text = outline.text
    for here in outline.once(_ats):
        before = _LOCAL.match(text[max(0, here - _LONGEST_LOCAL) : here][::-1])
        if before is None or (after := _DOMAIN.match(text, here + 1)) is None:
            continue
        local, domain = before[0][::-1].lstrip(".'-+"), after[0]
        if (
            local
            and not local.endswith(".")
            and local not in _SERVICES
            and domain.rpartition(".")[2].lower() not in _FILES
            and not _VERSION.match(domain)
        ):
            yield here - len(local), after.end()


def may_show_emails(outline: Outline, covers: Covers) -> bool:
    """Whether there may be one more in `outline` once `covers` are."""
    return any(
        not covers.hold(at, at + 1) and covers.near(at - _LONGEST_LOCAL - 1, at + _LONGEST_DOMAIN)
        for at in outline.once(_ats)
    )


_OCTET = r"(?:25[0-5]|2[0-4]\d|1?\d?\d)"
_V4 = re.compile(
    rf"(?<![A-Za-z0-9_])(?<!\d[.,])(?<![A-Za-z0-9_]-)"
    rf"{_OCTET}(?:\.{_OCTET}){{3}}(?![A-Za-z0-9_])(?!\.\d)(?!-[A-Za-z0-9])"
)
_V6 = re.compile(r"(?<![A-Za-z0-9_:.])(?=[0-9A-Fa-f]{0,4}:)[0-9A-Fa-f:]{4,39}(?![A-Za-z0-9_:])")
_NUMBERED = re.compile(
    r"(?:(?<![A-Za-z])(?:v|rv|ver|version|versión|release|build|section|sección|chapter|chapitre|kapitel|abschnitt|article|paragraph"
    r"|clause|ziffer|nr|oid|firmware|driver|step|punkt|punto)(?:\.|__|[\"'])?[ :=\"']{0,4}|[§=~^<>v]=?\s?)$",
    re.IGNORECASE,
)  # fmt: skip
VERSION_SIGNS = "§=~^<>vV"
"""What `_NUMBERED` may find with a line break between it and the number."""
# What `_NUMBERED` finds in ASCII ends with one of these, but for a few signs.
_NUMBERED_ENDS = (
    *("v", "ver", "version", "release", "build", "section", "chapter", "chapitre", "kapitel", "abschnitt", "article"),
    *("paragraph", "clause", "ziffer", "nr", "oid", "firmware", "driver", "step", "punkt", "punto", "rv"),
    *("~", "<", ">", "^"),
)
_BEHIND_NUMBERED = "._\"' :\t\n\v\f\r\x1c\x1d\x1e\x1f"
_ZERO_BEFORE = re.compile(r"(?:^|\.)0\d")
_NOBODYS = {"0.0.0.0", "255.255.255.255"}  # noqa: S104
_PREFIX = re.compile(r"/\d{1,3}(?!\d)")
_LOOK_BACK = 16
_PERSONAL_V6 = [ipaddress.ip_network(n) for n in ("2000::/3", "fc00::/7", "fe80::/10")]


_DOTTED = re.compile(rb"0\.0{1,3}\.0{1,3}\.0")
_COLONS = re.compile(rb":[0-9A-Fa-f]{0,4}:")
_ROW_OF_COLONS = re.compile(rb"[0-9A-Fa-f:]+")
_V6_GROUPS = 8
_REACH = 100  # characters, more than an address has together with what decides on it


def _v4(outline: Outline) -> Iterator[re.Match[str]]:
    """A match begins within three characters of its first dot."""
    text, shape, at = outline.text, outline.shape, 0
    for first, last in outline.dotted:
        if not outline.near(first - _REACH, last + _REACH):
            continue
        at = max(at, first)
        while dotted := _DOTTED.search(shape, at, last):
            start = dotted.start()
            for begin in range(max(at, start - 2), start + 1):
                if match := _V4.match(text, begin):
                    at = match.end()
                    yield match
                    break
            else:
                at = start + 1


def _colons(outline: Outline) -> list[tuple[int, int]]:
    return [match.span() for match in _COLONS.finditer(outline.latin)]


def _v6(outline: Outline) -> Iterator[re.Match[str]]:
    """A match begins where its row of digits and colons does, at most four digits before the first colon."""
    text, latin, at = outline.text, outline.latin, 0
    if not outline.once(_colons):
        return
    for begin, end in outline.changed(_REACH):
        at = max(at, begin)
        while colons := _COLONS.search(latin, at, end):
            first = colons.start()
            for start in range(first, max(-1, first - 5), -1):
                if match := _V6.match(text, start):
                    yield match
                    break
            row = _ROW_OF_COLONS.match(latin, first)
            at = row.end() if row else first + 1


def _in_ascii(written: str) -> str:
    """With digits of any script as 0 to 9."""
    return "".join(str(unicodedata.digit(c)) if c.isdigit() else c for c in written)


def _is_numbered(before: str) -> bool:
    if before.isascii() and "=" not in before and not before.rstrip(_BEHIND_NUMBERED).lower().endswith(_NUMBERED_ENDS):
        return False
    return _NUMBERED.search(before) is not None


def ip_addresses(outline: Outline) -> Iterator[tuple[int, int]]:
    """Versions 4 and 6. Loopback, unspecified and broadcast addresses say nothing about anybody."""
    text = outline.text
    for match in _v4(outline):
        before = text[max(0, match.start() - _LOOK_BACK) : match.start()]
        written4 = match[0] if match[0].isascii() else _in_ascii(match[0])
        if _ZERO_BEFORE.search(written4) or written4.startswith("127.") or written4 in _NOBODYS:
            continue
        if _is_numbered(before) or (re.search(r"[A-Za-z]/$", before) and match[0].endswith(".0")):
            continue  # a version: of a section, a package, or a browser as it names itself
        if match[0].endswith(".0") and _PREFIX.match(text, match.end()):
            continue  # a network, and nobody's address
        yield match.span()
    for match in _v6(outline):
        written = match[0].rstrip(":") if not match[0].endswith("::") else match[0]
        if "::" not in written and written.count(":") != _V6_GROUPS - 1:
            continue
        try:
            address6 = ipaddress.IPv6Address(written)
        except ValueError:
            continue
        # `abc::def` and `[::2]` are code, 00:25:96:ff:fe:12:34:56 is a network card's
        whole = "::" not in written and sum(len(group) > 2 for group in written.split(":")) > 2  # noqa: PLR2004
        if written.endswith("::") and _PREFIX.match(text, match.end()):
            continue
        if whole or any(address6 in network for network in _PERSONAL_V6):
            yield match.start(), match.start() + len(written)


def may_show_ip_addresses(outline: Outline, covers: Covers) -> bool:
    """Whether there may be one more in `outline` once `covers` are."""
    spans = outline.dotted
    if b":" in outline.shape:
        spans = spans + outline.once(_colons)
    return any(not covers.hold(start, end) and covers.near(start - _REACH, end + _REACH) for start, end in spans)
