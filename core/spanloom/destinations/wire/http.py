"""OTLP over HTTP, and JSON for a receiver's own API: one POST, its answer read with care.

Nothing is followed, and nothing of an answer's text is logged. A request ends in its time whatever the receiver does:
requests' own timeout is for each read, so a receiver that answers a byte a second would hold it for ever.
"""

from __future__ import annotations

import base64
import json
import math
import socket
import time
import weakref
from collections.abc import Callable, Mapping
from contextlib import suppress
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote, urlsplit

from .alarm import Alarm
from .answer import Answer, Verdict, user_agent
from .compression import compressed

if TYPE_CHECKING:
    import requests

PROTOBUF, JSON = "application/x-protobuf", "application/json"
_LATER = frozenset({429, 502, 503, 504})  # those that OTLP names
AGAIN = frozenset({408, 425, 500})
"""For receivers' own APIs, whose requests may be repeated without harm."""

_MOST_READ = 64 * 1024  # bytes of an answer
_HINTS = {
    400: "it cannot read the request: is this its OTLP path for traces?",
    401: "it refuses the credentials: check the key and the header it goes in",
    403: "it forbids writing: give the key that permission",
    404: "there is no such path: correct the endpoint",
    405: "it takes no POST there: correct the endpoint",
    407: "the proxy before it wants credentials",
    415: "it takes no binary protobuf there: correct the endpoint",
    422: "it cannot process the request: a header may be missing",
    429: "it limits the rate",
}


class Tls(NamedTuple):
    """Files: the certificate to trust in place of the usual ones, the client's own, and its key."""

    certificate: str | None = None
    client_certificate: str | None = None
    client_key: str | None = None


class HttpWire:
    """POSTs bodies to `url` with `headers`, which are this receiver's own.

    `again` are statuses to be tried again beside OTLP's own. `make_session` gives a session that carries credentials.
    Without one the request is prepared once: to look up proxies and merge headers takes requests longer than to send.
    """

    def __init__(
        self,
        url: str,
        headers: Mapping[str, str],
        *,
        content_type: str = PROTOBUF,
        compression: str = "none",
        tls: Tls | None = None,
        again: frozenset[int] = frozenset(),
        make_session: Callable[[], Any] | None = None,
    ) -> None:

        self._url, self._compression, self._tls = url, compression, tls or Tls()
        said = {"user-agent": user_agent(), "content-type": content_type}
        if compression != "none":
            said["content-encoding"] = compression
        self._headers = {**said, **credentials_in(url), **{name.lower(): value for name, value in headers.items()}}
        self._again, self._make_session = _LATER | again, make_session
        self._session: requests.Session | None = None
        self._prepared: tuple[requests.PreparedRequest, Any] | None = None
        self._connections: weakref.WeakSet[Any] = weakref.WeakSet()
        self._alarm = Alarm(self._hang_up)

    def send(self, body: bytes, seconds: float) -> Answer:
        from requests import RequestException  # noqa: PLC0415  costs 30 ms: only where used

        if self._session is None:
            self._session = self._new_session()
        self._alarm.set(seconds + 0.05)  # the socket's own timeout comes first, and says more
        try:
            with self._post(self._session, compressed(body, self._compression), max(seconds, 0.01)) as answer:
                text = answer.raw.read(_MOST_READ, decode_content=True) or b""
                return self._answer(answer, text)
        except (RequestException, OSError, ValueError, EOFError) as error:
            self._prepared = None  # the environment may name another proxy by now
            return _no_answer(error, hung_up=self._alarm.rang)
        except Exception as error:  # urllib3's own, from reading the body
            if not type(error).__module__.startswith(("urllib3", "http.client")):
                raise
            return _no_answer(error, hung_up=self._alarm.rang)
        finally:
            self._alarm.clear()

    def _post(self, session: requests.Session, body: bytes, seconds: float) -> requests.Response:
        tls, client = self._tls, None
        if tls.client_certificate:
            client = (tls.client_certificate, tls.client_key) if tls.client_key else tls.client_certificate
        if self._make_session is not None:  # somebody's own: it may have a say in each request
            return session.post(
                self._url,
                data=body,
                headers=self._headers,
                timeout=seconds,
                allow_redirects=False,
                stream=True,
                auth=_as_it_is,
                verify=tls.certificate or True,
                cert=client,
            )
        if self._prepared is None:
            from requests import Request  # noqa: PLC0415

            request = session.prepare_request(Request("POST", self._url, headers=self._headers, auth=_as_it_is))
            settings = session.merge_environment_settings(str(request.url), {}, True, tls.certificate or True, client)
            self._prepared = request, settings
        request, settings = self._prepared
        request.body = body
        request.headers["Content-Length"] = str(len(body))
        return session.get_adapter(self._url).send(request, timeout=seconds, **settings)

    def abandon(self) -> None:
        self._hang_up()

    def close(self) -> None:
        self._alarm.close()
        if self._session is not None:
            self._session.close()

    def _hang_up(self) -> None:
        connections: list[Any] = []
        with suppress(RuntimeError):  # one is being added just now: there is nothing to end on it yet
            connections = list(self._connections)
        for connection in connections:
            line = getattr(connection, "sock", None)
            if isinstance(line, socket.socket):
                with suppress(OSError):  # closed already
                    socket.socket.shutdown(line, socket.SHUT_RDWR)  # a TLS socket's own would forget its TLS

    def _new_session(self) -> requests.Session:
        from .session import watched_session  # noqa: PLC0415  costs 30 ms: only where used

        return watched_session(self._make_session() if self._make_session is not None else None, self._connections)

    def _answer(self, answer: requests.Response, text: bytes) -> Answer:
        status = answer.status_code
        reason, hint = f"http_{status}", _HINTS.get(status)
        said = f"answers {status}" + (f": {hint}" if hint else "")
        kind = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
        if 200 <= status < 300:  # noqa: PLR2004
            if kind in ("text/html", "application/xhtml+xml"):
                return Answer(Verdict.TROUBLE, "web_page", "answers with a web page: a proxy's or a portal's, it seems")
            rejected, remark = _partial_success(kind, text) if self._headers["content-type"] == PROTOBUF else (0, "")
            return Answer(Verdict.TAKEN, rejected=rejected, remark=remark)
        if status == 413:  # noqa: PLR2004
            return Answer(Verdict.TOO_LARGE, "too_large", said)
        if status in self._again:
            return Answer(Verdict.LATER, reason, said, _retry_after(answer.headers.get("retry-after")))
        if 300 <= status < 400:  # noqa: PLR2004
            return Answer(
                Verdict.TROUBLE, reason, f"redirects elsewhere ({status}), where no keys are sent: correct the endpoint"
            )
        if status >= 500 or status in (408, 425):  # noqa: PLR2004
            return Answer(Verdict.TROUBLE, reason, said)
        return Answer(Verdict.REFUSED, reason, said)


def credentials_in(url: str) -> dict[str, str]:
    """What `https://user:password@host` asks for, as curl and requests have it."""
    parts = urlsplit(url)
    if parts.username is None and parts.password is None:
        return {}
    pair = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
    return {"authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}


def _as_it_is(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Keeps `.netrc` from putting other keys in place of ours."""
    return request


def _no_answer(error: Exception, *, hung_up: bool) -> Answer:
    from requests.exceptions import ConnectTimeout, ProxyError, SSLError, Timeout  # noqa: PLC0415

    if hung_up or (isinstance(error, (Timeout, TimeoutError)) and not isinstance(error, ConnectTimeout)):
        return Answer(Verdict.LATER, "timeout", "does not answer in time")
    if isinstance(error, ConnectTimeout):
        return Answer(Verdict.LATER, "timeout", "cannot be connected to in time")
    if isinstance(error, SSLError):
        return Answer(Verdict.LATER, "tls", "fails in TLS: check its certificate, and https:// against http://")
    if isinstance(error, ProxyError):
        return Answer(Verdict.LATER, "connection", "cannot be reached: its proxy fails")
    if "NameResolutionError" in repr(error) or "getaddrinfo" in repr(error):
        return Answer(Verdict.LATER, "dns", "has a name that cannot be resolved")
    return Answer(Verdict.LATER, "connection", "cannot be reached, or breaks the connection")


def _retry_after(said: str | None) -> float | None:
    """Seconds from now; the header holds them, or a date of HTTP."""
    if not said:
        return None
    try:
        seconds = float(said)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(said).timestamp() - time.time()
        except (ValueError, TypeError, OverflowError, OSError):
            return None
    return max(0.0, seconds) if math.isfinite(seconds) else None


def _partial_success(kind: str, text: bytes) -> tuple[int, str]:
    """How many spans were rejected, and the receiver's remark. An answer of no known form says nothing."""
    if text in (b"", b"\x0a\x00"):  # an empty one, as the Collector's: no need of protobuf's classes
        return 0, ""
    try:
        if kind == JSON:
            partial = json.loads(text).get("partialSuccess") or {}
            return max(0, int(partial.get("rejectedSpans") or 0)), str(partial.get("errorMessage") or "")
        from opentelemetry.proto.collector.trace.v1 import trace_service_pb2  # noqa: PLC0415

        said = trace_service_pb2.ExportTraceServiceResponse.FromString(text).partial_success
        return max(0, said.rejected_spans), said.error_message
    except Exception:
        return 0, ""
