"""What every destination has: a policy, a dialect and an exporter behind a `Delivery`."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Protocol

from opentelemetry.sdk.resources import Resource
from opentelemetry.trace import SpanContext, Status, StatusCode

from ..content import ContentPolicy
from ..content.batch import together
from ..content.plain import clean
from ..content.visible import Visible
from ..dialects import sampling as sampling_dialect
from ..dialects.langfuse import SDKS_OWN
from ..dialects.rendered import STEP_KIND, STEP_OUTCOME, Rendered, known, step_name
from ..dialects.sampling import Kept
from ..ended import Ended
from ..guard import GUARD
from ..step import Outcome, Step
from .delivery import Delivery
from .seen import Seen, seen, wait_for_vaults
from .span_copy import EventCopy, SpanCopy

_SLICE_SECONDS = 0.001  # of a worker's time; CPython's own switch interval is 5 ms


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


def rendered(ended: Ended, shown: Seen, render: Callable[[Step, Visible], Rendered]) -> Rendered:
    """`render` over what is shown; where that fails, over structure alone; and a bare span in any case."""
    step = shown.step
    assert step is not None
    try:
        return render(step, shown.content)
    except Exception as error:
        _caught("spanloom.destinations.render", error)
    try:
        return render(step, Visible())
    except Exception as error:
        _caught("spanloom.destinations.render", error)
    bare = {STEP_KIND: step.kind.value, STEP_OUTCOME: step.outcome.value if step.outcome else None}
    return Rendered(shown.name or step_name(step), ended.span.kind, known(bare), error=step.outcome is Outcome.ERROR)


def copy_of(
    ended: Ended,
    shown: Seen,
    rendered: Rendered,
    resource: Resource,
    parent: SpanContext | None,
    own: Mapping[str, Any],
    kept: Kept | None = None,
) -> SpanCopy:
    """The span as it goes to one destination. `own` are what goes out of the live span's attributes; what Langfuse's
    SDK notes there for itself stays out. `kept` says how the destination's sampling kept it.

    Names and descriptions are made clean text: one that is not would cost the whole batch.
    """
    span = ended.span
    context, attributes = span.context, rendered.attributes
    for key in own:
        if key not in attributes and not key.startswith(SDKS_OWN):
            attributes[key] = own[key]
    if kept is not None:
        attributes |= sampling_dialect.attributes(kept)
        if context is not None:
            from ..sampling.share import marked  # noqa: PLC0415  where traces are sampled, which imported it

            context = marked(context, kept.threshold)
    events: Sequence[EventCopy] = ()
    if shown.events or rendered.events:
        events = [EventCopy(clean(name), said, time_ns) for name, time_ns, said in (*shown.events, *rendered.events)]
    return SpanCopy(
        clean(rendered.name),
        context,
        parent,
        rendered.kind,
        attributes,
        events,
        shown.links,
        _status(span.status, shown, rendered),
        span.start_time,
        span.end_time,
        resource,
        span.instrumentation_scope,
    )


def _status(live: Status, shown: Seen, rendered: Rendered) -> Status:
    code = live.status_code
    failed = code is StatusCode.ERROR
    if not (rendered.error or failed):
        return _OK if code is StatusCode.OK else _UNSET
    description = (rendered.error and rendered.status_description) or (failed and shown.status_description)
    return Status(StatusCode.ERROR, clean(description) if description else None)


_OK, _UNSET = Status(StatusCode.OK), Status(StatusCode.UNSET)


def copies(batch: Sequence[Ended], policy: ContentPolicy, copy: Callable[[Ended], SpanCopy]) -> list[Any]:
    """A copy of each span that can be copied: one that cannot does not take its batch with it."""
    if policy.vaults:
        try:
            wait_for_vaults(batch, policy)
        except Exception as error:
            _caught("spanloom.destinations.vaults", error)
    out: list[Any] = []
    give_way = time.monotonic() + _SLICE_SECONDS
    with together():
        for ended in batch:
            try:
                out.append(copy(ended))
            except Exception as error:
                _caught("spanloom.destinations.copy", error)
            if time.monotonic() >= give_way:
                time.sleep(0)  # whoever waits for the interpreter has it now, and not at the end of a switch interval
                give_way = time.monotonic() + _SLICE_SECONDS
    return out


def _caught(where: str, error: Exception) -> None:
    """Count and log it; a strict guard keeps it, and what it raises goes no further: the span goes out in any case."""
    with suppress(Exception):
        GUARD.caught(where, error)
