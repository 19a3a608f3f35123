"""`spanloom costs`: what a local file's model calls cost, by whatever the bill is split by."""

import dataclasses
import itertools
import json
import re
import sqlite3
import time
from decimal import Decimal

import pytest
from click.testing import CliRunner
from rich.cells import cell_len
from spanloom import Local, Prices, using
from spanloom.cli import main
from spanloom.cli.costs import GROUPS, added_up, since_ns
from spanloom.step import Kind, Step
from spanloom.store import SCHEMA_VERSION, Reading, Row, Store
from spanloom.usage import Usage

ids = itertools.count(1)
NOW = time.time_ns()
HOUR = 3600 * 10**9


def row(model="gpt-4o-mini", cost="0.5", *, kind="llm", age=0, tokens=(1000, 200), user=None, **identity):
    span_id = f"{next(ids):016x}"
    return Row(
        span_id * 2, span_id, None, "m", kind, "ok", NOW - age, NOW - age + 1, *tokens,
        user_id=user, model=model, cost=cost, record={"identity": identity, "response_model": model},
    )  # fmt: skip


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return Store(tmp_path / "spanloom.db", max_traces=1000, max_bytes=10**8)


def said(*arguments, width=80):
    done = CliRunner().invoke(main, ["costs", *arguments], env={"COLUMNS": str(width), "NO_COLOR": "1"})
    assert done.exit_code == 0, done.output
    assert max((cell_len(line) for line in done.output.splitlines()), default=0) <= width
    return done.output


def table(*arguments, **settings):
    """The lines of the table as lists of cells."""
    lines = [re.split(r"\s{2,}", line.strip()) for line in said(*arguments, **settings).splitlines() if line.strip()]
    return [line for line in lines if len(line) > 1]


def test_by_model_dearest_first(file):
    file.write([row(cost="0.25"), row("gpt-5", "1.5"), row(cost="0.25"), row("mine", None)])
    assert table() == [
        ["Model", "Calls", "Input", "Output", "Cost", "Unpriced"],
        ["gpt-5", "1", "1,000", "200", "$1.5000"],
        ["gpt-4o-mini", "2", "2,000", "400", "$0.5000"],
        ["mine", "1", "1,000", "200", "–", "1"],
        ["Total", "4", "4,000", "800", "$2.0000", "1"],
    ]
    assert "1 call of models whose price is not known" in said()


@pytest.mark.parametrize(
    ("by", "identity", "name"),
    [
        ("tenant", {"tenant": "acme"}, "acme"),
        ("prompt", {"prompt": {"name": "rag", "version": 3}}, "rag v3"),
        ("prompt", {"prompt": {"name": "rag"}}, "rag"),
        ("feature", {"metadata": {"feature": "search"}}, "search"),
        ("user", {"user": "u1"}, "u1"),
        ("tag", {"tags": ["beta"]}, "beta"),
    ],
)
def test_by_whom_and_what_for(file, by, identity, name):
    user = identity.pop("user", None)
    file.write([row(user=user, **identity), row(user=user, **identity), row()])
    lines = table("--by", by)
    assert [line[:2] for line in lines] == [
        [by.capitalize(), "Calls"],
        [name, "2"],
        [f"(no {by})", "1"],
        ["Total", "3"],
    ]


def test_a_call_with_several_tags_counts_once_in_the_total(file):
    file.write([row(tags=["a", "b"]), row(tags=["a"])])
    lines = table("--by", "tag")
    assert [(line[0], line[1], line[4]) for line in lines if line[0] in ("a", "b", "Total")] == [
        ("a", "2", "$1.000000"[:7]), ("b", "1", "$0.5000"), ("Total", "2", "$1.0000"),
    ]  # fmt: skip
    assert "once in the total" in said("--by", "tag")


def test_by_day_and_since(file):
    file.write([row(), row(age=3 * HOUR), row(age=24 * 40 * HOUR)])
    assert table("--since", "1h")[-1][:2] == ["Total", "1"]
    assert table("--since", "2d")[-1][:2] == ["Total", "2"]
    assert table("--since", "2000-01-01")[-1][:2] == ["Total", "3"]
    days = [line[0] for line in table("--by", "day")[1:-1]]
    assert days == sorted(days)
    assert len(days) >= 2


def test_only_model_calls_are_summed_and_an_answer_from_a_cache_is_not_unpriced(file):
    file.write([row(), row(kind="agent"), row(kind="embedding"), row(cost="0", tokens=(None, None))])
    assert table()[-1] == ["Total", "3", "2,000", "400", "$1.0000"]


def test_small_sums_keep_their_digits_and_large_ones_their_cents(file):
    file.write([row(cost="0.00024"), row("tiny", "0.0000001")])
    assert [line[-1] for line in table()[1:]] == ["$0.000240", "<$0.000001", "$0.000240"]
    file.write([row("dear", "1234.5")])
    assert [line[-1] for line in table()[1:]] == ["$1,234.50", "<$0.01", "<$0.01", "$1,234.50"]


@pytest.mark.parametrize("width", [30, 40, 60, 80, 200])
@pytest.mark.parametrize(
    "model", ["m", "arn:aws:bedrock:us-east-1:123456789:inference-profile/us.anthropic.claude-sonnet"]
)
def test_it_fits(file, width, model):
    file.write([row(model, "123456.789", tokens=(10**10, 10**9)), row("x", None)])
    output = said(width=width).splitlines()
    assert any("Cost" in line for line in output)
    assert any("$123,456.79" in line for line in output)


def test_names_that_strangers_wrote_do_not_reach_the_terminal_raw(file):
    file.write([row(user="\x1b[31mred\n[bold]x")])
    output = said("--by", "user")
    assert "\x1b" not in output
    assert "[bold]x" in output


def test_an_empty_file_and_a_time_that_is_none(file):
    assert "holds no model calls" in said()
    assert "since 1h" in said("--since", "1h")
    for bad in ("yesterday", "5", "99999999999999999w"):
        done = CliRunner().invoke(main, ["costs", "--since", bad])
        assert done.exit_code == 2
        assert "is no time" in " ".join(done.output.replace("│", " ").split())


def test_since_is_local_time_unless_it_says_otherwise():
    assert since_ns("2026-11-01T00:00:00+00:00") == 1_793_491_200 * 10**9


def test_a_time_that_no_call_can_have_is_a_time(file):
    file.write([row()])
    assert "holds no model calls since 9999-01-01" in said("--since", "9999-01-01")
    assert "gpt-4o-mini" in said("--since", "1600-01-01")


def test_the_sums_are_exact(file):
    file.write([row(cost="0.1") for _ in range(10)])
    with Reading(file.path) as reading:
        _, total = added_up(reading.calls(), "model")
    assert total.cost == Decimal("1.0")


def test_from_a_traced_call_to_the_table(configured, tmp_path):
    path = tmp_path / "s.db"
    loom = configured(Local(path), prices=Prices("mine", input=10, output=10))
    for user, model in (("ann", "gpt-4o-mini"), ("ben", "mine")):
        with using(user_id=user, tenant="acme", tags=["beta"], metadata={"feature": "search"}, prompt=("rag", 3)):
            step = Step(user, Kind.LLM, "m", provider="openai", request_model=model, usage=Usage(1000, 200, 400))
            loom.recorder.open(step)
        loom.recorder.close(user)
    assert loom.flush()
    for by, names in (
        ("user", ["ben", "ann"]), ("model", ["mine", "gpt-4o-mini"]), ("tenant", ["acme"]), ("tag", ["beta"]),
        ("feature", ["search"]), ("prompt", ["rag v3"]),
    ):  # fmt: skip
        lines = table("--by", by, "--path", str(path))
        assert [line[0] for line in lines[1:-1]] == names
        assert lines[-1] == ["Total", "2", "2,000", "400", "$0.012240"]
    assert set(GROUPS) == {"user", "tenant", "model", "tag", "prompt", "feature", "day"}


def test_a_shown_trace_tells_the_cost_of_each_call_and_of_all(file):
    trace = "ab" * 16
    for n, cost in enumerate(["0.00024", "0.0001", None]):
        made = dataclasses.replace(row(cost=cost), trace_id=trace, start_ns=NOW + n, end_ns=NOW + n + 1)
        file.write([made])
    done = CliRunner().invoke(main, ["show", trace], env={"COLUMNS": "100", "NO_COLOR": "1"})
    header = done.output.splitlines()[1]
    assert "3,000 → 600 tokens · $0.000340" in header
    assert [line.count("$0.000240") for line in done.output.splitlines() if "$0.000240" in line] == [1]


# ---------------------------------------------------------------- files of an older version
OLD = """
CREATE TABLE spans (trace_id TEXT NOT NULL, span_id TEXT NOT NULL, parent_id TEXT, name TEXT NOT NULL,
    kind TEXT NOT NULL, outcome TEXT, start_ns INTEGER NOT NULL, end_ns INTEGER NOT NULL, input_tokens INTEGER,
    output_tokens INTEGER, error_type TEXT, error_message TEXT, service TEXT, user_id TEXT, session_id TEXT,
    record TEXT NOT NULL, PRIMARY KEY (trace_id, span_id));
CREATE TABLE traces (trace_id TEXT PRIMARY KEY, start_ns INTEGER NOT NULL, end_ns INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX traces_by_start ON traces (start_ns);
CREATE INDEX traces_by_end ON traces (end_ns);
PRAGMA application_id = 0x53504C4D;
PRAGMA user_version = 1;
"""


@pytest.fixture
def old(tmp_path):
    path = tmp_path / "old.db"
    db = sqlite3.connect(path)
    db.executescript(OLD)
    for n, (kind, record) in enumerate(
        [
            ("llm", {"request_model": "gpt-4o", "response_model": "gpt-4o-2024-08-06"}),
            ("embedding", {"request_model": "text-embedding-3-small"}),
            ("agent", {"request_model": "gpt-4o"}),
        ]
    ):
        values = ("t" * 32, f"{n:016x}", None, f"s{n}", kind, "ok", n, n + 1, 10, 5, "u1", json.dumps(record))
        db.execute(
            "INSERT INTO spans (trace_id, span_id, parent_id, name, kind, outcome, start_ns, end_ns, input_tokens, "
            f"output_tokens, user_id, record) VALUES ({', '.join('?' * 12)})",
            values,
        )
    db.execute("INSERT INTO traces VALUES (?, 0, 3)", ("t" * 32,))
    db.commit()
    db.close()
    return path


def test_an_older_file_is_read_as_it_is(old):
    before = old.read_bytes()
    assert table("--by", "user", "--path", str(old))[-1] == ["Total", "2", "20", "10", "–", "2"]
    with Reading(old) as reading:
        assert [r.name for r in reading.spans("t" * 32)] == ["s0", "s1", "s2"]
        assert len(reading.traces(5)) == 1
    assert old.read_bytes() == before


def test_an_older_file_is_brought_up_to_date_when_it_is_written_and_keeps_what_it_holds(old):
    store = Store(old, max_traces=10, max_bytes=10**8)
    store.write([row()])
    Store(old, max_traces=10, max_bytes=10**8)
    with Reading(old) as reading:
        kept = reading.spans("t" * 32)
        assert [(r.name, r.model, r.cost) for r in kept] == [
            ("s0", "gpt-4o-2024-08-06", None), ("s1", "text-embedding-3-small", None), ("s2", None, None),
        ]  # fmt: skip
        assert [r.record["request_model"] for r in kept] == ["gpt-4o", "text-embedding-3-small", "gpt-4o"]
        assert {c.model: c.cost for c in reading.calls()}["gpt-4o-mini"] == "0.5"
    with sqlite3.connect(old) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)
    db.close()
