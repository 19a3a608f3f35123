"""Beside Langfuse's own SDK: its observations and our steps are one tree, each once, in Langfuse and elsewhere."""

from __future__ import annotations

import uuid
from collections import Counter

import pytest
import sinks
import spanloom
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.runnables import RunnableLambda
from langfuse import Langfuse as LangfuseClient
from langfuse import observe, propagate_attributes
from langfuse._client.resource_manager import LangfuseResourceManager
from opentelemetry.sdk.trace import TracerProvider
from spanloom import Langfuse, Otlp
from spanloom.testing import strict
from spanloom_langchain import SpanloomCallbackHandler

APP_ROOT = "langfuse.internal.is_app_root"


class Both:
    """Our Langfuse and OTLP destinations, and the SDK's client for the same project, on one provider."""

    def __init__(self):
        self.langfuse, self.otlp = sinks.HttpSink(), sinks.HttpSink()
        self.provider = TracerProvider(shutdown_on_exit=False)
        self.key = f"pk-lf-{uuid.uuid4()}"
        self.client = None
        self.loom = None

    def sdk(self, key=None):
        self.client = LangfuseClient(
            public_key=key or self.key,
            secret_key="sk-lf-1",
            base_url=self.langfuse.url,
            tracer_provider=self.provider,
        )
        return self.client

    def ours(self):
        self.loom = spanloom.configure(
            Langfuse(self.key, "sk-lf-1", self.langfuse.url), Otlp(self.otlp.url), tracer_provider=self.provider
        )
        self.config = {"callbacks": [SpanloomCallbackHandler(self.loom)]}
        return self.loom

    def flush(self):
        assert self.loom.flush()
        self.client.flush()

    def tree(self, sink):
        """`name: name of the parent`, each span once."""
        names = {span.span_id: span.step or span.name for span in sink.spans}
        assert max(Counter(span.span_id for span in sink.spans).values()) == 1, "a span came twice"
        assert len({span.trace_id for span in sink.spans}) == 1
        return {names[s.span_id]: names.get(s.parent, "" if not s.parent else "?") for s in sink.spans}

    def close(self):
        if self.loom is not None:
            self.loom.shutdown()
        if self.client is not None:
            self.client.shutdown()
        LangfuseResourceManager._instances.clear()
        self.langfuse.close()
        self.otlp.close()


@pytest.fixture
def both():
    with strict():
        both = Both()
        yield both
        both.close()


def chain(inside=lambda text: text):
    model = GenericFakeChatModel(messages=iter(["It closes at five."] * 10))
    return (RunnableLambda(inside).with_config(run_name="before") | model).with_config(run_name="answer")


TREE = {"handle": "", "answer": "handle", "before": "answer", "look": "before", "GenericFakeChatModel": "answer"}


def run(both):
    @observe(name="look")
    def look(text):
        return text

    @observe(name="handle")
    def handle(text):
        return chain(lambda t: look(t, langfuse_public_key=both.key)).invoke(text, both.config).content

    assert handle("When?", langfuse_public_key=both.key) == "It closes at five."
    both.flush()


@pytest.mark.parametrize("first", ["sdk", "ours"])
def test_observations_around_and_inside_a_run_are_one_tree_in_both_destinations(both, first):
    """Whichever was set up first."""
    for name in [first, *({"sdk", "ours"} - {first})]:
        getattr(both, name)()
    run(both)
    assert both.tree(both.langfuse) == TREE
    assert both.tree(both.otlp) == TREE


def test_one_span_alone_is_the_top_of_the_app_and_names_the_trace(both):
    both.sdk()
    both.ours()
    run(both)
    assert [s.name for s in both.langfuse.spans if s.attributes.get(APP_ROOT)] == ["handle"]
    assert {s.attributes.get("langfuse.trace.name") for s in both.langfuse.spans} == {None}
    assert not any(APP_ROOT in s.attributes for s in both.otlp.spans if s.scope == "spanloom")


def test_a_step_at_the_top_is_the_top_of_the_app(both):
    both.sdk()
    both.ours()

    def inside(text):
        with both.client.start_as_current_observation(name="look"):
            return text

    chain(inside).invoke("When?", both.config)
    both.flush()
    assert both.tree(both.langfuse) == {
        "answer": "",
        "before": "answer",
        "look": "before",
        "GenericFakeChatModel": "answer",
    }
    assert [s.name for s in both.langfuse.spans if s.attributes.get(APP_ROOT)] == ["answer"]


def test_the_generation_keeps_its_content_and_comes_from_us(both):
    both.sdk()
    both.ours()
    run(both)
    generation = both.langfuse.named("GenericFakeChatModel")
    assert generation.scope == "spanloom"
    assert "It closes at five." in generation.attributes["langfuse.observation.output"]
    assert both.langfuse.named("handle").scope == "langfuse-sdk"


def test_a_client_that_is_made_inside_a_run_sends_no_step_either(both):
    both.ours()

    def inside(text):
        both.sdk()
        return text

    chain(inside).invoke("When?", both.config)
    both.flush()
    assert both.tree(both.langfuse) == {"answer": "", "before": "answer", "GenericFakeChatModel": "answer"}


def test_what_the_sdk_propagates_stands_on_our_steps(both):
    both.sdk()
    both.ours()
    with both.client.start_as_current_observation(name="handle"), propagate_attributes(user_id="u1", session_id="s1"):
        chain().invoke("When?", both.config)
    both.flush()
    generation = both.langfuse.named("GenericFakeChatModel")
    assert (generation.attributes["user.id"], generation.attributes["session.id"]) == ("u1", "s1")


def test_a_client_of_another_project_is_left_alone(both):
    both.ours()
    both.sdk("pk-lf-another")
    with both.client.start_as_current_observation(name="elsewhere"):
        chain().invoke("When?", both.config)
    assert both.loom.flush()
    ours = [s for s in both.langfuse.spans if s.scope == "spanloom"]
    assert next(s for s in ours if s.name == "answer").parent == ""
    both.client.flush()


def test_after_our_shutdown_the_sdks_filter_is_its_own_again(both):
    both.sdk()
    both.ours()
    both.loom.shutdown()
    with both.provider.get_tracer("spanloom").start_as_current_span("x", attributes={"gen_ai.operation.name": "chat"}):
        pass
    both.client.flush()
    assert [s.name for s in both.langfuse.spans] == ["x"]


def test_a_llama_index_run_inside_an_observation(both):
    from llama_index.core.llms import MockLLM
    from spanloom_llama_index import instrument, uninstrument

    both.sdk()
    instrument(both.ours())
    try:
        with both.client.start_as_current_observation(name="handle"):
            MockLLM().complete("hello")
    finally:
        uninstrument()
    both.flush()
    expected = {"handle": "", "MockLLM.complete": "handle"}
    assert both.tree(both.langfuse) == expected
    assert both.tree(both.otlp) == expected
