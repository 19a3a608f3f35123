"""Steps through a loom: opened once, ended once, hung where they belong, and never too many."""

import random
import threading
import time

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from spanloom.step import Kind, Outcome, Step
from spanloom.testing import Memory


@pytest.fixture
def memory():
    return Memory()


@pytest.fixture
def loom(configured, memory):
    return configured(memory)


def opened(loom, run_id, parent=None, kind=Kind.CHAIN):
    return loom.recorder.open(Step(run_id, kind, run_id), parent)


def test_parents_come_from_run_ids_whatever_is_current(loom, memory):
    opened(loom, "a")
    opened(loom, "b", "a")
    with trace.use_span(opened(loom, "stranger").span):
        opened(loom, "c", "b")
        opened(loom, "root")
    for run_id in ("c", "b", "a", "root", "stranger"):
        loom.recorder.close(run_id)
    loom.flush()
    assert memory.tree() == ["chain:a", "  chain:b", "    chain:c", "chain:stranger", "  chain:root"]
    assert memory.step("c").trace_id == memory.step("a").trace_id


def test_a_start_seen_twice_is_one_step(loom, memory):
    assert opened(loom, "a") is not None
    assert opened(loom, "a") is None
    loom.recorder.close("a")
    assert opened(loom, "a") is None
    assert loom.recorder.close("a") is None
    loom.flush()
    assert len(memory.steps) == 1
    assert loom.stats()["steps"] == {"opened": 1, "open": 0, "evicted": 0, "repeated": 2}


def test_only_an_error_is_an_error(loom, memory):
    for outcome in Outcome:
        opened(loom, outcome.value)
        loom.recorder.close(outcome.value, outcome, error=ValueError("secret") if outcome is Outcome.ERROR else None)
    loom.flush()
    failed = [e.step.name for e in memory.spans if not e.span.status.is_ok]
    assert failed == ["error"]
    assert memory.step("error").error_type == "ValueError"
    assert memory.visible("error").error_message == "secret"
    assert "ValueError: secret" in memory.visible("error").error_stack


def test_a_cancelled_step_takes_its_open_descendants_along(loom, memory):
    opened(loom, "a")
    opened(loom, "b", "a")
    opened(loom, "c", "b")
    loom.recorder.close("a", Outcome.CANCELLED)
    loom.flush()
    assert {s.name: s.outcome for s in memory.steps} == dict.fromkeys("abc", Outcome.CANCELLED)


def test_too_many_open_steps_evict_the_oldest(configured, memory):
    loom = configured(memory, max_open_steps=3)
    for n in range(5):
        opened(loom, f"s{n}")
    loom.flush()
    assert [(s.name, s.outcome) for s in memory.steps] == [("s0", Outcome.INCOMPLETE), ("s1", Outcome.INCOMPLETE)]
    assert loom.stats()["steps"]["open"] == 3
    assert loom.stats()["steps"]["evicted"] == 2


def test_a_step_open_for_too_long_is_evicted(configured, memory):
    loom = configured(memory, max_step_seconds=60)
    loom.recorder.open(Step("old", Kind.CHAIN, "old", start_ns=time.time_ns() - 61 * 10**9))
    opened(loom, "young")
    loom.flush()
    assert [(s.name, s.outcome) for s in memory.steps] == [("old", Outcome.INCOMPLETE)]


def test_an_evicted_parent_still_has_its_children(configured, memory):
    loom = configured(memory, max_open_steps=1)
    opened(loom, "a")
    opened(loom, "b", "a")
    opened(loom, "c", "a")
    loom.shutdown()
    assert memory.tree() == ["chain:a", "  chain:b", "  chain:c"]


def test_shutdown_ends_what_is_open_and_takes_no_more(loom, memory):
    opened(loom, "a")
    opened(loom, "b", "a")
    assert loom.shutdown()
    assert {s.name: s.outcome for s in memory.steps} == dict.fromkeys("ab", Outcome.INCOMPLETE)
    assert opened(loom, "c") is None
    assert loom.shutdown()


def test_a_head_sampler_that_drops_the_root_leaves_nothing_behind(configured, memory):
    provider = TracerProvider(sampler=ALWAYS_OFF, shutdown_on_exit=False)
    loom = configured(memory, tracer_provider=provider)
    for n in range(100):
        step = opened(loom, f"a{n}")
        assert step is not None
        opened(loom, f"b{n}", f"a{n}")
        loom.recorder.close(f"b{n}")
        loom.recorder.close(f"a{n}")
    loom.flush()
    assert memory.spans == []
    assert len(loom._weave._steps) == len(loom._weave._others) == 0


def test_threads_open_and_close_at_once_and_nothing_is_lost(loom, memory):
    threads, each = 8, 200
    errors = []

    def work(seed):
        chance = random.Random(seed)
        try:
            for n in range(each):
                run = f"{seed}-{n}"
                opened(loom, run)
                inner = [f"{run}-{m}" for m in range(3)]
                for name in inner:
                    opened(loom, name, run)
                chance.shuffle(inner)
                for name in inner:
                    loom.recorder.close(name, chance.choice(list(Outcome)))
                loom.recorder.close(run)
        except BaseException as error:
            errors.append(error)

    workers = [threading.Thread(target=work, args=(n,)) for n in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not errors
    assert loom.flush(20)
    assert len(memory.steps) == threads * each * 4
    assert len({s.span_id for s in memory.steps}) == len(memory.steps)
    by_id = {s.span_id: s for s in memory.steps}
    assert all(
        by_id[s.lineage.span_id].name == s.name.rsplit("-", 1)[0] for s in memory.steps if s.name.count("-") == 2
    )
    assert loom.stats()["steps"]["open"] == 0
    assert not loom._weave._steps


def test_evicting_while_others_open_and_workers_tick_does_not_lock_up(configured):
    memory = Memory()
    loom = configured(memory, max_open_steps=10)
    for _, delivery in loom._destinations:
        delivery._delay = 0.001  # so that the worker ticks all the time

    def work(seed):
        for n in range(500):
            opened(loom, f"{seed}-{n}")

    workers = [threading.Thread(target=work, args=(n,), daemon=True) for n in range(6)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(30)
    assert not any(worker.is_alive() for worker in workers)
    assert loom.shutdown()
    assert len(memory.steps) == 3000
