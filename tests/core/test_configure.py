"""`configure()`: one provider, one recorder, the destinations; and the handle to them."""

import subprocess
import sys
import textwrap

import pytest
import spanloom
from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from sinks import wait_until
from spanloom import ConfigurationError, ContentPolicy, Keyring, Langfuse, Local, Otlp, TailSampling, Vault, actions
from spanloom.content.redaction import Patterns
from spanloom.step import Kind, Step
from spanloom.testing import Memory


def one_step(loom, name="a"):
    loom.recorder.open(Step(name, Kind.CHAIN, name))
    loom.recorder.close(name)


def in_a_process_of_its_own(code, cwd, **environment):
    """Run `code` under warnings as errors; its last line of output."""
    script = "import spanloom\nfrom spanloom.step import Kind, Step\nfrom spanloom.testing import Memory\n"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script + textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=cwd,
        env={"PATH": "/usr/bin:/bin", **environment},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_it_makes_a_provider_where_there_is_none(tmp_path):
    assert in_a_process_of_its_own(
        """
        from opentelemetry import trace
        memory = Memory()
        with spanloom.configure(memory, service_name="bot") as loom:
            print(trace.get_tracer_provider() is loom.tracer_provider)
            print(loom.tracer_provider.resource.attributes["service.name"])
            loom.recorder.open(Step("a", Kind.CHAIN, "a"))
        print([(s.name, s.outcome.value) for s in memory.steps])
        """,
        tmp_path,
    ) == ["True", "bot", "[('a', 'incomplete')]"]


def test_it_joins_the_provider_that_the_application_has_set(tmp_path):
    assert in_a_process_of_its_own(
        """
        from opentelemetry import trace
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.resources import Resource
        ours = TracerProvider(resource=Resource({"service.name": "app", "x": "y"}))
        trace.set_tracer_provider(ours)
        class Sink(Memory):
            def open(self, resource, tick):
                print(sorted(resource.attributes.items())[-2:])
                return super().open(resource, tick)
        loom = spanloom.configure(Sink(), service_name="bot")
        print(loom.tracer_provider is ours is trace.get_tracer_provider())
        """,
        tmp_path,
    ) == ["[('service.name', 'bot'), ('x', 'y')]", "True"]


def test_what_is_queued_goes_out_when_the_process_ends(tmp_path, http_sink):
    in_a_process_of_its_own(
        """
        import os
        loom = spanloom.configure()
        loom.recorder.open(Step("a", Kind.CHAIN, "a"))
        loom.recorder.close("a")
        """,
        tmp_path,
        OTEL_EXPORTER_OTLP_ENDPOINT=http_sink.url,
    )
    assert [s.name for s in http_sink.spans] == ["a"]


def test_a_receiver_that_hangs_does_not_hold_the_end_of_the_process(tmp_path, http_sink):
    http_sink.hang()
    in_a_process_of_its_own(
        """
        loom = spanloom.configure(spanloom.Otlp(timeout=60))
        loom.recorder.open(Step("a", Kind.CHAIN, "a"))
        print(loom.shutdown(timeout=0.2))
        """,
        tmp_path,
        OTEL_EXPORTER_OTLP_ENDPOINT=http_sink.url,
    )


OTLP = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}
OTLP_TRACES = {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:9/v1/traces"}
KEYS = {"LANGFUSE_PUBLIC_KEY": "pk", "LANGFUSE_SECRET_KEY": "sk", "LANGFUSE_HOST": "http://127.0.0.1:9"}


@pytest.mark.parametrize(
    ("environment", "chosen"),
    [
        ({}, [Local]),
        (OTLP, [Otlp]),
        (OTLP_TRACES, [Otlp]),
        (KEYS, [Langfuse]),
        ({**OTLP, **KEYS}, [Otlp, Langfuse]),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, [Local]),
    ],
)
def test_the_environment_alone_names_the_destinations(configured, monkeypatch, tmp_path, environment, chosen):
    monkeypatch.chdir(tmp_path)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    loom = configured()
    assert [type(destination) for destination, _ in loom._destinations] == chosen


def test_half_a_key_pair_in_the_environment_is_said(provider, monkeypatch):
    monkeypatch.setenv("LANGFUSE_PUBLIC_KEY", "pk")
    with pytest.raises(ConfigurationError, match="LANGFUSE_SECRET_KEY"):
        spanloom.configure(tracer_provider=provider)


@pytest.mark.parametrize("variable", ["OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_TRACES_HEADERS"])
def test_a_header_without_a_name_in_the_environment_is_said_and_not_quoted(provider, monkeypatch, variable, caplog):
    monkeypatch.setenv(variable, "x-team=a, Bearer s3cret,")
    with pytest.raises(ConfigurationError, match=f"{variable} .* name=value") as refused:
        spanloom.configure(Otlp(), tracer_provider=provider)
    assert "s3cret" not in str(refused.value) + caplog.text


def test_a_second_call_warns_and_replaces_and_doubles_no_span(configured, provider):
    first, second = Memory(), Memory()
    before = configured(first)
    before.recorder.open(Step("open", Kind.CHAIN, "open"))
    with pytest.warns(RuntimeWarning, match="again") as warned:
        loom = configured(second)
    assert warned[0].filename != spanloom.setup.__file__
    one_step(loom)
    provider.get_tracer("web").start_span("GET").end()
    assert loom.flush()
    assert [s.name for s in first.steps] == ["open"]
    assert [e.span.name for e in second.spans] == ["a", "GET"]
    assert len(provider._active_span_processor._span_processors) == 1


def test_the_same_destination_may_be_configured_again(configured, http_sink):
    otlp = Otlp(http_sink.url)
    one_step(configured(otlp), "a")
    with pytest.warns(RuntimeWarning, match="again"):
        loom = configured(otlp)
    one_step(loom, "b")
    assert loom.flush()
    assert [s.name for s in http_sink.spans] == ["a", "b"]


def test_a_wrong_second_call_leaves_the_first_as_it_was(configured, provider):
    memory = Memory()
    loom = configured(memory)
    with pytest.raises(ConfigurationError):
        spanloom.configure(Memory("other"), Otlp("nowhere"), tracer_provider=provider)
    one_step(loom)
    assert loom.flush()
    assert [s.name for s in memory.steps] == ["a"]


def test_after_a_shutdown_a_new_call_warns_of_nothing(configured):
    configured(Memory()).shutdown()
    memory = Memory()
    loom = configured(memory)
    one_step(loom)
    assert loom.flush()
    assert len(memory.steps) == 1


@pytest.mark.parametrize("wrong", ["http://localhost:4318", Otlp, None, object()])
def test_what_is_no_destination_is_refused(provider, wrong):
    with pytest.raises(ConfigurationError, match="no destination"):
        spanloom.configure(wrong, tracer_provider=provider)


def test_two_destinations_of_one_name_are_refused(provider):
    with pytest.raises(ConfigurationError, match="name="):
        spanloom.configure(Memory(), Memory(), tracer_provider=provider)


def test_a_provider_that_takes_no_processors_is_refused():
    with pytest.raises(ConfigurationError, match="tracer_provider="):
        spanloom.configure(Memory(), tracer_provider=trace.NoOpTracerProvider())


def test_a_variable_that_the_sdk_refuses_is_named(monkeypatch):
    monkeypatch.setattr(trace, "get_tracer_provider", trace.ProxyTracerProvider)
    monkeypatch.setenv("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "many")
    with pytest.raises(ConfigurationError, match="OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT"):
        spanloom.configure(Memory())


def test_an_unknown_argument_is_refused(provider):
    with pytest.raises(TypeError, match="servicename"):
        spanloom.configure(Memory(), servicename="x", tracer_provider=provider)


@pytest.mark.parametrize(
    "settings",
    [{"max_open_steps": 0}, {"max_step_seconds": 0}, {"max_open_steps": "9"}, {"max_step_seconds": None}],
)
def test_bounds_that_bound_everything_away_or_are_no_numbers_are_refused(provider, settings):
    with pytest.raises(ConfigurationError, match="above 0"):
        spanloom.configure(Memory(), tracer_provider=provider, **settings)


KEY_PAIR = ("pk-lf-1", "sk-lf-1")


@pytest.mark.parametrize(
    ("make", "instead"),
    [
        (lambda: Otlp(name=None), 'name="eu"'),
        (lambda: Otlp(name=""), 'name="eu"'),
        (lambda: Otlp(insecure="yes"), "insecure=True or insecure=False"),
        (lambda: Otlp(behind_collector="http://gateway:4318"), "behind_collector=True or behind_collector=False"),
        (lambda: Local(None), 'path="spanloom.db"'),
        (lambda: Local(max_traces="100"), "a number above 0"),
        (lambda: Langfuse("pk-lf-1", "pk-lf-1"), "sk-…"),
        (lambda: Langfuse("sk-lf-1", "sk-lf-2"), "pk-…"),
        (lambda: Langfuse("http://localhost:3000", *KEY_PAIR), "public_key, secret_key, base_url"),
        (lambda: Langfuse(*KEY_PAIR, "https://cloud.langfuse.com/project/c1"), "leave out /project/"),
        (lambda: Langfuse(*KEY_PAIR, include=7), "include="),
        (lambda: spanloom.NewRelic(3), "line of text"),
        (lambda: Otlp(content=ContentPolicy.full().replace(documents=actions.drop())), "without ()"),
        (lambda: Otlp(content=ContentPolicy.full().replace(documents=actions.redact(["EMAIL"]))), '"EMAIL", "PHONE"'),
        (lambda: Otlp(content=ContentPolicy.full().replace(documents=actions.redact(redactor=Patterns))), "find"),
        (lambda: Otlp(content=ContentPolicy.referenced(Vault)), r"Vault\(…\)"),
        (lambda: Vault("vault", Keyring), r"Keyring\(…\)"),
        (lambda: Vault("vault", Keyring("k.db"), wait_seconds="5"), "a number above 0"),
        (lambda: Keyring(3), r'Keyring\("spanloom-keys.db"\)'),
        (lambda: spanloom.Prices("gpt*", input=None), "0 for none"),
        (lambda: spanloom.configure(Memory(), prices=3), r"Prices\(…\)"),
        (lambda: spanloom.configure(Memory(), service_name=3), "service_name="),
        (lambda: spanloom.shutdown_on_sigterm("5"), "seconds above 0"),
    ],
)
def test_a_likely_mistake_is_told_by_what_to_write_instead(provider, tmp_path, monkeypatch, make, instead):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigurationError, match=instead) as refused:
        spanloom.configure(make(), tracer_provider=provider)
    assert "sk-lf" not in str(refused.value)


def test_a_misspelt_option_is_told_by_those_that_there_are():
    with pytest.raises(TypeError, match=r"'header': it takes endpoint, headers, .*timeout, .*spool"):
        Otlp(header={"api-key": "k"})
    with pytest.raises(TypeError, match="'host': it takes public_key, secret_key, base_url, "):
        Langfuse(host="http://localhost:3000")


def test_an_empty_service_name_is_none(configured, http_sink):
    loom = configured(Otlp(http_sink.url), service_name="")
    one_step(loom, "a")
    loom.flush()
    assert http_sink.named("a").resource["service.name"] != ""


@pytest.mark.parametrize("seconds", [float("inf"), 1e12])
def test_as_long_as_it_takes_is_a_time_to_wait(configured, http_sink, tmp_path, seconds):
    vault = Vault(str(tmp_path / "store"), Keyring(tmp_path / "keys.db"), wait_seconds=1e12)
    kept = TailSampling(keep=1)
    loom = configured(Otlp(http_sink.url, content=ContentPolicy.referenced(vault), sampling=kept))
    one_step(loom, "a")
    assert loom.flush(seconds)
    one_step(loom, "b")
    assert loom.shutdown(seconds)
    assert len(http_sink.spans) == 2


def test_a_time_that_is_none_leaves_the_shutdown_to_be_done(configured, http_sink):
    loom = configured(Otlp(http_sink.url))
    one_step(loom)
    with pytest.raises(TypeError):
        loom.shutdown(None)
    assert loom.shutdown()
    assert len(http_sink.spans) == 1


def test_the_providers_own_flush_and_shutdown_are_ours_too(configured, http_sink):
    provider = TracerProvider(resource=Resource({}), shutdown_on_exit=False)
    loom = configured(Otlp(http_sink.url), tracer_provider=provider)
    one_step(loom, "a")
    assert provider.force_flush(5_000)
    assert [s.name for s in http_sink.spans] == ["a"]
    loom.recorder.open(Step("b", Kind.CHAIN, "b"))
    provider.shutdown()
    assert http_sink.named("b").attributes["spanloom.step.outcome"] == "incomplete"
    assert loom.shutdown()


def test_the_providers_flush_says_where_it_failed(configured, http_sink):
    provider = TracerProvider(shutdown_on_exit=False)
    http_sink.status = 500
    loom = configured(Otlp(http_sink.url), tracer_provider=provider)
    one_step(loom)
    assert provider.force_flush(5_000) is False


def test_idle_workers_end_steps_that_are_open_for_too_long(configured):
    memory = Memory()
    loom = configured(memory, max_step_seconds=0.05)
    loom._destinations[0][1]._delay = 0.01
    one_step(loom, "starts the worker")
    loom.recorder.open(Step("forgotten", Kind.CHAIN, "forgotten"))
    wait_until(lambda: "forgotten" in [s.name for s in memory.steps], "the eviction")
    assert loom.stats()["steps"]["evicted"] == 1
