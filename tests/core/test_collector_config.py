"""`spanloom collector-config`: what it writes and what it refuses. The real Collector reads it in tests/collector."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from spanloom.cli import main
from spanloom.cli.collector import collector_config
from spanloom.collector import ottl, privacy
from spanloom.collector import yaml as emitted

BACKEND = ("--otlp-endpoint", "https://otel.example.com:4318")
GATEWAY = ("--tier", "gateway", "--insecure")
THREE = ("--sampler", "s0:4317", "--sampler", "s1:4317", "--sampler", "s2:4317")


def run(*options):
    return CliRunner().invoke(main, ["collector-config", *options])


def read(*options):
    made = run(*options)
    assert made.exit_code == 0, made.output
    return yaml.safe_load(made.output)


def policies(*options):
    return {p["name"]: p for p in read(*BACKEND, *options)["processors"]["tail_sampling"]["policies"]}


def test_one_collector_in_front_of_both_backends():
    made = read(*BACKEND)
    pipelines = made["service"]["pipelines"]
    assert pipelines["traces/in"]["processors"] == ["memory_limiter", "tail_sampling"]
    assert pipelines["traces/in"]["exporters"] == ["forward/otlp", "forward/langfuse"]
    assert pipelines["traces/otlp"]["exporters"] == ["otlphttp/backend"]
    assert pipelines["traces/langfuse"]["exporters"] == ["otlphttp/langfuse"]
    used = {name for p in pipelines.values() for name in (*p["processors"], *p["receivers"], *p["exporters"])}
    assert used == {*made["receivers"], *made["processors"], *made["exporters"], *made["connectors"]}


def test_every_exporter_keeps_its_queue_on_disk_and_tries_for_good():
    for options in (BACKEND, (*GATEWAY, *THREE, "--balance", "routing"), (*GATEWAY, *THREE)):
        made = read(*options, "--queue", "/data/queue", "--queue-mib", "90")
        assert made["extensions"]["file_storage/queue"]["directory"] == "/data/queue"
        queues = [exporter["sending_queue"] for exporter in made["exporters"].values()]
        assert {q["storage"] for q in queues} == {"file_storage/queue"}
        assert sum(q["queue_size"] for q in queues) == 90 * 1024 * 1024
        assert {e["retry_on_failure"]["max_elapsed_time"] for e in made["exporters"].values()} == {"0s"}
        assert not any(name.startswith("batch") for name in made["processors"])  # it would hold spans in memory


def test_keys_come_from_the_environment_and_from_nowhere_else():
    made = run(*BACKEND, "--otlp-header", "api-key=OTLP_API_KEY").output
    tree = yaml.safe_load(made)
    assert tree["exporters"]["otlphttp/backend"]["headers"] == {"api-key": "${env:OTLP_API_KEY}"}
    pair = tree["extensions"]["basicauth/langfuse"]["client_auth"]
    assert pair == {"username": "${env:LANGFUSE_PUBLIC_KEY}", "password": "${env:LANGFUSE_SECRET_KEY}"}
    refused = run(*BACKEND, "--otlp-header", "api-key=sk-1234-secret")
    assert refused.exit_code == 1
    assert "secret" not in refused.output


def test_the_policy():
    chosen = policies("--slower-than", "2.5", "--keep", "0.1", "--always", "tier=gold")
    assert list(chosen) == ["errors", "slow", "always-1", "share"]
    assert chosen["errors"]["status_code"] == {"status_codes": ["ERROR"]}
    assert chosen["slow"]["latency"] == {"threshold_ms": 2500}
    assert chosen["always-1"]["string_attribute"] == {"key": "tier", "values": ["gold"]}
    assert all(str(2**56 - round(0.1 * 2**56)) in one for one in chosen["share"]["ottl_condition"]["span"])
    assert list(policies("--keep", "0")) == ["errors"]
    assert "tail_sampling" not in read(*BACKEND, "--keep", "1")["processors"]


def test_what_is_never_kept_is_kept_for_an_error():
    chosen = policies("--keep", "1", "--never", "url.path=/health", "--slower-than", "2")
    assert list(chosen) == ["errors", "slow", "rest"]
    assert chosen["errors"]["type"] == "status_code"
    for name in ("slow", "rest"):
        unless = chosen[name]["and"]["and_sub_policy"][1]["string_attribute"]
        assert unless == {"key": "url.path", "values": ["/health"], "invert_match": True}


@given(st.floats(0, 1), st.integers(0, 2**56 - 1))
def test_the_share_is_opentelemetrys_rule_of_consistent_probability(keep, random):
    assert 0 <= ottl.threshold(keep) <= 2**56
    assert ottl.threshold(1) == 0
    assert (random >= ottl.threshold(keep)) <= (random >= ottl.threshold(min(1, keep * 2)))  # a larger share has it too


def test_a_gateway_by_the_load_balancing_exporter():
    made = read(*GATEWAY, *THREE)
    exporter = made["exporters"]["loadbalancing"]
    assert exporter["routing_key"] == "traceID"
    assert exporter["resolver"] == {"static": {"hostnames": ["s0:4317", "s1:4317", "s2:4317"]}}
    assert exporter["protocol"]["otlp"]["tls"] == {"insecure": True}
    assert exporter["protocol"]["otlp"]["sending_queue"] == {"enabled": False}
    found = read(*GATEWAY, "--sampler-dns", "samplers.otel:14317")["exporters"]["loadbalancing"]["resolver"]
    assert found == {"dns": {"hostname": "samplers.otel", "port": "14317"}}
    found = read(*GATEWAY, "--sampler-k8s", "samplers.otel")["exporters"]["loadbalancing"]["resolver"]
    assert found == {"k8s": {"service": "samplers.otel", "ports": [4317]}}


def test_a_gateway_by_the_routing_connector():
    made = read(*GATEWAY, *THREE, "--balance", "routing")
    assert [e["endpoint"] for e in made["exporters"].values()] == ["s0:4317", "s1:4317", "s2:4317"]
    table = made["connectors"]["routing"]["table"]
    assert [route["pipelines"] for route in table] == [["traces/sampler-1"], ["traces/sampler-2"]]
    assert made["connectors"]["routing"]["default_pipelines"] == ["traces/sampler-0"]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--slower-than", "p99"), "the Collector knows no p99, only a fixed time: write seconds, such as 2.0"),
        (("--slower-than", "soon"), "write seconds"),
        (("--slower-than", "-1"), "write seconds above 0"),
        (("--slower-than", "nan"), "write seconds above 0"),
        (("--keep", "5"), "write a number from 0 to 1"),
        (("--keep", "nan"), "write a number from 0 to 1"),
        (("--keep", "0", "--no-errors"), "No trace would be kept"),
        (("--always", "gold"), "write NAME=VALUE"),
        (("--decision-wait", "2"), "write --after-root above 0"),
        (("--no-langfuse",), "There is no backend"),
        (("--tier", "gateway"), "A gateway finds its samplers in one way"),
        (("--tier", "gateway", "--sampler", "s0"), "write host:port"),
        (("--tier", "gateway", "--sampler", "s0:1", "--sampler", "s0:1"), "Two samplers have one address"),
        (("--tier", "gateway", "--sampler-dns", "s", "--balance", "routing"), "a fixed list"),
        (("--langfuse-url", "cloud.langfuse.com"), "write it whole"),
        (("--langfuse-url", "https://pk:sk@langfuse.example"), "keys stay out of the file"),
        (("--queue-mib", "0"), "a whole number above 0"),
    ],
)
def test_what_cannot_work_is_refused_in_a_sentence(options, sentence):
    made = run(*options)
    assert made.exit_code in (1, 2)
    assert sentence in " ".join(made.output.split())


def test_a_file_instead_of_the_terminal(tmp_path):
    made = run(*BACKEND, "-o", str(tmp_path / "otelcol.yaml"))
    assert (made.exit_code, made.output) == (0, "")
    assert yaml.safe_load((tmp_path / "otelcol.yaml").read_text())["service"]
    refused = run(*BACKEND, "-o", str(tmp_path / "nowhere" / "otelcol.yaml"))
    assert refused.exit_code == 1
    assert "cannot be written: No such file or directory." in " ".join(refused.output.split())


def test_the_commands_of_the_documentation_work():
    text = (Path(__file__).parents[2] / "docs" / "collector.md").read_text()
    commands = re.findall(r"^spanloom collector-config (.*) -o \S+$", text, re.MULTILINE)
    assert len(commands) == 3
    for command in commands:
        assert read(*shlex.split(command))["service"]["pipelines"]
    assert set(re.findall(r"`(--[a-z0-9-]+)", text)) <= {
        o for p in collector_config.params for o in (*p.opts, *p.secondary_opts)
    }


# ---------------------------------------------------------------- YAML
texts = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=20)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.from_regex(r"[a-z]{1,5}", fullmatch=True), inner, max_size=3)
    ),
    max_leaves=10,
)


@given(st.dictionaries(st.from_regex(r"k[a-z_]{1,5}", fullmatch=True), values, min_size=1, max_size=3))
def test_any_tree_is_read_as_it_was_meant(tree):
    tree = {key: item for key, item in tree.items() if not _has_list_in_list(item)}
    made = emitted.text({**tree, "noted": emitted.Noted("a comment\nof two lines", 1)}, "head")
    assert yaml.safe_load(made) == {**emitted.plain(tree), "noted": 1}


def _has_list_in_list(value):
    """The Collector's settings have none, and the emitter writes none."""
    match value:
        case list():
            return any(isinstance(item, list) or _has_list_in_list(item) for item in value)
        case dict():
            return any(_has_list_in_list(item) for item in value.values())
    return False


def test_a_dollar_is_a_dollar_unless_it_names_a_variable():
    made = yaml.safe_load(emitted.text({"a": "^x$", "b": emitted.Env("${env:X}"), "c": "${env:Y}"}, ""))
    assert made == {"a": "^x$$", "b": "${env:X}", "c": "$${env:Y}"}


# ---------------------------------------------------------------- redaction
FOUND = {
    "e-mail address": ["ann@example.org", "a.b+c@mail.example.co.uk"],
    "card number, or US social security number": [
        "4111111111111111",
        "5500 0000 0000 0004",
        "6011-0009-9013-9424",
        "378282246310005",
        "3782 822463 10005",
        "078-05-1120",
    ],
    "IBAN": ["DE89370400440532013000", "GB29 NWBK 6016 1331 9268 19", "NO93 8601 1117 947"],
    "telephone number": ["+49 30 901820", "+1 (212) 555-0100", "+442071838750"],
    "key of an API": ["sk-proj-abcdefghijklmnop1234", "pk-lf-01234567-89ab-cdef", "sk_live_abcdefghijklmnop"],
    "key of AWS": ["AKIAIOSFODNN7EXAMPLE"],
    "token of GitHub": ["ghp_" + "a1" * 18],
    "fine-grained token of GitHub": ["github_pat_" + "a" * 22],
    "token of Slack": ["xoxb-123456789012-abcdef"],
    "key of Google": ["AIza" + "a" * 35],
    "JSON web token": ["eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl"],
    "bearer token": ["Bearer abcdefghijklmnop123="],
    "private key": ["-----BEGIN RSA PRIVATE KEY-----\nMIIB+/=\n-----END RSA PRIVATE KEY-----"],
}
ANY = re.compile("|".join(privacy.PATTERNS.values()))
ALL_FOUND = [text for found in FOUND.values() for text in found]


@pytest.mark.parametrize("what", privacy.PATTERNS)
def test_each_pattern_finds_what_it_is_for(what):
    for text in FOUND[what]:
        for around in ("{}", "x: {}.", "\n{}\n", '"{}"', "({})"):
            for said in (
                around.format(text),
                json.dumps(around.format(text)),
                json.dumps(json.dumps(around.format(text))),
            ):
                assert json.dumps(text)[1:-1] not in ANY.sub("", said)
                assert text not in ANY.sub("", said)


@pytest.mark.parametrize(
    "text",
    [
        "What is in the shop at 12:30?",
        "gpt-4o-mini-2024-07-18",
        "0af7651916cd43dd8448eb211c80319c",
        "12 × 4111 = 49332, and 2026-11-24 is a Tuesday",
        "1763800000000000000",
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "ein@mal ohne Punkt",
        "risk_assessment_report_2026_final",
    ],
)
def test_what_is_nobodys_stays(text):
    assert ANY.sub(privacy.MASK, text) == text


@given(
    st.lists(texts | st.sampled_from(ALL_FOUND) | st.sampled_from(["\n", "\\", '"', "\\n", "\t"]), max_size=8).map(
        "".join
    )
)
def test_masking_leaves_json_whole_however_deep_it_lies(said):
    once = json.dumps({"said": said}, ensure_ascii=False)
    twice = json.dumps({"arguments": once}, ensure_ascii=False)
    assert isinstance(json.loads(ANY.sub(privacy.MASK, once))["said"], str)
    inner = json.loads(ANY.sub(privacy.MASK, twice))["arguments"]
    assert isinstance(json.loads(inner)["said"], str)
