"""Where a policy cannot decide, the content stays here: counted, said once, and at nobody else's cost."""

from __future__ import annotations

import logging
from typing import Any

import pytest
import sinks
import spanloom
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from spanloom import ContentPolicy, Langfuse, Local, Otlp, Phoenix, actions
from spanloom.content import Category
from spanloom.content.failures import FAILURES
from spanloom.guard import _told
from spanloom.step import Content, Document, Event, Kind, Media, Message, Step, Text, ToolCall, ToolDefinition
from spanloom.store import Reading
from spanloom.testing import strict

SAID = "cnrysaid"
ASKED = "cnryasked"


@pytest.fixture
def sink():
    sink = sinks.HttpSink()
    yield sink
    sink.close()


@pytest.fixture(autouse=True)
def _nothing_told_or_failed_yet():
    told = set(_told)
    _told.clear()
    FAILURES.counts.clear()
    yield
    FAILURES.counts.clear()
    _told.clear()
    _told.update(told)


class Broken:
    """A redactor that cannot be loaded, as one whose model is not there."""

    def find(self, text: str) -> Any:
        raise ImportError(f"no model for {text}")


def refuses(value: Any) -> Any:
    raise ValueError(f"cannot decide on {value}")


def endless(value: Any) -> Any:
    return endless(value)


class Odd:
    def __str__(self) -> str:
        raise RuntimeError(SAID)


FAILING = {
    "a function that raises": (actions.custom(refuses), "custom"),
    "a function that never ends": (actions.custom(endless), "custom"),
    "a redactor that cannot load": (actions.redact(redactor=Broken()), "redact"),
    "a redactor that finds nonsense": (
        actions.redact(redactor=type("Odd", (), {"find": lambda self, text: [(0, 1)]})()), "redact",
    ),
}  # fmt: skip


def run(loom: spanloom.Loom, times: int = 1) -> None:
    for n in range(times):
        content = Content(
            input_messages=(Message("user", (Text(ASKED),)),),
            output_messages=(Message("assistant", (Text(SAID),)),),
        )
        loom.recorder.open(Step(f"m{n}", Kind.LLM, "model", content=content))
        loom.recorder.close(f"m{n}")
    assert loom.flush()


@pytest.mark.parametrize("failing", FAILING)
def test_what_cannot_be_decided_on_is_dropped_counted_and_said_once(failing, sink, tmp_path, caplog):
    action, name = FAILING[failing]
    policy = ContentPolicy.full().replace(completion=action)
    path = tmp_path / "x.db"
    wanted = [
        Otlp(sink.url, content=policy),
        Langfuse("pk", "sk", sink.url, content=policy),
        Local(path, content=policy),
    ]
    provider = TracerProvider(shutdown_on_exit=False)
    with strict(), caplog.at_level(logging.DEBUG), spanloom.configure(*wanted, tracer_provider=provider) as loom:
        run(loom, times=3)
        stats = loom.stats()
    assert SAID.encode() not in sink.wire
    assert SAID.encode() not in path.read_bytes()
    assert len(sink.spans) == 6, "the spans still go"
    assert sum(ASKED in repr(span) for span in sink.spans) == 6, "other categories are not affected"
    with Reading(path) as reading:
        rows = [row for found in reading.find() for row in reading.spans(found)]
    assert [ASKED in repr(row.record) for row in rows] == [True] * 3
    assert stats["content"]["failed"] == {name: 3}, "once for all destinations of one policy"
    assert all(d["exported"] == 3 for d in stats["destinations"].values())
    told = [r for r in caplog.records if r.name == "spanloom" and "content policy" in r.getMessage()]
    assert len(told) == 1
    assert SAID not in caplog.text


def test_a_function_that_answers_with_anything_is_made_plain(sink):
    odd = object()
    policy = ContentPolicy.full().replace(completion=actions.custom(lambda _: {"a": odd, 1: [Odd()]}))
    with (
        strict(),
        spanloom.configure(
            Otlp(sink.url, content=policy), tracer_provider=TracerProvider(shutdown_on_exit=False)
        ) as loom,
    ):
        run(loom)
    (span,) = sink.spans
    assert "<unprintable Odd>" in span.attributes["gen_ai.output.messages"]


def test_every_channel_of_a_category_that_fails_is_dropped(sink):
    """Attributes, events, status, names and comments of scores pass the same actions as the content beside the span."""
    broken = {c.value: actions.custom(refuses) for c in Category}
    policy = ContentPolicy.none().replace(**broken)
    provider = TracerProvider(shutdown_on_exit=False)
    with strict(), spanloom.configure(
        Otlp(sink.url, content=policy), Langfuse("pk", "sk", sink.url, content=policy, include=["*"]),
        tracer_provider=provider,
    ) as loom:  # fmt: skip
        content = Content(
            input={"a": SAID}, prompt_variables={"v": SAID}, tool_definitions=(ToolDefinition(SAID, SAID, {"x": SAID}),)
        )
        with spanloom.using(user_id=SAID, tags=[SAID], metadata={SAID: SAID}, prompt=SAID):
            step = loom.recorder.open(Step("s", Kind.CHAIN, SAID, content=content))
        with trace.use_span(step.span, end_on_exit=False):
            step.span.set_attribute("x", SAID)
            step.span.add_event(SAID, {"y": SAID})
            loom.score(SAID, SAID, comment=SAID)
            provider.get_tracer("other").start_span(SAID, attributes={"http.url": f"http://x/{SAID}"}).end()
        loom.recorder.close("s", error=ValueError(SAID))
        assert loom.flush()
        assert loom.stats()["content"]["failed"]["custom"] > 10
    assert len(sink.spans) == 4
    assert SAID.encode() not in sink.wire


def test_an_address_that_is_none_costs_only_itself(sink):
    provider = TracerProvider(shutdown_on_exit=False)
    with strict(), spanloom.configure(Otlp(sink.url), tracer_provider=provider) as loom:
        attributes = {"url.full": "http://[::1/a", "http.target": "ann:pw@host/a", "http.method": "GET"}
        provider.get_tracer("other").start_span("GET", attributes=attributes).end()
        assert loom.flush()
    (span,) = sink.spans
    assert span.attributes["http.method"] == "GET"
    assert "url.full" not in span.attributes
    assert "http.target" not in span.attributes


@pytest.mark.parametrize("policy", [ContentPolicy.none(), ContentPolicy.hashed(), ContentPolicy.redacted()], ids=repr)
def test_names_within_keys_are_redacted_where_their_values_go_out(policy, sink):
    mail = "ann.miller@example.org"
    provider = TracerProvider(shutdown_on_exit=False)
    with strict(), spanloom.configure(Otlp(sink.url, content=policy), tracer_provider=provider) as loom:
        with spanloom.using(metadata={mail: 1, f"note of {mail}": "x"}):
            loom.recorder.open(Step("s", Kind.CHAIN, "s"))
        loom.recorder.close("s")
        provider.get_tracer("other").start_span("x", attributes={f"count.{mail}": 3, f"of.{mail}": "y"}).end()
        assert loom.flush()
    assert mail.encode() not in sink.wire
    assert len(sink.spans) == 2
    assert any(3 in span.attributes.values() for span in sink.spans), "a measure goes out under any policy"


def test_a_name_is_redacted_before_it_is_cut(sink):
    """Half an address is not recognised any more."""
    mail = "ann.miller@example.org"
    long = f"{'x' * 240} {mail}"
    message = Message("user", (Media("image", uri=f"https://x/{'x' * 230}?to={mail}"),), name=long)
    call = Message("assistant", (ToolCall(long, {}, "c"),))
    content = Content(
        input_messages=(message, call), tool_definitions=(ToolDefinition(long),), documents=(Document("x", id=long),)
    )
    provider = TracerProvider(shutdown_on_exit=False)
    policy = ContentPolicy.redacted().replace(identity=actions.redact())
    with strict(), spanloom.configure(Otlp(sink.url, content=policy), tracer_provider=provider) as loom:
        with spanloom.using(user_id=long, session_id=long, tenant=long, tags=[long], prompt=long):
            loom.recorder.open(Step("s", Kind.LLM, "s", content=content))
        loom.recorder.close("s")
        assert loom.flush()
    (span,) = sink.spans
    assert b"ann.mill" not in sink.wire
    assert b"<EMAIL_1>" in sink.wire
    assert all(len(span.attributes[key]) <= 256 for key in ("user.id", "session.id", "gen_ai.prompt.name"))


@pytest.mark.parametrize("policy", [ContentPolicy.none(), ContentPolicy.hashed(), ContentPolicy.redacted()], ids=repr)
@pytest.mark.parametrize("own_processor", [False, True])
def test_so_is_a_name_beside_the_content(policy, own_processor, sink, tmp_path):
    """Places in a graph, events, stop sequences, versions, roles, keys."""
    long = f"{'x' * 240} ann.miller@example.org"
    provider = TracerProvider(shutdown_on_exit=False)
    if own_processor:  # then a step's span is the SDK's from the start
        provider.add_span_processor(SimpleSpanProcessor(InMemorySpanExporter()))
    wanted = [
        Otlp(sink.url, content=policy),
        Langfuse("pk", "sk", sink.url, content=policy),
        Phoenix(sink.url, content=policy),
        Local(tmp_path / "x.db", content=policy),
    ]
    with strict(), spanloom.configure(*wanted, tracer_provider=provider) as loom:
        with spanloom.using(prompt=("p", long), metadata={long: "x"}):
            step = Step("s", Kind.LLM, "s", graph={"node": long, "path": [long]}, parameters={"stop_sequences": [long]})
            step.content.input_messages = (Message(long, (Text("hi"),)),)
            loom.recorder.open(step)
        step.add_event(Event("tool_call_dispatched", step.start_ns, {"name": long}))
        loom.recorder.close("s")
        assert loom.flush()
    sent = sink.wire + b"".join(file.read_bytes() for file in tmp_path.glob("x.db*"))
    assert len(sink.spans) == 3
    assert b"ann.mill" not in sent
    assert sent.count(b"<EMAIL_1>") >= 4 * 3
    assert all(len(value) <= 512 for span in sink.spans for value in span.attributes.values() if isinstance(value, str))
