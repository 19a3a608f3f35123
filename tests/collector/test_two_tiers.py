"""Four services, a gateway, three samplers: what belongs to one trace meets at one of them, and the policy holds."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import threading
from collections import defaultdict
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from sinks import HttpSink, wait_until
from spanloom.collector.ottl import threshold

from tests.collector.servers import Collector

pytestmark = [pytest.mark.collector, pytest.mark.timeout(300)]

SERVICES = ["web", "search", "billing", "mail"]
PER_SERVICE = 3  # the chain, the model, what comes after
KEEP, OK, FAILED, SLOW = 0.2, 240, 30, 30
SECRET = "bob@example.org"


class Service:
    """One of the services: what is given to it, it passes on to the next, with its own span as the parent."""

    def __init__(self, name, url, below=None):
        script = Path(__file__).with_name("service.py")
        self.below, self.said = below, None
        self.process = subprocess.Popen(
            [sys.executable, str(script), name, url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.given = []
        self.reader = threading.Thread(target=self._read)
        self.reader.start()

    def give(self, call):
        self.given.append(call)
        self.process.stdin.write(json.dumps(call) + "\n")
        self.process.stdin.flush()

    def _read(self):
        for number, line in enumerate(self.process.stdout):
            if line.startswith("{"):
                self.said = json.loads(line)
            elif self.below is not None:
                outcome = self.given[number] | {"parent": line.strip()}
                self.below.give(outcome | outcome.pop("then"))

    def end(self):
        """All that it was given is done and delivered."""
        self.process.stdin.close()
        self.process.wait(120)
        self.reader.join()
        self.process.stdout.close()


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    """What arrived at the three samplers' backends, once for all tests: `(traces, backends, langfuses)`."""
    home = tmp_path_factory.mktemp("tiers")
    with ExitStack() as stack:
        sinks = [stack.enter_context(closing(HttpSink())) for _ in range(6)]
        backends, langfuses = sinks[:3], sinks[3:]
        samplers = [
            stack.enter_context(
                Collector(
                    home / f"sampler-{index}", "--tier", "sampler", "--keep", KEEP, "--slower-than", 300,
                    "--after-root", 12, "--content", "redacted",
                    "--otlp-endpoint", backends[index].url, "--langfuse-url", langfuses[index].url,
                )
            )
            for index in range(3)
        ]  # fmt: skip
        addresses = [text for sampler in samplers for text in ("--sampler", sampler.address)]
        gateways = [
            stack.enter_context(
                Collector(
                    home / f"gateway-{index}", "--tier", "gateway", "--balance", "routing", "--insecure", *addresses
                )
            )
            for index in range(2)
        ]
        services = []
        for index, name in reversed(list(enumerate(SERVICES))):
            services.insert(0, Service(name, gateways[index % 2].url, services[0] if services else None))
        plain = {"parent": None, "outcome": "ok", "seconds": 0, "said": f"Write to {SECRET}."}
        calls = [{}] * OK + [{"outcome": "error"}] * FAILED + [{"seconds": 900}] * SLOW
        for last in calls:  # only the last service knows what is the matter
            services[0].give(plain | {"then": {"then": {"then": last}}})
        for service in services:
            service.end()
            assert service.said["flushed"], service.said
        decided = "otelcol_processor_tail_sampling_global_count_traces_sampled_total"
        wait_until(lambda: sum(s.metric(decided) for s in samplers) >= len(calls), "every decision", 120)
        traces = _traces(services)
        least = sum(kind != "ok" or _in_the_share(trace_id) for trace_id, kind in traces.items())
        for side in (backends, langfuses):
            wait_until(lambda side=side: len(by_trace(side)) >= least, "what is kept", 60)
        for sampler in samplers:
            sampler.stop()
        yield traces, backends, langfuses


def _in_the_share(trace_id):
    return int(trace_id[-14:], 16) >= threshold(KEEP)


def _traces(services):
    """By trace id, the kind of each trace: "ok", "failed" or "slow"."""
    kinds = {}
    for call in services[-1].given:
        kind = "failed" if call["outcome"] == "error" else "slow" if call["seconds"] else "ok"
        kinds[call["parent"].split("-")[1]] = kind
    assert len(kinds) == OK + FAILED + SLOW
    return kinds


def by_trace(sinks):
    """`{trace id: [(index of the sink, span)]}`."""
    out = defaultdict(list)
    for index, sink in enumerate(sinks):
        for span in sink.spans:
            out[span.trace_id].append((index, span))
    return out


def test_the_spans_of_one_trace_meet_at_one_sampler(seen):
    traces, backends, _ = seen
    found = by_trace(backends)
    used = set()
    for trace_id, spans in found.items():
        assert len({index for index, _ in spans}) == 1
        used |= {index for index, _ in spans}
        assert len(spans) == len(SERVICES) * PER_SERVICE + (traces[trace_id] == "slow")
        assert {span.resource["service.name"] for _, span in spans} == set(SERVICES)
    assert used == {0, 1, 2}


def test_every_error_and_every_slow_trace_is_kept(seen):
    traces, backends, langfuses = seen
    wanted = {trace_id for trace_id, kind in traces.items() if kind != "ok"}
    assert len(wanted) == FAILED + SLOW
    assert wanted <= by_trace(backends).keys()
    assert wanted <= by_trace(langfuses).keys()


def test_the_share_of_the_rest_is_the_one_that_every_sampler_would_keep(seen):
    traces, backends, langfuses = seen
    rest = {trace_id for trace_id, kind in traces.items() if kind == "ok"}
    kept = by_trace(backends).keys() & rest
    assert kept == by_trace(langfuses).keys() & rest
    assert kept == {trace_id for trace_id in rest if _in_the_share(trace_id)}
    deviation = math.sqrt(OK * KEEP * (1 - KEEP))
    assert abs(len(kept) - OK * KEEP) < 5 * deviation  # one run in two million is out


def test_no_personal_data_arrives(seen):
    _, backends, langfuses = seen
    for sink in (*backends, *langfuses):
        assert sink.spans
        assert SECRET.encode() not in sink.wire
        assert b"901820" not in sink.wire  # in the user's metadata
        assert b"****" in sink.wire


def test_each_backend_reads_its_own_words(seen):
    _, backends, langfuses = seen
    for sink in backends:
        assert not [k for s in sink.spans for k in s.attributes if "langfuse." in k]
        assert any("gen_ai.output.messages" in s.attributes for s in sink.spans)
    for sink in langfuses:
        assert not [k for s in sink.spans for k in s.attributes if k.startswith("gen_ai.")]
        assert all(s.attributes["langfuse.observation.type"] for s in sink.spans)
        assert {s.attributes["user.id"] for s in sink.spans} == {"ann@example.org"}


def test_langfuse_has_one_tree_a_service_and_no_orphans(seen):
    _, _, langfuses = seen
    for spans in by_trace(langfuses).values():
        ids = {span.span_id for _, span in spans}
        assert {span.parent for _, span in spans} <= ids | {""}
        tops = [span for _, span in spans if not span.parent]
        assert sorted(span.name for span in tops) == sorted(SERVICES)
        assert all(span.attributes["langfuse.internal.is_app_root"] for span in tops)
