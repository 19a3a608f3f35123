"""What a span costs and keeps alive does not grow with the trace around it, with other traces, or with a chat.

Costs are CPU time of this thread, the least of several, and compared as ratios in one run.
"""

import gc
import sys
import threading
import time
import tracemalloc
from itertools import count

import pytest
import spanloom
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from opentelemetry.sdk.trace import TracerProvider
from spanloom import ContentPolicy, Langfuse, Otlp
from spanloom.destinations.delivery import Delivery
from spanloom.ended import Ended
from spanloom.step import Content, Deferred, Kind, Outcome, Step
from spanloom.testing import Memory
from spanloom_langchain.messages import messages_of

_ids = count()


@pytest.fixture
def loom():
    with spanloom.configure(Memory(), tracer_provider=TracerProvider(shutdown_on_exit=False)) as loom:
        loom._weave.sinks = ()  # what comes behind the recorder is timed by itself
        yield loom


def opened(loom, parent=None):
    step = Step(next(_ids), Kind.CHAIN, "node")
    loom.recorder.open(step, parent)
    return step.run_id


def cost(act, times=7):
    """Seconds of this thread's CPU time, the least of several."""
    found = []
    gc.collect()
    gc.disable()
    try:
        for _ in range(times):
            before = time.thread_time()
            act()
            found.append(time.thread_time() - before)
    finally:
        gc.enable()
    return min(found)


def of_a_child(loom, parent, spans=300):
    def act():
        for _ in range(spans):
            loom.recorder.close(opened(loom, parent))

    return cost(act) / spans


def test_a_span_costs_the_same_at_any_depth(loom):
    shallow = deep = opened(loom)
    for _ in range(1_000):
        deep = opened(loom, deep)
    assert of_a_child(loom, deep) < 2 * of_a_child(loom, shallow)


def test_a_span_costs_the_same_beside_any_number_of_others(loom):
    narrow, wide = opened(loom), opened(loom)
    for _ in range(5_000):
        opened(loom, wide)
    assert of_a_child(loom, wide) < 2 * of_a_child(loom, narrow)


def test_a_span_costs_the_same_while_ten_thousand_traces_are_open(loom):
    alone = of_a_child(loom, opened(loom))
    for _ in range(10_000):
        opened(loom)
    assert of_a_child(loom, opened(loom)) < 2 * alone


# ---------------------------------------------------------------- a receiver that is too slow
class Stuck(Memory):
    """A receiver that takes nothing until it is let go."""

    def __init__(self):
        super().__init__("stuck")
        self.go = threading.Event()

    def open(self, resource, tick):
        return Delivery(self.name, self._keep_later, queue_spans=1_000, tick=tick)

    def _keep_later(self, batch):
        self.go.wait()
        return self._keep(batch)


def test_a_span_costs_hardly_more_where_the_queue_is_full_and_each_is_accounted_for():
    stuck = Stuck()
    with spanloom.configure(stuck, tracer_provider=TracerProvider(shutdown_on_exit=False)) as loom:
        top = opened(loom)
        before = of_a_child(loom, top)  # 2,100 spans: more than there is room for
        counts = loom.stats()["destinations"]["stuck"]
        assert counts["dropped"] > 0
        assert of_a_child(loom, opened(loom)) < 3 * before
        failed = Step(next(_ids), Kind.CHAIN, "failed")
        loom.recorder.open(failed)
        loom.recorder.close(failed.run_id, Outcome.ERROR, error=ValueError("no"))
        counts = loom.stats()["destinations"]["stuck"]
        assert counts["offered"] == counts["exported"] + counts["dropped"] + counts["failed"] + counts["queued"]
        stuck.go.set()
    assert failed in stuck.steps, "an error has room where nothing else has"


# ---------------------------------------------------------------- a chat
def chat(turns):
    said = [SystemMessage("You are a support desk.")]
    for n in range(turns):
        said += [HumanMessage(f"Question {n}: where is my order?"), AIMessage(f"Answer {n}: on its way. " * 4)]
    return said


def rendered(messages, policy=None, loom=None):
    """One model call over `messages` as both destinations send it."""
    otlp, langfuse = DESTINATIONS
    provider_step = Step(next(_ids), Kind.LLM, "Chat", request_model="m")
    provider_step.content = Content(input_messages=Deferred(messages_of, (tuple(messages),)))
    loom.recorder.open(provider_step)
    loom.recorder.close(provider_step.run_id)
    ended = Ended(None, provider_step, None, provider_step.identity)
    for destination in (otlp, langfuse):
        destination._copy(ended)


DESTINATIONS = (Otlp("http://127.0.0.1:9"), Langfuse("pk", "sk", "http://127.0.0.1:9"))


def test_a_chat_is_rendered_in_time_linear_in_it(loom):
    short = cost(lambda: rendered(chat(20), loom=loom), 7)
    long = cost(lambda: rendered(chat(160), loom=loom), 7)  # both within an attribute's budget
    assert long < 8 * 1.5 * short


def test_what_was_said_before_is_not_rendered_again_in_the_next_step(loom):
    said = chat(80)
    first = cost(lambda: rendered(chat(80), loom=loom), 5)
    rendered(said, loom=loom)
    again = cost(lambda: rendered([*said, HumanMessage("And now?")], loom=loom), 5)
    assert again < first / 4


# ---------------------------------------------------------------- what is kept alive
def test_an_open_step_takes_less_than_two_kibibytes_beside_its_content(loom):
    root = opened(loom)
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(1_000):
            opened(loom, root)
        each = (tracemalloc.get_traced_memory()[0] - before) / 1_000
    finally:
        tracemalloc.stop()
    assert each < 2_048


def test_a_span_that_waits_takes_at_most_half_as_much_again_as_it_is_encoded():
    from langchain_core.runnables import RunnableLambda
    from spanloom.destinations.wire.encoding import encoded
    from spanloom_langchain import SpanloomCallbackHandler

    langfuse = Langfuse("pk", "sk", "http://127.0.0.1:9", content=ContentPolicy.full())
    memory = Memory()
    with spanloom.configure(memory, tracer_provider=TracerProvider(shutdown_on_exit=False)) as loom:
        chain = RunnableLambda(lambda q: {"found": [q * 40, q * 30]}) | RunnableLambda(lambda d: "".join(d["found"]))
        config = {"callbacks": [SpanloomCallbackHandler(loom)]}
        chain.invoke("warm", config)
        loom.flush()
        kept: list[Ended] = []

        class Kept:
            put = staticmethod(kept.append)

        loom._weave.sinks = (Kept(),)
        gc.collect()
        tracemalloc.start()
        try:
            before = tracemalloc.get_traced_memory()[0]
            for n in range(200):
                chain.invoke(f"question {n:04} ", config)
            gc.collect()
            waiting = tracemalloc.get_traced_memory()[0] - before
        finally:
            tracemalloc.stop()
        batches, unfit = encoded([langfuse._copy(ended) for ended in kept], 1 << 30)
    assert (len(kept), unfit) == (600, [])
    assert waiting < 1.5 * sum(len(batch.body) for batch in batches)
    assert sys.getsizeof(kept[0]) < 256
