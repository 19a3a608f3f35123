"""Any content, under any mixture of a policy, in any dialect: what is found is what was let out."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from typing import Any

import pytest
import spanloom
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from opentelemetry.sdk.trace import TracerProvider
from spanloom import ContentPolicy, Langfuse, LangSmith, Local, Otlp, Phoenix, actions
from spanloom.content import Category as C
from spanloom.content import application
from spanloom.content.category import places
from spanloom.content.marked import Marked
from spanloom.destinations.wire import Answer, Verdict
from spanloom.identity import Identity
from spanloom.step import (
    Content,
    Deferred,
    Document,
    Kind,
    Media,
    Message,
    OtherPart,
    Outcome,
    Reasoning,
    Step,
    Text,
    ToolCall,
    ToolCallResponse,
    ToolDefinition,
)
from spanloom.testing import strict

from tests.privacy.canaries import Canaries, expected, found

WAYS = {"drop": actions.drop, "keep": actions.keep, "redact": actions.redact()}
NOISE = st.text(
    st.one_of(
        st.characters(min_codepoint=0x4E00, max_codepoint=0x4EFF),  # Chinese
        st.characters(min_codepoint=0x3041, max_codepoint=0x3096),  # Japanese
        st.characters(min_codepoint=0x0621, max_codepoint=0x064A),  # Arabic
        st.characters(min_codepoint=0x05D0, max_codepoint=0x05EA),  # Hebrew
        st.characters(min_codepoint=0x0400, max_codepoint=0x044F),  # Cyrillic
        st.characters(min_codepoint=0x1F300, max_codepoint=0x1F64F),  # emoji
        st.sampled_from("\u200b\u200d\u2060\ufeff\u202e éßñ\n\t\"'\\{}[]<>%&,;:=()"),
    ),
    max_size=12,
)
SPACES = st.sampled_from([" ", "\n", "\t", ' "', " (", ", ", "\u3000", "。 "])


class Wire:
    """Keeps the bytes that it is given to send."""

    def __init__(self) -> None:
        self.bytes = b""

    def send(self, body: bytes, seconds: float) -> Answer:
        self.bytes += body
        return Answer(Verdict.TAKEN)

    def abandon(self) -> None:
        pass

    close = abandon


class Rows:
    """A local store in memory."""

    def __init__(self) -> None:
        self.bytes = b""

    def write(self, rows: Any) -> None:
        self.bytes += "".join(
            json.dumps([r.name, r.error_message, r.record], ensure_ascii=False) for r in rows
        ).encode()

    def write_scores(self, scores: Any) -> None:
        self.bytes += json.dumps(scores, ensure_ascii=False).encode()


class Everywhere:
    """One configuration for all examples: every dialect, each with the policy of the example."""

    def __init__(self, folder: Any) -> None:
        self.wires: dict[str, Any] = {}
        self.destinations = [
            Otlp("http://127.0.0.1:1", name="otlp"),
            Langfuse("pk", "sk", "http://127.0.0.1:1", name="langfuse", include=["*"]),
            Phoenix("http://127.0.0.1:1", name="phoenix"),
            LangSmith("k", endpoint="http://127.0.0.1:1", name="langsmith"),
            Local(folder / "x.db", name="local"),
        ]
        for one in self.destinations[:-1]:
            wire = self.wires[one.name] = Wire()
            one._http_wire = one._traces_wire = lambda wire=wire: wire
        self.wires["local"] = Rows()
        self.provider = TracerProvider(shutdown_on_exit=False)
        self.loom = spanloom.configure(*self.destinations, tracer_provider=self.provider)
        self.destinations[-1]._store = self.wires["local"]
        self.run_ids = itertools.count()

    def send(self, step: Step, policy: ContentPolicy, error: Exception | None, own: dict[str, Any]) -> dict[str, bytes]:
        for destination in self.destinations:
            destination.content = policy
        for wire in self.wires.values():
            wire.bytes = b""
        step.run_id = next(self.run_ids)
        self.loom.recorder.open(step)
        step.span.set_attributes(own)
        step.span.add_event("said", own)
        self.loom.recorder.close(step.run_id, Outcome.ERROR if error is not None else Outcome.OK, error=error)
        assert self.loom.flush(20)
        return {name: wire.bytes for name, wire in self.wires.items()}


@pytest.fixture(scope="module")
def everywhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Everywhere]:
    with strict():
        everywhere = Everywhere(tmp_path_factory.mktemp("any"))
        yield everywhere
        everywhere.loom.shutdown()


@st.composite
def policies(draw: Any) -> ContentPolicy:
    rules = {category.value: WAYS[draw(st.sampled_from(sorted(WAYS)))] for category in C}
    return ContentPolicy.none().replace(**rules, hashes=draw(st.booleans()))


class Examples:
    """Draws a step, and notes which canary stands where."""

    def __init__(self, draw: Any) -> None:
        self.draw, self.canaries = draw, Canaries()
        self.split: list[tuple[str, C]] = []  # the first part of an address that lies across two parts

    def text(self, *categories: C) -> str:
        """A canary amid anything, perhaps inside of JSON in a text."""
        said = self.canaries(f"{len(self.canaries.all)}", categories)
        text = f"{self.draw(NOISE)}{self.draw(SPACES)}{said}{self.draw(SPACES)}{self.draw(NOISE)}"
        match self.draw(st.integers(0, 5)):
            case 0:
                return json.dumps({"q": text}, ensure_ascii=self.draw(st.booleans()))
            case 1:
                return json.dumps([json.dumps({"a": [text]})])
        return text

    def value(self, *categories: C, depth: int = 0) -> Any:
        """Canaries in nested lists and mappings."""
        kind = self.draw(st.integers(0, 4)) if depth < 3 else 0
        if kind == 1:
            return [self.value(*categories, depth=depth + 1) for _ in range(self.draw(st.integers(1, 2)))]
        if kind == 2:
            return {self.draw(NOISE): self.value(*categories, depth=depth + 1), "n": self.draw(st.integers())}
        if kind == 3:
            return {self.text(*categories): None}
        return self.text(*categories)

    def marked(self, *outer: C) -> Any:
        """As `value`, with something of another category inside."""
        inner = self.draw(st.sampled_from(sorted(C)))
        said = Marked(inner, self.value(*{inner, *outer}))
        return self.draw(st.sampled_from([said, [said], {"messages": [{"content": said}], "n": 1}]))

    def parts(self, said: C) -> tuple[Any, ...]:
        out: list[Any] = []
        for _ in range(self.draw(st.integers(1, 3))):
            match self.draw(st.integers(0, 6)):
                case 0:
                    out.append(Reasoning(self.text(C.REASONING)))
                case 1:
                    out.append(ToolCall("look", {"a": self.value(C.TOOL_ARGUMENTS)}, "call_1"))
                case 2:
                    out.append(OtherPart("server_tool", self.value(said)))
                case 3:
                    word = self.canaries.word(f"{len(self.canaries.all)}", said)
                    out.append(Media("image", "image/png", f"https://x/{word}.png"))
                case 4:
                    head = f"split{len(self.split)}half"
                    out += [Text(f"{self.draw(NOISE)} {head}"), Text(f"@example.org {self.draw(NOISE)}")]
                    self.split.append((head, said))
                case _:
                    out.append(Text(self.text(said)))
        return tuple(out)

    def message(self) -> Message:
        role, said = self.draw(
            st.sampled_from(
                [("system", C.SYSTEM_PROMPT), ("user", C.USER_PROMPT), ("assistant", C.COMPLETION), ("tool", None)]
            )
        )
        if said is None:
            return Message("tool", (ToolCallResponse(self.value(C.TOOL_RESULTS), "call_1"),))
        return Message(role, self.parts(said))

    def document(self) -> Document:
        return Document(self.text(C.DOCUMENTS), "d1", 0.5, {"k": self.value(C.DOCUMENTS)})

    def step(self) -> Step:
        kind = self.draw(st.sampled_from(KINDS))
        content = Content()
        match kind:
            case Kind.LLM:
                given = tuple(self.message() for _ in range(self.draw(st.integers(1, 3))))
                answer = (Message("assistant", self.parts(C.COMPLETION)),)
                content.input_messages, content.output_messages = given, Deferred(lambda: answer)
                content.tool_definitions = (
                    ToolDefinition("look", self.text(C.TOOL_DEFINITIONS), {"d": self.value(C.TOOL_DEFINITIONS)}),
                )
            case Kind.TOOL:
                content.arguments, content.result = self.value(C.TOOL_ARGUMENTS), self.value(C.TOOL_RESULTS)
            case Kind.RETRIEVER | Kind.RERANKER:
                content.query, content.documents = self.text(C.RETRIEVAL_QUERIES), (self.document(),)
            case _:
                given, answered = places(kind)
                content.input = self.marked(*given) if self.draw(st.booleans()) else self.value(*given)
                content.output = self.marked(*answered) if self.draw(st.booleans()) else self.value(*answered)
        who = Identity(
            user_id=self.text(C.IDENTITY)[:256] if self.draw(st.booleans()) else None,
            tags=(self.canaries("tag", C.TAGS),),
            metadata={"note": self.value(C.METADATA)},
        )
        return Step(0, kind, self.canaries("name", C.NAMES), content=content, identity=who)


@st.composite
def examples(draw: Any) -> tuple[Examples, Step, ContentPolicy, Exception | None, dict[str, Any]]:
    made = Examples(draw)
    step = made.step()
    error = ValueError(made.text(C.EXCEPTION_TEXT)) if draw(st.integers(0, 3)) == 0 else None
    own: dict[str, Any] = {"app.note": made.text(C.METADATA), "app.map": {"in": [made.text(C.METADATA)]}}
    return made, step, draw(policies()), error, own


def check(everywhere: Everywhere, example: Any) -> None:
    made, step, policy, error, own = example
    for name, data in everywhere.send(step, policy, error, own).items():
        words, mails = expected(made.canaries, policy, name)
        shown_words, shown_mails = found(made.canaries, data)
        assert shown_words - words == set(), f"{name} leaked"
        assert shown_mails - mails == set(), f"{name} leaked personal data"
        assert words - shown_words == set(), f"{name} lost content"
        assert mails - shown_mails == set(), f"{name} changed content"
        for head, category in made.split:
            allowed = policy.rules[category] == (actions.keep,)
            assert allowed or head.encode() not in data, f"{name} leaked an address across two parts"


KINDS = [*[Kind.LLM] * 8, *(k for k in Kind if k not in (Kind.LLM, Kind.OTHER))]  # models have the most channels
QUIET = {"deadline": None, "database": None, "suppress_health_check": list(HealthCheck)}


@settings(max_examples=200, **QUIET)
@given(example=examples())
def test_exactly_what_was_let_out_is_found(everywhere, example):
    check(everywhere, example)


def test_a_weakness_is_found(everywhere, monkeypatch):
    """The proof of the proof: a redaction that looks at each part of a message alone is found out."""
    monkeypatch.setattr(application, "_joined", lambda parts: parts)
    weakened = settings(max_examples=2_000, phases=[Phase.generate], **QUIET)(given(example=examples())(check))
    with pytest.raises(AssertionError, match="across two parts"):
        weakened(everywhere)


@pytest.mark.soak
@pytest.mark.timeout(900)
@settings(max_examples=5_000, **QUIET)
@given(example=examples())
def test_exactly_what_was_let_out_is_found_five_thousand_times(everywhere, example):
    check(everywhere, example)
