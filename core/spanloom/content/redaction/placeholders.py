"""Placeholders that stay the same within a trace, without keeping what they stand for."""

from __future__ import annotations

import hashlib
import ipaddress
import re
import secrets
import threading
import unicodedata
from collections import Counter, OrderedDict

from .finding import Entity
from .view import View

VALUES_PER_TRACE = 1_000
VALUES = 100_000
_DIGEST_BYTES = 16
_UNNUMBERED = 0


class Placeholders:
    """`<EMAIL_1>` for one value everywhere within a trace, `<EMAIL_2>` for the next. Threads may share it.

    It remembers a keyed hash of each value (BLAKE2b, 16 bytes, a random key that dies with the process), never the
    value. Of each trace it remembers at most `values_per_trace`, and `values` in all: what comes after the first bound
    is `<EMAIL_0>`, whatever it is; past the second the trace that was asked for longest ago is forgotten, and numbers
    anew from 1 if more of it comes.
    """

    def __init__(self, *, values_per_trace: int = VALUES_PER_TRACE, values: int = VALUES) -> None:
        self.values_per_trace, self.values = values_per_trace, max(values, values_per_trace)
        self._key = secrets.token_bytes(_DIGEST_BYTES)
        self._lock = threading.Lock()
        self._traces: OrderedDict[int, _Trace] = OrderedDict()
        self._held = 0

    def label(self, trace_id: int, kind: str, value: str) -> str:
        """The placeholder of `value`: the same for another spelling of it (case, spaces, hyphens, by its kind)."""
        digest = hashlib.blake2b(
            f"{kind}\0{_same(kind, value)}".encode(errors="surrogatepass"), key=self._key, digest_size=_DIGEST_BYTES
        ).digest()
        with self._lock:
            trace = self._traces.get(trace_id)
            if trace is None:
                trace = self._traces[trace_id] = _Trace()
            self._traces.move_to_end(trace_id)
            number = trace.numbers.get(digest)
            if number is None and len(trace.numbers) < self.values_per_trace:
                trace.last[kind] += 1
                number = trace.numbers[digest] = trace.last[kind]
                self._held += 1
                while self._held > self.values:
                    _, oldest = self._traces.popitem(last=False)
                    self._held -= len(oldest.numbers)
        return f"<{kind}_{_UNNUMBERED if number is None else number}>"

    def after_fork(self) -> None:
        """In a forked child: whatever thread held the lock is gone."""
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"Placeholders(values_per_trace={self.values_per_trace}, values={self.values})"


_ESCAPED = re.compile(r"[<\\%]")  # what a view of an ASCII text may show otherwise


class _Trace:
    __slots__ = ("last", "numbers")

    def __init__(self) -> None:
        self.numbers: dict[bytes, int] = {}
        self.last: Counter[str] = Counter()


def _same(kind: str, value: str) -> str:
    """What all spellings of one value have in common. A phone number's national and international form differ."""
    if kind == Entity.SECRET or (kind == Entity.IP and value.isascii() and ":" not in value):
        return value
    if not value.isascii() or _ESCAPED.search(value):
        value = unicodedata.normalize("NFKC", View(value).text)
    value = value.strip().casefold()
    match kind:
        case Entity.PHONE:
            digits = re.sub(r"[^\d+]", "", value.replace("(0)", ""))
            return re.sub(r"^00", "+", digits)
        case Entity.CARD | Entity.IBAN | Entity.NATIONAL_ID:
            return re.sub(r"[\W_]", "", value)
        case Entity.IP:
            try:
                return str(ipaddress.ip_address(value))
            except ValueError:
                return value
        case _:
            return " ".join(value.split())
