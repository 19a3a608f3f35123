"""Streams: what is counted of their tokens, that it costs next to nothing, and that nothing is held of those left."""

from __future__ import annotations

import asyncio
import gc
import itertools
import time
from uuid import uuid4

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.callbacks.manager import CallbackManager
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage
from langchain_core.outputs import ChatGenerationChunk
from spanloom_langchain import SpanloomCallbackHandler

from tests.integrations.langchain.fakes import Chat


class Noop(BaseCallbackHandler):
    run_inline = True

    def on_chat_model_start(self, *args, **kwargs):
        pass

    def on_llm_new_token(self, token, **kwargs):
        pass


def stream_of(handler):
    (manager,) = CallbackManager([handler]).on_chat_model_start({"name": "model"}, [[HumanMessage("hi")]])
    return manager


def test_every_chunk_of_a_stream_is_counted_from_the_first_one_that_says_something(traced):
    list(Chat(answers=[AIMessage("one two three")]).stream("hi", {**traced.config, "run_name": "short"}))
    list(Chat(answers=[AIMessage(" ".join(["word"] * 500))]).stream("hi", {**traced.config, "run_name": "long"}))
    traced.flush()
    short, long = traced.memory.step("short").chunks, traced.memory.step("long").chunks
    assert long - short == 497
    assert 3 <= short <= 5  # LangChain adds an empty one at the end


def test_two_handlers_count_a_chunk_once(traced):
    config = {"callbacks": [traced.handler, SpanloomCallbackHandler()], "run_name": "two"}
    list(Chat().stream("hi", config))
    list(Chat().stream("hi", {**traced.config, "run_name": "one"}))
    traced.flush()
    assert traced.memory.step("two").chunks == traced.memory.step("one").chunks


def test_a_run_id_of_the_applications_own_may_be_a_text(traced):
    handler = traced.handler
    handler.on_chat_model_start({}, [[HumanMessage("hi")]], run_id="my-run", name="model")
    for token in ("", "a", "b"):
        handler.on_llm_new_token(token, chunk=None, run_id="my-run")
    handler.on_llm_error(ValueError("no"), run_id="my-run")
    traced.flush()
    assert traced.memory.step("model").chunks == 2


def test_streams_of_many_tasks_are_counted_apart(traced):
    async def consume(n):
        model = Chat(answers=[AIMessage(" ".join(["word"] * n))])
        return [c async for c in model.astream("hi", {**traced.config, "run_name": f"of {n}"})]

    async def all_of_them():
        await asyncio.gather(*(consume(n) for n in range(1, 60)))

    asyncio.run(all_of_them())
    traced.flush()
    chunks = [traced.memory.step(f"of {n}").chunks for n in range(1, 60)]
    assert [b - a for a, b in itertools.pairwise(chunks)] == [1] * 58


def test_streams_that_were_left_are_let_go_of(traced):
    def leave():
        manager = stream_of(traced.handler)
        manager.on_llm_new_token("a", chunk=ChatGenerationChunk(message=AIMessageChunk("a")))

    for _ in range(200):
        leave()
    gc.collect()
    traced.flush()  # ends the steps that nobody can end any more
    for _ in range(20):
        leave()
    assert len(traced.handler._streams) <= 40


def test_a_token_after_the_first_costs_little_more_than_a_handler_that_does_nothing(traced):
    chunk = ChatGenerationChunk(message=AIMessageChunk("a"))

    def cost(manager):
        manager.on_llm_new_token("a", chunk=chunk)
        begun = time.thread_time()
        for _ in range(500):
            manager.on_llm_new_token("a", chunk=chunk)
        return time.thread_time() - begun

    ours, nothing = stream_of(traced.handler), stream_of(Noop())
    pairs = [(cost(ours), cost(nothing)) for _ in range(30)]
    traced.handler.on_llm_error(ValueError("enough"), run_id=ours.run_id)
    ratio = min(pair[0] for pair in pairs) / min(pair[1] for pair in pairs)
    assert ratio < 1.5, f"{ratio:.2f} times"
    assert traced.memory.steps or traced.outcomes()  # it did trace what it was measured on


def test_a_token_of_a_run_that_is_not_known_is_nobodys(traced):
    traced.handler.on_llm_new_token("a", chunk=None, run_id=uuid4())
    traced.flush()
    assert not traced.memory.steps
