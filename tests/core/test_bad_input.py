"""Whatever a framework hands over: the step's span still ends, carries what can be read, and reaches every receiver."""

import pytest
import sinks
import spanloom
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.sdk.trace import TracerProvider
from spanloom import ContentPolicy, Langfuse, Local, Otlp
from spanloom.step import (
    Deferred,
    Document,
    Kind,
    Message,
    Outcome,
    Step,
    Text,
    ToolCall,
    ToolCallResponse,
    ToolDefinition,
)
from spanloom.testing import strict

CIRCLE: dict = {"a": 1}
CIRCLE["self"] = CIRCLE


class Unprintable:
    def __str__(self):
        raise RuntimeError("no")

    __repr__ = __str__


class UnprintableError(Exception):
    def __str__(self):
        raise RuntimeError("no")


ODD = {
    "none": None,
    "circle": CIRCLE,
    "unprintable": Unprintable(),
    "keys": {1: "a", (2, 3): "b", None: "c", b"k": "d"},
    "bytes": b"\xff\xfe",
    "long": "x" * 5_000_000,
    "surrogate": "bad \ud800 text",
    "nan": float("nan"),
    "huge": 10**5000,
    "vector": [0.25] * 2000,
    "wide": {f"k{n}": n for n in range(5_000)},
    "deep": [[[[[[[[[[[[[[[[[[[[[[["x"]]]]]]]]]]]]]]]]]]]]]]],
    "empty": "",
}
names = st.lists(st.sampled_from(sorted(ODD)), min_size=30, max_size=30)  # one for each field


@pytest.fixture(scope="module")
def receivers(tmp_path_factory):
    otlp, langfuse = sinks.HttpSink(), sinks.HttpSink()
    path = tmp_path_factory.mktemp("local") / "spanloom.db"
    with strict():
        loom = spanloom.configure(
            Otlp(otlp.url, content=ContentPolicy.full()),
            Langfuse("pk", "sk", langfuse.url),
            Local(path),
            tracer_provider=TracerProvider(shutdown_on_exit=False),
        )
        yield loom, otlp, langfuse
        loom.shutdown()
    otlp.close()
    langfuse.close()


def content_of(step, draw):
    content = step.content
    content.input, content.output = draw(), Deferred(lambda value: value, (draw(),))
    content.arguments, content.result, content.query = draw(), draw(), draw()
    content.prompt_variables = draw()
    content.input_messages = (
        Message(draw(), (Text(draw()), ToolCall(draw(), draw(), draw()), ToolCallResponse(draw(), draw()), draw())),
        Message("user", None, draw()),
    )
    content.output_messages = Deferred(lambda *texts: [Message("assistant", [Text(t) for t in texts])], (draw(),))
    content.tool_definitions = [ToolDefinition(draw(), draw(), draw())]
    content.documents = [Document(draw(), draw(), draw(), draw())]


@given(kind=st.sampled_from(list(Kind)), chosen=names)
@settings(max_examples=12, deadline=None)
def test_odd_content_in_any_field_costs_no_span(receivers, kind, chosen):
    loom, *sent = receivers
    for sink in sent:
        sink.requests.clear()
    before = {name: counts["exported"] for name, counts in loom.stats()["destinations"].items()}
    step = Step(object(), kind, "odd")
    values = [ODD[name] for name in chosen]
    content_of(step, values.pop)
    with spanloom.using(metadata={"odd": values.pop(), "fine": "yes"}):
        loom.recorder.open(step)
    loom.recorder.close(step.run_id, Outcome.ERROR, error=UnprintableError())
    assert loom.flush(20)
    after = loom.stats()["destinations"]
    assert {name: after[name]["exported"] - n for name, n in before.items()} == {"otlp": 1, "langfuse": 1, "local": 1}
    for sink in sent:
        (span,) = sink.spans
        assert span.step == "odd"
        assert span.attributes["spanloom.step.outcome"] == "error"
        assert len(sink.wire) < 2_000_000
        assert "yes" in span.attributes.values()
