"""Where our own time goes: functions of the application's threads and of ours, and stacks for a flame graph.

All in one process, in the interpreter that runs it. Seconds are those of CPU of the thread, so that waiting for the
other thread's turn does not count; under a profiler small functions look dearer than they are.
"""

from __future__ import annotations

import cProfile
import pstats
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from .environments import CHECKOUT, SOURCES
from .sink import Sink
from .subjects import OURS
from .worker import Worker
from .workloads import WORKLOADS

_WARM_UP = 50  # runs
_OURS, _POOL = "spanloom", "ThreadPoolExecutor"  # how the names of threads begin
_EVERY = 0.002  # seconds between two looks at the stacks
_WAITING = {"wait", "select", "poll", "sleep", "recv_into", "readinto", "_wait_for_tstate_lock", "acquire", "get"}
_TOGETHER = sys.version_info >= (3, 12)
"""From Python 3.12 on cProfile sees all threads as one: then it is the stacks that tell."""

Stacks = Counter[tuple[str, ...]]
"""How often each stack was seen: the thread first, then from the outermost function in."""


def profile(workload: str, runs: int, folder: Path, console: Console, top: int) -> None:
    """Print tables of the `top` functions, and write `{workload}.collapsed`, which flame graph tools read, and the
    profiles for `python -m pstats`, into `folder`."""
    sys.path[:0] = [str(source.parent) for source in SOURCES]
    folder.mkdir(parents=True, exist_ok=True)
    threads = _Threads()
    if not _TOGETHER:
        threads.install()
    with Sink() as sink:
        worker = Worker(OURS, WORKLOADS[workload].framework, sink.url)
        worker.do(workload, _WARM_UP)
        worker.flush()
        profiles = {} if _TOGETHER else _profiled(worker, workload, runs, threads)
        stacks = _sampled(worker, workload, runs)
    collapsed = folder / f"{workload}.collapsed"
    collapsed.write_text("".join(f"{';'.join(stack)} {n}\n" for stack, n in sorted(stacks.items())), encoding="utf-8")
    console.print(_sampled_table(stacks, top))
    for name, stats in profiles.items():
        stats.dump_stats(str(folder / f"{workload}.{name}.pstats"))
        console.print(_packages_table(name, stats, runs))
        console.print(_functions_table(name, stats, runs, top))
    console.print(f"stacks for a flame graph: {collapsed} (flamegraph.pl, inferno-flamegraph, speedscope.app)")


class _Threads:
    """A profile of each thread that is started: ours, and those of the application's pools."""

    def __init__(self) -> None:
        self._profiles: dict[str, list[cProfile.Profile]] = {_OURS: [], _POOL: []}

    def install(self) -> None:
        run = threading.Thread.run

        def profiled(thread: threading.Thread) -> None:
            for prefix, profiles in self._profiles.items():
                if thread.name.startswith(prefix):
                    profiles.append(cProfile.Profile(time.thread_time))
                    profiles[-1].enable()
            run(thread)

        threading.Thread.run = profiled  # type: ignore[method-assign]

    def forget(self) -> None:
        self._profiles[_POOL].clear()
        for made in self._profiles[_OURS]:
            made.clear()

    def stats(self, prefix: str, *more: cProfile.Profile) -> pstats.Stats:
        profiles = [made for made in [*more, *self._profiles[prefix]] if made.getstats()]  # others have seen nothing
        first, *others = [pstats.Stats(made) for made in profiles]
        for other in others:
            first.add(other)
        return first


def _profiled(worker: Worker, workload: str, runs: int, threads: _Threads) -> dict[str, pstats.Stats]:
    threads.forget()
    app = cProfile.Profile(time.thread_time)
    app.enable()
    worker.do(workload, runs)
    app.disable()
    worker.flush()
    return {"application": threads.stats(_POOL, app), _OURS: threads.stats(_OURS)}


def _sampled(worker: Worker, workload: str, runs: int) -> Stacks:
    """Stacks of all threads that are not waiting, while `runs` runs are done and sent."""
    stacks: Stacks = Counter()
    done = threading.Event()

    def look() -> None:
        while not done.wait(_EVERY):
            names = {thread.ident: thread.name for thread in threading.enumerate()}
            for ident, frame in sys._current_frames().items():
                if ident != threading.get_ident() and frame.f_code.co_name not in _WAITING:
                    stacks[_stack(names.get(ident, "?"), frame)] += 1

    looking = threading.Thread(target=look, name="looking")
    looking.start()
    worker.do(workload, runs)
    worker.flush()
    done.set()
    looking.join()
    return stacks


def _stack(thread: str, frame: Any) -> tuple[str, ...]:
    names = []
    while frame is not None:
        code = frame.f_code
        names.append(f"{_short(code.co_filename)}:{code.co_qualname if sys.version_info >= (3, 11) else code.co_name}")
        frame = frame.f_back
    return (thread.replace(";", " "), *reversed(names))


def _short(path: str) -> str:
    for root in (*(str(source.parent) for source in SOURCES), str(CHECKOUT)):
        if path.startswith(root):
            return path[len(root) + 1 :]
    _, found, rest = path.rpartition("site-packages/")
    return rest if found else Path(path).name


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold")
    for n, column in enumerate(columns):
        table.add_column(column, justify="left" if n == len(columns) - 1 else "right", no_wrap=True)
    return table


def _sampled_table(stacks: Stacks, top: int) -> Table:
    """By the function that was at work, for each thread."""
    seen: Counter[tuple[str, str]] = Counter()
    for (thread, *names), count in stacks.items():
        if names:
            seen[thread, names[-1]] += count
    total = max(1, sum(seen.values()))
    table = _table(f"Looks at the stacks, every {_EVERY * 1e3:g} ms", "share", "looks", "thread", "function")
    for (thread, name), count in seen.most_common(top):
        table.add_row(f"{count / total:.1%}", str(count), thread, name)
    return table


def _entries(stats: pstats.Stats) -> dict[tuple[str, int, str], tuple[int, int, float, float, Any]]:
    found: dict[Any, Any] = stats.stats  # type: ignore[attr-defined]
    return found


def _packages_table(thread: str, stats: pstats.Stats, runs: int) -> Table:
    own: Counter[str] = Counter()
    for (file, _, _), (_, _, seconds, _, _) in _entries(stats).items():
        own["built in" if file == "~" else _short(file).split("/")[0]] += seconds  # type: ignore[assignment]
    table = _table(f"{thread}: µs of a run in each package's own code", "µs", "package")
    for package, seconds in own.most_common(12):
        table.add_row(f"{seconds / runs * 1e6:,.1f}", package)
    return table


def _functions_table(thread: str, stats: pstats.Stats, runs: int, top: int) -> Table:
    table = _table(f"{thread}: the dearest functions, per run", "calls", "own µs", "with callees µs", "function")
    dearest = sorted(_entries(stats).items(), key=lambda entry: -entry[1][2])[:top]
    for (file, line, name), (_, calls, own, whole, _) in dearest:
        where = name if file == "~" else f"{_short(file)}:{line} {name}"
        table.add_row(f"{calls / runs:.1f}", f"{own / runs * 1e6:,.1f}", f"{whole / runs * 1e6:,.1f}", where)
    return table
