"""The benchmark of `make bench`, by a few runs in this interpreter: it measures what it says, and can be compared."""

from __future__ import annotations

import copy
import json
import math

import pytest
from click.testing import CliRunner

from tests.benchmarks.compare import corpus
from tests.benchmarks.compare.__main__ import main
from tests.benchmarks.compare.difference import difference
from tests.benchmarks.compare.report import Plan, measure
from tests.benchmarks.compare.targets import Target

FIGURES = ("app_us", "all_us", "app_us_low", "app_us_high", "all_us_low", "all_us_high", "p50_us", "p99_us")


@pytest.fixture(scope="module")
def report():
    plan = Plan(["raw1", "spanloom"], ["w1", "w3"], rounds=2, share=0.02, imports=1, growth=20, local=True)
    return json.loads(json.dumps(measure(plan)))


def test_every_subject_has_every_figure_and_all_spans_arrive(report):
    for name, spans in (("w1", 10), ("w3", 4)):
        subjects = report["workloads"][name]["subjects"]
        assert list(subjects) == ["noop", "raw1", "spanloom"]
        for subject, paths in (("noop", 0), ("raw1", 1), ("spanloom", 2)):
            figure = subjects[subject]
            assert all(math.isfinite(figure[key]) for key in FIGURES)
            assert [len(figure[key]) for key in ("app_us_rounds", "all_us_rounds")] == [2, 2]
            assert list(figure["spans"].values()) == [spans] * paths
            assert figure["lost"] == 0
            assert len(figure["bytes"]) == len(figure["requests"]) == paths
            assert all(size > 100 * spans for size in figure["bytes"].values())
    assert list(report["tokens"]["w3"]) == ["raw1", "spanloom"]


def test_it_says_what_else_a_subject_takes_and_whom_it_measured(report):
    for subject in ("raw1", "spanloom"):
        assert report["imports"]["langchain"][subject]["import_ms_min"] > 0
        assert report["peak_bytes"]["langchain"][subject] > 0
    assert report["growth"]["langchain"]["spanloom"]["runs"] == 20
    assert report["machine"]["cores"] >= 1
    assert report["commit"]


def test_targets_are_of_ratios_to_what_was_measured_beside_us(report):
    subjects = report["workloads"]["w1"]["subjects"]
    found = {(t["what"], t["on"]): t for t in report["targets"]}
    share = subjects["spanloom"]["app_us"] / subjects["raw1"]["app_us"]
    target = found["application's threads, of the floor's", "w1"]
    assert target["value"] == pytest.approx(share)
    assert target["met"] == (share <= 0.8)
    assert ("µs for a token after the first", "w3") in found
    assert not Target("x", "w1", 0.5, 0.4).met()
    assert Target("x", "w1", 0.5, 0.4).met(factor=1.5)
    assert Target("x", "w1", 7.0, 8.0, at_least=True).met(factor=1.5)
    assert not Target("x", "w1", 5.0, 8.0, at_least=True).met(factor=1.5)


def test_two_benchmarks_can_be_compared(report, tmp_path):
    slower = copy.deepcopy(report)
    slower["workloads"]["w1"]["subjects"]["spanloom"]["all_us"] *= 2
    row = next(r for r in difference(report, slower) if (r["workload"], r["subject"]) == ("w1", "spanloom"))
    assert row["all_us"][1] == pytest.approx(2 * row["all_us"][0])
    files = [tmp_path / "a.json", tmp_path / "b.json"]
    for file, content in zip(files, (report, slower), strict=True):
        file.write_text(json.dumps(content), encoding="utf-8")
    result = CliRunner().invoke(main, ["diff", *map(str, files)])
    assert result.exit_code == 0, result.output
    assert "+100 %" in result.output


def test_no_two_requests_ask_or_answer_the_same():
    numbers = range(3000)
    assert len({corpus.question(n) for n in numbers}) == len({corpus.answer(n) for n in numbers}) == 3000
    found = [corpus.paragraphs(corpus.question(n)) for n in numbers]
    assert all(len({id_ for id_, _ in five}) == corpus.PICKED for five in found)
    assert {text for five in found for _, text in five} == {text for _, text in corpus.whole()}
    assert any("@" in text for _, text in corpus.whole())
    assert len(corpus.long_answer(7, 500)) == 500
