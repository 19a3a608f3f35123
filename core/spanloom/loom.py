"""The handle to a running configuration: flush, shut down, count, score."""

from __future__ import annotations

import threading
import time
import warnings
from collections.abc import Sequence
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from opentelemetry import trace
from opentelemetry.metrics import MeterProvider
from opentelemetry.sdk.trace import TracerProvider

from . import scores
from .content.plain import clean
from .destinations.delivery import Delivery
from .guard import GUARD, log
from .identity import current_identity
from .metrics import Metrics
from .prices import PriceList
from .recorder import Recorder
from .repeats import SentPrompts
from .routing import NOWHERE, Route
from .weave import Weave

if TYPE_CHECKING:
    from .content.keeping import Keeper
    from .destinations.destination import Destination
    from .sampling import Tail, TailSampling

_LONGEST_SECONDS = 10 * 365 * 86_400.0  # what no lock waits longer for: `float("inf")` is a fair wish


class Loom:
    """The handle that `configure()` returns; also a context manager that shuts down at the end of its block."""

    def __init__(
        self,
        provider: TracerProvider,
        weave: Weave,
        recorder: Recorder,
        destinations: Sequence[tuple[Destination, Delivery]],
        prices: PriceList,
        version: str,
        meter_provider: MeterProvider | None = None,
    ) -> None:
        self._provider, self._weave, self._destinations = provider, weave, tuple(destinations)
        self._tails = _tails(self._destinations, weave)
        self.recorder, self.prices = recorder, prices
        self._vaults = vaults_of([destination for destination, _ in self._destinations])
        self.prompts = SentPrompts()
        self.metrics = Metrics(meter_provider, version, prices, self.stats)
        self.prompts.on_repeated = self.metrics.repeated
        self._lock = threading.RLock()  # a signal may come in between, and its handler shut down too
        self._down = False

    @property
    def tracer_provider(self) -> TracerProvider:
        """The OpenTelemetry SDK provider that the spans are made by."""
        return self._provider

    def flush(self, timeout: float = 5.0) -> bool:
        """Send what has ended so far. True where all that ended since the last flush arrived in `timeout` seconds.

        What tail sampling has yet to decide (a trace whose root is open) goes on waiting: the answer is not about it.
        """
        deadline = time.monotonic() + min(timeout, _LONGEST_SECONDS)
        self.recorder.evict()
        decided = [tail.flush(max(0.0, deadline - time.monotonic())) for tail in self._tails]
        self._wake()
        done = []
        for destination, delivery in self._destinations:
            arrived = False
            with GUARD.watching(f"spanloom.destinations.{destination.name}.flush"):
                arrived = delivery.flush(max(0.0, deadline - time.monotonic()))
            done.append(arrived)
        self.metrics.delivery.flush(max(0.0, deadline - time.monotonic()))
        return all(decided) and all(done)

    def shutdown(self, timeout: float = 5.0) -> bool:
        """End open steps as `incomplete`, send what is queued, and stop; at most about `timeout` seconds.

        True where everything was delivered. A second call does nothing. The provider is left as it was; its own
        `shutdown()` does this too.
        """
        timeout = min(timeout, _LONGEST_SECONDS)
        with self._lock:
            if self._down:
                return True
            self._down = True
        self.recorder.end_all()
        if self._weave.sinks == self._sinks():
            self._weave.sinks, self._weave.flush, self._weave.stop, self._weave.beside = (), None, None, None
        deadline = time.monotonic() + timeout
        done = []
        for tail in self._tails:
            with GUARD.watching("spanloom.sampling.stop"):
                done.append(tail.stop(max(0.0, deadline - time.monotonic())))
        self._wake()
        for destination, delivery in self._destinations:
            arrived = False
            with GUARD.watching(f"spanloom.destinations.{destination.name}.stop"):
                arrived = delivery.stop(max(0.0, deadline - time.monotonic()))
            done.append(arrived)
            with GUARD.watching(f"spanloom.destinations.{destination.name}.close"):
                destination.close()
        for vault in self._vaults:
            with GUARD.watching("spanloom.vault.close"):
                vault.close(max(0.0, deadline - time.monotonic()))
        self.metrics.delivery.stop(max(0.0, deadline - time.monotonic()))
        return all(done)

    def after_fork(self) -> None:
        """In a forked child: whatever lock another thread of the parent held, nobody will let go of."""
        from .content.failures import content_after_fork  # noqa: PLC0415  the policies have imported it

        self._lock = threading.RLock()
        self.recorder.after_fork()
        self._weave.after_fork()
        self._weave.routes.after_fork()
        content_after_fork()
        self.prices.after_fork()
        self.prompts.after_fork()
        for tail in self._tails:
            tail.after_fork()

    def _replaced(self) -> None:
        warnings.warn(
            "spanloom.configure() was called again: the first configuration is shut down and replaced.",
            RuntimeWarning,
            stacklevel=3,
        )
        self.shutdown()

    def _wake(self) -> None:
        """All destinations at once: one that hangs must not use up the time of the next."""
        for destination, delivery in self._destinations:
            with GUARD.watching(f"spanloom.destinations.{destination.name}.wake"):
                delivery.wake()
        self.metrics.delivery.wake()

    def stats(self) -> dict[str, Any]:
        """Counts since the start.

        `{"steps": {opened, open, evicted, repeated}, "destinations": {name: {offered, queued, exported, dropped,
        failed, reasons}}, "cost": {priced, unknown, without_usage}, "prompts": {repeated}, "content": {failed: {action:
        times}}, "swallowed": {where: times}}`, and where there are such, `"vaults": {name: …}` and `"routes":
        {unroutable, failed}`. `cost` counts the calls of models whose cost is known (an answer from a cache costs
        nothing), whose model has no price, and whose provider told no tokens; `prompts` those whose prompt was sent
        before, in their trace or within a minute; `content` what was dropped since the action that was to decide on it
        raised.

        For each destination, offered = exported + dropped + failed + queued; `reasons` says why spans and scores were
        dropped or failed: `{reason: how many}`. One with a spool has `"spool": {waiting, bytes, recovered, lost,
        in_memory, set_aside}` too: see docs/delivery.md.

        A destination with `sampling` counts beside these what its traces' decision left out (`sampled_out`), and what
        waits for it (`waiting`): offered = exported + dropped + failed + queued + sampled_out + waiting. `"sampling"`
        has for each of them its traces: `{name: {kept: {reason: traces}, dropped, early, late_spans}}`.
        """
        from .content.failures import FAILURES  # noqa: PLC0415  the policies have imported it

        counts = {delivery.name: delivery.counts() for _, delivery in self._destinations}
        for tail in self._tails:
            counts |= tail.counts()
        return {
            "steps": {
                "opened": self.recorder.opened,
                "open": len(self.recorder),
                "evicted": self.recorder.evicted,
                "repeated": self.recorder.repeated,
            },
            "destinations": counts,
            "cost": self.prices.counts(),
            "content": {"failed": dict(FAILURES.counts)},
            **({"vaults": {v.name: v.counts() for v in self._vaults}} if self._vaults else {}),
            **({"routes": self._weave.routes.counts()} if self._weave.routes else {}),
            "prompts": {"repeated": self.prompts.repeated},
            "swallowed": dict(GUARD.swallowed),
            **({"sampling": {q.name: t.decisions() for t in self._tails for q in t.queues}} if self._tails else {}),
        }

    def score(
        self,
        name: str,
        value: float | bool | str,
        *,
        step: Any = None,
        trace_id: str | None = None,
        span_id: str | None = None,
        comment: str | None = None,
        data_type: str | None = None,
        id: str | None = None,
    ) -> str | None:
        """Say how good a trace, or one step of it, was. Returns the score's id; None where nothing is sent.

        `value` is a number, a bool or a text; `data_type` (NUMERIC, BOOLEAN, CATEGORICAL) follows from it. `step` is
        what `spanloom.current_step()` gives, or a span; or give the ids in hexadecimal, `trace_id` and `span_id`, or
        `trace_id` alone for the whole trace; without any, the current step is meant. `comment` is content: each
        destination's policy decides on it. A score with the `id` of another replaces it.

        It goes through the queues of the destinations that take scores (Langfuse, Local, Phoenix), and out as the event
        `gen_ai.evaluation.result`. It never blocks and never raises: a score that cannot be is logged. Scores of a
        trace that is not sampled are not sent; where a destination has `sampling`, they go where its trace goes.
        """
        with GUARD.watching("spanloom.score"):
            try:
                return self._score(name, value, step, trace_id, span_id, comment, data_type, id)
            except scores.ScoreError as error:
                log.warning("spanloom: no score was sent: %s", error)
        return None

    def _score(
        self, name: Any, value: Any, step: Any, trace_id: Any, span_id: Any, comment: Any, data_type: Any, id: Any
    ) -> str | None:
        if step is None and trace_id is None:
            step = self.current_step()
        target = scores.target_of(step, trace_id, span_id)
        from . import evaluation  # noqa: PLC0415  brings OpenTelemetry's logs: only where there are scores

        value = clean(value) if isinstance(value, str) else value
        comment, id = (None if text is None else clean(str(text)) for text in (comment, id))
        score = scores.score_of(clean(name) if isinstance(name, str) else name, value, target, comment, data_type, id)
        if self._down or not getattr(step, "sampled", True) or not self.recorder.recent.is_sampled(int(target[0], 16)):
            return None
        if self._weave.routes:
            score = replace(score, route=self._route_of(score))
        for sink in self._sinks():
            sink.put_score(score)
        open_step = self._weave.enclosing(int(score.span_id, 16)) if score.span_id is not None else None
        evaluation.emit(score, open_step.step.span if open_step is not None else None)
        return score.id

    def _route_of(self, score: scores.Score) -> Route:
        """Where the score goes: by its step, its trace, or else by who is current."""
        routes = self._weave.routes
        open_step = self._weave.enclosing(int(score.span_id, 16)) if score.span_id is not None else None
        if open_step is not None:
            route = open_step.step.route
        else:
            known = routes.of_trace(int(score.trace_id, 16))  # a trace that goes nowhere is not the caller's own
            route = (routes.of_span(current_identity()) or NOWHERE) if known is None else known
        routes.count(route)
        return route

    def current_step(self) -> scores.StepHandle | None:
        """The step that the caller is inside of; None outside of any."""
        ids = trace.get_current_span().get_span_context()
        if not ids.is_valid:
            return None
        trace_id, span_id = trace.format_trace_id(ids.trace_id), trace.format_span_id(ids.span_id)
        if not self.recorder.recent.is_sampled(ids.trace_id):
            return scores.StepHandle(trace_id, span_id, sampled=False)
        enclosing = self._weave.enclosing(ids.span_id)
        if enclosing is None:
            return None
        step = enclosing.step
        return scores.StepHandle(trace_id, trace.format_span_id(step.span_id), step.name)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.shutdown()

    def _beside(self, processors: Sequence[Any]) -> None:
        """Tell the destinations that ask which other processors see the same spans."""
        for destination, _ in self._destinations:
            if (told := getattr(destination, "beside", None)) is not None:
                with GUARD.watching(f"spanloom.destinations.{destination.name}.beside"):
                    told(processors)

    def _sinks(self) -> tuple[Delivery | Tail, ...]:
        """What takes ended spans and scores: the destinations' queues, or the tail samplers in front of them."""
        sampled = {queue.name for tail in self._tails for queue in tail.queues}
        return (*(delivery for _, delivery in self._destinations if delivery.name not in sampled), *self._tails)


def vaults_of(destinations: Sequence[Destination]) -> tuple[Keeper, ...]:
    """The vaults that the destinations' policies send content to, each once."""
    from .content import ContentPolicy  # noqa: PLC0415  when it is asked, the destinations have imported it

    policies = (getattr(destination, "content", None) for destination in destinations)
    known = (policy for policy in policies if isinstance(policy, ContentPolicy))  # others are refused when it opens
    return tuple(dict.fromkeys(vault for policy in known for vault in policy.vaults))


def _tails(destinations: Sequence[tuple[Destination, Delivery]], weave: Weave) -> tuple[Tail, ...]:
    """One for all destinations of equal policies, so that they agree whatever happens."""
    sampled = [(policy, d) for one, d in destinations if (policy := getattr(one, "sampling", None)) is not None]
    if not sampled:
        return ()
    from .sampling import Tail, TailSampling  # noqa: PLC0415  most configurations have no tail sampling

    groups: list[tuple[TailSampling, list[Delivery]]] = []
    for policy, delivery in sampled:
        if not isinstance(policy, TailSampling):
            continue
        for known, deliveries in groups:
            if known == policy:
                deliveries.append(delivery)
                break
        else:
            groups.append((policy, [delivery]))
    return tuple(Tail(policy, deliveries, weave.is_open) for policy, deliveries in groups)
