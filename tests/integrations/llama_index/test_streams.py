"""A stream keeps its query open until it is drained, closed or collected."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from contextvars import copy_context
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from llama_index.core.base.llms.types import ChatMessage, ChatResponse, TextBlock, ThinkingBlock, ToolCallBlock
from llama_index.core.base.response.schema import AsyncStreamingResponse, StreamingResponse
from llama_index.core.bridge.pydantic import PrivateAttr
from llama_index.core.chat_engine import (
    CondensePlusContextChatEngine,
    CondenseQuestionChatEngine,
    ContextChatEngine,
    SimpleChatEngine,
)
from llama_index.core.chat_engine.types import StreamingAgentChatResponse
from llama_index.core.query_engine import CustomQueryEngine, RetrieverQueryEngine
from opentelemetry import trace
from opentelemetry.context import get_current
from opentelemetry.sdk.trace import SpanProcessor
from opentelemetry.trace import format_trace_id
from spanloom.current import StepContext
from spanloom.step import Kind, Step
from spanloom.usage import Usage
from spanloom_llama_index import SpanloomCallbackHandler, models

from tests.integrations.llama_index.fakes import FakeLLM, Shelf, probe

STREAMED = [
    "chain:RetrieverQueryEngine.query",
    "  retriever:Shelf.retrieve",
    "  chain:CompactAndRefine.synthesize",
    "    llm:FakeLLM.stream_chat",
]
ASTREAMED = [
    "chain:RetrieverQueryEngine.aquery",
    "  retriever:Shelf.aretrieve",
    "  chain:CompactAndRefine.asynthesize",
    "    llm:FakeLLM.astream_chat",
]
QUESTION = [ChatMessage("hi")]


def engine(**model: Any) -> RetrieverQueryEngine:
    return RetrieverQueryEngine.from_args(Shelf(), llm=FakeLLM(**model), streaming=True)


def test_a_streamed_query_is_one_tree_and_ends_with_its_stream(traced: Any) -> None:
    response = engine().query("what?")
    assert isinstance(response, StreamingResponse)
    assert set(traced.still_open) == {"RetrieverQueryEngine.query", "CompactAndRefine.synthesize"}
    assert "".join(response.response_gen) == "one two three"
    assert not traced.still_open
    assert traced.tree() == STREAMED
    assert set(traced.outcomes().values()) == {"ok"}
    model = traced.memory.step("FakeLLM.stream_chat")
    assert model.usage.total_tokens == 120
    assert model.streaming
    assert model.first_token_ns is not None
    assert [e.name for e in model.events] == ["first_token_received"]
    assert traced.memory.visible("RetrieverQueryEngine.query").output == "one two three"
    query = traced.memory.step("RetrieverQueryEngine.query")
    assert query.end_ns >= model.end_ns


def test_an_async_streamed_query_is_one_tree_and_ends_with_its_stream(traced: Any) -> None:
    async def run() -> list[str]:
        response = await engine().aquery("what?")
        assert isinstance(response, AsyncStreamingResponse)
        return [piece async for piece in response.async_response_gen()]

    assert "".join(asyncio.run(run())) == "one two three"
    assert traced.tree() == ASTREAMED
    assert set(traced.outcomes().values()) == {"ok"}
    assert traced.memory.visible("RetrieverQueryEngine.aquery").output == "one two three"


def test_the_response_read_as_a_whole_is_drained_too(traced: Any) -> None:
    assert str(engine().query("what?")) == "one two three"
    assert str(engine().query("what?").get_response()) == "one two three"
    assert traced.tree() == STREAMED * 2
    assert set(traced.outcomes().values()) == {"ok"}


def test_the_consumer_sees_its_own_span_between_pieces(traced: Any) -> None:
    with probe("consumer") as mine:
        for _ in engine().query("what?").response_gen:
            assert trace.get_current_span() is mine
            with probe():
                pass

        async def run() -> None:
            response = await engine().aquery("what?")
            async for _ in response.response_gen:
                assert trace.get_current_span() is mine
                with probe():
                    pass

        asyncio.run(run())
    assert traced.probes() == ["Shelf.aretrieve", "Shelf.retrieve", *["consumer"] * 6]


def test_calls_made_between_pieces_are_not_inside_the_stream(traced: Any) -> None:
    response = engine().query("what?")
    for n, _ in enumerate(response.response_gen):
        if n == 0:
            FakeLLM().complete("in between")
    tree = traced.tree()
    assert tree[:4] == STREAMED
    assert tree[4:] == ["llm:FakeLLM.complete"]


@pytest.mark.parametrize("how", ["closed", "collected", "never begun", "error in the consumer"])
def test_a_stream_left_unread_is_abandoned_with_the_steps_that_waited(traced: Any, how: str) -> None:
    response = engine().query("what?")
    stream = response.response_gen
    if how == "closed":
        next(stream)
        stream.close()
    elif how == "collected":
        next(stream)
    elif how == "error in the consumer":
        with pytest.raises(ZeroDivisionError):
            _ = [1 / 0 for _ in stream]
    del stream, response
    gc.collect()
    assert not traced.still_open
    outcomes = traced.outcomes()
    assert outcomes.pop("Shelf.retrieve") == "ok"
    assert set(outcomes.values()) == {"abandoned"}
    assert ("FakeLLM.stream_chat" in outcomes) is (how != "never begun")
    if how == "closed":
        assert traced.memory.visible("FakeLLM.stream_chat").output_messages[0].parts[0].content == "one"
        assert traced.memory.visible("RetrieverQueryEngine.query").output == "one"


@pytest.mark.parametrize("how", ["closed", "broken off", "never begun"])
def test_an_async_stream_left_unread_is_abandoned(traced: Any, how: str) -> None:
    async def run() -> None:
        response = await engine().aquery("what?")
        if how == "closed":
            await anext(response.response_gen)
            await response.response_gen.aclose()
        elif how == "broken off":
            async for _ in response.response_gen:
                break

    asyncio.run(run())
    gc.collect()
    assert not traced.still_open
    outcomes = traced.outcomes()
    assert outcomes.pop("Shelf.aretrieve") == "ok"
    assert set(outcomes.values()) == {"abandoned"}


def test_a_cancelled_stream_is_cancelled(traced: Any) -> None:
    async def run() -> None:
        never = asyncio.Event()
        response = await engine(wait=never).aquery("what?")

        async def consume() -> None:
            async for _ in response.response_gen:
                pass

        task = asyncio.create_task(consume())
        await traced.opened("FakeLLM.astream_chat")
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(run())
    outcomes = traced.outcomes()
    assert outcomes.pop("Shelf.aretrieve") == "ok"
    assert set(outcomes.values()) == {"cancelled"}


def test_a_stream_that_breaks_is_an_error_up_to_the_query(traced: Any) -> None:
    with pytest.raises(ConnectionError):
        list(engine(breaks_after=1).query("what?").response_gen)
    outcomes = traced.outcomes()
    assert outcomes.pop("Shelf.retrieve") == "ok"
    assert set(outcomes.values()) == {"error"}
    model = traced.memory.step("FakeLLM.stream_chat")
    assert model.error_type == "ConnectionError"
    assert traced.memory.visible("FakeLLM.stream_chat").error_message == "the stream broke"
    assert traced.memory.visible("FakeLLM.stream_chat").output_messages[0].parts[0].content == "one"


def test_a_model_that_fails_before_its_first_piece_is_an_error_up_to_the_query(traced: Any) -> None:
    with pytest.raises(RuntimeError):
        list(engine(error=RuntimeError("no model")).query("what?").response_gen)
    assert traced.tree() == STREAMED
    outcomes = traced.outcomes()
    assert outcomes.pop("Shelf.retrieve") == "ok"
    assert set(outcomes.values()) == {"error"}


def test_streams_read_in_another_thread_or_interleaved_keep_their_trees(traced: Any) -> None:
    one, other = engine().query("a?").response_gen, engine().query("b?").response_gen
    next(one)
    next(other)
    reader = threading.Thread(target=list, args=(one,))
    reader.start()
    reader.join()
    list(other)
    assert traced.tree() == STREAMED * 2
    assert set(traced.outcomes().values()) == {"ok"}


@pytest.mark.parametrize("left", ["read", "closed", "collected", "never begun"])
def test_a_models_bare_stream(traced: Any, left: str) -> None:
    stream = FakeLLM().stream_chat(QUESTION)
    if left == "read":
        list(stream)
    elif left != "never begun":
        next(stream)
    if left == "closed":
        stream.close()
    del stream
    gc.collect()
    step = _only(traced)
    assert step.outcome == ("ok" if left == "read" else "abandoned")
    assert step.streaming
    assert (step.first_token_ns is None) is (left == "never begun")


def test_a_custom_model_without_events_is_recorded_as_far_as_it_can_be(traced: Any) -> None:
    class Silent(FakeLLM):
        def stream_chat(self, messages: Any, **kwargs: Any) -> Any:
            return (ChatResponse(message=ChatMessage("x"), delta="x") for _ in range(2))

        def chat(self, messages: Any, **kwargs: Any) -> Any:
            return ChatResponse(message=ChatMessage("whole"))

    list(Silent().stream_chat(QUESTION))
    Silent().chat(QUESTION)
    assert traced.tree() == ["llm:Silent.stream_chat", "llm:Silent.chat"]
    assert traced.memory.visible("Silent.chat").output_messages[0].parts[0].content == "whole"


@pytest.mark.parametrize("kind", ["simple", "context", "condense question", "condense plus context"])
@pytest.mark.parametrize("a", ["", "a"])
def test_a_streamed_chat_stays_open_until_its_answer_is_written(traced: Any, kind: str, a: str) -> None:
    model = FakeLLM()
    chat: Any = {
        "simple": lambda: SimpleChatEngine.from_defaults(llm=model),
        "context": lambda: ContextChatEngine.from_defaults(Shelf(), llm=model),
        "condense question": lambda: CondenseQuestionChatEngine.from_defaults(engine(), llm=model),
        "condense plus context": lambda: CondensePlusContextChatEngine.from_defaults(Shelf(), llm=model),
    }[kind]()
    if a:

        async def run() -> str:
            response = await chat.astream_chat("hi")
            return "".join([piece async for piece in response.async_response_gen()])

        answer = asyncio.run(run())
    else:
        answer = "".join(chat.stream_chat("hi").response_gen)
    assert answer.strip() == "one two three"
    traced.wait_until(lambda: not traced.still_open)
    tree = traced.tree()
    name = tree[0].removeprefix("chain:")
    assert name.endswith(f".{a}stream_chat")
    assert all(line.startswith("  ") for line in tree[1:])
    assert set(traced.outcomes().values()) == {"ok"}
    root = traced.memory.step(name)
    assert root.end_ns >= max(s.end_ns for s in traced.memory.steps)
    assert traced.memory.visible(name).output == "one two three"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_streamed_chat_that_breaks_is_an_error(traced: Any) -> None:
    response = SimpleChatEngine.from_defaults(llm=FakeLLM(breaks_after=1)).stream_chat("hi")
    with pytest.raises(ConnectionError):
        list(response.response_gen)
    traced.wait_until(lambda: not traced.still_open)
    assert traced.outcomes() == {"SimpleChatEngine.stream_chat": "error", "FakeLLM.stream_chat": "error"}


@pytest.mark.parametrize("left", ["read", "unread"])
def test_a_chat_that_hands_its_models_stream_on_waits_for_its_reader(traced: Any, left: str) -> None:
    class Direct(SimpleChatEngine):
        def stream_chat(self, message: str, chat_history: Any = None) -> StreamingAgentChatResponse:
            return StreamingAgentChatResponse(chat_stream=FakeLLM().stream_chat(QUESTION), is_writing_to_memory=False)

    response = Direct.from_defaults(llm=FakeLLM()).stream_chat("hi")
    assert set(traced.still_open) == {"Direct.stream_chat", "FakeLLM.stream_chat"}
    if left == "read":
        assert "".join(response.response_gen) == "one two three"
    del response
    gc.collect()
    outcome = "ok" if left == "read" else "abandoned"
    assert traced.outcomes() == {"Direct.stream_chat": outcome, "FakeLLM.stream_chat": outcome}
    assert traced.memory.visible("Direct.stream_chat").output == ("one two three" if left == "read" else "")


def test_an_async_chat_whose_task_never_runs_is_given_up(traced: Any) -> None:
    async def run() -> None:
        await SimpleChatEngine.from_defaults(llm=FakeLLM()).astream_chat("hi")

    asyncio.run(run())
    gc.collect()
    assert not traced.still_open
    assert set(traced.outcomes().values()) <= {"abandoned", "cancelled"}


def _only(traced: Any) -> Any:
    traced.flush()
    (step,) = traced.memory.steps
    return step


DELTA = {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "x"}}


class LongLLM(FakeLLM):
    """Streams `pieces` pieces; `tells` has what the provider says with some of them, by their place."""

    pieces: int = 100
    tells: Any = None

    def _pieces(self, said: Any) -> Any:
        for n in range(self.pieces):
            message = ChatMessage(role="assistant", content="x" * (n + 1))
            yield ChatResponse(message=message, delta="x", raw=self.tells.get(n, DELTA))


ANTHROPIC = {
    0: {"type": "message_start", "message": {"id": "m", "model": "claude-x", "usage": {"input_tokens": 5}}},
    98: {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 7}},
    99: {"type": "message_stop"},
}
OPENAI = {n: {"id": "r", "model": "gpt-x", "choices": [{"finish_reason": None}], "usage": None} for n in range(100)} | {
    93: {"id": "r", "model": "gpt-x", "choices": [{"finish_reason": "end_turn"}], "usage": None},
    94: {"id": "r", "model": "gpt-x", "choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 7}},
}


@pytest.mark.parametrize("a", ["", "a"])
@pytest.mark.parametrize(("tells", "model"), [(ANTHROPIC, "claude-x"), (OPENAI, "gpt-x")])
def test_what_a_provider_tells_at_the_ends_of_a_long_stream_is_read(
    traced: Any, tells: Any, model: str, a: str
) -> None:
    llm = LongLLM(tells=tells)
    if a:

        async def run() -> None:
            async for _ in await llm.astream_chat(QUESTION):
                pass

        asyncio.run(run())
    else:
        list(llm.stream_chat(QUESTION))
    step = _only(traced)
    assert (step.response_model, step.finish_reasons, step.usage) == (model, ("end_turn",), Usage(5, 7))
    assert step.chunks == 100
    assert [e.name for e in step.events] == ["first_token_received"]


TELLING = st.sampled_from(
    [
        None,
        DELTA,
        *ANTHROPIC.values(),
        *OPENAI.values(),
        {"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 1}, "service_tier": "flex"},
        {"model": "tiny", "done_reason": "stop", "prompt_eval_count": 8, "eval_count": 3},
        {"message": "Streaming", "usage_metadata": {"prompt_token_count": 9, "candidates_token_count": 4}},
    ]
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    first=st.lists(TELLING, min_size=4, max_size=4),
    between=st.integers(0, 9),
    last=st.lists(TELLING, min_size=1, max_size=8),
)
def test_a_stream_tells_what_its_chunks_tell_one_by_one(traced: Any, first: Any, between: int, last: Any) -> None:
    told = [*first, *[DELTA] * between, *last]
    alone = Step("run", Kind.LLM, "x")
    for raw in told:
        models.read(alone, ChatResponse(message=ChatMessage("x"), raw=raw))
    list(LongLLM(pieces=len(told), tells=dict(enumerate(told))).stream_chat(QUESTION))
    step = _only(traced)
    traced.memory.spans.clear()
    for fact in ("response_model", "response_id", "finish_reasons", "usage", "service_tier"):
        assert getattr(step, fact) == getattr(alone, fact), fact


class Collecting(SpanProcessor):
    """A processor with a lock of its own, in which garbage is collected, as it may be anywhere."""

    def __init__(self) -> None:
        self.lock, self.on, self.came_back = threading.Lock(), True, 0

    def on_end(self, span: Any) -> None:
        if not self.on:
            return
        if not self.lock.acquire(blocking=False):
            self.came_back += 1  # with the lock in hand: a thread that waits for it waits for ever
            return
        try:
            gc.collect()
        finally:
            self.lock.release()


@pytest.mark.parametrize("what", ["a model", "an unread model", "a query", "an unread query"])
def test_a_stream_collected_while_a_processor_holds_its_lock_does_not_come_back_to_it(traced: Any, what: str) -> None:
    processor = Collecting()
    traced.loom.tracer_provider.add_span_processor(processor)
    gc.disable()
    try:
        stream = FakeLLM().stream_chat(QUESTION) if "model" in what else engine().query("q").response_gen
        if "unread" not in what:
            next(stream)
        cycle: list[Any] = [stream]
        cycle.append(cycle)
        del stream, cycle
        left = traced.still_open
        assert left
        FakeLLM().complete("another")
        assert not processor.came_back
    finally:
        processor.on = False
        gc.enable()
    assert not traced.still_open
    traced.flush()
    assert {s.outcome for s in traced.memory.steps if s.name in left} == {"abandoned"}


def test_the_trace_of_a_stream_that_was_just_left_is_the_last_one(traced: Any) -> None:
    handler = SpanloomCallbackHandler()
    FakeLLM().complete("before")
    stream = FakeLLM().stream_chat(QUESTION)
    next(stream)
    del stream
    last = handler.last_trace_id
    traced.flush()
    assert last == format_trace_id(traced.memory.step("FakeLLM.stream_chat").trace_id)


SAYS = {
    "a text": ChatResponse(message=ChatMessage(role="assistant", content="x"), delta="x"),
    "a text without its delta": ChatResponse(message=ChatMessage(role="assistant", content="x")),
    "a thought": ChatResponse(message=ChatMessage(role="assistant", blocks=[ThinkingBlock(content="hm")]), delta=""),
    "a tool": ChatResponse(
        message=ChatMessage(role="assistant", blocks=[TextBlock(text=""), ToolCallBlock(tool_name="add")]), delta=""
    ),
    "a tool of old": ChatResponse(message=ChatMessage(role="assistant", additional_kwargs={"tool_calls": [{}]})),
}


class SlowToSpeak(FakeLLM):
    """Streams `silent` pieces that say nothing, then `spoken` twice, if at all."""

    silent: int
    spoken: Any = None
    _spoke_ns: int = PrivateAttr(default=0)

    def _pieces(self, said: Any) -> Any:
        for _ in range(self.silent):
            yield ChatResponse(message=ChatMessage(role="assistant", content=""), delta="", raw={"type": "created"})
        if self.spoken is not None:
            self._spoke_ns = time.time_ns()
            yield self.spoken
            yield self.spoken


@pytest.mark.parametrize("silent", [0, 1, 3, 4, 20])
@pytest.mark.parametrize("spoken", SAYS)
def test_the_first_token_is_the_first_piece_that_says_something(traced: Any, spoken: str, silent: int) -> None:
    llm = SlowToSpeak(silent=silent, spoken=SAYS[spoken])
    list(llm.stream_chat(QUESTION))
    step = _only(traced)
    assert step.first_token_ns >= llm._spoke_ns
    assert step.chunks == 2
    assert [e.name for e in step.events if e.name == "first_token_received"] == ["first_token_received"]


@pytest.mark.parametrize("silent", [1, 20])
def test_where_a_stream_says_nothing_its_first_piece_is_the_first_token(traced: Any, silent: int) -> None:
    list(SlowToSpeak(silent=silent).stream_chat(QUESTION))
    step = _only(traced)
    assert step.start_ns <= step.first_token_ns <= step.end_ns
    assert (step.chunks, [e.name for e in step.events]) == (silent, ["first_token_received"])


class Unread:
    def __getattribute__(self, name: str) -> Any:
        raise AssertionError(f"{name} was read in the middle of a stream")


def test_nothing_is_read_of_a_token_on_its_way(traced: Any) -> None:
    list(LongLLM(tells=ANTHROPIC | {n: Unread() for n in range(10, 90)}).stream_chat(QUESTION))
    assert _only(traced).usage == Usage(5, 7)


def test_a_long_stream_that_is_left_tells_what_was_said_until_then(traced: Any) -> None:
    stream = LongLLM(tells=OPENAI).stream_chat(QUESTION)
    for _ in range(50):
        next(stream)
    stream.close()
    step = _only(traced)
    assert (step.outcome, step.response_model, step.chunks) == ("abandoned", "gpt-x", 50)
    assert traced.memory.visible("LongLLM.stream_chat").output_messages[0].parts[0].content == "x" * 50


class ProbedStream(FakeLLM):
    def _pieces(self, said: Any) -> Any:
        for piece in super()._pieces(said):
            with probe("piece"):
                pass
            yield piece


class Named(ProbedStream):
    pass


@pytest.mark.parametrize("a", ["", "a"])
def test_a_piece_is_made_inside_of_its_step_whatever_the_consumer_makes_current(traced: Any, a: str) -> None:
    chat = RetrieverQueryEngine.from_args(Shelf(), llm=ProbedStream(), streaming=True)
    before = trace.get_current_span()

    def consume() -> None:
        pieces = iter(chat.query("what?").response_gen)
        next(pieces)
        with probe("consumer") as mine:
            next(pieces)
            assert trace.get_current_span() is mine
        assert trace.get_current_span() is before
        next(pieces)
        assert list(pieces) == []

    async def aconsume() -> None:
        pieces = (await chat.aquery("what?")).response_gen
        await anext(pieces)
        with probe("consumer") as mine:
            await anext(pieces)
            assert trace.get_current_span() is mine
        assert trace.get_current_span() is before
        await anext(pieces)
        assert [p async for p in pieces] == []

    asyncio.run(aconsume()) if a else consume()
    assert trace.get_current_span() is before
    assert traced.probes("piece") == [f"ProbedStream.{a}stream_chat"] * 3
    assert traced.probes("consumer") == [None]


@pytest.mark.parametrize("a", ["", "a"])
@pytest.mark.parametrize("end", ["read", "closed", "dropped"])
def test_the_request_of_a_stream_lies_in_its_model_though_it_is_sent_when_the_first_piece_is_asked_for(
    traced: Any, a: str, end: str
) -> None:
    before = trace.get_current_span()
    context = get_current()

    def consume() -> None:
        pieces = ProbedStream().stream_chat(QUESTION)
        assert trace.get_current_span() is before
        next(pieces)
        assert trace.get_current_span() is before
        with probe("consumer"):
            pass
        if end == "read":
            list(pieces)
        elif end == "closed":
            pieces.close()

    async def aconsume() -> None:
        pieces = await ProbedStream().astream_chat(QUESTION)
        assert trace.get_current_span() is before
        await anext(pieces)
        assert trace.get_current_span() is before
        with probe("consumer"):
            pass
        if end == "read":
            assert len([p async for p in pieces]) == 2
        elif end == "closed":
            await pieces.aclose()

    for _ in range(2):
        asyncio.run(aconsume()) if a else consume()
        assert trace.get_current_span() is before
        assert get_current() is context
    assert traced.probes("piece") == [f"ProbedStream.{a}stream_chat"] * (6 if end == "read" else 2)
    assert traced.probes("consumer") == [None, None]


def test_of_two_streams_read_in_turn_each_holds_its_own_requests(traced: Any) -> None:
    first, second = ProbedStream().stream_chat(QUESTION), Named().stream_chat(QUESTION)
    for one, other in zip(first, second, strict=True):
        assert one.delta == other.delta
    first, second = ProbedStream().stream_chat(QUESTION), Named().stream_chat(QUESTION)
    assert (len(list(first)), len(list(second))) == (3, 3)  # the one after the other
    assert traced.probes("piece") == ["Named.stream_chat"] * 6 + ["ProbedStream.stream_chat"] * 6


def test_streams_that_other_threads_read_pile_up_nothing_in_the_context_that_began_them(traced: Any) -> None:
    def contexts() -> int:
        found, context = 0, get_current()
        while type(context) is StepContext:
            found, context = found + 1, context.outer
        return found

    before = trace.get_current_span()
    for _ in range(20):
        streams = [ProbedStream().stream_chat(QUESTION) for _ in range(2)]
        for stream in streams:
            reader = threading.Thread(target=list, args=(stream,))
            reader.start()
            reader.join()
    assert not traced.still_open
    assert contexts() <= 1
    assert trace.get_current_span() is before


class SearchingStream(FakeLLM):
    """Looks something up for each of its pieces."""

    def _pieces(self, said: Any) -> Any:
        for piece in super()._pieces(said):
            with probe("before"):
                pass
            Shelf().retrieve("more?")
            with probe("after"):
                pass
            yield piece


def test_steps_of_any_piece_lie_in_the_step_that_streams_whoever_consumes_it(traced: Any) -> None:
    pieces = iter(
        RetrieverQueryEngine.from_args(Shelf(), llm=SearchingStream(), streaming=True).query("what?").response_gen
    )
    next(pieces)

    class Reader(CustomQueryEngine):
        def custom_query(self, query_str: str) -> str:
            text: str = next(pieces)  # in a span of LlamaIndex's of its own
            with probe("reader"):
                Shelf().retrieve("mine?")
            return text

    Reader().query("go on")
    assert list(pieces) == [" three"]
    assert not traced.still_open
    assert traced.tree() == [
        *STREAMED[:3],
        "    llm:SearchingStream.stream_chat",
        *["    retriever:Shelf.retrieve"] * 3,
        "chain:Reader.query",
        "  retriever:Shelf.retrieve",
    ]
    assert traced.probes("before") == traced.probes("after") == ["SearchingStream.stream_chat"] * 3
    assert traced.probes() == ["Shelf.retrieve"] * 5
    assert traced.probes("reader") == ["Reader.query"]


def test_a_thread_that_begins_for_any_piece_of_a_stream_is_inside_of_its_step(traced: Any) -> None:
    class Threaded(FakeLLM):
        def _pieces(self, said: Any) -> Any:
            def ask() -> None:
                with probe("thread"):
                    Shelf().retrieve("more?")

            for piece in super()._pieces(said):
                thread = threading.Thread(target=copy_context().run, args=(ask,))
                thread.start()
                thread.join()
                yield piece

    chat = RetrieverQueryEngine.from_args(Shelf(), llm=Threaded(), streaming=True)
    assert "".join(chat.query("what?").response_gen) == "one two three"
    assert traced.probes("thread") == ["CompactAndRefine.synthesize"] * 3
    assert traced.probes() == ["Shelf.retrieve"] * 4
    assert [line for line in traced.tree() if line.endswith("Shelf.retrieve")][1:] == [
        "    retriever:Shelf.retrieve"
    ] * 3


def test_a_stream_handed_from_thread_to_thread_leaves_none_of_them_inside(traced: Any) -> None:
    pieces = engine().query("what?").response_gen
    seen = []

    def read_one() -> None:
        next(pieces, None)
        seen.append(trace.get_current_span().get_span_context().is_valid)

    for _ in range(4):
        reader = threading.Thread(target=read_one)
        reader.start()
        reader.join()
    assert seen == [False] * 4
    assert traced.tree() == STREAMED
    assert set(traced.outcomes().values()) == {"ok"}
