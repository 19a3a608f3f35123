"""`spanloom show`: a trace as a tree, with a bar for where in the trace each span ran."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from ..dialects.neutral import SPAN
from ..store import Reading, Row
from . import words
from .content import blocks
from .listing import outcome
from .scores import print_scores
from .trace import Node, Summary, arrange, summarise

_STYLES = {
    "agent": "green",
    "workflow": "green",
    "chain": "cyan",
    "llm": "magenta",
    "embedding": "magenta",
    "retriever": "bright_blue",
    "reranker": "bright_blue",
    "tool": "yellow",
}
LLM = "llm"
TEMPLATE_ID = 8
"""How many hexadecimal digits of a template's hash are shown."""

_DURATION = 9  # columns
_GAP = 2
_TEXT = 30  # columns that text gets at least
_LINES = 24  # of one text
_LINES_PASSED_ON = 4  # of what a step with others below it was given and gave: those show it again


@dataclass(frozen=True, slots=True)
class Glyphs:
    """What trees and bars are drawn with."""

    branch: str = "├ "
    last: str = "└ "
    through: str = "│ "
    full: str = "━"
    left: str = "╸"
    right: str = "╺"
    arrow: str = "→"
    dot: str = " · "
    cross: str = "✗"
    ellipsis: str = "…"
    times: str = "×"


_ASCII = Glyphs("|-", "`-", "| ", "=", "-", "-", "->", ", ", "x", "~", "x")


def print_trace(rows: Sequence[Row], console: Console, *, content: bool = False, full: bool = False) -> None:
    """The trace whose spans are `rows` (at least one, with their records).

    `content` shows prompts and answers too, the long ones cut; `full` shows all of them.
    """
    _Drawing(summarise(rows), console, content or full, full).draw(arrange(rows))


def print_newest(path: str | Path, traces: int = 1, *, content: bool = False) -> None:
    """Print the newest `traces` traces of the file, the oldest of them first. `StoreError` where there is no file."""
    console = Console(highlight=False)
    with Reading(Path(path)) as reading:
        for trace_id in reversed(reading.find(limit=traces)):
            console.print()
            rows = reading.spans(trace_id)
            print_trace(rows, console, content=content)
            print_scores(reading.scores(trace_id), rows, console, content=content)


class _Drawing:
    def __init__(self, trace: Summary, console: Console, content: bool, full: bool) -> None:
        self.trace, self.console, self.content, self.full = trace, console, content, full
        self.glyphs = Glyphs() if console.encoding.startswith("utf") else _ASCII
        self.width = console.width
        self.bar = max(10, min(40, (self.width - 20) // 3))
        self.label = 0
        self.prompts: Counter[str | None] = Counter()

    def draw(self, tops: Sequence[Node]) -> None:
        lines = list(self._walk(tops))
        self.prompts = _prompts(node.row for node, _, _ in lines)
        room = max(8, self.width - _DURATION - self.bar - _GAP)
        widest = max(
            cell_len(head) + cell_len(_kind(node.row)) + 3 + cell_len(node.row.name) for node, head, _ in lines
        )
        self.label = min(room, widest)
        for line in self._header(tops):
            self._wrapped("", line)
        for node, head, below in lines:
            self._print(self._line(node.row, head))
            self._facts(below, node.row)
            for detail in self._troubles(node):
                self._wrapped(below, detail)
            if self.content:
                for name, text in blocks(node.row.record or {}):
                    passed_on = node.children and name in ("input", "output")
                    self._block(below, name, text, _LINES_PASSED_ON if passed_on else _LINES)

    def _walk(self, tops: Sequence[Node]) -> Iterator[tuple[Node, str, str]]:
        """Each node with the guides before its line and before the lines below it. No recursion: traces get deep."""
        g = self.glyphs
        waiting = [(node, "", "") for node in reversed(tops)]
        while waiting:
            node, head, under = waiting.pop()
            yield node, head, under + (g.through if node.children else "  ")
            for i, child in enumerate(reversed(node.children)):
                last = i == 0
                waiting.append((child, under + (g.last if last else g.branch), under + ("  " if last else g.through)))

    def _header(self, tops: Sequence[Node]) -> list[Text]:
        trace, dot = self.trace, self.glyphs.dot
        title = Text.assemble(("Trace ", "bold"), (trace.trace_id, "cyan"))
        facts = [
            words.started(trace.start_ns),
            words.duration(trace.duration_ns),
            words.count(trace.spans, "span"),
        ]
        if said := words.tokens(trace.input_tokens, trace.output_tokens, self.glyphs.arrow):
            facts.append(f"{said} tokens")
        if trace.cost is not None:
            facts.append(words.dollars(trace.cost))
        who = (tops[0].row.record or {}).get("identity", {})
        about = [trace.service] + [f"{k} {who[k]}" for k in ("user", "session", "tenant") if who.get(k)]
        about += [f"#{tag}" for tag in who.get("tags", ())]
        about += [f"{key}={value}" for key, value in who.get("metadata", {}).items()]
        lines = [title, Text(dot.join(facts) + dot).append_text(outcome(trace))]
        if any(about):
            lines.append(Text(words.one_line(dot.join(a for a in about if a)), style="dim"))
        if not trace.whole:
            lines.append(Text("Its root is not in this file: it still runs, or runs in another process.", "yellow"))
        return [*lines, Text()]

    def _line(self, row: Row, head: str) -> Text:
        other, failed = row.kind == SPAN, row.outcome == "error"
        style = "dim" if other else _STYLES.get(row.kind, "")
        label = _guides(head)
        label.append(_kind(row), style=style)
        label.append(" ")
        if failed:
            label.append(f"{self.glyphs.cross} ", style="bold red")
        label.append(words.one_line(row.name), style="red" if failed else "dim" if other else "bold")
        if label.cell_len > self.label:
            label.truncate(self.label - cell_len(self.glyphs.ellipsis))
            label.append(self.glyphs.ellipsis)
        label.pad_right(self.label - label.cell_len)
        label.append(f"{words.duration(row.duration_ns):>{_DURATION}}", style="dim" if other else "")
        label.append(" " * _GAP)
        label.append(self._bar(row), style=f"dim {style}" if other else style)
        label.rstrip()
        return label

    def _bar(self, row: Row) -> str:
        """Half a column is the least there is, so that nothing is invisible."""
        halves, g = 2 * self.bar, self.glyphs
        whole = max(1, self.trace.duration_ns)
        start = min(halves - 1, (row.start_ns - self.trace.start_ns) * halves // whole)
        end = max(start + 1, -((self.trace.start_ns - row.end_ns) * halves // whole))
        cells = []
        for left in range(0, halves, 2):
            in_left, in_right = start <= left < end, start <= left + 1 < end
            cells.append(g.full if in_left and in_right else g.left if in_left else g.right if in_right else " ")
        return "".join(cells)

    def _troubles(self, node: Node) -> Iterator[Text]:
        row = node.row
        if repeated := self._repeated(row, row.record or {}):
            yield Text(repeated, style="yellow")
        if row.outcome not in (None, "ok", "error"):
            yield Text(row.outcome or "", style="yellow")
        error = (row.error_type, row.error_message)
        if row.error_type and any((c.row.error_type, c.row.error_message) == error for c in node.children):
            # it only passed through: it is told where it arose
            return
        if row.outcome == "error" or row.error_type:
            said = [words.safe(part.strip()) for part in (row.error_type, row.error_message) if part and part.strip()]
            yield Text(": ".join(said) or "error", style="red")

    def _facts(self, below: str, row: Row) -> None:
        """What is known of a model call or a retrieval, on as many lines as it takes; a fact is not torn apart."""
        line, prefix = "", self._room_beside(below)
        for fact in self._facts_of(row, row.record or {}):
            if line and cell_len(f"{line}{self.glyphs.dot}{fact}") > self.width - len(prefix):
                self._wrapped(below, Text(line, style="dim"))
                line = ""
            line += self.glyphs.dot + fact if line else fact
        if line:
            self._wrapped(below, Text(line, style="dim"))

    def _repeated(self, row: Row, record: dict[str, Any]) -> str | None:
        """How often a call's prompt was sent: in the trace, and around it by the process. None where it was once.

        Counted in the file where it has the hashes, so that the first call says it too; else as the call knew it.
        """
        if row.kind != LLM or record.get("cache_hit"):
            return None
        known = record.get("prompt_repeats", {})
        here = max(self.prompts[record.get("content", {}).get("prompt_hash")], known.get("trace", 0) + 1)
        around = known.get("minute", 0) + 1
        times = self.glyphs.times
        said = [f"{times}{here} in this trace"] if here > 1 else []
        said += [f"{times}{around} within a minute"] if around > here else []
        return f"same prompt {', '.join(said)}" if said else None

    def _facts_of(self, row: Row, record: dict[str, Any]) -> list[str]:
        usage = record.get("usage", {})
        facts = [record.get("response_model") or record.get("request_model")]
        named = {"tool": record.get("tool", {}).get("name"), "agent": record.get("agent")}.get(row.kind)
        facts.append(named if named != row.name else None)
        if said := words.tokens(row.input_tokens, row.output_tokens, self.glyphs.arrow):
            parts = (
                ("cached", "cache_read_tokens"),
                ("cache written", "cache_write_tokens"),
                ("reasoning", "reasoning_tokens"),
            )
            within = ", ".join(f"{usage[key]:,} {word}" for word, key in parts if usage.get(key))
            facts.append(f"{said} tokens" + (f" ({within})" if within else ""))
        if row.cost is not None:
            facts.append(words.dollars(Decimal(row.cost)))
        if (first := record.get("first_token_ns")) is not None:
            facts.append(f"first token after {words.duration(max(0, first - row.start_ns))}")
        facts += [f"finish {reason}" for reason in record.get("finish_reasons", ()) if reason != "stop"]
        if record.get("cache_hit"):
            facts.append("from the cache")
        if self.content and (template := record.get("content", {}).get("template_hash")):
            facts.append(f"template {template[:TEMPLATE_ID]}")
        for key, noun in (("document_count", "document"), ("embedding_count", "vector")):
            if (number := record.get(key)) is not None:
                facts.append(words.count(number, noun))
        if number := record.get("embedding_dimension"):
            facts.append(f"{number:,} dimensions")
        return [words.one_line(str(fact)) for fact in facts if fact]

    def _wrapped(self, prefix: str, text: Text) -> None:
        prefix = self._room_beside(prefix)
        for line in text.wrap(self.console, self.width - len(prefix)):
            line.rstrip()
            self._print(_guides(prefix).append_text(line))

    def _block(self, prefix: str, name: str, text: str, most: int) -> None:
        prefix, column = self._room_beside(prefix), 12
        lines = Text(words.safe(text)).wrap(self.console, self.width - len(prefix) - column)
        shown = len(lines) if self.full or len(lines) <= most + 1 else most
        if len(name) >= column:
            self._print(_guides(prefix).append(name, style="dim italic"))
            name = ""
        for line in lines[:shown]:
            line.rstrip()
            self._print(_guides(prefix).append(f"{name:<{column}}", style="dim italic").append_text(line))
            name = ""
        if shown < len(lines):
            said = f"{self.glyphs.ellipsis} {words.count(len(lines) - shown, 'more line')} (--full)"
            self._wrapped(prefix + " " * column, Text(said, style="dim"))

    def _room_beside(self, guides: str) -> str:
        """The guides, cut where a deep trace on a narrow terminal leaves too little room for text."""
        return guides[: max(0, self.width - _TEXT)]

    def _print(self, *lines: Text) -> None:
        for line in lines:
            self.console.print(line, no_wrap=True, overflow="ignore", crop=False, highlight=False)


def _prompts(rows: Iterable[Row]) -> Counter[str | None]:
    """How many model calls of the trace sent each prompt, by its hash."""
    records = [row.record or {} for row in rows if row.kind == LLM]
    hashes = (r.get("content", {}).get("prompt_hash") for r in records if not r.get("cache_hit"))
    return Counter(found for found in hashes if found)


def _guides(text: str) -> Text:
    return Text().append(text, style="dim")  # a span of its own: the text's own style would dim all that follows


def _kind(row: Row) -> str:
    """The step's kind; for a span of another library, the library."""
    if row.kind != SPAN:
        return row.kind
    scope = str((row.record or {}).get("scope", ""))
    return words.one_line(scope.rpartition(".")[2]) or SPAN
