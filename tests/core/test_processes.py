"""Whichever way a process ends, what has ended in it is sent, once; and where it cannot be, it is not promised."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading

import pytest
import spanloom
from sinks import DEADLINE
from spanloom import ConfigurationError

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")

# A real file, since spawned children import it; what a test adds stands in `main()`.
SCRIPT = """
import multiprocessing, os, pathlib, signal, sys, threading, time, warnings
from concurrent.futures import ProcessPoolExecutor

warnings.filterwarnings("ignore", message=".*fork.*", category=DeprecationWarning)  # forks beside threads are tested
import spanloom
from spanloom.step import Kind, Step

URL = os.environ["SINK"]

def step(name):
    from spanloom.setup import current_loom
    record = current_loom().recorder
    record.open(Step(name, Kind.CHAIN, name))
    record.close(name)

def configure():
    return spanloom.configure(spanloom.Otlp(URL))

def configured_step(name):
    configure()
    step(name)

def says(word):
    print(word, flush=True)

def main():
{body}

if __name__ == "__main__":
    main()
"""


class Script:
    """A Python script in a process of its own, with warnings as errors."""

    def __init__(self, body, folder, sink):
        path = folder / "script.py"
        path.write_text(SCRIPT.format(body=textwrap.indent(textwrap.dedent(body), "    ")))
        self.process = subprocess.Popen(
            [sys.executable, "-W", "error", path],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=folder,
            env={k: v for k, v in os.environ.items() if k in ("PATH", "PYTHONPATH")} | {"SINK": sink.url},
        )

    def says(self, word):
        assert self.process.stdout.readline().strip() == word, self.process.stderr.read()

    def ends(self, code=0):
        try:
            _, errors = self.process.communicate(timeout=3 * DEADLINE)
        finally:
            self.process.kill()
            self.process.wait()
        assert self.process.returncode == code, errors
        assert "Traceback" not in errors, errors
        assert "spanloom failed" not in errors, errors
        return errors


@pytest.fixture
def run(tmp_path, http_sink):
    started = []

    def start(body):
        started.append(Script(body, tmp_path, http_sink))
        return started[-1]

    yield start
    for script in started:
        script.process.kill()
        script.process.communicate()


def steps(sink):
    return sorted(span.step for span in sink.spans)


# ---------------------------------------------------------------- multiprocessing
@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_a_child_of_multiprocessing_sends_what_it_ended(run, http_sink, method):
    # A forked child has its parent's configuration; the others, which begin anew, make their own.
    target = "step" if method == "fork" else "configured_step"
    run(f"""
    context = multiprocessing.get_context({method!r})
    configure()
    step("parent")
    child = context.Process(target={target}, args=("child",))
    child.start()
    child.join()
    assert child.exitcode == 0, child.exitcode
    """).ends()
    assert steps(http_sink) == ["child", "parent"]


def test_each_worker_of_a_pool_sends_what_it_ended_also_where_it_is_recycled(run, http_sink):
    run("""
    configure()
    pool = multiprocessing.get_context("fork").Pool(2, maxtasksperchild=2)
    pool.map(step, [f"task {n}" for n in range(8)], chunksize=1)
    pool.close()
    pool.join()
    """).ends()
    assert steps(http_sink) == [f"task {n}" for n in range(8)]


def test_each_worker_of_an_executor_sends_what_it_ended(run, http_sink):
    run("""
    configure()
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("fork")) as pool:
        list(pool.map(step, [f"task {n}" for n in range(6)]))
    """).ends()
    assert steps(http_sink) == [f"task {n}" for n in range(6)]


def test_a_spawned_worker_configures_itself_by_its_initializer(run, http_sink):
    run("""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"), initializer=configure) as pool:
        list(pool.map(step, ["a", "b"]))
    """).ends()
    assert steps(http_sink) == ["a", "b"]


def test_a_child_waits_for_its_threads_before_it_sends(run, http_sink):
    run("""
    configure()
    def in_threads():
        def later(name):
            threading.main_thread().join(0.2)  # the child's finalizers have run by then
            step(name)
        def begins_another():
            later("first")
            threading.Thread(target=later, args=("second",)).start()
        threading.Thread(target=begins_another).start()
        step("at once")
    child = multiprocessing.get_context("fork").Process(target=in_threads)
    child.start()
    child.join()
    assert child.exitcode == 0, child.exitcode
    """).ends()
    assert steps(http_sink) == ["at once", "first", "second"]


def test_what_a_child_left_open_ends_there_as_incomplete(run, http_sink):
    run("""
    loom = configure()
    child = multiprocessing.get_context("fork").Process(target=lambda: loom.recorder.open(Step("x", Kind.CHAIN, "x")))
    child.start()
    child.join()
    """).ends()
    assert http_sink.named("x").attributes["spanloom.step.outcome"] == "incomplete"


@pytest.mark.receiver  # five seconds
def test_the_end_of_a_child_is_bounded_where_its_receiver_hangs(run, http_sink):
    http_sink.hang()
    run("""
    spanloom.configure(spanloom.Otlp(URL, timeout=60))
    child = multiprocessing.get_context("fork").Process(target=step, args=("x",))
    child.start()
    child.join(15)  # five seconds are promised
    assert child.exitcode == 0, child.exitcode
    """).ends()


# ---------------------------------------------------------------- threads, and the interpreter's own end
def test_threads_that_outlive_the_main_one_are_waited_for(run, http_sink):
    run("""
    configure()
    step("main")
    def later():
        threading.main_thread().join()
        step("later")
    threading.Thread(target=later).start()
    """).ends()
    assert steps(http_sink) == ["later", "main"]


def test_what_ends_in_a_handler_of_atexit_that_was_registered_later_is_sent(run, http_sink):
    run("""
    import atexit
    configure()
    atexit.register(step, "at exit")
    """).ends()
    assert steps(http_sink) == ["at exit"]


def test_what_is_sent_at_exit_uses_the_connection_that_is_open(run, http_sink):
    run("""
    loom = configure()
    step("first")
    assert loom.flush()
    step("last")
    """).ends()
    assert steps(http_sink) == ["first", "last"]
    assert http_sink.connections == 1


@pytest.mark.parametrize("end", ["sys.exit(3)", "raise RuntimeError"])
def test_an_error_ends_the_process_no_differently(run, http_sink, end):
    script = run(f"""
    sys.excepthook = lambda *_: None
    configure()
    step("before")
    {end}
    """)
    script.ends(3 if "exit" in end else 1)
    assert steps(http_sink) == ["before"]


def test_nothing_is_promised_where_a_process_leaves_by_os_exit_but_after_a_shutdown(run, http_sink):
    run("""
    loom = configure()
    step("sent")
    assert loom.flush()
    step("lost")
    os._exit(0)
    """).ends()
    assert steps(http_sink) == ["sent"]
    run("""
    loom = configure()
    step("sent too")
    assert loom.shutdown()
    os._exit(0)
    """).ends()
    assert steps(http_sink) == ["sent", "sent too"]


# ---------------------------------------------------------------- SIGTERM
def test_sigterm_ends_a_process_on_the_spot(run, http_sink):
    script = run("""
    configure()
    step("lost")
    signal.raise_signal(signal.SIGTERM)
    """)
    script.ends(-signal.SIGTERM)
    assert steps(http_sink) == []


def test_with_the_handler_it_ends_of_the_signal_but_sends_first(run, http_sink):
    script = run("""
    loom = configure()
    spanloom.shutdown_on_sigterm()
    step("ended")
    loom.recorder.open(Step("open", Kind.CHAIN, "open"))
    says("ready")
    time.sleep(60)
    """)
    script.says("ready")
    script.process.send_signal(signal.SIGTERM)
    script.ends(-signal.SIGTERM)
    assert steps(http_sink) == ["ended", "open"]
    assert http_sink.named("open").attributes["spanloom.step.outcome"] == "incomplete"


def test_it_sends_also_where_the_main_thread_holds_a_lock_of_ours(run, http_sink):
    script = run("""
    loom = configure()
    spanloom.shutdown_on_sigterm()
    step("before")
    with loom._lock, loom._destinations[0][1]._condition, loom.recorder._lock:
        signal.raise_signal(signal.SIGTERM)
    says("still here")
    time.sleep(60)
    """)
    script.says("still here")
    script.ends(-signal.SIGTERM)
    assert steps(http_sink) == ["before"]


def test_it_is_bounded_where_the_receiver_hangs(run, http_sink):
    http_sink.hang()
    script = run("""
    spanloom.configure(spanloom.Otlp(URL, timeout=60))
    spanloom.shutdown_on_sigterm(timeout=60)
    spanloom.shutdown_on_sigterm(timeout=0.2)  # the last one counts
    step("x")
    signal.raise_signal(signal.SIGTERM)
    time.sleep(60)
    """)
    script.ends(-signal.SIGTERM)


def test_a_handler_that_was_there_before_decides(run, http_sink):
    script = run("""
    configure()
    done = threading.Event()
    signal.signal(signal.SIGTERM, lambda number, frame: done.set())
    spanloom.shutdown_on_sigterm()
    step("before")
    says("ready")
    while not done.wait(0.01):
        pass
    step("after")
    """)
    script.says("ready")
    script.process.send_signal(signal.SIGTERM)
    script.ends(0)
    assert steps(http_sink) == ["after", "before"]


def test_a_signal_at_the_very_end_does_not_cut_short_what_is_being_sent(run, http_sink):
    http_sink.hang()
    script = run("""
    configure()
    spanloom.shutdown_on_sigterm()
    step("x")
    """)
    assert http_sink.arrived.acquire(timeout=DEADLINE)  # at exit, since nothing else sends so soon
    script.process.send_signal(signal.SIGTERM)
    http_sink.open.set()
    script.ends(0)
    assert steps(http_sink) == ["x"]


@pytest.mark.parametrize("alive", [True, False], ids=["running", "ending"])
def test_it_ends_the_process_also_where_no_thread_can_be_started(run, http_sink, alive):
    # From Python 3.12 on none can be once the main thread has ended, which then waits for the others.
    script = run(f"""
    configure()
    spanloom.shutdown_on_sigterm()
    step("before")
    def later():
        {"pass" if alive else "threading.main_thread().join()"}
        looks = 0  # a signal that comes before the main thread sleeps waits until it wakes: CPython's own way
        while looks < 20:
            time.sleep(0.005)
            stat = pathlib.Path(f"/proc/self/task/{{os.getpid()}}/stat")  # of Linux
            state = stat.read_text().rpartition(")")[2].split()[0] if stat.exists() else "S"
            looks = looks + 1 if state == "S" else 0
        def refuse(_):
            raise RuntimeError("can't start new thread")
        threading.Thread.start = refuse
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(60)
    threading.Thread(target=later).start()
    {"time.sleep(60)" if alive else "pass"}
    """)
    script.ends(-signal.SIGTERM)
    assert steps(http_sink) == ([] if alive else ["before"])


def test_a_pool_that_is_terminated_sends_with_the_handler(run, http_sink):
    run("""
    configure()
    spanloom.shutdown_on_sigterm()
    with multiprocessing.get_context("fork").Pool(2) as pool:  # its end is terminate()
        pool.map(step, [f"task {n}" for n in range(6)], chunksize=1)
    """).ends()
    assert steps(http_sink) == [f"task {n}" for n in range(6)]


def test_the_handler_is_refused_where_it_cannot_work():
    with pytest.raises(ConfigurationError, match="above 0"):
        spanloom.shutdown_on_sigterm(timeout=0)
    said = []

    def elsewhere():
        with pytest.raises(ConfigurationError, match="main thread") as refused:
            spanloom.shutdown_on_sigterm()
        said.append(refused.value)

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert said


def test_a_signal_that_is_ignored_stays_ignored():
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        spanloom.shutdown_on_sigterm()
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGTERM, before)
