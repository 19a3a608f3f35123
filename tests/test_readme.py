"""Every snippet of the README runs, and of the pages beside it that no other test runs."""

from __future__ import annotations

import re
import warnings
from contextlib import closing
from pathlib import Path

import pytest
import spanloom
from langchain_core.runnables import RunnableLambda
from llama_index.core import Settings
from sinks import HttpSink
from spanloom.setup import current_loom
from spanloom_langchain import SpanloomCallbackHandler
from spanloom_llama_index import uninstrument

README = Path(__file__).parent.parent / "README.md"
PAGES = [README, README.parent / "docs" / "destinations.md", README.parent / "docs" / "metrics.md"]
SNIPPETS = [
    snippet
    for page in PAGES
    for snippet in re.findall(r"^```python\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)
]


@pytest.fixture
def sink():
    with closing(HttpSink()) as sink:
        yield sink


class Index:
    """An index as a reader's application would have one."""

    def as_query_engine(self):
        from llama_index.core import MockEmbedding, SummaryIndex
        from llama_index.core.llms import MockLLM
        from llama_index.core.schema import TextNode

        Settings.embed_model = MockEmbedding(embed_dim=2)
        return SummaryIndex([TextNode(text="It is the cache.")]).as_query_engine(llm=MockLLM())


def test_there_are_snippets():
    assert len(SNIPPETS) >= 5


@pytest.mark.parametrize("snippet", SNIPPETS, ids=[s.splitlines()[-1][:50] for s in SNIPPETS])
def test_a_snippet_of_the_readme_runs(snippet, tmp_path, monkeypatch, sink):
    monkeypatch.chdir(tmp_path)
    for variable in ("LANGFUSE_BASE_URL", "HONEYCOMB_API_ENDPOINT"):
        monkeypatch.setenv(variable, sink.url)
    code = snippet.replace("http://localhost:4318", sink.url)
    names = {
        "chain": RunnableLambda(lambda q: f"answer to {q}"),
        "handler": SpanloomCallbackHandler(),
        "index": Index(),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        exec(compile(code, str(README), "exec"), names)
    loom = current_loom() if "configure" in code else None
    if loom is not None:
        assert loom.shutdown()
    if "meters" in names:
        names["meters"].shutdown()
        assert not any(d["failed"] for d in loom.stats()["destinations"].values())
    uninstrument()
    assert spanloom.__version__
