"""A forked child: it sends its own spans, ends no step of its parent's, and shares no connection."""

import os
import sys
import textwrap

import pytest
from sinks import DEADLINE

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")

CHILD = """
import os, sys, warnings
warnings.filterwarnings("ignore", message=".*fork.*", category=DeprecationWarning)  # threads are the case in point
import spanloom
from spanloom.step import Kind, Step

loom = spanloom.configure(*DESTINATIONS)
record = loom.recorder

def step(name, parent=None):
    record.open(Step(name, Kind.CHAIN, name), parent)

step("before"); record.close("before")
loom.flush() if FLUSH else None
step("open")
step("queued"); record.close("queued")
child = os.fork()
if child == 0:
    started = loom.stats()
    assert started["steps"]["open"] == 0, started
    assert all(c["offered"] == 0 for c in started["destinations"].values()), started
    step("inside", "open"); record.close("inside")
    assert record.close("open") is None
    sent = loom.flush()
    assert sent == EXPECTED, loom.stats()
    if LEAVE == "exit":
        sys.exit(0)  # runs the handlers of the interpreter's end, as a worker of a pool does
    loom.shutdown()
    os._exit(0)
_, status = os.waitpid(child, 0)
assert status == 0, status
record.close("open")
assert loom.shutdown()
"""


def run(code, cwd, **values):
    import subprocess

    header = "".join(f"{name} = {value}\n" for name, value in values.items())
    code = "from spanloom import Langfuse, Otlp\n" + header + textwrap.dedent(code)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        timeout=6 * DEADLINE,
        cwd=cwd,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path)},
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("flush", [True, False], ids=["connected", "fresh"])
@pytest.mark.parametrize("leave", ["exit", "_exit"])
def test_each_process_sends_its_own_spans_once(tmp_path, http_sink, second_sink, leave, flush):
    destinations = f"[Otlp({http_sink.url!r}), Langfuse('pk', 'sk', {second_sink.url!r})]"
    run(CHILD, tmp_path, DESTINATIONS=destinations, LEAVE=repr(leave), FLUSH=flush, EXPECTED=True)
    for sink in (http_sink, second_sink):
        assert sorted(s.step for s in sink.spans) == ["before", "inside", "open", "queued"]
        parent, inside = sink.named("open"), sink.named("inside")
        assert (inside.parent, inside.trace_id) == (parent.span_id, parent.trace_id)
        assert parent.attributes["spanloom.step.outcome"] == "ok"


@pytest.mark.parametrize("leave", ["exit", "_exit"])
def test_each_process_spools_and_sends_its_own_spans_once(tmp_path, http_sink, leave):
    destinations = f"[Otlp({http_sink.url!r}, spool={str(tmp_path / 'spool.db')!r})]"
    run(CHILD, tmp_path, DESTINATIONS=destinations, LEAVE=repr(leave), FLUSH=True, EXPECTED=True)
    assert sorted(s.step for s in http_sink.spans) == ["before", "inside", "open", "queued"]
    assert not list(tmp_path.glob("spool.db-*")), "no lock, no WAL is left behind"


@pytest.mark.parametrize("leave", ["exit", "_exit"])
def test_a_child_that_records_nothing_leaves_its_parents_spool_alone(tmp_path, http_sink, leave):
    code = CHILD.replace('step("inside", "open"); record.close("inside")', "")
    destinations = f"[Otlp({http_sink.url!r}, spool={str(tmp_path / 'spool.db')!r})]"
    run(code, tmp_path, DESTINATIONS=destinations, LEAVE=repr(leave), FLUSH=True, EXPECTED=True)
    assert sorted(s.step for s in http_sink.spans) == ["before", "open", "queued"]


def test_grpc_that_has_not_begun_survives_a_fork(tmp_path, grpc_sink):
    code = CHILD.replace('step("before"); record.close("before")', "").replace(
        'step("queued"); record.close("queued")', ""
    )
    destinations = f"[Otlp({grpc_sink.address!r}, protocol='grpc')]"
    run(code, tmp_path, DESTINATIONS=destinations, LEAVE="'_exit'", FLUSH=False, EXPECTED=True)
    assert sorted(s.step for s in grpc_sink.spans) == ["inside", "open"]
