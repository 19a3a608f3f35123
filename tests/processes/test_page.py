"""The snippets of `docs/processes.md` run, each in a process of its own."""

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).resolve().parents[2] / "docs" / "processes.md"
SNIPPETS = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
ONE_STEP = """
from spanloom.setup import running_loom
from spanloom.step import Kind, Step
loom = running_loom() or configure()
loom.recorder.open(Step("a", Kind.CHAIN, "a"))
loom.recorder.close("a")
print("done", flush=True)
"""


@pytest.mark.parametrize("snippet", SNIPPETS, ids=[s.splitlines()[-1][:40] for s in SNIPPETS])
def test_a_snippet_of_the_page_runs(snippet, start, sink, example):
    (example / "snippet.py").write_text(snippet + ONE_STEP)
    process = start("python", "-W", "error", "snippet.py").process
    assert process.wait(60) == 0, (example / "python.log").read_text()
    assert [span.step for span in sink.spans] == ["a"]


def test_there_are_snippets():
    assert len(SNIPPETS) == 4
