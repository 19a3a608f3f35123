"""What every destination has: a policy, a dialect and an exporter behind a `Delivery`."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Protocol

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import SpanContext, Status, StatusCode

from ..content import ContentPolicy
from ..content.plain import clean
from ..content.read import metadata, read
from ..content.visible import Visible
from ..dialects import sampling as sampling_dialect
from ..dialects.langfuse import SDKS_OWN
from ..dialects.rendered import STEP_KIND, STEP_OUTCOME, Rendered, known
from ..dialects.sampling import Kept
from ..guard import GUARD, log
from ..sampling.share import marked
from ..step import Outcome, Step
from ..weave import Ended
from .delivery import Delivery


class Destination(Protocol):
    """What `configure()` takes: somewhere that traces go."""

    name: str

    def open(self, resource: Resource, tick: Callable[[], object]) -> Delivery:
        """Check the settings, raise `ConfigurationError` where they cannot work, and return a running queue.

        `resource` describes the service; `tick` is to be called now and then by the queue's thread.
        """
        ...

    def close(self) -> None:
        """Let go of connections and files. Called once, after the queue has stopped."""
        ...


# ---------------------------------------------------------------- on the worker
def visible(ended: Ended, policy: ContentPolicy) -> Visible:
    """What `policy` shows of the step's content, which is read once for all destinations."""
    step = ended.step
    if step is None:
        return policy.apply(Visible(identity=ended.identity, metadata=metadata(ended.identity.metadata)))
    with ended.reading:
        if ended.content is None:
            ended.content = read(step.content, step.identity, step.tool_description)
    return policy.apply(ended.content)


def rendered(ended: Ended, step: Step, policy: ContentPolicy, render: Callable[[Visible], Rendered]) -> Rendered:
    """`render` over what `policy` shows; where that fails, over structure alone; and a bare span in any case."""
    with suppress(Exception), GUARD.watching("spanloom.destinations.render"):
        return render(visible(ended, policy))
    with suppress(Exception), GUARD.watching("spanloom.destinations.render"):
        return render(Visible())
    bare = {STEP_KIND: step.kind.value, STEP_OUTCOME: step.outcome.value if step.outcome else None}
    return Rendered(ended.span.name, ended.span.kind, known(bare), error=step.outcome is Outcome.ERROR)


def copy_of(
    span: ReadableSpan,
    rendered: Rendered,
    resource: Resource,
    parent: SpanContext | None,
    own: dict[str, Any],
    kept: Kept | None = None,
) -> ReadableSpan:
    """The span as it goes to one destination. `own` are attributes that the application set on the live span; what
    Langfuse's SDK notes there for itself stays out. `kept` says how the destination's sampling kept it.

    Names and descriptions are made clean text: one that is not would cost the whole batch.
    """
    status = Status(StatusCode.ERROR, rendered.status_description) if rendered.error else span.status
    if status.description:
        status = Status(status.status_code, clean(status.description))
    return ReadableSpan(
        name=clean(rendered.name),
        context=span.context if kept is None or span.context is None else marked(span.context, kept.threshold),
        parent=parent,
        resource=resource,
        attributes={
            **{k: v for k, v in own.items() if not k.startswith(SDKS_OWN)},
            **rendered.attributes,
            **sampling_dialect.attributes(kept),
        },
        events=[
            *(Event(clean(e.name), e.attributes, e.timestamp) for e in span.events),
            *(Event(clean(name), attributes, time_ns) for name, time_ns, attributes in rendered.events),
        ],
        links=span.links,
        kind=rendered.kind,
        status=status,
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )


def copies(batch: Sequence[Ended], copy: Callable[[Ended], ReadableSpan]) -> list[ReadableSpan]:
    """A copy of each span that can be copied: one that cannot does not take its batch with it."""
    out: list[ReadableSpan] = []
    for ended in batch:
        with suppress(Exception), GUARD.watching("spanloom.destinations.copy"):
            out.append(copy(ended))
    return out


class Exporter:
    """One of OpenTelemetry's exporters, made at its first use and anew in a forked child.

    A connection cannot be shared between processes, and gRPC does not survive a fork at all once it has begun.
    """

    def __init__(self, make: Callable[[], SpanExporter]) -> None:
        self._make = make
        self._made: tuple[int, SpanExporter] | None = None
        self._closed = False

    def export(self, spans: Sequence[ReadableSpan]) -> int:
        """How many of `spans` were delivered: all or none."""
        if not spans or self._closed:
            return 0
        if self._made is None or self._made[0] != os.getpid():
            self._made = os.getpid(), self._make()
        try:
            return len(spans) if self._made[1].export(spans) is SpanExportResult.SUCCESS else 0
        except Exception as error:  # some versions raise where no connection can be had: the receiver's trouble
            log.warning("spanloom: an export failed (%s); its %d spans are counted", type(error).__name__, len(spans))
            return 0

    def close(self) -> None:
        self._closed = True
        if self._made is not None and self._made[0] == os.getpid():
            self._made[1].shutdown()
