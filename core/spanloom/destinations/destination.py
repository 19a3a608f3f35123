"""What every destination has: a policy, a dialect and an exporter behind a `Delivery`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Protocol

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.trace import SpanContext, Status, StatusCode

from ..content import ContentPolicy
from ..content.plain import clean
from ..content.visible import Visible
from ..dialects import sampling as sampling_dialect
from ..dialects.langfuse import SDKS_OWN
from ..dialects.rendered import STEP_KIND, STEP_OUTCOME, Rendered, known
from ..dialects.sampling import Kept
from ..guard import GUARD
from ..sampling.share import marked
from ..step import Outcome, Step
from ..weave import Ended
from .delivery import Delivery
from .seen import Seen, seen, wait_for_vaults


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
    """What `policy` shows of the span's content."""
    return seen(ended, policy).content


def rendered(ended: Ended, policy: ContentPolicy, render: Callable[[Step, Visible], Rendered]) -> Rendered:
    """`render` over what `policy` shows; where that fails, over structure alone; and a bare span in any case."""
    shown = seen(ended, policy)
    step = shown.step
    assert step is not None
    with suppress(Exception), GUARD.watching("spanloom.destinations.render"):
        return render(step, shown.content)
    with suppress(Exception), GUARD.watching("spanloom.destinations.render"):
        return render(step, Visible())
    bare = {STEP_KIND: step.kind.value, STEP_OUTCOME: step.outcome.value if step.outcome else None}
    return Rendered(shown.name, ended.span.kind, known(bare), error=step.outcome is Outcome.ERROR)


def copy_of(
    ended: Ended,
    shown: Seen,
    rendered: Rendered,
    resource: Resource,
    parent: SpanContext | None,
    own: Mapping[str, Any],
    kept: Kept | None = None,
) -> ReadableSpan:
    """The span as it goes to one destination. `own` are what goes out of the live span's attributes; what Langfuse's
    SDK notes there for itself stays out. `kept` says how the destination's sampling kept it.

    Names and descriptions are made clean text: one that is not would cost the whole batch.
    """
    span = ended.span
    description = shown.status_description
    status = Status(
        StatusCode.ERROR if rendered.error else span.status.status_code,
        clean(description) if description and span.status.status_code is StatusCode.ERROR else None,
    )
    if rendered.error and rendered.status_description:
        status = Status(StatusCode.ERROR, clean(rendered.status_description))
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
            Event(clean(name), attributes, time_ns) for name, time_ns, attributes in (*shown.events, *rendered.events)
        ],
        links=shown.links,
        kind=rendered.kind,
        status=status,
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )


def copies(batch: Sequence[Ended], policy: ContentPolicy, copy: Callable[[Ended], ReadableSpan]) -> list[ReadableSpan]:
    """A copy of each span that can be copied: one that cannot does not take its batch with it."""
    with suppress(Exception), GUARD.watching("spanloom.destinations.vaults"):
        wait_for_vaults(batch, policy)
    out: list[ReadableSpan] = []
    for ended in batch:
        with suppress(Exception), GUARD.watching("spanloom.destinations.copy"):
            out.append(copy(ended))
    return out
