"""Keys, tokens and passwords: by the forms that their issuers publish, and by the names that they are given."""

from __future__ import annotations

import re
from collections.abc import Iterator
from string import ascii_letters, digits

from .names import SPACED, STRONG, WEAK
from .outline import STEMS, Covers, Outline, places, table
from .words import lowered

_NAME = ascii_letters + digits + "_-"
# Each may begin only where nothing that it may contain stands before it, so that a text is read once.
# What is added here must begin with `_ROW` or more letters, digits, `_`, `-` and `.`, or be told by `_key_places`.
_KEY = re.compile(
    r"(?<![A-Za-z0-9_-])(?:"
    r"sk-(?:ant|proj|svcacct|admin|or|lf|None)-[A-Za-z0-9_-]{16,}"  # Anthropic, OpenAI, OpenRouter, Langfuse
    r"|pk-lf-[A-Za-z0-9-]{16,}"
    r"|sk-[A-Za-z0-9]{20,}"  # OpenAI, DeepSeek and others
    r"|(?:sk|rk)_(?:live|test)_[A-Za-z0-9]{10,}|whsec_[A-Za-z0-9+/]{20,}"  # Stripe
    r"|(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}(?![A-Za-z0-9])"  # AWS
    r"|gh[pousr]_[A-Za-z0-9]{30,}|github_pat_[A-Za-z0-9_]{30,}|gl(?:pat|ptt|dt|rt)-[A-Za-z0-9_-]{20,}"
    r"|xox[abceoprs]-[A-Za-z0-9-]{10,}|xapp-\d-[A-Za-z0-9-]{10,}"  # Slack
    r"|AIza[A-Za-z0-9_-]{35}|ya29\.[A-Za-z0-9_-]{20,}|GOCSPX-[A-Za-z0-9_-]{20,}"  # Google
    r"|lsv2_(?:pt|sk)_[A-Za-z0-9_]{20,}|hf_[A-Za-z0-9]{30,}|gsk_[A-Za-z0-9]{30,}|xai-[A-Za-z0-9]{30,}"
    r"|pplx-[A-Za-z0-9]{30,}|r8_[A-Za-z0-9]{30,}|pcsk_[A-Za-z0-9_]{30,}|tvly-[A-Za-z0-9-]{20,}|nvapi-[A-Za-z0-9_-]{30,}"
    r"|npm_[A-Za-z0-9]{36}|pypi-[A-Za-z0-9_-]{50,}|dop_v1_[a-f0-9]{64}|dapi[a-f0-9]{32}|hvs\.[A-Za-z0-9_-]{20,}"
    r"|SG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}|shp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}|sq0(?:atp|csp)-[A-Za-z0-9_-]{20,}"
    r"|glsa_[A-Za-z0-9_]{30,}|glc_[A-Za-z0-9+/=]{30,}|NRAK-[A-Z0-9]{20,}|dt0[a-z]\d{2}\.[A-Z0-9]{20,}\.[A-Z0-9]{40,}"
    r"|hcaik_[A-Za-z0-9]{30,}|sntry[su]_[A-Za-z0-9+/=_]{30,}|ph[cx]_[A-Za-z0-9]{30,}|lin_api_[A-Za-z0-9]{30,}"
    r"|ntn_[A-Za-z0-9]{30,}|sbp_[a-f0-9]{40}|SK[a-f0-9]{32}|\d{8,10}:AA[A-Za-z0-9_-]{32,34}"  # Twilio, Telegram
    r"|eyJ[A-Za-z0-9_-]{8,}\.(?:[A-Za-z0-9_-]*\.){1,3}[A-Za-z0-9_-]*"  # JWT: header.payload.signature
    r")"
)
_PRIVATE_KEY = re.compile(
    r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
    r"[^-\0]*+(?:-(?!----)[^-\0]*+)*+(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----)?"
)
_WEBHOOK = re.compile(r"hooks\.slack\.com/(?:services|workflows)/([A-Za-z0-9/_-]{20,})|/api/webhooks/(\d{10,}/[A-Za-z0-9_-]{30,})")  # fmt: skip # noqa: E501
_USERINFO = re.compile(r"://([^\s/?#\"'<>\0]{1,300})@")
_PARAMETER = re.compile(
    r"[?&#;](?:(?P<always>(?:access|refresh|id|auth|bearer|session|api|csrf)[_-]?token|token|api[_-]?key|apikey"
    r"|client[_-]?secret|secret|passw(?:or)?d|pwd|x-amz-(?:signature|credential|security-token)|x-goog-signature)"
    r"|(?:sig|signature|key|code|auth|credential|subscription-key))=(?P<value>[^&#;)\s\"'<>\0]{4,2000})",
    re.IGNORECASE,
)
_TEXT = r"[^\s\"'<>\0,;]"
_SCHEME = "(?:bearer|basic|token|digest|apikey|negotiate)"
_HEADER = re.compile(
    r"\b(?:proxy-)?authorization[\"'\]]{0,2}\s{0,3}[:=]\s{0,3}[\"']?"
    rf"(?:{_SCHEME}\s{{1,3}})?(?!{_SCHEME}\b)(?P<value>{_TEXT}{{6,4000}})"
    r"|\bbearer\s{1,3}(?P<bearer>[A-Za-z0-9._~+/=-]{12,4000})"
    r"|\bbasic\s{1,3}(?P<basic>[A-Za-z0-9+/]{8,400}={0,2})(?![A-Za-z0-9])",
    re.IGNORECASE,
)
_SIGN = re.compile(
    r"[\"'`\])]{0,2}\s{0,3}(?P<sign>:=|=>|={1,2}|:)\s{0,3}(?:[bf]?(?P<quote>[\"'`«„“])\s?)?", re.IGNORECASE
)
_SAID = re.compile(
    r"(?: [\w-]{1,16}){0,3}? (?:is|was|ist|lautet|war|est|es|era)(?: now| jetzt)?[ :]{1,2}[\"'`«„“]?\s?"
    rf"(?P<value>{_TEXT}{{4,200}})",
    re.IGNORECASE,
)
_TAG_END = re.compile(r">([^<>\0]{3,500})</")
_QUOTED = {q: re.compile(f"[^{e}\n\0]{{1,500}}") for q, e in zip("\"'`«„“", "\"'`»“”", strict=True)}
_UNQUOTED = re.compile(r"[^\s\"'<>\0&;]{1,500}")
# Nothing, a mask, a variable of a shell or a template, a word about values. A password may begin like any of them.
_NO_VALUE = re.compile(
    r"\W*|[*x•.]{3,}|\$(?:[{(].*|[A-Za-z_]+)|%(?:[a-z]|\(.*|[A-Za-z_]+%)"
    r"|\{{1,2}[\w .:!-]*\}{0,2}|\[[\w ,.-]*\]?|<.*|your[_ -].*|.*\.\.\."
    r"|(?:none|null|nil|undefined|true|false|str|string|int|bool|bytes|any|optional|value|required|missing|empty|redacted"
    r"|hidden|invalid|incorrect|wrong|expired|unset|unknown|default|not|must|should|is|the|a|an|and|or)(?:[\s|,;\[(].*)?",
    re.IGNORECASE | re.DOTALL,
)
_CODE = re.compile(
    r"\(?[A-Za-z_.]+[(\[][\w.,=()\[\]:|-]*|[A-Za-z_][\w.]*\([a-z_]+=.*|[A-Z]+(?:_[A-Z]+)+|[A-Za-z_]+(?:\.[A-Za-z_]+)+|[A-Z][a-z]+(?:[A-Z][a-z]+)+",
    re.DOTALL,
)
_SHORT, _LONG, _OPAQUE = 3, 8, 16


_TOKENS = table({_NAME + ".": "t"}, rest=" ")
_ROW = b"t" * 13
_OF_OTHER_SIGNS = (b"whsec_", b"glc_", b"sntry")  # what follows these may hold `+`, `/` and `=`
_TELEGRAM = range(8, 11)  # digits before `:AA`


def secrets(outline: Outline) -> Iterator[tuple[int, int]]:
    """Only the secret itself: of `password=hunter2`, `hunter2`. They may overlap."""
    for start, end in _spans(outline):
        if start < end:
            yield start, end


def may_show(outline: Outline, covers: Covers) -> bool:
    """Whether there may be one more in `outline` once `covers` are.

    That are keys out of a row that is cut in two; of all others it is enough that there is what they begin with.
    """
    return outline.names_secrets or any(
        not covers.hold(start, end) and covers.near(start - 1, end + 1) for start, end in outline.once(_rows)
    )


def _spans(outline: Outline) -> Iterator[tuple[int, int]]:
    text = outline.text
    yield from _keys(outline)
    if "-" in text and "-----BEGIN" in text:
        outline.names_secrets = True
        for match in _PRIVATE_KEY.finditer(text):
            yield match.span()
    if "/" in text and ("hooks.slack.com/" in text or "/api/webhooks/" in text):
        outline.names_secrets = True
        for match in _WEBHOOK.finditer(text):
            yield match.span(match.lastindex or 0)
    if "@" in text and "/" in text and "://" in text:
        outline.names_secrets = True
        for match in _USERINFO.finditer(text):
            name, colon, password = match[1].partition(":")
            if (colon and password and not _NO_VALUE.fullmatch(password)) or (not colon and _opaque(name)):
                yield match.span(1)
    if "=" in text and ("&" in text or "?" in text or ";" in text or "#" in text):
        outline.names_secrets = True
        for match in _PARAMETER.finditer(text):
            if not _NO_VALUE.fullmatch(match["value"]) and (match["always"] or _opaque(match["value"])):
                yield match.span("value")
    occurrences = outline.occurrences()
    if not occurrences:
        return
    lower = outline.lower
    for at, stem in occurrences:
        if stem in _SCHEMES and lower.startswith(_SCHEMES[stem], at):
            outline.names_secrets = True
            for match in _HEADER.finditer(text):
                kind = "value" if match["value"] else "bearer" if match["bearer"] else "basic"
                if not _NO_VALUE.fullmatch(match[kind]) and _mixed(match[kind]):
                    yield match.span(kind)
            break
    yield from _named(outline, occurrences)


def _keys(outline: Outline) -> Iterator[tuple[int, int]]:
    at = 0
    for start in _key_places(outline):
        if start >= at and (match := _KEY.match(outline.text, start)):
            at = match.end()
            yield match.span()


def _key_places(outline: Outline) -> list[int]:
    """Where a key could begin: with a row, behind a dot in it, or as the few do that hold other signs."""
    latin, found = outline.latin, []
    for start, end in outline.once(_rows):
        at = start
        while at >= 0:
            found.append(at)
            at = latin.find(b".", at, end) + 1 or -1
    others: list[int] = []
    if b"_" in latin:
        for sign in _OF_OTHER_SIGNS:
            others += places(latin, sign)
    if b":" in latin and b":AA" in latin:
        others += [at - size for at in places(latin, b":AA") for size in _TELEGRAM if at >= size]
    if others:
        outline.names_secrets = True
        return sorted({*found, *others})
    return found


def _rows(outline: Outline) -> list[tuple[int, int]]:
    if outline.foreign:  # other scripts' digits are none of a key's
        tokens = outline.text.encode("latin-1", "replace").translate(_TOKENS)
    else:
        tokens = outline.latin.translate(_TOKENS)
    found = []
    start = tokens.find(_ROW)
    while start >= 0:
        end = tokens.find(b" ", start)
        end = len(tokens) if end < 0 else end
        found.append((start, end))
        start = tokens.find(_ROW, end)
    return found


_NAMES: dict[bytes, list[tuple[bytes, int, bool]]] = {}  # by their stems: how far these stand behind their begin
for _names, _strong in ((STRONG, True), (WEAK, False)):
    for _name in _names:
        _stem = next(stem for stem in STEMS if stem in _name)
        _NAMES.setdefault(_stem.encode("latin-1"), []).append((_name.encode("latin-1"), _name.index(_stem), _strong))
# What a name has before its stem, and from there on: one look tells that no name is there, as nearly always.
_AROUND = {
    stem: (tuple({name[:before] for name, before, _ in names}), tuple({name[before:] for name, before, _ in names}))
    for stem, names in _NAMES.items()
}
_SCHEMES = {b"auth": b"authorization", b"bearer": b"bearer", b"basic": b"basic"}
_LONGEST_NAME = max(map(len, (*STRONG, *WEAK)))
_SPACED = table({"_-.": " "})
_WHOLE = 4  # letters: as long as that, no letter may follow; longer names may have endings


def _named(outline: Outline, occurrences: list[tuple[int, bytes]]) -> Iterator[tuple[int, int]]:
    """Whose name stands before: `password=…`, `<password>…</`, "the password is …"."""
    text = outline.text
    lower = outline.lower
    spaced, first = lowered(text).translate(SPACED).encode("latin-1", "replace") if outline.foreign else b"", 0
    for place, stem in occurrences:
        if stem not in _NAMES:
            continue
        if not outline.foreign:  # a few words are sooner spaced than all of the text
            first = max(0, place - _LONGEST_NAME)
            spaced = lower[first : place + _LONGEST_NAME].translate(_SPACED)
        heads, tails = _AROUND[stem]
        at = place - first
        if not (spaced.startswith(tails, at) and spaced.endswith(heads, 0, at)):
            continue
        for name, before, strong in _NAMES[stem]:
            start = place - before
            if start < 0 or not spaced.startswith(name, start - first):
                continue
            outline.names_secrets = True
            if text[start - 1 : start] == "$":
                continue  # of the shell: $PWD
            end = start + len(name)
            if len(name) <= _WHOLE and text[end : end + 1].isalpha():
                continue
            if (sign := _SIGN.match(text, end)) and (span := _assigned(text, sign, strong=strong)):
                yield span
            if (tag := _TAG_END.match(text, end)) and not _NO_VALUE.fullmatch(tag[1]):
                yield tag.span(1)
            if said := _SAID.match(text, end):
                value = said["value"].rstrip(".,!?)\"'`»“”")
                if _mixed(value) and not _NO_VALUE.fullmatch(value):
                    yield said.start("value"), said.start("value") + len(value)


def _assigned(text: str, sign: re.Match[str], *, strong: bool) -> tuple[int, int] | None:
    """Where the value after a name and a sign stands, unless it is code, a word of a sentence or a stand-in."""
    quote = sign["quote"]
    found = (_QUOTED[quote] if quote else _UNQUOTED).match(text, sign.end())
    if found is None:
        return None
    value = found[0].rstrip() if quote else found[0].partition(")](")[0].rstrip(".,!?)]}`")
    end = found.start() + len(value)
    if len(value) < _SHORT or _NO_VALUE.fullmatch(value):
        return None
    if not strong and not (len(value) >= _LONG and _mixed(value) and " " not in value):
        return None
    if value.isidentifier() and _names_itself(value):
        return None
    if not quote:
        if _CODE.fullmatch(value):
            return None
        if sign["sign"] == ":" and not _odd(value) and not _LAST.match(text, end):
            return None  # "Password: must be long"
    return found.start(), end


def _names_itself(value: str) -> bool:
    """`password=db_password` hands a variable on."""
    spaced = lowered(value).translate(SPACED)
    return spaced.endswith((*STRONG, *WEAK)) and not any(c.isdigit() for c in value)


_LAST = re.compile(r"[.,!?)\]}]*[ \t]*(?:$|\n)")


def _odd(value: str) -> bool:
    """Whether no word of a sentence looks like it."""
    return not value.isalpha() and not re.fullmatch(r"[^\W\d_]+(?:[-'’][^\W\d_]+)*", value)


def _mixed(value: str) -> bool:
    """Letters with digits or signs."""
    return any(c.isalpha() for c in value) and any(c.isdigit() or c in "!@#$%^&+=" for c in value)


def _opaque(value: str) -> bool:
    return len(value) >= _OPAQUE and _mixed(value)
