"""Why a trace is kept: the rules of a policy, in their order, with what has been learnt of durations."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry.trace import SpanContext

from .. import chance
from ..dialects.sampling import Kept, Reason
from ..ended import Ended
from ..guard import GUARD
from ..scores import Score
from ..weave import is_top
from . import share
from .buffer import Trace
from .failed import failed
from .policy import Rule, TailSampling, matches
from .view import TraceView, name_of, seconds_of


class Rules:
    """One policy at work. One thread at a time."""

    def __init__(self, policy: TailSampling) -> None:
        self.policy = policy
        self._slow = policy.slow()
        self.asking: int | None = None  # the thread in which a function of the policy's runs
        self._threshold = chance.threshold_of(policy.keep)

    def is_error(self, ended: Ended) -> bool:
        """Whether the span keeps its trace for having failed."""
        return self.policy.errors and failed(ended)

    def learn(self, ended: Ended) -> bool:
        """A span has ended: whether it is a root, and a slow one by what was known before it."""
        return is_top(ended.lineage) and self._slow.learn(name_of(ended), seconds_of(ended))

    def is_low(self, score: Score) -> bool:
        """Whether the score keeps its trace."""
        with GUARD.watching("spanloom.sampling.low_score"), self._ask():
            return self.policy.is_low(score)
        return False

    def reason(self, trace: Trace, *, complete: bool, ask: bool = True) -> Reason | None:
        """Why the trace is kept; None where it is not. The order is part of the contract.

        `complete` says that its root has ended; `ask=False` leaves the predicates out.
        """
        if trace.error:
            return Reason.ERROR
        never, always = (self.policy.never, self.policy.always) if ask and trace.ask else (None, None)
        view = trace.view(complete=complete)
        if never is not None and self._matches("never", never, view):
            trace.never = True
            return None
        if trace.slow or (not complete and self._is_slow_already(trace, view)):
            return Reason.SLOW
        if trace.low:
            return Reason.LOW_SCORE
        if always is not None and self._matches("always", always, view):
            return Reason.ALWAYS
        context = _context_of(trace)
        randomness = share.randomness_of(context) if context is not None else chance.randomness_in(trace.id)
        return Reason.SHARE if randomness >= self._threshold else None

    def kept(self, trace: Trace, reason: Reason) -> Kept:
        """How the trace is kept, samplers before this one included as far as they say."""
        own = self._threshold if reason is Reason.SHARE else 0
        context = _context_of(trace)
        before = share.threshold_in(context.trace_state) if context is not None else 0
        return Kept(share.probability_of(max(own, before)), reason, own)

    def _is_slow_already(self, trace: Trace, view: TraceView) -> bool:
        limit = self._slow.threshold(view.name)
        return limit is not None and trace.start_ns > 0 and (time.time_ns() - trace.start_ns) / 1e9 > limit

    def _matches(self, which: str, rule: Rule, view: TraceView) -> bool:
        with GUARD.watching(f"spanloom.sampling.{which}"), self._ask():
            return matches(rule, view)
        return False

    @contextmanager
    def _ask(self) -> Iterator[None]:
        self.asking = threading.get_ident()
        try:
            yield
        finally:
            self.asking = None


def _context_of(trace: Trace) -> SpanContext | None:
    return trace.some.span.context if trace.some is not None else None
