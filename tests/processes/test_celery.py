"""A real Celery worker, its broker a folder: every task's trace arrives, once, whichever pool ran it."""

import subprocess
import sys

import pytest

TASKS = 7
SPANS = 6  # the producer's, the task's, the chain's and those of its three steps


@pytest.fixture
def ask(example, sink, start):
    """The example's producer, run to its end."""

    def ask():
        producer = start("python", "celery_tasks.py")
        assert producer.process.wait(60) == 0, producer.log.read_text()
        assert producer.log.read_text().splitlines() == ["Within thirty days."] * TASKS

    return ask


def worker(start, *arguments, **variables):
    return start("celery", "-A", "celery_tasks", "worker", "--loglevel", "INFO", *arguments, **variables)


def assert_whole(sink):
    assert len(sink.spans) == TASKS * SPANS
    assert len({span.span_id for span in sink.spans}) == TASKS * SPANS
    ids = {span.span_id: span for span in sink.spans}
    chains = [span for span in sink.spans if span.step == "answer"]
    assert len({span.trace_id for span in chains}) == TASKS
    for chain in chains:
        task = ids[chain.parent]
        assert (task.name, task.trace_id) == ("run/celery_tasks.answer", chain.trace_id)
        assert ids[task.parent].name == "apply_async/celery_tasks.answer"


@pytest.mark.receiver  # ten seconds, most of which Celery takes to end
def test_the_children_of_the_prefork_pool_send_before_they_are_recycled(ask, start, sink):
    worker_ = worker(start, "--concurrency", "2", "--max-tasks-per-child", "3")
    ask()
    said = worker_.ends()
    assert len({line.split("ForkPoolWorker-")[1][0] for line in said.splitlines() if "succeeded" in line}) > 2
    assert_whole(sink)


@pytest.mark.receiver
@pytest.mark.parametrize("pool", ["solo", "threads"])
def test_tasks_that_run_in_the_worker_itself_are_sent_at_its_end(ask, start, sink, pool):
    worker_ = worker(start, "--pool", pool, "--concurrency", "2")
    ask()
    worker_.ends()
    assert_whole(sink)


@pytest.mark.receiver
def test_a_receiver_that_hangs_holds_no_worker(ask, start, sink):
    sink.hang()
    worker_ = worker(start, "--concurrency", "2")
    ask()
    worker_.ends()  # within its deadline


def test_without_celery_the_module_says_what_to_install(tmp_path):
    (tmp_path / "celery.py").write_text("raise ImportError('none here')")
    done = subprocess.run(
        [sys.executable, "-c", "import spanloom.celery"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert "spanloom.celery needs Celery: run `pip install celery`." in done.stderr.splitlines()[-1]
