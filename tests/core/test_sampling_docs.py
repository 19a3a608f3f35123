"""The page about sampling: its code runs, and its figures are those of the code."""

import re
import sqlite3
from pathlib import Path

import spanloom
from spanloom import Local, TailSampling, chance
from spanloom.sampling.slow import MOST_NAMES, Quantile
from spanloom.sampling.view import TraceView
from spanloom.step import Kind, Outcome, Step

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "sampling.md").read_text()


def block(language):
    (code,) = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    return code


def test_the_code_runs_as_it_stands(provider, monkeypatch):
    configure = spanloom.configure
    monkeypatch.setattr(spanloom, "configure", lambda *d: configure(*d, tracer_provider=provider))
    names: dict = {}
    exec(block("python"), names)
    assert set(names["loom"].stats()["sampling"]) == {"otlp"}
    names["loom"].shutdown()


def test_totals_are_estimated_from_the_local_file(configured, tmp_path):
    path = tmp_path / "spanloom.db"
    loom = configured(Local(path, sampling=TailSampling(keep=0.25, slower_than=None)))
    for n in range(800):
        loom.recorder.open(Step(n, Kind.LLM, "chat"))
        loom.recorder.close(n, Outcome.ERROR if n % 8 == 0 else Outcome.OK)
    assert loom.flush()
    with sqlite3.connect(path) as db:
        (estimate,) = db.execute(block("sql")).fetchone()
    db.close()
    assert 600 < estimate < 1000  # four deviations of 50 to each side


def test_the_figures_are_those_of_the_code():
    policy = TailSampling()
    assert f"`hold_seconds` ({policy.hold_seconds:g})" in PAGE
    assert f"`max_spans` ({policy.max_spans:,})" in PAGE
    assert f"`max_megabytes` ({policy.max_megabytes:g})" in PAGE
    assert f"`max_seconds` ({policy.max_seconds:g})" in PAGE
    warm_up = {q: Quantile(q).warm_up for q in (0.99, 0.999, 0.95)}
    assert warm_up == {0.99: 200, 0.999: 2000, 0.95: 50}
    assert f"{MOST_NAMES} names are known at a time" in PAGE
    assert f"ot=th:{chance.threshold_of(0.05):014x}".rstrip("0") in PAGE


def test_everything_that_a_predicate_sees_is_told():
    seen = {name for name in vars(TraceView) if not name.startswith("_")} | {
        "error",
        "complete",
        "scores",
        "span_count",
    }
    told = PAGE[PAGE.index("`TraceView` (in") :].split("\n\n")[0]
    assert {name for name in seen if not re.search(rf"\b{name}\b", told)} == set()
