"""Reading the file."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from . import scores
from .file import StoreError, connect, foreign, is_ours
from .row import COLUMNS, LIGHT, Call, Row


class Reading:
    """One file, for reading; `StoreError` where there is none or it is not Spanloom's. A context manager."""

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.is_file():
            raise StoreError(f"There is no file {path}.")
        # A reader takes part in the WAL's locking, and so writes beside the file. Where it may not, as with a copy in a
        # read-only folder, nobody writes the file either.
        alone = not os.access(path.resolve().parent, os.W_OK) and not Path(f"{path}-wal").exists()
        with self._readable():
            self._db = connect(f"{path.resolve().as_uri()}?{'immutable=1' if alone else 'mode=ro'}", uri=True)
        try:
            with self._readable():
                if not is_ours(self._db, path):
                    raise StoreError(f"{path} is empty: nothing has been traced into it.")
                self._columns = {name for _, name, *_ in self._db.execute("PRAGMA table_info(spans)")}
        except StoreError:
            self._db.close()
            raise

    @contextmanager
    def _readable(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            raise StoreError(f"{self.path} cannot be read: {error}.") from error
        except sqlite3.DatabaseError as error:
            raise StoreError(foreign(self.path)) from error

    def __enter__(self) -> Reading:
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()

    def traces(
        self,
        limit: int,
        *,
        errors: bool = False,
        user: str | None = None,
        session: str | None = None,
        template: str | None = None,
    ) -> list[list[Row]]:
        """The newest traces that have such a span, newest first; of each its spans by start, without their records.

        `template` is how the hash begins of a prompt template that some model call of the trace was made from.
        """
        wanted: list[str] = ["1"]
        values: list[Any] = []
        if errors:
            wanted.append("spans.outcome = 'error'")
        for column, value in (("user_id", user), ("session_id", session)):
            if value is not None:
                wanted.append(f"spans.{column} = ?")
                values.append(value)
        has = f"EXISTS (SELECT 1 FROM spans WHERE spans.trace_id = traces.trace_id AND {' AND '.join(wanted)})"  # noqa: S608  column names are ours
        if template is not None:
            has += (
                " AND EXISTS (SELECT 1 FROM spans WHERE spans.trace_id = traces.trace_id AND spans.kind = 'llm' AND "
                "CASE WHEN json_valid(record) THEN "
                "substr(json_extract(record, '$.content.template_hash'), 1, ?) = ? END)"
            )
            values += [len(template), template.lower()]
        found = self._all(
            f"SELECT trace_id FROM traces WHERE {has} ORDER BY start_ns DESC, trace_id LIMIT ?",  # noqa: S608
            (*values, limit),
        )
        return [self._spans(trace_id, LIGHT) for (trace_id,) in found]

    def find(self, prefix: str = "", limit: int = 10) -> list[str]:
        """The ids of the newest traces that begin with `prefix`, newest first."""
        found = self._all(
            "SELECT trace_id FROM traces WHERE substr(trace_id, 1, ?) = ? ORDER BY start_ns DESC, trace_id LIMIT ?",
            (len(prefix), prefix.lower(), limit),
        )
        return [trace_id for (trace_id,) in found]

    def spans(self, trace_id: str) -> list[Row]:
        """The spans of one trace by start, with their records."""
        return self._spans(trace_id, COLUMNS)

    def scores(self, trace_id: str) -> list[dict[str, Any]]:
        """The scores of one trace, in the order they were given: `{id, trace_id, name, value, data_type, time_ns}`, and
        `span_id` and `comment` where there are any."""
        with self._readable():
            return scores.of_trace(self._db, trace_id) if scores.has_table(self._db) else []

    def calls(self, since_ns: int = 0) -> Iterator[Call]:
        """The calls of models (LLM and embedding steps) that began at `since_ns` or later, in no order."""
        cursor = self._all(
            f"SELECT start_ns, {self._column('model')}, {self._column('cost')}, input_tokens, output_tokens, user_id, "  # noqa: S608
            "CASE WHEN json_valid(record) THEN json_extract(record, '$.identity') END "
            "FROM spans WHERE kind IN ('llm', 'embedding') AND start_ns >= ?",
            (since_ns,),
        )
        for start_ns, model, cost, read, written, user, identity in cursor:
            yield Call(start_ns, model, cost, read, written, user, json.loads(identity) if identity else {})

    def _column(self, name: str) -> str:
        """`name` as it is selected: nothing, from a file that was written before there was such a column."""
        return name if name in self._columns else f"NULL AS {name}"

    def _all(self, query: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        with self._readable():
            return self._db.execute(query, values).fetchall()

    def _spans(self, trace_id: str, columns: Sequence[str]) -> list[Row]:
        found = self._all(
            f"SELECT {', '.join(map(self._column, columns))} FROM spans WHERE trace_id = ? ORDER BY start_ns, rowid",  # noqa: S608
            (trace_id,),
        )
        out = []
        for values in found:
            fields = dict(zip(columns, values, strict=True))
            if "record" in fields:
                fields["record"] = _record(fields["record"])
            out.append(Row(**fields))
        return out


def _record(text: str) -> dict[str, Any]:
    """A record that was damaged, or written by hand, costs itself alone."""
    try:
        record = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return record if isinstance(record, dict) else {}
