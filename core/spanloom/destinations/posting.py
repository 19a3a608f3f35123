"""JSON objects for a receiver's own API: one request each, tried again where that may help."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from ..guard import log, warn_once

if TYPE_CHECKING:
    import requests

_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})
_FIRST_WAIT, _LONGEST_WAIT = 0.25, 8.0  # seconds


class Posting:
    """Sends JSON to `url`. A connection that breaks and an answer of 429 or 5xx are tried again, for `timeout` seconds
    in all for one object; `Retry-After` is heeded. `headers` are this receiver's own. Used by one thread."""

    def __init__(self, name: str, url: str, headers: Mapping[str, str], *, timeout: float) -> None:
        self._name, self._url, self._headers, self._timeout = name, url, dict(headers), timeout
        self._closed = threading.Event()

    def close(self) -> None:
        """End the waiting between two attempts; nothing is sent any more."""
        self._closed.set()

    def send(self, bodies: Iterable[Any]) -> int:
        """How many of `bodies` were taken. A refused one leaves the others; where one could not be delivered in its
        time, those after it fail too."""
        from .session import own_session  # noqa: PLC0415  costs 30 ms: only where used

        taken = 0
        with own_session(self._headers) as session:
            for body in bodies:
                status = self._post(session, body, time.monotonic() + self._timeout)
                if status is not None and status < 300:  # noqa: PLR2004
                    taken += 1
                elif status is None or status in _AGAIN:
                    log.warning("spanloom: %s could not be reached for scores: what was queued is counted", self._name)
                    break
                else:
                    warn_once(
                        f"scores:{self._name}:{status}",
                        "spanloom: %s refused a score (HTTP %d): it is lost, and counted as failed.",
                        self._name,
                        status,
                    )
        return taken

    def _post(self, session: requests.Session, body: Any, deadline: float) -> int | None:
        """The last answer's status; None where there was none."""
        from requests import RequestException  # noqa: PLC0415
        from requests.exceptions import InvalidJSONError  # noqa: PLC0415

        status, wait = None, _FIRST_WAIT
        while (left := deadline - time.monotonic()) > 0 and not self._closed.is_set():
            pause = None
            try:
                answer = session.post(
                    self._url,
                    json=body,
                    headers=self._headers,
                    timeout=max(left, 0.01),
                    allow_redirects=False,
                    auth=_as_it_is,
                )
                status = answer.status_code
                if status not in _AGAIN:
                    return status
                pause = _retry_after(answer)
            except InvalidJSONError:
                return 400  # not to be said in JSON: as if it had been refused
            except RequestException:
                status = None
            pause = wait * random.uniform(0.8, 1.2) if pause is None else pause  # noqa: S311
            if pause >= deadline - time.monotonic() or self._closed.wait(pause):
                break
            wait = min(wait * 2, _LONGEST_WAIT)
        return status


def _as_it_is(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Keeps `.netrc` from putting other keys in place of ours."""
    return request


def _retry_after(answer: requests.Response) -> float | None:
    """Seconds; None where the header is absent, or a date."""
    said = answer.headers.get("Retry-After", "")
    return float(said) if said.strip().isdecimal() else None
