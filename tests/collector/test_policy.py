"""The tail sampler's policy, trace by trace, in the real Collector."""

from __future__ import annotations

import secrets
import time
import urllib.request

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Status
from sinks import wait_until
from spanloom.collector.ottl import threshold

pytestmark = pytest.mark.collector

KEEP = 0.3
LEAST = threshold(KEEP)
DECIDED = "otelcol_processor_tail_sampling_global_count_traces_sampled_total"
OUT, IN = LEAST - 1, LEAST  # the randomness of a trace just outside of the share, and just within


def trace(random=OUT, *, error=False, seconds=0.1, state="", **attributes):
    """A request with one trace of two spans; what is told of it stands on the second."""
    message, trace_id = ExportTraceServiceRequest(), secrets.token_bytes(9) + random.to_bytes(7, "big")
    scope = message.resource_spans.add().scope_spans.add()
    start = time.time_ns()
    for name in ("first", "second"):
        span = scope.spans.add(trace_id=trace_id, span_id=secrets.token_bytes(8), name=name, trace_state=state)
        span.start_time_unix_nano, span.end_time_unix_nano = start, start + int(seconds * 1e9)
    if error:
        span.status.code = Status.STATUS_CODE_ERROR
    for key, value in attributes.items():
        span.attributes.add(key=key.replace("_", ".")).value.string_value = value
    return message, trace_id.hex()


CASES = {
    "an error": (trace(error=True), True),
    "a slow one": (trace(seconds=3), True),
    "one of always": (trace(user_tier="gold"), True),
    "one that is like it": (trace(user_tier="golden"), False),
    "one within the share": (trace(IN), True),
    "one outside of it": (trace(OUT), False),
    "the last of the share": (trace(2**56 - 1), True),
    "the first outside": (trace(0), False),
    "one whose tracestate says that it is in": (trace(OUT, state=f"ot=rv:{IN:014x}"), True),
    "one whose tracestate says that it is not": (trace(IN, state=f"a=b,ot=th:8;rv:{OUT:014x}"), False),
    "one of never, within the share": (trace(IN, url_path="/health"), False),
    "one of never, slow": (trace(seconds=3, url_path="/health"), False),
    "one of never, and always": (trace(user_tier="gold", url_path="/health"), False),
    "one of never, an error": (trace(error=True, url_path="/health"), True),
}


def test_each_trace_is_kept_for_what_it_is(single, backend):
    collector = single(
        "--keep", KEEP, "--slower-than", 2, "--always", "user.tier=gold", "--never", "url.path=/health",
        "--decision-wait", 1, "--after-root", 1, "--no-langfuse",
    )  # fmt: skip
    for (message, _), _ in CASES.values():
        body, headers = message.SerializeToString(), {"Content-Type": "application/x-protobuf"}
        urllib.request.urlopen(urllib.request.Request(f"{collector.url}/v1/traces", body, headers), timeout=10).close()
    wait_until(lambda: collector.metric(DECIDED) >= len(CASES), "every decision", 30)
    kept = {trace_id for (_, trace_id), keep in CASES.values() if keep}
    wait_until(lambda: kept <= {s.trace_id for s in backend.spans}, "what is kept", 30)
    arrived = {s.trace_id for s in backend.spans}
    assert {name: trace_id in arrived for name, ((_, trace_id), _) in CASES.items()} == {
        name: keep for name, (_, keep) in CASES.items()
    }
