"""A SQLite file: the embedded default, which `spanloom traces` and `spanloom show` read."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Unpack

from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.trace import StatusCode, format_span_id, format_trace_id

from ..content import ContentPolicy
from ..content.plain import clean
from ..content.visible import Visible
from ..dialects import neutral
from ..dialects import sampling as sampling_dialect
from ..dialects import scores as score_dialect
from ..ended import Ended
from ..errors import ConfigurationError, is_number
from ..guard import GUARD, warn_once
from ..scores import Score
from ..step import Kind
from ..store import Row, Store, StoreError
from .delivery import Delivery
from .queued import Queued, QueueOptions
from .seen import seen, shown_of, wait_for_vaults

MAX_TRACES = 5_000
MAX_MEGABYTES = 512
_LATEST_NS = 2**63 - 1


class Local(Queued):
    """Keep traces in a SQLite file, steps and the spans of other libraries alike.

    `path` is the file; it is made where there is none, readable by its owner alone, since it holds prompts and answers
    unless `content` says otherwise. Several processes may write the same file.

    The file stays bounded: beyond `max_traces` traces, or `max_megabytes` of data, the traces that ended longest ago
    are deleted as new ones come in.
    """

    takes = QueueOptions

    def __init__(
        self,
        path: str | Path = "spanloom.db",
        *,
        max_traces: int = MAX_TRACES,
        max_megabytes: float = MAX_MEGABYTES,
        **options: Unpack[QueueOptions],
    ) -> None:
        super().__init__(options, name="local", content=ContentPolicy.full())
        # the application may change its working directory
        self.path = Path(path).expanduser().absolute() if isinstance(path, (str, os.PathLike)) else path
        self.max_traces, self.max_megabytes = max_traces, max_megabytes
        self._store: Store | None = None
        self._service: str | None = None

    def __repr__(self) -> str:
        return f"Local({str(self.path)!r})"

    def open(self, resource: Resource, tick: Callable[[], object]) -> Delivery:
        self.check_options()
        if not isinstance(self.path, Path):
            raise ConfigurationError(f'Local(path={self.path!r}) is no path: write path="spanloom.db".')
        if not (is_number(self.max_traces) and self.max_traces >= 1):
            raise ConfigurationError(
                f"Local(max_traces={self.max_traces!r}) keeps nothing: write a number above 0, at least 1."
            )
        if not (is_number(self.max_megabytes) and self.max_megabytes > 0):
            raise ConfigurationError(
                f"Local(max_megabytes={self.max_megabytes!r}) keeps nothing: write a number above 0."
            )
        try:
            self._store = Store(
                self.path, max_traces=int(self.max_traces), max_bytes=int(self.max_megabytes * 1_000_000)
            )
        except StoreError as error:
            raise ConfigurationError(f"Local(path=…): {error}") from error
        self._service = str(resource.attributes.get(SERVICE_NAME, "")) or None
        return self.queue(self._export, tick, export_scores=self._export_scores)

    def close(self) -> None:
        pass  # the file is open only while it is written

    # ---------------------------------------------------------------- the worker's side
    def _export(self, batch: list[Ended]) -> int:
        assert self._store is not None
        with GUARD.watching("spanloom.destinations.vaults"):
            wait_for_vaults(batch, self.content)
        rows: list[Row] = []
        for ended in batch:
            with GUARD.watching("spanloom.destinations.local.row"):
                rows.append(self._row(ended))
        try:
            self._store.write(rows)
        except StoreError as error:  # a full disk, a file taken away: the delivery counts what was lost
            warn_once(f"local:{self.path}", "spanloom: %s Its spans are lost, and counted as failed.", error)
            return 0
        return len(rows)

    def _export_scores(self, scores: list[Score]) -> int:
        assert self._store is not None
        try:
            self._store.write_scores([score_dialect.neutral(s, s.comment) for s in shown_of(scores, self.content)])
        except StoreError as error:
            warn_once(f"local:{self.path}:scores", "spanloom: %s Its scores are lost, and counted as failed.", error)
            return 0
        return len(scores)

    def _row(self, ended: Ended) -> Row:
        span = ended.span
        assert span.context is not None
        record = {**self._record(ended), **sampling_dialect.neutral(ended.kept_for(self.name))}
        usage, error, who = record.get("usage", {}), record.get("error", {}), record.get("identity", {})
        counted = ended.step is not None and ended.step.kind in (Kind.LLM, Kind.EMBEDDING)
        start = _time(span.start_time)
        return Row(
            trace_id=format_trace_id(span.context.trace_id),
            span_id=format_span_id(span.context.span_id),
            parent_id=format_span_id(span.parent.span_id) if span.parent is not None else None,
            name=record["name"],
            kind=record["kind"],
            outcome=record.get("outcome"),
            start_ns=start,
            end_ns=_time(span.end_time) or start,
            input_tokens=_count(usage.get("input_tokens")),
            output_tokens=_count(usage.get("output_tokens")),
            error_type=error.get("type"),
            error_message=error.get("message"),
            service=self._service,
            user_id=_text(who.get("user")),
            session_id=_text(who.get("session")),
            model=_text(record.get("response_model") or record.get("request_model")) if counted else None,
            cost=record.get("cost", {}).get("total"),
            record=record,
        )

    def _record(self, ended: Ended) -> neutral.Record:
        span, shown = ended.span, seen(ended, self.content)
        step = shown.step
        if step is None:
            failed = span.status.status_code is StatusCode.ERROR
            return neutral.render_other(
                shown.name,
                span.instrumentation_scope.name if span.instrumentation_scope is not None else "",
                shown.content,
                role=span.kind.name.lower(),
                attributes=shown.attributes,
                events=shown.events,
                links=shown.links,
                error=(shown.status_description or "") if failed else None,
            )
        with GUARD.watching("spanloom.destinations.render"):
            return neutral.render(
                step,
                shown.content,
                shown.attributes,
                events=shown.events,
                links=shown.links,
                status=shown.status_description,
            )
        return neutral.render(step, Visible(identity=shown.content.identity))


def _count(value: Any) -> int | None:
    """A count that a 64-bit column takes: a larger one is no count of tokens, and stands in the record as text."""
    return value if isinstance(value, int) else None


def _time(ns: Any) -> int:
    """A time as a 64-bit column takes it: other libraries' spans tell theirs themselves, in whatever unit."""
    return min(max(0, int(ns or 0)), _LATEST_NS)


def _text(value: Any) -> str | None:
    return None if value is None else clean(str(value))


__all__ = ["Local"]
