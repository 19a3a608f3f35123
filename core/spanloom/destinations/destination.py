"""What every destination has: a policy, a dialect and an exporter behind a `Delivery`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Protocol

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.trace import SpanContext, Status, StatusCode

from ..content import ContentPolicy
from ..content.plain import clean
from ..content.read import metadata, read
from ..content.visible import Visible
from ..dialects.langfuse import SDKS_OWN
from ..dialects.rendered import STEP_KIND, STEP_OUTCOME, Rendered, known
from ..guard import GUARD
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
    span: ReadableSpan, rendered: Rendered, resource: Resource, parent: SpanContext | None, own: dict[str, Any]
) -> ReadableSpan:
    """The span as it goes to one destination. `own` are attributes that the application set on the live span; what
    Langfuse's SDK notes there for itself stays out.

    Names and descriptions are made clean text: one that is not would cost the whole batch.
    """
    status = Status(StatusCode.ERROR, rendered.status_description) if rendered.error else span.status
    if status.description:
        status = Status(status.status_code, clean(status.description))
    return ReadableSpan(
        name=clean(rendered.name),
        context=span.context,
        parent=parent,
        resource=resource,
        attributes={**{k: v for k, v in own.items() if not k.startswith(SDKS_OWN)}, **rendered.attributes},
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
