"""Every example runs as it stands, offline, in an empty folder, and prints the tree of what it did."""

import ast
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = ROOT / "examples"
_OTHERS = ("OTEL_", "LANGFUSE_", "OPENAI_", "LANGSMITH_", "LANGCHAIN_")


def run(script, folder, *flags):
    environment = {k: v for k, v in os.environ.items() if not k.startswith(_OTHERS)} | {
        "COLUMNS": "100",
        "PYTHONIOENCODING": "utf-8",
    }
    done = subprocess.run(
        [sys.executable, *flags, script],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    assert "Traceback" not in done.stderr, done.stderr[-4000:]
    assert "spanloom failed" not in done.stderr, done.stderr[-4000:]
    return done.stdout


def test_a_langchain_chain_shows_its_retriever_its_model_and_its_embedding(tmp_path):
    output = run(EXAMPLES / "langchain_chain.py", tmp_path)
    assert "You may send it back within thirty days." in output
    assert "user u1 · session s1 · #beta" in output
    for said in ("retriever VectorStoreRetriever", "embedding ", "llm GenericFakeChatModel", "first token after"):
        assert said in output
    assert "2 documents" in output


def test_a_langgraph_agent_shows_both_tools(tmp_path):
    output = run(EXAMPLES / "langgraph_agent.py", tmp_path)
    assert "Take the 10:05" in output
    for said in ("agent travel_agent", "tool weather", "tool trains", "80 → 31 tokens"):
        assert said in output
    assert output.count("llm ScriptedModel") == 2


def test_a_llama_index_query_shows_retrieval_and_synthesis(tmp_path):
    output = run(EXAMPLES / "llama_index_query.py", tmp_path)
    for said in ("retriever VectorIndexRetriever", "embedding MockEmbedding", "llm MockLLM", "first token after"):
        assert said in output
    assert "feature=returns" in output


def test_a_llama_index_engine_inside_a_langchain_tool_is_in_the_same_trace(tmp_path):
    output = run(EXAMPLES / "both_frameworks.py", tmp_path)
    assert output.count("\nTrace ") == 1
    lines = output.splitlines()
    tool = next(i for i, line in enumerate(lines) if "tool handbook" in line)
    assert lines[tool + 1].startswith("│ └ chain RetrieverQueryEngine.query")


def test_a_judges_scores_stand_on_the_trace_that_it_judged_and_its_run_is_another(tmp_path):
    output = run(EXAMPLES / "judge.py", tmp_path)
    answer, judge = output.split("\nTrace ")[1:]
    assert "chain answer" in answer
    assert "score faithful = yes\n" in answer
    assert "score helpful = 0.8 · It is what the notes say, but not where to send it." in answer
    assert "chain judge" in judge
    assert "score " not in judge


def test_a_slow_service_lies_under_the_tool_that_asked_it(tmp_path):
    output = run(EXAMPLES / "slow_service.py", tmp_path)
    lines = [line for line in output[output.index("\nTrace ") :].splitlines() if " ms " in line]
    tool = next(i for i, line in enumerate(lines) if "tool stock" in line)
    assert lines[tool + 1].startswith("│ └ httpx GET")


def test_dual_export_sends_one_trace_to_both_each_under_its_policy(tmp_path):
    output = run(EXAMPLES / "dual_export.py", tmp_path)
    received = [line for line in output.splitlines() if " received " in line]
    assert len({line.rpartition(" ")[2] for line in received}) == 1
    otlp, langfuse = (next(i for i, line in enumerate(received) if line.startswith(who)) for who in ("OTLP", "Langf"))
    assert {otlp, langfuse} == {0, 1}
    assert "spanloom.prompt.hash = " in output
    assert "How long may I send it back?" in output[output.index("Langfuse received") :].split("\n\n")[0]
    assert "How long may I send it back?" not in output[output.index("OTLP received") :].split("\n\n")[0]
    assert "{'otlp': 1, 'langfuse': 1, 'local': 1}" in output


def test_the_demo_answers_from_the_documentation_and_shows_what_the_model_is_not_guilty_of(tmp_path):
    output = run(EXAMPLES / "demo", tmp_path)
    documentation = " ".join(passage.text for passage in corpus().passages())
    for agent in ("LangChain", "LlamaIndex"):
        answer = " ".join(output.split(f"The {agent} agent answers:\n")[1].split())
        assert answer[:60] in documentation
    first, second = output.split("\nTrace ")[1:]
    lines = first.splitlines()
    retriever = next(i for i, line in enumerate(lines) if "retriever DocsRetriever" in line)
    cache = next(line for line in lines[retriever:] if "sqlite3 SELECT" in line)
    quick = next(line for line in second.splitlines() if "sqlite3 SELECT" in line)
    assert milliseconds(quick) < milliseconds(cache) / 4
    for trace in (first, second):
        assert "gpt-4o-mini" in trace
        assert "cached" in trace
        assert "reasoning" in trace
        assert "user reader · session demo" in trace
    assert (tmp_path / "spanloom-demo.db").is_file()
    assert "spanloom show --path spanloom-demo.db" in output


def corpus():
    spec = importlib.util.spec_from_file_location("demo_corpus", EXAMPLES / "demo" / "corpus.py")
    module = sys.modules["demo_corpus"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def milliseconds(line):
    return float(line.split(" ms")[0].split()[-1])


@pytest.mark.parametrize("script", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.stem)
def test_an_example_is_short_and_says_what_it_shows(script):
    text = script.read_text()
    assert len(text.splitlines()) < 60
    assert ast.get_docstring(ast.parse(text))
    assert f'EXAMPLES / "{script.name}"' in Path(__file__).read_text()  # it is run above


def test_content_in_a_vault_is_read_by_its_reference_until_it_is_erased(tmp_path):
    for _ in range(2):  # the second finds what the first has erased
        output = run(EXAMPLES / "vault.py", tmp_path)
    assert "On the span:   vault:" in output
    assert "In the vault:  The rent is 900 a month" in output
    assert "was erased" in output
    assert b"due on the third" not in (tmp_path / "spanloom.db").read_bytes()
