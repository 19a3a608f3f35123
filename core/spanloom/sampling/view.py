"""What a predicate sees of a trace that is to be decided."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from functools import cached_property
from types import MappingProxyType
from typing import Any

from opentelemetry.trace import StatusCode, format_trace_id

from ..dialects.neutral import SPAN
from ..ended import Ended
from ..identity import NOBODY, Identity
from ..scores import Score
from ..step import Kind, Outcome, Step

_CALLS = frozenset({Kind.LLM, Kind.EMBEDDING})


class TraceView:
    """A trace at the moment of its decision, for `always` and `never`: read-only, and without any content.

    `error` tells whether anything in it failed. `complete` is False where it had to be decided before its root ended;
    then the root's name, kind and outcome may be missing. `scores` are those that came before.
    """

    def __init__(
        self,
        trace_id: int,
        root: Ended | None,
        spans: Sequence[Ended],
        *,
        error: bool,
        complete: bool,
        count: int,
        start_ns: int,
        scores: Sequence[Score] = (),
    ) -> None:
        self.trace_id = format_trace_id(trace_id)
        self.error, self.complete = error, complete
        self.scores = tuple(scores)
        self.span_count = count
        self._root, self._spans, self._start_ns = root, spans, start_ns

    def __repr__(self) -> str:
        return f"TraceView({self.name!r}, trace_id={self.trace_id!r})"

    # ---------------------------------------------------------------- the root
    @cached_property
    def name(self) -> str:
        """The framework's name of the root; of another library's root, its span's name: `GET /chat`."""
        if self._root is None:
            return next((e.root_name for e in self._spans if e.root_name), "")
        return name_of(self._root)

    @cached_property
    def kind(self) -> str:
        """The root's `spanloom.step.kind`, or "span" where another library opened it."""
        step = self._root.step if self._root is not None else None
        return step.kind.value if step is not None else SPAN

    @cached_property
    def scope(self) -> str:
        """The instrumentation scope of the root."""
        scope = self._root.span.instrumentation_scope if self._root is not None else None
        return scope.name if scope is not None else ""

    @cached_property
    def attributes(self) -> Mapping[str, Any]:
        """The attributes of the root's live span: `http.route`, `gen_ai.request.model`, the application's own."""
        return MappingProxyType(dict(self._root.span.attributes or {}) if self._root is not None else {})

    @cached_property
    def duration(self) -> float:
        """Seconds from the root's start to its end; until now, where it has not ended."""
        if self._root is not None:
            return seconds_of(self._root)
        return max(0, time.time_ns() - self._start_ns) / 1e9

    @cached_property
    def outcome(self) -> str:
        """The root's `spanloom.step.outcome`: ok, error, cancelled, abandoned, interrupted, handoff, incomplete; empty
        where it has not ended."""
        if self._root is None:
            return ""
        step = self._root.step
        if step is not None and step.outcome is not None:
            return step.outcome.value
        failed = self._root.span.status.status_code is StatusCode.ERROR
        return (Outcome.ERROR if failed else Outcome.OK).value

    # ---------------------------------------------------------------- who
    @cached_property
    def _identity(self) -> Identity:
        """Of the root and of what lies below it: a request's own span begins before anybody says who it is for."""
        identity, seen = NOBODY, None
        for ended in self._spans:
            if ended.identity is not seen:
                seen = ended.identity
                identity = seen.overlaid(identity)
        return identity if self._root is None else identity.overlaid(self._root.identity)

    @property
    def user_id(self) -> str | None:
        return self._identity.user_id

    @property
    def session_id(self) -> str | None:
        return self._identity.session_id

    @property
    def tenant(self) -> str | None:
        return self._identity.tenant

    @property
    def tags(self) -> tuple[str, ...]:
        return self._identity.tags

    @property
    def metadata(self) -> Mapping[str, Any]:
        return MappingProxyType(dict(self._identity.metadata))

    # ---------------------------------------------------------------- what happened
    @cached_property
    def _steps(self) -> list[Step]:
        return [e.step for e in self._spans if e.step is not None]

    @cached_property
    def models(self) -> tuple[str, ...]:
        """The models that were asked and those that answered, each once."""
        calls = [s for s in self._steps if s.kind in _CALLS]
        return tuple(dict.fromkeys(m for s in calls for m in (s.request_model, s.response_model) if m))

    @cached_property
    def tools(self) -> tuple[str, ...]:
        """The tools that were called, each once."""
        return tuple(dict.fromkeys(s.tool_name or s.name for s in self._steps if s.kind is Kind.TOOL))

    @cached_property
    def agents(self) -> tuple[str, ...]:
        """The agents that ran, each once."""
        return tuple(dict.fromkeys(s.agent_name or s.name for s in self._steps if s.kind is Kind.AGENT))

    @cached_property
    def error_types(self) -> tuple[str, ...]:
        """The types of the steps' errors, each once."""
        failed = [s for s in self._steps if s.outcome is Outcome.ERROR]
        return tuple(dict.fromkeys(s.error_type for s in failed if s.error_type))

    @cached_property
    def outcomes(self) -> frozenset[str]:
        """The outcomes of all steps: `"interrupted" in trace.outcomes`."""
        return frozenset(s.outcome.value for s in self._steps if s.outcome is not None)

    @cached_property
    def input_tokens(self) -> int:
        """Of all calls of models; 0 also where none told."""
        return sum(s.usage.input_tokens or 0 for s in self._steps if s.kind in _CALLS and s.usage is not None)

    @cached_property
    def output_tokens(self) -> int:
        """Of all calls of models; 0 also where none told."""
        return sum(s.usage.output_tokens or 0 for s in self._steps if s.kind in _CALLS and s.usage is not None)


def name_of(root: Ended) -> str:
    """The name that a root goes by."""
    return root.root_name or root.step.name if root.step is not None else root.span.name


def seconds_of(ended: Ended) -> float:
    """The span's duration; 0 where the clock went back."""
    start, end = ended.span.start_time or 0, ended.span.end_time or 0
    return max(0, end - start) / 1e9
