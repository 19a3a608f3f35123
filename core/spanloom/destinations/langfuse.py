"""Langfuse, in its own terms: a translated copy of each span over OTLP/HTTP."""

from __future__ import annotations

import base64
import fnmatch
import os
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Unpack

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanContext, TraceFlags

from ..content import ContentPolicy
from ..dialects import langfuse as dialect
from ..dialects import sampling as sampling_dialect
from ..dialects import scores as score_dialect
from ..dialects.foreign import demoted
from ..ended import Ended
from ..errors import ConfigurationError
from ..scores import Score
from ..step import Lineage
from .delivery import Delivery
from .destination import copies, copy_of, rendered
from .endpoint import check_headers, check_url, traces_url
from .langfuse_sdk import SDK_SCOPE, Leave, left_to_us
from .queued import Options, Queued
from .receipt import Receipt
from .seen import Seen, seen, shown_of
from .span_copy import SpanCopy
from .wire.encoding import TRACES
from .wire.http import AGAIN, JSON, HttpWire

_CLOUD = "https://cloud.langfuse.com"
_PATH = "/api/public/otel/v1/traces"
_SCORES = "/api/public/scores"
_SCORES_LANE = "scores"
_TIMEOUT = 10.0  # seconds
_SAMPLED = TraceFlags(TraceFlags.SAMPLED)
_INGESTION_VERSION = "4"  # 5 is refused; without it the server takes a slower path


class Langfuse(Queued):
    """Send traces to Langfuse (cloud or self-hosted) as its own observations: generations, agents, tools, retrievers.

    `LANGFUSE_PUBLIC_KEY`, `LANGFUSE_SECRET_KEY`, `LANGFUSE_BASE_URL` (or `LANGFUSE_HOST`),
    `LANGFUSE_TRACING_ENVIRONMENT` and `LANGFUSE_RELEASE` fill what is left out; the base address defaults to
    `https://cloud.langfuse.com`.

    Spans of other libraries (Redis, HTTP clients) stay out, and steps below them hang under the nearest step above.
    `include` names the instrumentation scopes to let in, with `*` as a wildcard:
    `include=["opentelemetry.instrumentation.redis"]`. One that repeats the model call of a step, as instrumentations of
    openai or anthropic do, is then a plain span without model, tokens and cost, so that the call counts once. A parent
    in another process counts as absent, unless `remote_parents=True` says that it reports to the same project.

    Beside Langfuse's own SDK (`@observe`, `get_client()`) on the same tracer provider and with the same public key, the
    SDK sends its observations and Spanloom its steps, in one tree.

    `content` decides what of prompts and answers goes out: by default everything, redacted. `environment`, `release`
    and `version` stand on every observation. `timeout` is seconds for one batch, its retries included (10 by default).
    `queue_spans` and `queue_bytes` bound what waits to be sent; beyond them, spans are dropped and counted. With
    `spool="path.db"` a batch is on the disk before it is sent: see docs/delivery.md. The `OTEL_EXPORTER_OTLP_*`
    variables, which speak of another receiver, change nothing here.
    """

    def __init__(
        self,
        public_key: str | None = None,
        secret_key: str | None = None,
        base_url: str | None = None,
        *,
        environment: str | None = None,
        release: str | None = None,
        version: str | None = None,
        include: Sequence[str] = (),
        remote_parents: bool = False,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(options, name="langfuse", content=ContentPolicy.redacted())
        self.public_key = public_key or os.environ.get("LANGFUSE_PUBLIC_KEY")
        self.secret_key = secret_key or os.environ.get("LANGFUSE_SECRET_KEY")
        self.base_url = base_url or os.environ.get("LANGFUSE_BASE_URL") or os.environ.get("LANGFUSE_HOST") or _CLOUD
        self.environment = environment or os.environ.get("LANGFUSE_TRACING_ENVIRONMENT")
        self.release = release or os.environ.get("LANGFUSE_RELEASE")
        self.version = version
        self.include: Any = (include,) if isinstance(include, str) else include
        if isinstance(self.include, Iterable):
            self.include = tuple(self.include)
        self.remote_parents = remote_parents
        self._sdk: tuple[Leave, ...] = ()  # of the SDK's processors for this project, on this provider
        self._resource = Resource.get_empty()

    def __repr__(self) -> str:  # without the secret key
        return f"Langfuse({self.public_key!r}, base_url={self.base_url!r})"

    def open(self, resource: Resource, tick: Callable[[], object]) -> Delivery:
        self._check()
        self._resource = resource
        self.exporter({TRACES: self._traces_wire, _SCORES_LANE: self._scores_wire}, _TIMEOUT)
        return self.queue(self._export, tick, accepts=self._includes, export_scores=self._export_scores)

    def close(self) -> None:
        super().close()
        for leave in self._sdk:
            leave.on = False
        self._sdk = ()

    def beside(self, processors: Sequence[Any]) -> None:
        """Told which other processors the provider has: Langfuse's SDK must not send our steps too."""
        self._sdk = tuple(leave for one in processors if (leave := left_to_us(one, self.public_key)) is not None)

    @property
    def address(self) -> str:
        """The base address, without what belongs to OTLP."""
        base = self.base_url.rstrip("/").removesuffix(_PATH).removesuffix(_PATH.removesuffix("/v1/traces"))
        return base.removesuffix("/api/public")

    def _check(self) -> None:
        self.check_options()
        for given, missing, variable, argument in (
            (self.public_key, self.secret_key, "LANGFUSE_SECRET_KEY", "secret_key"),
            (self.secret_key, self.public_key, "LANGFUSE_PUBLIC_KEY", "public_key"),
        ):
            if given and not missing:
                raise ConfigurationError(
                    f"Langfuse has only half of its key pair: give {argument}=… too, or set {variable}."
                )
        if not self.public_key:
            raise ConfigurationError(
                "Langfuse has no keys: give public_key=… and secret_key=…, or set LANGFUSE_PUBLIC_KEY and "
                "LANGFUSE_SECRET_KEY."
            )
        if "://" in f"{self.public_key}{self.secret_key}":  # then base_url may be a key, which no message quotes
            raise ConfigurationError(
                "Langfuse has an address for a key: write Langfuse(public_key, secret_key, base_url)."
            )
        swapped = str(self.public_key).startswith("sk-"), str(self.secret_key).startswith("pk-")
        if all(swapped):
            raise ConfigurationError("Langfuse has its keys the wrong way round: public_key=pk-…, secret_key=sk-….")
        if any(swapped):
            which = "two secret keys" if swapped[0] else "two public keys"
            raise ConfigurationError(f"Langfuse has {which}: give public_key=pk-… and secret_key=sk-….")
        check_headers({"public_key": self.public_key, "secret_key": self.secret_key}, "Langfuse's key pair")
        check_url(self.base_url, "Langfuse(base_url=…)")
        if "/project/" in f"{self.base_url}/":
            raise ConfigurationError(
                f"Langfuse(base_url=…) is {self.base_url!r}, a page of its web application: leave out /project/ and "
                "what follows."
            )
        if not (isinstance(self.include, tuple) and all(isinstance(scope, str) for scope in self.include)):
            raise ConfigurationError(
                f"Langfuse(include={self.include!r}) names no scopes: write "
                'include=["opentelemetry.instrumentation.redis"].'
            )
        if self.environment is not None and not dialect.is_environment(self.environment):
            raise ConfigurationError(
                f'Langfuse(environment={self.environment!r}) would be filed under "default": write at most 40 of '
                "a-z, 0-9, - and _, not beginning with langfuse."
            )

    # ---------------------------------------------------------------- the worker's side
    def _includes(self, ended: Ended) -> bool:
        if ended.step is not None:
            return True
        scope = _scope_of(ended.span)
        return not (self._sdk and scope == SDK_SCOPE) and self._scope_included(scope)

    def _traces_wire(self) -> HttpWire:
        headers = {**self._keys(), "x-langfuse-ingestion-version": _INGESTION_VERSION}
        return HttpWire(traces_url(self.address, _PATH), headers, compression="gzip")

    def _scores_wire(self) -> HttpWire:
        return HttpWire(self.address + _SCORES, self._keys(), content_type=JSON, again=AGAIN)

    def _keys(self) -> dict[str, str]:
        pair = base64.b64encode(f"{self.public_key}:{self.secret_key}".encode()).decode()
        return {"Authorization": f"Basic {pair}"}

    def _export(self, batch: list[Ended]) -> Receipt:
        assert self._exporter is not None
        return self._exporter.export(len(batch), copies(batch, self.content, self._copy))

    def _export_scores(self, scores: list[Score]) -> Receipt:
        assert self._exporter is not None
        environment = self._environment()
        shown = shown_of(scores, self.content)
        receipt = Receipt(len(scores))
        receipt.took(len(scores) - len(shown))  # those that the policy keeps back are where they should be
        bodies = [score_dialect.langfuse(score, score.comment, environment) for score in shown]
        return self._exporter.post(_SCORES_LANE, bodies, receipt)

    def _copy(self, ended: Ended) -> SpanCopy:
        span, shown = ended.span, seen(ended, self.content)
        parent = self._exported_parent(ended)
        facts = dialect.facts_of(
            self._trace_name(ended, shown), self._environment(), self.release, self.version, parent is None
        )
        own = shown.attributes
        if own and ended.repeats:
            own = demoted(own)
        if ended.step is None:
            made = dialect.render_other(shown.name, span.kind, own, shown.content, facts)
        else:
            made = rendered(ended, shown, lambda step, content: dialect.render(step, content, facts))
            if own:
                own = dialect.beside(own)
        kept = ended.kept_for(self.name)
        if kept is not None:
            made.attributes |= sampling_dialect.langfuse(kept)
        return copy_of(ended, shown, made, self._resource, parent, own, kept)

    def _environment(self) -> str | None:
        return self.environment.lower() if self.environment else None

    def _exported_parent(self, ended: Ended) -> SpanContext | None:
        """The nearest ancestor that goes to this destination too."""
        above = ended.lineage
        while above is not None and (above.remote or above.scope is not None) and not self._place_included(above):
            above = above.parent
        context, parent = ended.span.context, ended.span.parent
        if above is None or context is None:
            return None
        if parent is not None and parent.span_id == above.span_id:
            return parent
        return SpanContext(context.trace_id, above.span_id, is_remote=False, trace_flags=_SAMPLED)

    def _place_included(self, place: Lineage) -> bool:
        if place.remote:
            return self.remote_parents
        return place.scope is None or bool(self._sdk and place.scope == SDK_SCOPE) or self._scope_included(place.scope)

    def _trace_name(self, ended: Ended, shown: Seen) -> str:
        """The name of the top step, unless the SDK's own span above it names the trace."""
        above = ended.lineage if self._sdk else None
        while above is not None:
            if above.scope == SDK_SCOPE:
                return ""
            above = above.parent
        return shown.root_name

    def _scope_included(self, scope: str) -> bool:
        return any(fnmatch.fnmatchcase(scope, pattern) for pattern in self.include)


def _scope_of(span: ReadableSpan) -> str:
    return span.instrumentation_scope.name if span.instrumentation_scope is not None else ""


def keys_in_environment() -> bool:
    """Whether the environment holds a Langfuse key; half a pair counts, so that `configure()` can say so."""
    return any(os.environ.get(name) for name in ("LANGFUSE_PUBLIC_KEY", "LANGFUSE_SECRET_KEY"))


__all__: list[Any] = ["Langfuse", "keys_in_environment"]
