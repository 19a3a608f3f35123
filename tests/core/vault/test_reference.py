"""Content that a policy sends to a vault: the spans have its references, and say where it could not be stored."""

import json
import re

import pytest
import samples
from opentelemetry import trace
from spanloom import ConfigurationError, ContentPolicy, Keyring, Langfuse, Local, Otlp, Vault, actions, using
from spanloom.store import Reading
from spanloom.vault import Erased
from vaults import Broken

CANARY = samples.CANARY
REFERENCE = re.compile(r"vault:[0-9a-f]{32}/[0-9a-f]{32}/[0-9a-f]{16}/[0-9a-f]{32}#\d+")


def stored(vault, text):
    return [vault.read(reference) for reference in REFERENCE.findall(text)]


def test_everything_is_in_the_vault_and_nothing_of_it_elsewhere(place, configured, http_sink, second_sink, tmp_path):
    vault = place.vault()
    policy = ContentPolicy.referenced(vault)
    file = tmp_path / "spanloom.db"
    loom = configured(
        Otlp(http_sink.url, content=policy),
        Langfuse("pk", "sk", second_sink.url, content=policy),
        Local(file, content=policy),
    )
    samples.trace(loom)
    assert loom.flush()
    model = http_sink.named("ChatOpenAI").attributes
    assert model["spanloom.vault.status"] == "stored"
    assert CANARY in json.dumps(stored(vault, model["gen_ai.input.messages"]))
    observation = second_sink.named("ChatOpenAI").attributes
    assert CANARY in json.dumps(stored(vault, observation["langfuse.observation.input"]))
    with Reading(file) as reading:
        (row,) = [r for r in reading.spans(reading.find()[0]) if r.name == "ChatOpenAI"]
    assert row.record["content"]["vault_status"] == "stored"
    for sent in (http_sink.wire, second_sink.wire, *place.bytes().values()):
        assert CANARY.encode() not in sent


def test_what_two_destinations_send_is_kept_once(place, configured, http_sink, second_sink):
    vault = place.vault()
    some = ContentPolicy.none().replace(documents=actions.reference(vault))
    loom = configured(
        Otlp(http_sink.url, content=some), Langfuse("pk", "sk", second_sink.url, content=some.replace(hashes=True))
    )
    step = samples.retriever()
    loom.recorder.open(step)
    loom.recorder.close(step.run_id)
    assert loom.flush()
    one = http_sink.named(step.name).attributes["gen_ai.retrieval.documents"]
    other = second_sink.named(step.name).attributes["langfuse.observation.output"]
    assert REFERENCE.findall(one) == REFERENCE.findall(other) != []
    assert vault.counts()["kept"] == 1


def test_the_span_says_where_the_store_is_down_and_its_content_goes_nowhere(place, configured, http_sink):
    vault = place.vault(wait_seconds=0.3)
    Broken(vault, up=False)
    loom = configured(Otlp(http_sink.url, content=ContentPolicy.referenced(vault)))
    samples.trace(loom)
    assert loom.flush(30)
    spans = {s.name: s.attributes.get("spanloom.vault.status") for s in http_sink.spans}
    assert spans["chat gpt-4o-mini"] == "unavailable"
    assert "stored" not in spans.values()
    assert CANARY.encode() not in http_sink.wire
    counts = loom.stats()["vaults"]["vault"]
    assert counts["kept"] == counts["failed"] + counts["dropped"] > 0


def test_a_span_whose_other_content_is_cut_to_size_says_it_too(place, configured, http_sink):
    policy = ContentPolicy.full().replace(documents=actions.reference(place.vault()), attribute_bytes=1_000)
    loom = configured(Otlp(http_sink.url, content=policy))
    step = samples.retriever()
    step.content.query = "x" * 5_000
    loom.recorder.open(step)
    loom.recorder.close(step.run_id)
    assert loom.flush()
    sent = http_sink.named(step.name).attributes
    assert sent["spanloom.content.truncated"] == 1
    assert sent["spanloom.vault.status"] == "stored"


def test_the_content_is_the_subjects_until_it_is_erased(place, configured, http_sink):
    vault = place.vault()
    loom = configured(Otlp(http_sink.url, content=ContentPolicy.referenced(vault)))
    for who in ("ann", "bob"):
        with using(user_id=who):
            step = samples.tool()
            step.run_id, step.identity = who, type(step.identity)()
            loom.recorder.open(step)
            loom.recorder.close(who)
    assert loom.flush()
    references = {s.attributes["user.id"]: s.attributes["gen_ai.tool.call.result"] for s in http_sink.spans}
    vault.erase(user="ann")
    with pytest.raises(Erased):
        vault.read(references["ann"])
    assert CANARY in json.dumps(vault.read(references["bob"]))


def test_attributes_of_other_libraries_go_there_too(place, configured, provider, http_sink):
    vault = place.vault()
    loom = configured(Otlp(http_sink.url, content=ContentPolicy.referenced(vault)))
    with provider.get_tracer("redis").start_as_current_span("GET") as span:
        span.set_attribute("db.statement", f"GET {CANARY}")
        span.add_event("note", {"body": CANARY})
        trace.get_current_span().set_attribute("db.system", "redis")
    assert loom.flush()
    redis = http_sink.named("GET")
    assert redis.attributes["db.system"] == "redis"
    assert stored(vault, redis.attributes["db.statement"]) == [f"GET {CANARY}"]
    assert stored(vault, redis.events[0][1]["body"]) == [CANARY]
    assert redis.attributes["spanloom.vault.status"] == "stored"
    assert CANARY.encode() not in http_sink.wire


def test_a_chains_output_keeps_whole_what_is_inside_of_it(place, configured, http_sink):
    """Documents inside of an output are references there, and what is around them is another piece."""
    vault = place.vault()
    loom = configured(Otlp(http_sink.url, content=ContentPolicy.referenced(vault)))
    step = samples.chain()
    loom.recorder.open(step)
    loom.recorder.close(step.run_id)
    assert loom.flush()
    sent = http_sink.named(step.name).attributes
    (whole,) = stored(vault, sent["spanloom.step.output"])
    assert CANARY in json.dumps(whole)


def test_a_vault_that_cannot_be_used_is_said_at_configure(tmp_path, configured):
    (tmp_path / "file").write_text("no folder")
    vault = Vault(str(tmp_path / "file" / "store"), Keyring(tmp_path / "keys.db"))
    with pytest.raises(ConfigurationError, match="store"):
        configured(Otlp("http://127.0.0.1:9", content=ContentPolicy.referenced(vault)))
    assert "Keyring" in repr(vault)


@pytest.mark.parametrize("category", ["names", "tags", "identity", "score_comments"])
def test_what_stands_on_the_span_itself_cannot_go_there(place, category):
    with pytest.raises(ConfigurationError, match="vault"):
        ContentPolicy.full().replace(**{category: actions.reference(place.vault())})
