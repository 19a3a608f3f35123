"""One trace as it is shown: its spans arranged as a tree, and what they add up to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from ..dialects.neutral import SPAN
from ..store import Row


@dataclass(slots=True)
class Node:
    """A span and those below it, by start."""

    row: Row
    children: list[Node] = field(default_factory=list)


def arrange(rows: Sequence[Row]) -> list[Node]:
    """The top spans of the trace. A span whose parent is not in the file (still running, remote) stands at the top."""
    nodes = {row.span_id: Node(row) for row in sorted(rows, key=lambda r: (r.start_ns, -r.end_ns))}
    tops: list[Node] = []
    for node in nodes.values():
        above = nodes.get(node.row.parent_id or "")
        (above.children if above is not None and above is not node else tops).append(node)
    return tops


@dataclass(frozen=True, slots=True)
class Summary:
    """What a trace adds up to; `cost` in US dollars, as far as prices are known.

    `whole` is False where its root is not in the file.
    """

    trace_id: str
    name: str
    outcome: str
    start_ns: int
    end_ns: int
    spans: int
    errors: int
    input_tokens: int | None
    output_tokens: int | None
    cost: Decimal | None
    service: str | None
    whole: bool

    @property
    def duration_ns(self) -> int:
        return self.end_ns - self.start_ns


def summarise(rows: Sequence[Row]) -> Summary:
    """`rows` are the spans of one trace, at least one. An error counts once, where it arose, not at the steps above."""
    tops = arrange(rows)
    steps = [node for node in tops if node.row.kind != SPAN]
    top = min(steps or tops, key=lambda node: (node.row.parent_id is not None, node.row.start_ns)).row
    costs = [Decimal(r.cost) for r in rows if r.cost is not None]
    return Summary(
        trace_id=top.trace_id,
        name=top.name,
        outcome=top.outcome or "",
        start_ns=min(r.start_ns for r in rows),
        end_ns=max(r.end_ns for r in rows),
        spans=len(rows),
        errors=sum(_failed(n) and not any(_failed(c) for c in n.children) for n in _all(tops)),
        input_tokens=_sum(r.input_tokens for r in rows),
        output_tokens=_sum(r.output_tokens for r in rows),
        cost=sum(costs, Decimal(0)) if costs else None,
        service=top.service,
        whole=any(r.parent_id is None for r in rows),
    )


def _failed(node: Node) -> bool:
    return node.row.outcome == "error"


def _all(nodes: Iterable[Node]) -> Iterator[Node]:
    waiting = list(nodes)
    while waiting:
        node = waiting.pop()
        yield node
        waiting += node.children


def _sum(values: Iterable[int | None]) -> int | None:
    known = [v for v in values if v is not None]
    return sum(known) if known else None
