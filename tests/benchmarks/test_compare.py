"""The benchmark of `make bench`, by a few runs in this interpreter: it measures what it says, and can be compared."""

from __future__ import annotations

import copy
import json
import math

import pytest
from click.testing import CliRunner
from rich.console import Console

from tests.benchmarks.compare import corpus
from tests.benchmarks.compare.__main__ import main
from tests.benchmarks.compare.difference import difference
from tests.benchmarks.compare.figures import MINIMUM, figures, tokens
from tests.benchmarks.compare.report import Plan, measure
from tests.benchmarks.compare.rounds import Block, Measured, NotSwitchedOffError, Pair, take_turns
from tests.benchmarks.compare.sink import Sink
from tests.benchmarks.compare.subjects import SUBJECTS
from tests.benchmarks.compare.tables import target_table
from tests.benchmarks.compare.targets import Target, as_json, missed, targets
from tests.benchmarks.compare.workers import Process

FIGURES = ("app_us", "all_us", "app_us_low", "app_us_high", "all_us_low", "all_us_high", "p50_us", "p99_us")
OTHERS = [s for s in SUBJECTS if s not in ("noop", "raw1", "raw2", "spanloom")]
INSTALLS = [pytest.mark.receiver, pytest.mark.timeout(1800)]  # an environment for each, at the first run


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
            assert [len(figure[key]) for key in ("app_us_pairs", "all_us_pairs")] == [4, 4]
            assert list(figure["spans"].values()) == [spans] * paths
            assert figure["lost"] == figure["late"] == 0
            assert len(figure["bytes"]) == len(figure["requests"]) == paths
            assert all(size > 100 * spans for size in figure["bytes"].values())
        itself = report["workloads"][name]["itself"]
        assert all(math.isfinite(itself[key]) for key in FIGURES)
        assert all(subjects[s]["app_us_noop"] > 0 for s in ("raw1", "spanloom"))
    assert list(report["tokens"]["w3"]) == ["noop", "raw1", "spanloom"]
    assert report["format"] == 2


@pytest.mark.parametrize("framework", ["langchain", "llama_index"])
@pytest.mark.parametrize("subject", ["raw2", "spanloom", *(pytest.param(s, marks=INSTALLS) for s in OTHERS)])
def test_a_subject_sends_nothing_while_the_no_op_handler_is_at_work_and_all_of_it_afterwards(subject, framework):
    with Sink() as sink:
        process = Process(subject, framework, sink.url, local=subject not in OTHERS)
        try:
            process.ready()
            came = []
            for workload in ("w1", "w2", "w3") if framework == "langchain" else ("w4", "w5"):
                process.ask("block", workload=workload, runs=1, noop=False)  # what it sends once
                sink.forget()
                for noop in (False, True, True, False):
                    process.ask("block", workload=workload, runs=2, noop=noop)
                    came.append({path: sum(got["names"].values()) for path, got in sink.take().items()})
        finally:
            process.close()
    for first, *nothing, again in zip(*(came[n::4] for n in range(4)), strict=True):
        assert nothing == [{}, {}]
        assert again == first
        assert len(first) == SUBJECTS[subject].exports
        assert all(first.values())


def _pairs(subject, noop, runs=10):
    """Pairs of blocks in which a run takes so many microseconds of CPU, all of it the application's."""
    return Measured(
        pairs=[
            Pair(runs, *(Block(us * runs / 1e6, us * runs / 1e6, [us / 1e6] * runs) for us in pair), {}, {}, 0, 0)
            for pair in zip(subject, noop, strict=True)
        ]
    )


def test_a_process_that_is_slow_throughout_or_for_a_while_costs_its_subject_nothing():
    nothing = _pairs([5000, 5010, 5000], [5000, 5000, 5000])
    subject = _pairs([5600, 9100, 5700], [5500, 9000, 5500])  # always a tenth slower, and once much more
    found = figures({"w3": {"noop": nothing, "raw1": subject}})["w3"]
    figure = found["subjects"]["raw1"]
    for key in ("app_us", "all_us"):
        assert figure[key] == pytest.approx(100)
        assert figure[f"{key}_pairs"] == pytest.approx([100, 100, 200])
        assert (figure[f"{key}_low"], figure[f"{key}_high"]) == pytest.approx((100, 150))
        assert figure[f"{key}_noop"] == pytest.approx(5500)
        assert found["subjects"]["noop"][key] == pytest.approx(5000)
        assert found["itself"][key] == pytest.approx(0)
        assert found["itself"][f"{key}_pairs"] == pytest.approx([0, 10, 0])
    assert figure["p50_us"] == pytest.approx(200)
    least = figures({"w3": {"noop": nothing, "raw1": subject}}, MINIMUM)["w3"]["subjects"]["raw1"]
    assert least["app_us"] == pytest.approx(100)


def test_a_token_costs_what_a_stream_takes_longer_than_its_answer_in_one_piece():
    nothing = _pairs([5000] * 3, [5000] * 3)
    streams = _pairs([5300 + 499 * us for us in (1, 2, 4)], [5000] * 3)
    results = {
        "w3": {"noop": nothing, "raw1": streams},
        "w3-whole": {"noop": nothing, "raw1": _pairs([700, 710, 720], [400, 410, 420])},
    }
    found = tokens(figures(results))["w3"]
    for key in ("app_us", "all_us"):
        assert [found["raw1"][key + end] for end in ("", "_low", "_high")] == pytest.approx([2, 1.5, 3])
        assert found["noop"][key] == pytest.approx(0)


class _Sent:
    """A process and a sink in one: a run under the subject sends ten spans, and one under the no-op handler `stray`."""

    def __init__(self, subject, stray=0, delay=0):
        self.subject, self.blocks = subject, []
        self._stray, self._delay, self._names = stray, delay, {}

    def ask(self, do, *, runs, noop, **_):
        self.blocks.append(noop)
        late = self._stray if len(self.blocks) > self._delay else 0
        self._names = {"step": late if noop else 10 * runs - late}
        return {"thread": 0.1, "process": 0.2, "wall": [0.01] * runs}

    def take(self):
        return {
            "/otlp/v1/traces": {"requests": 1, "bytes": 9, "names": self._names if any(self._names.values()) else {}}
        }


def _taken(process, rounds):
    return take_turns({(process.subject, "langchain"): process}, process, [process.subject], ["w1"], rounds)


def test_a_subject_that_cannot_be_switched_off_is_not_measured():
    with pytest.raises(NotSwitchedOffError, match="raw1 sent spans of w1"):
        _taken(_Sent("raw1", stray=1), 3)


def test_blocks_take_turns_and_what_comes_late_is_told():
    process = _Sent("raw1", stray=2, delay=3)
    pairs = _taken(process, 3)["w1"]["raw1"].pairs
    noop_first, subject_first = [True, False], [False, True]
    assert process.blocks[3:] == [*noop_first, *subject_first, *subject_first, *noop_first, *noop_first, *subject_first]
    assert [(p.lost, p.late) for p in pairs] == [(2, 2)] * 6


def test_it_says_what_else_a_subject_takes_and_whom_it_measured(report):
    for subject in ("raw1", "spanloom"):
        assert report["imports"]["langchain"][subject]["import_ms_min"] > 0
        assert report["peak_bytes"]["langchain"][subject] > 0
    assert report["growth"]["langchain"]["spanloom"]["runs"] == 20
    assert report["machine"]["cores"] >= 1
    assert report["commit"]


def _targets(**workloads):
    report = {"workloads": figures(workloads), "tokens": {}, "imports": {}}
    return {(t.what, t.on): t for t in targets(report)}


def _sent(measured, spans=4):
    measured.spans = {"/v1/traces": spans}
    return measured


def test_targets_are_of_ratios_to_what_was_measured_beside_us(report):
    nothing = _pairs([5000] * 3, [5000] * 3)
    costs = {"raw1": 200, "raw2": 400, "dual": 900, "langfuse": 300, "openllmetry": 350, "spanloom": 100}
    subjects = {name: _sent(_pairs([5000 + us] * 3, [5000] * 3)) for name, us in costs.items()}
    subjects["genai"] = _sent(_pairs([5001] * 3, [5000] * 3), spans=3)  # saves by leaving out, and is no measure
    found = _targets(w3={"noop": nothing, **subjects})
    assert {what: target.value for (what, _), target in found.items()} == pytest.approx(
        {
            "application's threads, of the floor's": 0.5,
            "all threads, of the two-export floor's": 0.25,
            "the usual dual set-up, times ours": 9,
            "the cheapest peer, times ours": 3,
        }
    )
    assert [target.met() for target in found.values()] == [True, True, True, False]
    of_floor = [as_json(target) for target in found.values()]
    assert missed(of_floor, 1) == ""
    assert "two-export floor's on w3 is 0.25, not 0.4" in missed(of_floor, 0.5)
    told = {(t["what"], t["on"]) for t in report["targets"]}
    assert {("application's threads, of the floor's", w) for w in ("w1", "w3")} <= told
    assert ("µs for a token after the first", "w3") in told


def test_a_target_may_be_missed_by_a_factor():
    assert not Target("x", "w1", 0.5, 0.4).met()
    assert Target("x", "w1", 0.5, 0.4).met(factor=1.5)
    assert Target("x", "w1", 7.0, 8.0, at_least=True).met(factor=1.5)
    assert not Target("x", "w1", 5.0, 8.0, at_least=True).met(factor=1.5)


@pytest.mark.parametrize(("floor", "ours"), [(-10, 100), (0, 100), (100, -10), (100, 0)])
def test_what_costs_less_than_nothing_meets_no_target_and_is_said_to_be_untold(floor, ours):
    costs = {"raw1": floor, "spanloom": ours}
    subjects = {name: _sent(_pairs([5000 + us] * 3, [5000] * 3)) for name, us in costs.items()}
    (target,) = _targets(w3={"noop": _pairs([5000] * 3, [5000] * 3), **subjects}).values()
    assert target.value is None
    assert not target.met(factor=1000)
    assert "application's threads, of the floor's on w3 cannot be told" in missed([as_json(target)], 1.5)
    console = Console(record=True, width=170)
    console.print(target_table([as_json(target)]))
    assert "not told" in console.export_text()


def test_two_benchmarks_can_be_compared(report, tmp_path):
    faster = copy.deepcopy(report)
    faster["workloads"]["w1"]["subjects"]["spanloom"]["all_us"] = 1000.0
    slower = copy.deepcopy(report)
    slower["workloads"]["w1"]["subjects"]["spanloom"]["all_us"] = 2000.0
    row = next(r for r in difference(faster, slower) if (r["workload"], r["subject"]) == ("w1", "spanloom"))
    assert row["all_us"] == (1000, 2000)
    files = [tmp_path / "a.json", tmp_path / "b.json"]
    for file, content in zip(files, (faster, slower), strict=True):
        file.write_text(json.dumps(content), encoding="utf-8")
    result = CliRunner().invoke(main, ["diff", *map(str, files)])
    assert result.exit_code == 0, result.output
    assert "1,000 → 2,000 │ +100 %" in " ".join(result.output.split())
    assert "in the process of each subject" not in result.output
    files[0].write_text(json.dumps({k: v for k, v in report.items() if k != "format"}), encoding="utf-8")
    assert "in the process of each subject" in CliRunner().invoke(main, ["diff", *map(str, files)]).output


def test_no_two_requests_ask_or_answer_the_same():
    numbers = range(3000)
    assert len({corpus.question(n) for n in numbers}) == len({corpus.answer(n) for n in numbers}) == 3000
    found = [corpus.paragraphs(corpus.question(n)) for n in numbers]
    assert all(len({id_ for id_, _ in five}) == corpus.PICKED for five in found)
    assert {text for five in found for _, text in five} == {text for _, text in corpus.whole()}
    assert any("@" in text for _, text in corpus.whole())
    assert len(corpus.long_answer(7, 500)) == 500
