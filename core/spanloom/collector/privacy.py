"""What of the content reaches a backend, as processors of the Collector.

"none" and "hashed" show what `ContentPolicy.none()` and `.hashed()` show, and "hashed" the SHA-256 of each content
attribute too, so that equal texts can be found. "redacted" shows everything but what looks like personal data or a key.
Under both, spans of other libraries keep what conventions know as structure. Names are redacted under all three.
"""

from __future__ import annotations

from typing import Any

from ..dialects import collector as dialect
from ..dialects import content_keys as keys
from ..dialects import others
from ..dialects.foreign import REPEATS
from ..dialects.rendered import STEP_KIND
from . import ottl
from .settings import Content
from .yaml import Noted

_START = r"(?:\\+(?:[bfnrt]|u[0-9a-fA-F]{4})?|\b)"
"""Where something begins: at a word's edge, or after an escape of JSON, which goes with it. Without that, the `n` of
`\\n` would count as a letter, and masking it would leave half of an escape behind."""

PATTERNS = {
    "e-mail address": r"(?:\\+[A-Za-z0-9._%+-]*|[A-Za-z0-9._%+-]+)@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+",
    "card number, or US social security number": (
        _START + r"(?:(?:4\d{3}|5[1-5]\d{2}|2[2-7]\d{2}|6(?:011|5\d{2}))(?:[ -]?\d{4}){3}"
        r"|3[47]\d{2}[ -]?\d{6}[ -]?\d{5}|\d{3}-\d{2}-\d{4})\b"
    ),
    "IBAN": _START + r"[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b",
    "telephone number": r"\+\d{1,3}[ .-]?(?:\(\d{1,4}\)|\d{1,4})(?:[ .-]?\d{2,4}){2,4}\b",
    "key of an API": _START + r"(?:sk|pk|rk)[-_](?:[A-Za-z]+[-_])*[A-Za-z0-9_-]{16,}",
    "key of AWS": r"A[KS]IA[0-9A-Z]{16}",
    "token of GitHub": r"gh[pousr]_[A-Za-z0-9]{36,}",
    "fine-grained token of GitHub": r"github_pat_[A-Za-z0-9_]{22,}",
    "token of Slack": r"xox[abeoprs]-[A-Za-z0-9-]{10,}",
    "key of Google": r"AIza[0-9A-Za-z_-]{35}",
    "JSON web token": r"eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*",
    "bearer token": r"Bearer +[A-Za-z0-9._~+/-]{16,}=*",
    "private key": r"-----BEGIN [A-Z ]*PRIVATE KEY-----[A-Za-z0-9+/=\s\\]*-----END [A-Z ]*PRIVATE KEY-----",
}
"""What is masked wherever it stands, in a syntax that Go and Python share. Digits and marks, no dictionary: names and
postal addresses pass. One that begins with letters that are always there costs nearly nothing, the others some 50 µs
for a kilobyte: they are most of what a sampler does."""

MASK = "****"

STATUS, NAME, ERROR_TYPE = "span.status.message", "span.name", ottl.attribute("error.type")


def processors(backend: str, content: Content) -> dict[str, Any]:
    """The processors of one backend's pipeline, in order, by name."""
    if content == "full":
        return {}
    any_of = "|".join(PATTERNS.values())
    texts = [f"replace_pattern({path}, {ottl.literal(any_of)}, {ottl.literal(MASK)})" for path in (STATUS, NAME)]
    spans = {"redacted": [], "hashed": _hashed(), "none": _dropped()}[content]
    events = {"redacted": [], "hashed": _events("hashed"), "none": _events("none")}[content]
    statements = [{"context": "span", "statements": [*spans, *texts]}]
    if events:
        statements.append({"context": "spanevent", "statements": events})
    return {
        f"transform/content-{backend}": {
            "error_mode": Noted("Rather no span than one with content that should not be there.", "propagate"),
            "trace_statements": statements,
        },
        f"redaction/{backend}": {
            "allow_all_keys": True,
            "redact_all_types": True,
            "ignored_keys": Noted(
                "Who the trace belongs to stays as it is, and what others named.", [*keys.WHO, *keys.IDS]
            ),
            "blocked_values": [Noted(what, pattern) for what, pattern in PATTERNS.items()],
            "summary": "silent",
        },
    }


def _hashed() -> list[str]:
    hashes = []
    for key in keys.ATTRIBUTES:
        path = ottl.attribute(key)
        hashes.append(f"set({path}, SHA256(String({path}))) where {path} != nil")
    return [*hashes, *_forgotten()]


def _dropped() -> list[str]:
    gone = [f"delete_key(span.attributes, {ottl.literal(key)})" for key in (*keys.ATTRIBUTES, *keys.HASHES, *keys.TAGS)]
    return [*gone, *_forgotten()]


def _forgotten() -> list[str]:
    """What has no place under either: an error's text, the user's metadata, and what other libraries say that no
    convention knows as structure."""
    told, error = ottl.attribute(keys.STATUS_MESSAGE), ERROR_TYPE
    theirs = f"where {ottl.attribute(STEP_KIND)} == nil"
    named = [*keys.WHO, *sorted(others.URLS - {"url.query"}), REPEATS, dialect.PARENT, dialect.TRACE_NAME]
    kept = f"{others.structure_pattern()}|{ottl.one_of(named)}"
    return [
        f"set({told}, {error}) where {told} != nil and {error} != nil",
        f'set({STATUS}, {error}) where {STATUS} != "" and {error} != nil',
        f'set({STATUS}, "") where {STATUS} != "" and {error} == nil',
        f"delete_matching_keys(span.attributes, {ottl.literal(ottl.beginning(keys.METADATA))})",
        f"keep_matching_keys(span.attributes, {ottl.literal(kept)}) {theirs}",
        f"delete_matching_keys(span.attributes, {ottl.literal(others.content_pattern())}) {theirs}",
        *(
            f"replace_pattern({path}, {ottl.literal(pattern)}, {ottl.literal(instead)})"
            for path in map(ottl.attribute, sorted(others.URLS - {"url.query"}))
            for pattern, instead in (("//[^/?#@]*@", "//"), ("[?#].*", ""))
        ),
        'delete_key(span.attributes, "url.query")',
    ]


def _events(content: Content) -> list[str]:
    """An exception's texts; GenAI's events with content, and whatever else no convention knows as structure, go."""
    out = []
    for key in keys.EVENT_ATTRIBUTES:
        path = ottl.attribute(key, "spanevent")
        if content == "hashed":
            out.append(f"set({path}, SHA256(String({path}))) where {path} != nil")
        else:
            out.append(f"delete_key(spanevent.attributes, {ottl.literal(key)})")
    kept = f"{others.structure_pattern()}|{ottl.one_of(keys.EVENT_ATTRIBUTES)}"
    return [*out, f"keep_matching_keys(spanevent.attributes, {ottl.literal(kept)})"]
