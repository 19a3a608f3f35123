"""What a call costs: genai-prices' own numbers to the last digit, one's own prices before them, nothing made up."""

import itertools
import json
import re
import subprocess
import sys
from datetime import UTC, datetime
from decimal import Decimal

import pytest
import samples
from genai_prices import Usage as Counted
from genai_prices import calc_price
from hypothesis import given
from hypothesis import strategies as st
from spanloom import ConfigurationError, Langfuse, Local, Otlp, Prices, configure
from spanloom.content.visible import Visible
from spanloom.dialects import genai, langfuse, neutral, openinference
from spanloom.guard import _told
from spanloom.prices import PriceList
from spanloom.step import Kind, Outcome, Step
from spanloom.store import Reading
from spanloom.testing import Memory
from spanloom.usage import NOTHING, Cost, Usage

NOW = 1_795_000_000_000_000_000  # 2026-11-18
ids = itertools.count()

CALLS = [
    ("openai", "openai", "gpt-4o-mini-2024-07-18", Usage(1000, 200, 400)),
    ("openai", "openai", "gpt-5", Usage(120_000, 9_000, 100_000, reasoning_tokens=7_000)),
    ("openai", "openai", "text-embedding-3-small", Usage(777)),
    ("azure.ai.openai", "azure", "gpt-4o", Usage(1234, 567, 128)),
    ("anthropic", "anthropic", "claude-sonnet-4-5", Usage(5000, 800, 3000, 1000, cache_write_1h_tokens=400)),
    ("anthropic", "anthropic", "claude-sonnet-4-5", Usage(250_001, 800, 3000, 1000)),  # beyond a tier
    ("aws.bedrock", "aws", "us.anthropic.claude-sonnet-4-20250514-v1:0", Usage(5000, 800, 3000, 1000)),
    ("gcp.gemini", "google", "gemini-2.5-flash", Usage(1000, 300, 100, reasoning_tokens=200)),
    ("gcp.vertex_ai", "google", "gemini-2.5-pro", Usage(300_000, 300)),
    ("mistral_ai", "mistral", "mistral-large-latest", Usage(10, 20)),
    ("cohere", "cohere", "command-r-plus", Usage(10, 20)),
    ("groq", "groq", "llama-3.3-70b-versatile", Usage(10, 20)),
    ("x_ai", "x-ai", "grok-4", Usage(10, 20)),
    ("deepseek", "deepseek", "deepseek-chat", Usage(1000, 20, 900)),
]
_THEIRS = {"reasoning_tokens": "output_reasoning_tokens"}


@pytest.mark.parametrize(
    ("provider", "catalog", "model", "usage"), CALLS, ids=lambda v: v if isinstance(v, str) else ""
)
def test_a_cost_is_genai_prices_own_to_the_last_digit(provider, catalog, model, usage):
    counted = Counted(**{_THEIRS.get(name, name): count for name, count in usage.inclusive().items()})
    when = datetime.fromtimestamp(NOW / 1e9, UTC)
    expected = calc_price(counted, model, provider_id=catalog, genai_request_timestamp=when)
    cost = PriceList().cost(provider, [model], usage, NOW)
    assert cost == Cost(expected.input_price, expected.output_price, expected.total_price)
    assert cost.total > 0


def test_a_service_tier_has_its_own_price():
    usage = Usage(1_000_000, 1_000_000)
    normal, flex = (PriceList().cost("openai", ["gpt-5"], usage, NOW, tier) for tier in (None, "flex"))
    expected = calc_price(
        Counted(input_tokens=1_000_000, output_tokens=1_000_000), "gpt-5", provider_id="openai",
        genai_request_timestamp=datetime.fromtimestamp(NOW / 1e9, UTC), price_context={"service_tier": "flex"},
    )  # fmt: skip
    assert flex.total == expected.total_price < normal.total


def test_the_model_that_answered_goes_before_the_one_requested():
    prices, usage = PriceList(), Usage(1000, 1000)
    assert prices.cost("openai", ["gpt-4o-2024-08-06", "my-deployment"], usage) == prices.cost(
        "openai", ["gpt-4o"], usage
    )
    assert prices.cost("openai", ["no-such-model", "gpt-4o"], usage) == prices.cost("openai", ["gpt-4o"], usage)


@pytest.mark.parametrize(
    ("provider", "model"),
    [("openai", "llama-of-mine"), ("ollama", "qwen3:8b"), (None, "gpt-4o"), ("my-openai-proxy", "gpt-4o"), ("", "")],
)
def test_what_is_not_known_has_no_cost_rather_than_none_at_all(provider, model):
    assert PriceList().cost(provider, [model], Usage(1000, 1000)) is None


def test_ones_own_prices_go_first_and_the_first_that_match_hold():
    prices = PriceList([
        Prices("ft:*", "openai", input="1.5", output=3, cache_read=0.5),
        Prices("gpt-4o*", "azure*", input=2),
        Prices("llama*", input=0, output=0),
    ])  # fmt: skip
    million = Usage(1_000_000, 1_000_000, 400_000)
    tuned = prices.cost("openai", ["ft:GPT-4o-mini:acme"], million)
    assert tuned == Cost(Decimal("0.6") * Decimal("1.5") + Decimal("0.2"), Decimal(3), Decimal("4.1"))
    assert prices.cost("azure.ai.openai", ["gpt-4o"], million) == Cost(Decimal(2), Decimal(0), Decimal(2))
    assert prices.cost("openai", ["gpt-4o"], million) == PriceList().cost("openai", ["gpt-4o"], million)
    assert prices.cost("vllm", ["llama-3"], million) == Cost(Decimal(0), Decimal(0), Decimal(0))
    assert prices.cost(None, ["llama-3"], million).total == 0


def test_reasoning_and_cache_writes_may_have_prices_of_their_own():
    own = PriceList(Prices(input=1, output=2, reasoning=10, cache_write_1h=4))
    usage = Usage(
        1_000_000, 1_000_000, cache_write_tokens=500_000, cache_write_1h_tokens=100_000, reasoning_tokens=100_000
    )
    cost = own.cost("any", ["m"], usage)
    assert cost.input == Decimal("0.9") + Decimal("0.4")
    assert cost.output == Decimal("1.8") + Decimal(1)


@pytest.mark.parametrize("amount", ["", "a lot", -1, float("nan"), float("inf"), True, [], None])
def test_a_price_that_is_no_amount_is_refused(amount):
    if amount is None:
        with pytest.raises(ConfigurationError):
            configure(prices=[{"input": 1}])
        return
    with pytest.raises(ConfigurationError, match="no amount"):
        Prices(input=amount)


@pytest.mark.parametrize("name", ["", None, 4, ["gpt-4o", "gpt-4"]])
def test_prices_of_what_is_no_name_are_refused(name):
    for setting in ("model", "provider"):
        with pytest.raises(ConfigurationError, match="is no name"):
            Prices(**{setting: name}, input=1)


counts = st.none() | st.integers(0, 10**7)
usages = st.builds(Usage, **dict.fromkeys(Usage.__slots__, counts))
MODELS = st.sampled_from([
    ("openai", "gpt-4o-realtime-preview"), ("openai", "gpt-4o-mini"), ("anthropic", "claude-sonnet-4-5"),
    ("gcp.gemini", "gemini-2.5-flash"), ("gcp.gemini", "gemini-2.5-flash-image"), ("perplexity", "sonar-deep-research"),
])  # fmt: skip


@given(usages, MODELS)
def test_no_usage_however_odd_breaks_a_price(usage, model):
    cost = PriceList().cost(model[0], [model[1]], usage)
    if cost is not None:
        assert cost.total >= cost.input + cost.output >= 0


def test_sound_that_was_cached_is_priced_all_the_same():
    cost = PriceList().cost("openai", ["gpt-4o-realtime-preview"], Usage(1000, 200, 100, audio_input_tokens=400))
    text = PriceList().cost("openai", ["gpt-4o-realtime-preview"], Usage(1000, 200, 100))
    assert cost.total > text.total


# ---------------------------------------------------------------- on the way to the destinations
def call(loom, parent=None, **fields):
    step = Step(next(ids), fields.pop("kind", Kind.LLM), fields.pop("name", "model"), **fields)
    outcome, usage = fields.get("outcome", Outcome.OK), step.usage
    step.outcome = None
    loom.recorder.open(step, parent)
    step.usage = usage
    loom.recorder.close(step.run_id, outcome)
    return step


def gpt(**fields):
    return {"provider": "openai", "request_model": "gpt-4o-mini", "usage": Usage(1000, 200, 400), **fields}


GPT = Decimal("0.00024")


def test_every_destination_has_the_same_cost_and_agents_have_none(configured, http_sink, second_sink, tmp_path):
    path = tmp_path / "spanloom.db"
    memory = Memory()
    loom = configured(Otlp(http_sink.url), Langfuse("pk", "sk", second_sink.url), Local(path), memory)
    agent = loom.recorder.open(Step("agent", Kind.AGENT, "agent", **gpt()))
    call(loom, "agent", **gpt())
    call(loom, "agent", name="embed", kind=Kind.EMBEDDING, provider="openai", request_model="text-embedding-3-small",
         usage=Usage(50, 0))  # fmt: skip
    loom.recorder.close("agent")
    assert loom.flush()

    model = http_sink.named("chat gpt-4o-mini").attributes
    assert model["gen_ai.usage.cost"] == float(GPT)
    assert model["spanloom.cost.input"] + model["spanloom.cost.output"] == pytest.approx(float(GPT))
    costs = [s.attributes["gen_ai.usage.cost"] for s in http_sink.spans if "gen_ai.usage.cost" in s.attributes]
    assert sum(costs) == pytest.approx(0.00024 + 0.000001)
    assert len(costs) == 2

    details = {
        s.name: json.loads(s.attributes["langfuse.observation.cost_details"])
        for s in second_sink.spans
        if "langfuse.observation.cost_details" in s.attributes
    }
    assert details["model"] == {"input": 0.00012, "output": 0.00012, "total": 0.00024}
    assert set(details) == {"model", "embed"}

    with Reading(path) as reading:
        rows = {row.name: row for row in reading.spans(reading.find()[0])}
    assert rows["model"].cost == "0.00024"
    assert rows["model"].record["cost"]["currency"] == "USD"
    assert rows["agent"].cost is None
    assert memory.step("model").cost.total == GPT
    assert agent.cost is None
    assert loom.stats()["cost"] == {"priced": 2, "unknown": 0, "without_usage": 0}


def test_the_cost_is_worked_out_once_and_not_in_the_applications_call(configured, monkeypatch):
    import threading

    asked = []
    real = PriceList.cost
    monkeypatch.setattr(
        PriceList, "cost", lambda self, *a: (asked.append(threading.current_thread()), real(self, *a))[1]
    )
    loom = configured(Memory("a"), Memory("b"), Memory("c"))
    call(loom, **gpt())
    assert loom.flush()
    assert len(asked) == 1
    assert asked[0] is not threading.current_thread()


def test_an_answer_from_a_cache_costs_nothing(configured, second_sink):
    loom = configured(Langfuse("pk", "sk", second_sink.url))
    step = call(loom, **gpt(usage=None, cache_hit=True))
    assert loom.flush()
    assert step.cost == NOTHING
    details = second_sink.named("model").attributes["langfuse.observation.cost_details"]
    assert json.loads(details) == {"input": 0, "output": 0, "total": 0}


def test_an_unknown_model_has_no_cost_anywhere_and_is_counted(configured, http_sink, second_sink):
    loom = configured(Otlp(http_sink.url), Langfuse("pk", "sk", second_sink.url))
    call(loom, **gpt(request_model="mine"))
    call(loom, name="silent", **gpt(usage=None))
    call(loom, name="failed", outcome=Outcome.ERROR, **gpt(usage=None))
    assert loom.flush()
    for span in (*http_sink.spans, *second_sink.spans):
        assert not [key for key in span.attributes if "cost" in key]
    assert loom.stats()["cost"] == {"priced": 0, "unknown": 1, "without_usage": 1}


def test_a_stream_that_tells_no_tokens_is_told_once(configured, caplog):
    _told.discard("usage:openai")
    loom = configured(Memory())
    for _ in range(3):
        call(loom, **gpt(usage=None, streaming=True))
    assert loom.flush()
    (told,) = [r.getMessage() for r in caplog.records if "stream_usage=True" in r.getMessage()]
    assert "a stream of openai told no token counts" in told
    assert loom.stats()["cost"]["without_usage"] == 3


def test_configure_takes_prices_of_ones_own(configured):
    memory = Memory()
    loom = configured(memory, prices=Prices("mine", input=1, output=1))
    call(loom, **gpt(request_model="mine", usage=Usage(1_000_000, 1_000_000)))
    assert loom.flush()
    assert memory.step("model").cost.total == 2


def test_reasoning_is_split_out_in_langfuse_only_where_we_tell_its_cost(configured, second_sink):
    loom = configured(Langfuse("pk", "sk", second_sink.url))
    call(loom, name="known", **gpt(usage=Usage(10, 50, reasoning_tokens=20), request_model="gpt-5"))
    call(loom, name="unknown", **gpt(usage=Usage(10, 50, reasoning_tokens=20), request_model="mine"))
    assert loom.flush()
    usage = {s.name: json.loads(s.attributes["langfuse.observation.usage_details"]) for s in second_sink.spans}
    assert usage["known"] == {"input": 10, "output": 30, "output_reasoning_tokens": 20}
    assert usage["unknown"] == {"input": 10, "output": 50}


IN_EACH_DIALECT = {
    "genai": lambda step, seen: genai.render(step, seen).attributes,
    "langfuse": lambda step, seen: langfuse.render(step, seen, langfuse.TraceFacts()).attributes,
    "openinference": lambda step, seen: openinference.render(step, seen).attributes,
    "neutral": neutral.render,
}


@pytest.mark.parametrize("dialect", IN_EACH_DIALECT)
def test_usage_and_cost_stand_on_calls_of_models_only(dialect):
    counted = set()
    for name, make in samples.ALL.items():
        step = make()
        step.usage = Usage(987_654, 543_210, 77_777, reasoning_tokens=55_555)
        step.cost = Cost(Decimal(3), Decimal(4), Decimal(7))
        made = IN_EACH_DIALECT[dialect](step, Visible())
        if re.search("cost|987654|987_654|909877|543210", repr(made)):
            counted.add(name)
    assert counted == {"llm", "completion", "embedding"}


def test_importing_and_configuring_spanloom_loads_no_price():
    code = (
        "import sys, spanloom; from spanloom.testing import Memory; "
        "spanloom.configure(Memory(), prices=spanloom.Prices(input=1)); "
        "print([m for m in sys.modules if m.startswith(('genai_prices', 'pydantic', 'httpx2'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"
