"""What every destination has: a policy, a dialect and an exporter behind a `Delivery`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import SpanContext, Status, StatusCode

from ..content import ContentPolicy
from ..content.read import read
from ..content.visible import Visible
from ..dialects.rendered import Rendered
from ..guard import GUARD
from ..step import Step
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


def visible(ended: Ended, policy: ContentPolicy) -> Visible:
    """What `policy` shows of the step's content, which is read once for all destinations."""
    step = ended.step
    if step is None:
        return policy.apply(Visible(identity=ended.identity))
    if ended.content is None:
        ended.content = read(step.content, step.identity, step.tool_description)
    return policy.apply(ended.content)


def rendered_safely(step: Step, seen: Visible, render: Callable[[Visible], Rendered]) -> Rendered:
    """`render` over what is visible; over structure alone where that fails, so that the span goes out in any case."""
    with GUARD.watching("spanloom.destinations.render"):
        return render(seen)
    return render(Visible(identity=seen.identity))


def copy_of(
    span: ReadableSpan, rendered: Rendered, resource: Resource, parent: SpanContext | None, own: dict[str, Any]
) -> ReadableSpan:
    """The span as it goes to one destination. `own` are attributes that the application set on the live span."""
    return ReadableSpan(
        name=rendered.name,
        context=span.context,
        parent=parent,
        resource=resource,
        attributes={**own, **rendered.attributes},
        events=[*span.events, *(Event(name, attributes, time_ns) for name, time_ns, attributes in rendered.events)],
        links=span.links,
        kind=rendered.kind,
        status=Status(StatusCode.ERROR, rendered.status_description) if rendered.error else span.status,
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )


def export_with(exporter: SpanExporter, spans: Sequence[ReadableSpan]) -> int:
    """How many of `spans` the exporter delivered: all or none."""
    if not spans:
        return 0
    return len(spans) if exporter.export(spans) is SpanExportResult.SUCCESS else 0
