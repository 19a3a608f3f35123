"""`using(...)`: who a trace belongs to, on every span of it."""

import asyncio
import contextvars
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from opentelemetry import trace
from spanloom import Prompt, using
from spanloom.errors import ConfigurationError
from spanloom.identity import NOBODY, Identity, current_identity
from spanloom.step import Kind, Step
from spanloom.testing import Memory


def test_blocks_nest_and_end():
    with using(user_id="u", tags=["a"], metadata={"k": 1}, tenant="t"):
        with using(session_id="s", user_id="v", tags=["b", "a"], metadata={"k": 2, "l": 3}, prompt=("rag", 3)):
            assert current_identity() == Identity("v", "s", ("a", "b"), {"k": 2, "l": 3}, "t", Prompt("rag", 3))
        assert current_identity() == Identity("u", None, ("a",), {"k": 1}, "t")
    assert current_identity() is NOBODY


@pytest.mark.parametrize(
    ("given", "prompt"),
    [("rag", Prompt("rag")), (("rag", "v2"), Prompt("rag", "v2")), (Prompt("rag", 1), Prompt("rag", 1))],
)
def test_a_prompt_may_be_named_in_three_ways(given, prompt):
    with using(prompt=given):
        assert current_identity().prompt == prompt


def test_one_tag_may_be_a_string_and_ids_may_be_numbers():
    with using(tags="beta", user_id=7, session_id=0):
        assert current_identity() == Identity("7", "0", ("beta",))


def test_a_block_ends_also_with_an_error():
    with pytest.raises(KeyError), using(user_id="u"):
        raise KeyError
    assert current_identity() is NOBODY


def test_what_cannot_be_read_is_left_out_and_the_block_runs(lenient):
    with using(user_id="outer"), using(metadata=7, user_id="inner", tags=3), using(prompt=("a", 1, "b"), tenant="t"):
        assert current_identity() == Identity(user_id="inner", tenant="t")
    assert {f"spanloom.using({name}=…)": 1 for name in ("metadata", "tags", "prompt")} == dict(lenient.swallowed)


def test_tasks_and_copied_contexts_follow_and_other_threads_do_not():
    seen = {}

    async def child(name):
        with using(session_id=name):
            await asyncio.sleep(0)
            seen[name] = current_identity()

    async def main():
        with using(user_id="u"):
            await asyncio.gather(*(child(f"s{n}") for n in range(5)))

    asyncio.run(main())
    assert seen == {f"s{n}": Identity("u", f"s{n}") for n in range(5)}

    with using(user_id="u"), ThreadPoolExecutor(1) as pool:
        assert pool.submit(contextvars.copy_context().run, current_identity).result().user_id == "u"
        assert pool.submit(current_identity).result() is NOBODY


def test_a_generator_closed_in_another_context_leaves_no_trace():
    def stream():
        with using(user_id="u"):
            yield 1

    items = contextvars.copy_context().run(lambda: (s := stream(), next(s))[0])
    thread = threading.Thread(target=items.close)
    thread.start()
    thread.join()
    assert current_identity() is NOBODY


def test_it_decorates_functions_and_coroutines_with_a_block_for_each_call():
    seen = []

    @using(user_id="u")
    def call(depth):
        """Call."""
        seen.append(current_identity().user_id)
        return call(depth - 1) if depth else "done"

    @using(session_id="s")
    async def awaited(n):
        await asyncio.sleep(0)
        assert current_identity() == Identity(session_id="s")
        return n

    async def main():
        found = await asyncio.gather(*(awaited(n) for n in range(5)))
        assert current_identity() is NOBODY
        return found

    assert (call(1), call.__name__, call.__doc__, seen) == ("done", "call", "Call.", ["u", "u"])
    assert asyncio.run(main()) == [0, 1, 2, 3, 4]
    assert current_identity() is NOBODY


def test_a_generator_is_not_decorated_since_its_reader_would_be_too():
    with pytest.raises(ConfigurationError, match=r"stream\(\), which is a generator"):

        @using(user_id="u")
        def stream():
            yield 1


def test_one_block_may_be_entered_again_and_by_several_at_once():
    somebody = using(user_id="u")

    async def child(turns):
        with somebody:
            for _ in range(turns):
                await asyncio.sleep(0)
            assert current_identity().user_id == "u"
        assert current_identity() is NOBODY

    async def main():
        await asyncio.gather(*(child(n) for n in (5, 1, 3, 0)))

    asyncio.run(main())
    with somebody, somebody:
        assert current_identity().user_id == "u"
    assert current_identity() is NOBODY


def test_every_span_of_the_trace_carries_it_however_deep_and_wherever_it_ends(configured, provider):
    memory = Memory()
    loom = configured(memory)
    recorder = loom.recorder
    with using(user_id="u", session_id="s", tags=["t"], metadata={"k": 1}):
        top = recorder.open(Step("top", Kind.CHAIN, "top"))
    with using(tags=["late"]):  # opened after the block, under a run that began inside it
        recorder.open(Step("child", Kind.TOOL, "child"), parent="top")
    redis = provider.get_tracer("redis").start_span("GET", trace.set_span_in_context(top.span))
    redis.end()
    recorder.close("child")
    recorder.close("top")
    recorder.open(Step("late", Kind.TOOL, "late"), parent="top")  # a task that outlived its parent
    recorder.close("late")
    loom.flush()
    assert {e.span.name: (e.identity.user_id, e.identity.session_id) for e in memory.spans} == dict.fromkeys(
        ("top", "execute_tool child", "GET", "execute_tool late"), ("u", "s")
    )
    assert memory.step("child").identity.tags == ("t", "late")


def test_a_span_of_another_library_hands_it_down(configured, provider):
    memory = Memory()
    loom = configured(memory)
    tracer = provider.get_tracer("web")
    with using(user_id="u"):
        request = tracer.start_span("GET /")
    inner = tracer.start_span("query", trace.set_span_in_context(request))
    inner.end()
    request.end()
    loom.flush()
    assert [e.identity.user_id for e in memory.spans] == ["u", "u"]
