"""Another instrumentation of a framework beside ours: a tree of its own, in which each call stands a second time."""

from __future__ import annotations

import pytest
import sinks
import spanloom
import spanloom_langchain
import spanloom_llama_index
from opentelemetry import trace
from spanloom.dialects.foreign import REPEATS
from spanloom.testing import strict

CALL = {"openinference.span.kind": "LLM", "llm.model_name": "gpt-4o-mini", "llm.token_count.prompt": 1000}
SCOPES = {
    "openinference.instrumentation.langchain": spanloom_langchain,
    "opentelemetry.instrumentation.langchain": spanloom_langchain,
    "openinference.instrumentation.llama_index": spanloom_llama_index,
    "opentelemetry.instrumentation.llamaindex": spanloom_llama_index,
}


@pytest.fixture
def sink():
    sink = sinks.HttpSink()
    yield sink
    sink.close()


@pytest.mark.parametrize("scope", SCOPES)
def test_its_calls_are_marked_while_we_trace_all_of_the_framework_and_only_then(sink, scope):
    def told(name: str) -> None:
        trace.get_tracer(scope).start_span(name, attributes=CALL).end()
        trace.get_tracer("openinference.instrumentation.openai").start_span(f"own {name}", attributes=CALL).end()

    adapter = SCOPES[scope]
    with strict(), spanloom.configure(spanloom.Otlp(sink.url, content=spanloom.ContentPolicy.full())) as loom:
        told("before")
        adapter.instrument()
        try:
            told("while")
        finally:
            adapter.uninstrument()
        told("after")
        assert loom.flush()
    marked = {span.name: REPEATS in span.attributes for span in sink.spans}
    assert marked.pop("while") is True
    assert marked == dict.fromkeys(("before", "after", "own before", "own while", "own after"), False)
