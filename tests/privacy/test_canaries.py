"""Exactly what a policy lets out is in the bytes that leave the process: no canary more, and none fewer."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import sinks
import spanloom
from opentelemetry.sdk.trace import TracerProvider
from spanloom import Langfuse, LangSmith, Local, Otlp, Phoenix
from spanloom.content.acting import Drop
from spanloom.content.application import Application
from spanloom.content.failures import FAILURES
from spanloom.content.plain import plain
from spanloom.destinations import seen
from spanloom.dialects import others
from spanloom.testing import strict
from spanloom_langchain import SpanloomCallbackHandler
from spanloom_llama_index import instrument, uninstrument

from tests.integrations.llama_index.conftest import FRAMEWORK_WARNINGS
from tests.privacy import in_langchain, in_llama_index, in_others
from tests.privacy.canaries import POLICIES, Canaries, expected, found

pytestmark = [pytest.mark.filterwarnings(warning) for warning in FRAMEWORK_WARNINGS]

SECRET = "sk-lf-s3cretk3y"
KINDS = ("otlp", "openinference", "langfuse", "phoenix", "langsmith", "local")
GRPC = ("none", "hashed", "redacted", "full")


def destination(kind: str, url: str, policy: Any, name: str, path: Path) -> Any:
    options = {"content": policy, "name": name}
    match kind:
        case "otlp":
            return Otlp(url, **options)
        case "openinference":
            return Otlp(url, dialect="openinference", **options)
        case "langfuse":
            return Langfuse(f"pk-{name}", SECRET, url, include=["*"], **options)
        case "phoenix":
            return Phoenix(url, api_key=SECRET, **options)
        case "langsmith":
            return LangSmith(SECRET, endpoint=url, **options)
    return Local(path, **options)


class Everything(logging.Handler):
    """All that anybody logs, as text."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(logging.Formatter("%(name)s %(message)s").format(record))


class Run:
    """One run of everything, sent everywhere under every policy."""

    def __init__(self, folder: Path, policies: Sequence[str] = tuple(POLICIES), kinds: Sequence[str] = KINDS) -> None:
        self.canaries = Canaries()
        self.policies, self.kinds = policies, kinds
        self.sink, self.nowhere = sinks.HttpSink(), sinks.HttpSink()
        self.grpc = {name: sinks.GrpcSink() for name in GRPC if kinds == KINDS}
        self.folder = folder
        self.log = Everything()

    def go(self) -> None:
        root = logging.getLogger()
        level = root.level
        root.addHandler(self.log)
        root.setLevel(logging.DEBUG)
        provider = TracerProvider(shutdown_on_exit=False)
        wanted = [
            destination(
                kind, f"{self.sink.url}/{kind}/{name}", POLICIES[name], f"{kind}/{name}", self.folder / f"{name}.db"
            )
            for name in self.policies
            for kind in self.kinds
        ]
        wanted += [
            Otlp(sink.address, protocol="grpc", content=POLICIES[name], name=f"grpc/{name}")
            for name, sink in self.grpc.items()
        ]
        failed = dict(FAILURES.counts)  # of this process, by other tests
        try:
            with strict(), spanloom.configure(*wanted, service_name="s", tracer_provider=provider) as loom:
                instrument(loom)
                try:
                    in_langchain.run(self.canaries, loom, SpanloomCallbackHandler(loom))
                    in_llama_index.run(self.canaries, loom)
                    in_others.run(self.canaries, provider, self.nowhere.url)
                finally:
                    uninstrument()
                assert loom.flush(60)
                self.stats = loom.stats()
                self.failed = FAILURES.counts - Counter(failed)
        finally:
            root.removeHandler(self.log)
            root.setLevel(level)

    def bytes_of(self, kind: str, policy: str) -> bytes:
        """Everything that this destination sent: addresses, headers and bodies, or the files of its folder."""
        if kind == "grpc":
            return b"".join(r.body + repr(r.headers).encode() for r in self.grpc[policy].requests)
        if kind == "local":
            return b"".join(file.read_bytes() for file in sorted(self.folder.glob(f"{policy}.db*")))
        mine = [r for r in self.sink.requests if r.path.startswith(f"/{kind}/{policy}/")]
        assert mine, f"nothing came from {kind} under {policy}"
        return b"".join(r.path.encode() + repr(r.headers).encode() + r.body for r in mine)

    def close(self) -> None:
        self.sink.close()
        self.nowhere.close()
        for sink in self.grpc.values():
            sink.close()


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    run = Run(tmp_path_factory.mktemp("canaries"))
    try:
        run.go()
        yield run
    finally:
        run.close()


PAIRS = [(kind, policy) for kind in KINDS for policy in POLICIES] + [("grpc", policy) for policy in GRPC]


@pytest.mark.parametrize(("kind", "policy"), PAIRS, ids=[f"{kind}-{policy}" for kind, policy in PAIRS])
def test_exactly_what_the_policy_lets_out_is_in_the_bytes_that_leave(run, kind, policy):
    words, mails = expected(run.canaries, POLICIES[policy], "otlp" if kind == "grpc" else kind)
    shown_words, shown_mails = found(run.canaries, run.bytes_of(kind, policy))
    assert shown_words - words == set(), "content leaked"
    assert shown_mails - mails == set(), "personal data leaked"
    assert words - shown_words == set(), "content was lost"
    assert mails - shown_mails == set(), "content was changed"


def test_nothing_was_dropped_or_failed_on_the_way(run):
    assert all(d["failed"] == d["dropped"] == 0 for d in run.stats["destinations"].values())
    assert run.failed == {}


def test_no_log_line_of_anybody_holds_content_or_a_key(run):
    text = "\n".join(run.log.lines).encode()
    assert found(run.canaries, text) == (set(), set())
    assert SECRET.encode() not in text
    assert b"spanloom" in text


def test_every_channel_reaches_somebody_under_a_policy_that_keeps_all(run):
    """A channel that no destination carries would make the other tests true for nothing."""
    seen = set().union(*(found(run.canaries, run.bytes_of(kind, "full"))[0] for kind in KINDS))
    never = {c.channel for c in run.canaries.all.values() if not c.places}
    assert set(run.canaries.all) - seen == never


WEAKENED: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    "marks inside of a chain's values are ignored": lambda patch: patch.setattr(
        Application, "_unmarked", lambda self, value: plain(value)
    ),
    "others' attributes are structure": lambda patch: patch.setattr(others, "categories_of", lambda key: None),
    "numbers are all that nobody knows": lambda patch: patch.setattr(
        others, "is_measure", lambda holds, value: not isinstance(value, str)
    ),
    "names go out as they are": lambda patch: patch.setattr(seen, "_named", lambda step, pass_: step),
    "a drop keeps": lambda patch: patch.setattr(Drop, "__call__", lambda self, value, at: value),
}


@pytest.mark.parametrize("weakness", WEAKENED)
def test_a_weakness_is_found(weakness, tmp_path, monkeypatch):
    """The proof of the proof: where the policy is weakened, the canaries tell."""
    WEAKENED[weakness](monkeypatch)
    policies = ("none", "only-user_prompt", "only-metadata")
    run = Run(tmp_path, policies, ("otlp",))
    try:
        run.go()
        leaked = set()
        for policy in policies:
            words, mails = expected(run.canaries, POLICIES[policy], "otlp")
            shown_words, shown_mails = found(run.canaries, run.bytes_of("otlp", policy))
            leaked |= (shown_words - words) | (shown_mails - mails)
        assert leaked
    finally:
        run.close()
