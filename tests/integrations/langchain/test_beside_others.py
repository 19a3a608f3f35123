"""Beside other people's handlers, logging, other processes, and over a long life."""

from __future__ import annotations

import asyncio
import logging
import threading

import pytest
from langchain_core.callbacks import AsyncCallbackHandler, BaseCallbackHandler
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableLambda
from opentelemetry import trace
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from tests.integrations.langchain.fakes import Chat, search

PROMPT = ChatPromptTemplate.from_messages([("human", "{q}")])
CHAIN = ["chain:RunnableSequence", "  prompt:ChatPromptTemplate", "  llm:Chat", "  parser:StrOutputParser"]


class Raising(BaseCallbackHandler):
    def __getattribute__(self, name):
        if name.startswith("on_"):
            return self.fail
        return super().__getattribute__(name)

    def fail(self, *args, **kwargs):
        raise RuntimeError("somebody else's bug")


class Inline(BaseCallbackHandler):
    run_inline = True


class Waiting(BaseCallbackHandler):
    def on_chain_start(self, *args, **kwargs):
        threading.Event().wait(0.002)


class Asynchronous(AsyncCallbackHandler):
    async def on_chain_start(self, *args, **kwargs):
        await asyncio.sleep(0)

    async def on_chat_model_start(self, *args, **kwargs):
        await asyncio.sleep(0)


@pytest.mark.parametrize("first", [True, False], ids=["ours first", "ours last"])
@pytest.mark.parametrize("other", [Raising, Inline, Waiting, Asynchronous])
@pytest.mark.parametrize("asynchronous", [False, True])
def test_handlers_of_others_change_nothing(traced, other, first, asynchronous):
    handlers = [traced.handler, other()] if first else [other(), traced.handler]
    chain = PROMPT | Chat(probe_name="probe") | StrOutputParser()
    config = {"callbacks": handlers}
    if asynchronous:
        asyncio.run(chain.ainvoke({"q": "x"}, config))
    else:
        chain.invoke({"q": "x"}, config)
        list(chain.stream({"q": "x"}, config))
    assert traced.tree() == CHAIN * (1 if asynchronous else 2)
    assert set(traced.probes()) == {"Chat"}


def test_a_log_line_written_in_a_body_carries_the_trace_and_span_id(traced, caplog):
    """What OpenTelemetry's logging instrumentation does: it asks for the current span when the record is made."""
    from opentelemetry.instrumentation.logging import LoggingInstrumentor

    LoggingInstrumentor().instrument(inject_trace_context=True, enable_log_auto_instrumentation=False)
    try:

        def body(x):
            logging.getLogger("app").warning("inside")
            search.invoke({"q": x})
            return x

        RunnableLambda(body, name="root").invoke("q", traced.config)
        logging.getLogger("app").warning("outside")
    finally:
        LoggingInstrumentor().uninstrument()
    traced.flush()
    step = traced.memory.step("root")
    inside, outside = (r for r in caplog.records if r.name == "app")
    assert inside.otelTraceID == trace.format_trace_id(step.trace_id)
    assert inside.otelSpanID == trace.format_span_id(step.span_id)
    assert outside.otelSpanID == "0"


def test_an_incoming_traceparent_in_the_configs_metadata_is_the_parent_of_the_root(traced):
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    chain = PROMPT | Chat()
    chain.invoke({"q": "x"}, {**traced.config, "metadata": {"traceparent": parent, "k": 1}})
    chain.invoke({"q": "x"}, {**traced.config, "metadata": {"traceparent": "nonsense"}})
    traced.flush()
    first, second = (s for s in traced.memory.steps if s.name == "RunnableSequence")
    assert first.trace_id == 0x0AF7651916CD43DD8448EB211C80319C
    assert first.lineage.remote
    assert first.lineage.span_id == 0xB7AD6B7169203331
    assert second.trace_id != first.trace_id
    assert all(s.identity.metadata in ({"k": 1}, {}) for s in traced.memory.steps)
    assert traced.memory.tree()[1] == "  prompt:ChatPromptTemplate"


def test_what_a_body_sends_out_carries_the_step_as_parent(traced):
    carried = {}
    RunnableLambda(lambda x: TraceContextTextMapPropagator().inject(carried), name="root").invoke("q", traced.config)
    traced.flush()
    assert trace.format_span_id(traced.memory.step("root").span_id) in carried["traceparent"]


def test_a_first_token_after_more_than_a_minute_is_kept(traced, monkeypatch):
    import time

    real, late = time.time_ns, []

    class Slow(Chat):
        def _chunks(self):
            late.append(70_000_000_000)
            yield from super()._chunks()

    monkeypatch.setattr(time, "time_ns", lambda: real() + sum(late))
    stream = Slow().stream("x", traced.config)
    next(stream)
    traced.loom.recorder.evict()
    list(stream)
    monkeypatch.undo()
    traced.flush()
    step = traced.memory.step("Slow")
    assert step.outcome == "ok"
    assert step.first_token_ns - step.start_ns >= 70_000_000_000
    assert traced.memory.visible("Slow").output_messages
