"""The command line: what a user sees, and what is said where there is nothing to see."""

import itertools
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import spanloom
from click.testing import CliRunner
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text
from spanloom.cli import main
from spanloom.cli import words as say
from spanloom.cli.tree import print_trace
from spanloom.store import Reading, Row, Store

MS = 1_000_000
ids = itertools.count(1)


class Made:
    """A file with rows made by hand, so that times are exact."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.store = Store(path, max_traces=1000, max_bytes=10**8)

    def span(self, trace, name, kind="chain", *, parent=None, start=0, end=100, record=None, **columns):
        span_id = f"{next(ids):016x}"
        columns = {"outcome": "ok", "service": "bot"} | columns
        at = 1_700_000_000 * 1000 * MS + int(trace[:2], 16) * 1000 * MS
        self.store.write([
            Row(trace, span_id, parent, name, kind, start_ns=at + start * MS, end_ns=at + end * MS,
                record=record or {}, **columns),
        ])  # fmt: skip
        return span_id


OLD, NEW = "0a" * 16, "0b" * 16


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return Made(tmp_path / "spanloom.db")


@pytest.fixture
def agent(file):
    """An agent whose model was quick, and whose cache was slow."""
    top = file.span(NEW, "support", "agent", end=1000, record={"identity": {"user": "u1", "tags": ["beta"]}})
    model = {
        "response_model": "gpt-4o-mini",
        "finish_reasons": ["tool_calls"],
        "usage": {"cache_read_tokens": 600, "reasoning_tokens": 12},
        "first_token_ns": (1_700_000_000 * 1000 + 11 * 1000 + 70) * MS,
        "content": {
            "input_messages": [{"role": "user", "parts": [{"type": "text", "content": "Where is my order?"}]}],
            "output_messages": [
                {"role": "assistant", "parts": [{"type": "tool_call", "name": "find", "arguments": {"id": 7}}]}
            ],
        },
    }
    file.span(NEW, "ChatModel", "llm", parent=top, end=250, input_tokens=1204, output_tokens=87, record=model)
    tool = file.span(NEW, "find", "tool", parent=top, start=250, end=750, record={"content": {"arguments": {"id": 7}}})
    file.span(
        NEW, "GET", "span", parent=tool, start=260, end=720, record={"scope": "opentelemetry.instrumentation.redis"}
    )
    file.span(
        NEW, "Parser", "parser", parent=top, start=900, end=1000,
        outcome="error", error_type="ValueError", error_message="no JSON",
    )  # fmt: skip
    return file


def invoke(*arguments, width=80):
    return CliRunner(env={"COLUMNS": str(width)}).invoke(main, arguments)


# ---------------------------------------------------------------- traces
def test_traces_are_listed_newest_first_with_what_they_cost(agent):
    agent.span(OLD, "elder", end=80)
    result = invoke("traces")
    assert result.exit_code == 0
    heads, newer, older = result.output.splitlines()
    assert heads.split() == ["Trace", "Name", "Started", "Duration", "Spans", "Tokens", "Outcome"]
    assert re.match(r"0b0b0b0b +support +.* 1\.00 s +5 +1,204 → 87 +ok, 1 error$", newer.rstrip())
    assert re.match(r"0a0a0a0a +elder +.* 80 ms +1 +ok$", older.rstrip())


def test_short_ids_are_as_long_as_it_takes_to_tell_them_apart(file):
    file.span("0a" * 16, "one")
    file.span("0a" * 5 + "0b" * 11, "two")
    ids = [line.split()[0] for line in invoke("traces").output.splitlines()[1:]]
    assert sorted(ids) == ["0a0a0a0a0a0a", "0a0a0a0a0a0b"]


def test_a_limit_holds(file):
    for i in range(5):
        file.span(f"{i:02x}" * 16, f"run {i}")
    assert [line.split()[2] for line in invoke("traces", "-n", "2").output.splitlines()[1:]] == ["4", "3"]


def test_only_traces_with_errors_or_of_a_user_or_of_a_session(agent):
    agent.span(OLD, "elder", user_id="u2", session_id="s2")
    assert "elder" not in invoke("traces", "--errors").output
    assert "support" in invoke("traces", "--errors").output
    for option in (("--user", "u2"), ("--session", "s2")):
        output = invoke("traces", *option).output
        assert "elder" in output
        assert "support" not in output
    assert invoke("traces", "--user", "nobody").output == "No trace in spanloom.db matches.\n"


def asked(file, trace, *, kind="llm", prompt=None, template=None, **record):
    """A trace's model call with these hashes."""
    hashes = {"prompt_hash": prompt, "template_hash": template}
    content = {name: value for name, value in hashes.items() if value is not None}
    return file.span(trace, "ChatModel", kind, record={"request_model": "m", "content": content, **record})


def test_only_traces_that_called_a_model_with_a_template(file):
    asked(file, OLD, template="ab12" + "0" * 60)
    file.span(OLD, "elder's error", outcome="error")
    asked(file, NEW, template="ab34" + "0" * 60)
    listed = {prefix: invoke("traces", "--template", prefix).output for prefix in ("ab", "AB12", "cd", "ab12' OR 1=1")}
    assert [OLD[:8] in out for out in listed.values()] == [True, True, False, False]
    assert [NEW[:8] in out for out in listed.values()] == [True, False, False, False]
    assert OLD[:8] in invoke("traces", "--template", "ab12", "--errors").output
    assert invoke("traces", "--template", "ab34", "--errors").output == "No trace in spanloom.db matches.\n"


def test_an_error_counts_once_where_it_arose(file):
    top = file.span(NEW, "top", outcome="error")
    inner = file.span(NEW, "inner", parent=top, outcome="error")
    file.span(NEW, "innermost", parent=inner, outcome="error")
    line = invoke("traces").output.splitlines()[1]
    assert line.rstrip().endswith(" error")
    assert "errors" not in line


def test_an_error_is_told_once_where_it_arose_and_marked_all_the_way_up(file):
    failed = {"outcome": "error", "error_type": "KeyError", "error_message": "no order"}
    top = file.span(NEW, "top", **failed)
    file.span(NEW, "inner", "tool", parent=top, **failed)
    file.span(NEW, "other", "tool", parent=top, **failed | {"error_message": "no stock"})
    lines = [line.rstrip() for line in invoke("show").output.splitlines()[4:]]
    assert [line.split("  ")[0] for line in lines if "✗" in line] == ["chain ✗ top", "├ tool ✗ inner", "└ tool ✗ other"]
    assert [line for line in lines if "KeyError" in line] == ["│   KeyError: no order", "    KeyError: no stock"]


def test_a_trace_whose_root_still_runs_is_listed_and_shown(file):
    file.span(NEW, "step", parent="f" * 16)
    assert "running" in invoke("traces").output
    assert "Its root is not in this file" in invoke("show").output


# ---------------------------------------------------------------- show
def test_the_tree_says_what_ran_where_for_how_long_at_what_cost(agent):
    result = invoke("show")
    assert result.exit_code == 0
    lines = [line.rstrip() for line in result.output.splitlines()]
    assert lines[0] == f"Trace {NEW}"
    assert lines[1].endswith("1.00 s · 5 spans · 1,204 → 87 tokens · ok, 1 error")
    assert lines[2] == "bot · user u1 · #beta"
    assert lines[4:] == [
        "agent support       1.00 s  ━━━━━━━━━━━━━━━━━━━━",
        "├ llm ChatModel     250 ms  ━━━━━",
        "│   gpt-4o-mini · 1,204 → 87 tokens (600 cached, 12 reasoning)",
        "│   first token after 70 ms · finish tool_calls",
        "├ tool find         500 ms       ━━━━━━━━━━",
        "│ └ redis GET       460 ms       ━━━━━━━━━╸",
        "└ parser ✗ Parser   100 ms                    ━━",
        "    ValueError: no JSON",
    ]


@pytest.mark.parametrize("width", [40, 80, 120, 200])
def test_no_line_is_wider_than_the_terminal(file, width):
    parent = None
    for i in range(20):
        parent = file.span(
            NEW, f"步骤 with quite a long name {i}", parent=parent, end=100 - i,
            record={"content": {"input": "long " * 50}}, outcome="error", error_message="very " * 40,
        )  # fmt: skip
    for arguments in (("show",), ("show", "--content"), ("traces",)):
        output = invoke(*arguments, width=width).output
        assert max(cell_len(line) for line in output.splitlines()) <= width


def test_on_a_terminal_other_libraries_spans_are_dim_steps_are_not_and_errors_are_red(agent):
    with Reading(agent.path) as reading:
        rows = reading.spans(NEW)
    console = Console(force_terminal=True, width=80, color_system="standard", highlight=False, legacy_windows=False)
    with console.capture() as shown:
        print_trace(rows, console)
    lines = shown.get().splitlines()
    (model,), (cache,), (parser,) = (
        [Text.from_ansi(line) for line in lines if name in line] for name in ("ChatModel", "GET", "✗ ")
    )

    def style(text, word):
        at = text.plain.index(word)
        return next(s.style for s in text.spans if s.start <= at < s.end)

    assert not style(model, "llm").dim
    assert style(model, "llm").color.number == 5
    assert style(model, "ChatModel").bold
    assert style(model, "━").color.number == 5
    assert style(cache, "redis").dim
    assert style(cache, "GET").dim
    assert style(parser, "Parser").color.number == 1


def test_prompts_and_answers_are_shown_only_when_asked_for(agent):
    assert "Where is my order?" not in invoke("show").output
    lines = [line.rstrip() for line in invoke("show", "--content").output.splitlines()]
    assert "│   user        Where is my order?" in lines
    assert '│   calls       find {"id": 7}' in lines
    assert '│ │ arguments   {"id": 7}' in lines


def test_long_texts_are_cut_unless_all_of_them_is_asked_for(file):
    text = "\n".join(f"line {i}" for i in range(100))
    top = file.span(NEW, "top", record={"content": {"input": text}})
    file.span(NEW, "docs", "retriever", parent=top, record={"content": {"query": text}})
    cut = invoke("show", "--content").output
    assert "… 96 more lines (--full)" in cut  # what a chain passes on, the steps below show
    assert "… 76 more lines" in cut
    full = invoke("show", "--full").output
    assert full.count("line 99") == 2
    assert "more line" not in full


def test_a_prefix_names_a_trace(agent):
    agent.span(OLD, "elder")
    assert f"Trace {OLD}" in invoke("show", "0A0").output
    assert f"Trace {NEW}" in invoke("show").output


def marks(*arguments):
    return [line.strip() for line in invoke("show", *arguments).output.splitlines() if "same prompt" in line]


def test_every_call_that_shares_its_prompt_with_another_of_the_trace_is_marked(file):
    for repeats in ({}, {"prompt_repeats": {"trace": 1, "minute": 1}}, {"prompt_repeats": {"trace": 2, "minute": 6}}):
        asked(file, NEW, prompt="p", **repeats)
    asked(file, NEW, prompt="q")
    asked(file, NEW, prompt="p", cache_hit=True)
    asked(file, NEW, prompt="p", kind="agent")
    asked(file, OLD, prompt="p")
    assert marks() == ["same prompt ×3 in this trace"] * 2 + ["same prompt ×3 in this trace, ×7 within a minute"]
    assert marks(OLD) == []


def test_without_the_hashes_repeats_are_shown_as_the_calls_knew_them(file):
    for repeats in ({}, {"prompt_repeats": {"trace": 0, "minute": 2}}, {"prompt_repeats": {"trace": 1, "minute": 3}}):
        asked(file, NEW, **repeats)
    assert marks() == ["same prompt ×3 within a minute", "same prompt ×2 in this trace, ×4 within a minute"]


def test_the_template_is_among_the_details(file):
    asked(file, NEW, template="0123456789abcdef" * 4)
    assert "m · template 01234567\n" in invoke("show", "--content").output
    assert "template" not in invoke("show").output


def test_what_strangers_wrote_cannot_drive_the_terminal(file):
    file.span(
        NEW, "evil\x1b[2J\nname\u202e", record={"content": {"input": "a\x1b]0;title\x07b\rc"}},
        outcome="error", error_message="\x1b[31mred\x9b",
    )  # fmt: skip
    for arguments in (("traces",), ("show", "--content")):
        output = invoke(*arguments).output
        assert not set("\x1b\x07\r\x9b\u202e") & set(output)
        assert "evil" in output


def test_markup_in_names_is_text(file):
    file.span(NEW, "[bold]run[/bold] [/]", record={"content": {"input": "[red]x[/nothing]"}})
    assert "[bold]run[/bold] [/]" in invoke("traces", width=120).output
    assert "[red]x[/nothing]" in invoke("show", "--content").output


def test_a_very_deep_trace_is_shown(file):
    parent, spans = None, []
    for i in range(1500):
        spans.append(Row(NEW, f"{i + 1:016x}", parent, f"level {i}", "chain", "ok", i, 5000 - i, record={}))
        parent = spans[-1].span_id
    file.store.write(spans)
    assert invoke("show").exit_code == 0
    assert "1,500" in invoke("traces").output


# ---------------------------------------------------------------- nothing to show
def failed(*arguments, code=1):
    result = invoke(*arguments)
    assert result.exit_code == code
    assert len(result.output.strip().splitlines()) <= 4
    return result.output


@pytest.mark.parametrize("command", ["traces", "show"])
def test_without_a_file_it_says_how_one_comes_to_be(tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    said = failed(command)
    assert "There is no file spanloom.db." in said
    assert "spanloom.configure()" in said
    assert "--path" in said
    assert not list(tmp_path.iterdir())  # looking makes nothing


@pytest.mark.parametrize("command", ["traces", "show"])
def test_another_programs_file_is_not_read(tmp_path, command):
    (tmp_path / "notes.db").write_text("not a database\n" * 100)
    assert "is not a Spanloom file" in failed(command, "--path", str(tmp_path / "notes.db"))
    (tmp_path / "empty.db").touch()
    assert "is empty" in failed(command, "--path", str(tmp_path / "empty.db"))


def test_a_trace_that_is_not_there(agent):
    assert "No trace in spanloom.db begins with 'ffff'" in failed("show", "ffff")


def test_a_prefix_of_several_traces(agent):
    agent.span(OLD, "elder")
    assert "Several traces begin with '0': 0b0b0b0b0b0b, 0a0a0a0a0a0a." in failed("show", "0")


def test_a_file_without_traces_yet(file):
    assert "holds no traces yet" in invoke("traces").output
    assert "holds no traces yet" in failed("show")


def test_wrong_usage_is_told_apart(agent):
    assert invoke("traces", "--limit", "0").exit_code == 2
    assert invoke("sow").exit_code == 2


# ---------------------------------------------------------------- as installed
def test_the_installed_command_runs_without_colours_into_a_pipe(agent):
    command = Path(sys.executable).with_name("spanloom")
    version = subprocess.run([command, "--version"], capture_output=True, text=True, check=True, timeout=60)
    assert version.stdout == f"spanloom, version {spanloom.__version__}\n"
    shown = subprocess.run(
        [command, "show", "--path", agent.path], capture_output=True, check=True, timeout=60,
        env=os.environ | {"PYTHONIOENCODING": "ascii", "COLUMNS": "80"},
    ).stdout  # fmt: skip
    assert b"\x1b" not in shown
    assert b"`-parser x Parser" in shown


def test_it_runs_as_a_module_and_shows_content_in_letters_that_the_terminal_has_not(file):
    file.span(NEW, "chat", record={"content": {"input": "Warum 遅い?"}})
    shown = subprocess.run(
        [sys.executable, "-m", "spanloom", "show", "--content", "--path", file.path],
        capture_output=True, check=False, timeout=60, env=os.environ | {"PYTHONIOENCODING": "ascii", "COLUMNS": "80"},
    )  # fmt: skip
    assert (shown.returncode, shown.stderr) == (0, b"")
    assert b"Warum ??" in shown.stdout
    usage = subprocess.run([sys.executable, "-m", "spanloom", "-h"], capture_output=True, check=True, timeout=60)
    assert usage.stdout.startswith(b"Usage: spanloom ")


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (0, "0.0 ms"), (0.44, "0.4 ms"), (9.94, "9.9 ms"), (9.96, "10 ms"), (999.4, "999 ms"), (999.6, "1.00 s"),
        (59_994, "59.99 s"), (59_996, "1 m 00 s"), (3_599_400, "59 m 59 s"), (3_599_600, "1 h 00 m"),
    ],
)  # fmt: skip
def test_durations_are_never_rounded_into_the_wrong_unit(ms, text):
    assert say.duration(int(ms * MS)) == text
