"""Each step is traced once, by whichever door the handlers came in."""

from __future__ import annotations

import sys
import textwrap
from typing import Any

import pytest
import spanloom
from llama_index.core import Settings
from llama_index.core.callbacks import CallbackManager
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index_instrumentation.event_handlers import NullEventHandler
from llama_index_instrumentation.span_handlers import SimpleSpanHandler
from spanloom.guard import GUARD
from spanloom.testing import Memory
from spanloom_llama_index import SpanloomCallbackHandler, instrument, registration, uninstrument

from tests.integrations.llama_index.fakes import FakeLLM, Shelf

ONE_QUERY = [
    "chain:RetrieverQueryEngine.query",
    "  retriever:Shelf.retrieve",
    "  chain:CompactAndRefine.synthesize",
    "    llm:FakeLLM.chat",
]


def ask() -> None:
    RetrieverQueryEngine.from_args(Shelf(), llm=FakeLLM()).query("what?")


def test_both_doors_and_twice_trace_once(traced: Any) -> None:
    instrument()
    instrument(traced.loom)
    before = Settings.callback_manager
    try:
        Settings.callback_manager = CallbackManager([SpanloomCallbackHandler(), SpanloomCallbackHandler()])
        ask()
    finally:
        Settings.callback_manager = before
    assert traced.tree() == ONE_QUERY
    assert traced.loom.stats()["steps"]["repeated"] == 0


def test_the_callback_handler_alone_registers_too(traced: Any) -> None:
    uninstrument()
    SpanloomCallbackHandler()
    ask()
    assert traced.tree() == ONE_QUERY


def test_other_handlers_stay_where_they_are(traced: Any) -> None:
    root = get_dispatcher()
    spans, events = SimpleSpanHandler(), NullEventHandler()
    root.add_span_handler(spans)
    root.add_event_handler(events)
    try:
        ask()
        uninstrument()
        assert spans in root.span_handlers
        assert events in root.event_handlers
        ask()
    finally:
        root.span_handlers.remove(spans)
        root.event_handlers.remove(events)
    assert traced.tree() == ONE_QUERY
    assert len(spans.completed_spans) > 8


def test_what_is_open_when_uninstrumenting_ends_as_incomplete(traced: Any) -> None:
    response = RetrieverQueryEngine.from_args(Shelf(), llm=FakeLLM(), streaming=True).query("what?")
    uninstrument()
    assert not traced.still_open
    assert list(response.response_gen)
    assert traced.outcomes() == {
        "RetrieverQueryEngine.query": "incomplete",
        "Shelf.retrieve": "ok",
        "CompactAndRefine.synthesize": "incomplete",
    }


def test_a_shutdown_of_the_dispatcher_ends_what_is_open(traced: Any) -> None:
    response = RetrieverQueryEngine.from_args(Shelf(), llm=FakeLLM(), streaming=True).query("what?")
    get_dispatcher().shutdown()
    assert not traced.still_open
    list(response.response_gen)
    ask()
    assert traced.tree()[-4:] == ONE_QUERY


def test_a_shutdown_abandons_the_streams_that_nobody_reads(traced: Any) -> None:
    engine = RetrieverQueryEngine.from_args(Shelf(), llm=FakeLLM(), streaming=True)
    begun, never = engine.query("what?").response_gen, engine.query("what?").response_gen
    next(begun)
    traced.loom.shutdown()
    outcomes = [(s.kind, str(s.outcome)) for s in traced.memory.steps if s.name != "Shelf.retrieve"]
    assert len(outcomes) == 5
    assert {outcome for _, outcome in outcomes} == {"abandoned"}
    list(begun)
    list(never)


def test_a_later_configuration_takes_over(traced: Any) -> None:
    ask()
    memory = Memory()
    with pytest.warns(RuntimeWarning, match="called again"):
        loom = spanloom.configure(memory)
    ask()
    loom.flush()
    assert memory.tree() == ONE_QUERY
    assert len(traced.memory.steps) == 4
    loom.shutdown()
    ask()  # and after that, nothing at all


def test_an_error_of_our_own_is_counted_logged_once_and_harms_nobody(
    traced: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def bug(*args: Any) -> None:
        raise TypeError("a bug")

    monkeypatch.setattr(registration._recording, "_open", bug)
    monkeypatch.setattr(GUARD, "strict", False)
    before = dict(GUARD.swallowed)
    ask()
    ask()
    where = "spanloom_llama_index.recording.Recording.enter"
    assert GUARD.swallowed[where] - before.get(where, 0) == 8
    assert len([r for r in caplog.records if where in r.getMessage()]) <= 1


def test_importing_without_the_framework_says_which_extra_to_install(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import subprocess

    code = textwrap.dedent("""
        import sys
        sys.modules["llama_index.core"] = None
        try:
            import spanloom_llama_index
        except ImportError as error:
            print(error)
    """)
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install 'spanloom[llama-index]'" in out.stdout
