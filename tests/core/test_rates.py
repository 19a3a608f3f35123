"""Costs by a layout are genai-prices' own, to the last digit: every model of the catalog, any counts, times, tiers."""

import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from genai_prices import Usage as Counted
from genai_prices.data_snapshot import get_snapshot
from genai_prices.types import ModelPrice
from hypothesis import given
from hypothesis import strategies as st
from spanloom import rates
from spanloom.prices import PriceList, Prices
from spanloom.rates import OwnRates, PublishedRates
from spanloom.usage import Usage

SOLD = [(seller, model) for seller in get_snapshot().providers for model in seller.models]
CONTEXTS = [None, *({"service_tier": tier} for tier in ("default", "flex", "priority", "fast", "x")),
            {"processing": "batch"}]  # fmt: skip
SHAPES = [
    (),
    ("cache_read_tokens",),
    ("cache_read_tokens", "cache_write_tokens", "cache_write_1h_tokens"),
    ("output_reasoning_tokens",),
    ("input_audio_tokens", "output_audio_tokens", "cache_read_tokens", "cache_audio_read_tokens"),
    ("input_image_tokens", "output_image_tokens"),
]
FIRST = datetime(2024, 1, 1, tzinfo=UTC)


def digits(*amounts):
    return [amount.as_tuple() for amount in amounts]


def theirs(seller, model, context, counts, time_ns):
    """genai-prices' own three amounts; None where it says that the counts do not go together."""
    when = datetime.fromtimestamp(time_ns / 1e9, UTC)
    try:
        made = model.calc_price(Counted(**counts), seller, genai_request_timestamp=when, price_context=context)
    except ValueError:
        return None
    return digits(made.input_price, made.output_price, made.total_price)


def ours(found, counts, time_ns):
    try:
        made = found.cost(counts, time_ns)
    except ValueError:
        return None
    return digits(made.input, made.output, made.total)


def some_counts(shape, draw):
    most = draw(st.sampled_from([10, 10_000, 3_000_000]))
    names = ("input_tokens", "output_tokens", *shape)
    return {name: draw(st.integers(0, most)) // (1 if "_" not in name[7:] else 4) for name in names}


times = st.integers(0, 1_200 * 86_400).map(lambda s: int((FIRST + timedelta(seconds=s)).timestamp()) * 10**9)


@given(st.data(), st.sampled_from(SOLD), st.sampled_from(CONTEXTS), st.sampled_from(SHAPES))
def test_any_counts_at_any_time_cost_what_genai_prices_says(data, sold, context, shape):
    found = PublishedRates(*sold, context)
    for _ in range(4):  # the first lays it out
        counts, time_ns = some_counts(shape, data.draw), data.draw(times)
        assert ours(found, counts, time_ns) == theirs(*sold, context, counts, time_ns)


def test_every_model_of_the_catalog_costs_what_genai_prices_says():
    chance = random.Random(8)
    costs = 0
    for seller, model in SOLD:
        context, shape = chance.choice(CONTEXTS), chance.choice(SHAPES)
        found = PublishedRates(seller, model, context)
        now = 1_795_000_000_000_000_000
        for most in (50, 5_000, 700_000):
            time_ns = now + chance.randrange(5) * 3_600_000_000_000
            counts = {name: chance.randrange(most) for name in shape}
            counts |= {"input_tokens": most * 4, "output_tokens": most * 2 + chance.randrange(most)}
            expected = theirs(seller, model, context, counts, time_ns)
            assert ours(found, counts, time_ns) == expected, (seller.id, model.id, context, counts)
            costs += expected is not None
    assert costs > 5_000


def test_a_model_whose_prices_change_in_the_day_or_the_year_is_priced_by_the_time_of_the_call():
    dated = [(seller, model) for seller, model in SOLD if isinstance(model.prices, list)]
    seen = set()
    for seller, model in dated:
        found = PublishedRates(seller, model, None)
        starts = [getattr(p.constraint, "start_date", None) for p in model.prices]
        days = [datetime(d.year, d.month, d.day, tzinfo=UTC) for d in starts if d]
        moments = [day + timedelta(hours=h, microseconds=m) for day in days for h, m in ((0, -1), (0, 0), (20, 0))]
        moments += [FIRST + timedelta(hours=hour) for hour in range(24)]
        for when in moments * 2:
            time_ns = round(when.timestamp() * 1e6) * 1000
            counts = {"input_tokens": 1_000, "output_tokens": 777}
            expected = theirs(seller, model, None, counts, time_ns)
            assert ours(found, counts, time_ns) == expected
            seen.add((model.id, str(expected)))
    assert len(seen) > len(dated) * 1.5


def test_genai_prices_is_asked_once_for_each_set_of_counts(monkeypatch):
    asked = []
    real = PublishedRates._asked
    monkeypatch.setattr(PublishedRates, "_asked", lambda self, *a: (asked.append(1), real(self, *a))[1])
    monkeypatch.setattr("spanloom.prices._catalog", None)
    prices = PriceList()
    for tier in (None, "default"):
        for n in range(1, 50):
            assert prices.cost("openai", ["gpt-4o-mini"], Usage(n, n), service_tier=tier)
            assert prices.cost("openai", ["gpt-4o-mini"], Usage(2 * n, n, n), service_tier=tier)
            assert prices.cost("anthropic", ["claude-sonnet-4-5"], Usage(250_000 * n, n, n, n), service_tier=tier)
    assert len(asked) == 6


def test_a_layout_that_says_anything_else_than_genai_prices_is_not_used(monkeypatch):
    monkeypatch.setattr(rates._Layout, "cost", lambda self, counts: rates.Cost(*[Decimal(7)] * 3))
    found = OwnRates({"input_mtok": Decimal(1), "output_mtok": Decimal(2)})
    for _ in range(3):
        assert found.cost({"input_tokens": 1_000_000, "output_tokens": 0}, None).total == 1


@given(st.data(), st.sampled_from(SHAPES[:4]))
def test_prices_of_ones_own_are_summed_as_genai_prices_sums_them(data, shape):
    own = Prices(input="0.15", output=2, cache_read="0.075", cache_write=3, cache_write_1h="0.1", reasoning=0)
    found, reference = OwnRates(own.per_million), ModelPrice(**own.per_million)
    for _ in range(3):
        counts = some_counts(shape, data.draw)
        try:
            made = reference.calc_price(Counted(**counts))
            expected = digits(made["input_price"], made["output_price"], made["total_price"])
        except ValueError:
            expected = None
        assert ours(found, counts, None) == expected


def test_another_snapshot_of_the_prices_is_taken_up_at_once(monkeypatch):
    from copy import deepcopy

    prices, usage = PriceList(), Usage(1_000_000, 0)
    assert prices.cost("openai", ["gpt-4o-mini"], usage).total == Decimal("0.15")
    changed = deepcopy(get_snapshot())
    _, model = changed.find_provider_model("gpt-4o-mini", None, "openai", None)
    model.prices.input_mtok = Decimal(9)
    monkeypatch.setattr("genai_prices.data_snapshot._custom_snapshot", changed)
    assert prices.cost("openai", ["gpt-4o-mini"], usage).total == 9


def test_what_is_remembered_is_bounded(monkeypatch):
    monkeypatch.setattr(rates, "_MOST_LAYOUTS", 4)
    monkeypatch.setattr(rates, "_MOST_DAYS", 4)
    sold = next((s, m) for s, m in SOLD if m.id == "gpt-5" and s.id == "openai")
    found = PublishedRates(*sold, {"service_tier": "flex"})
    for day in range(30):
        time_ns = 1_795_000_000_000_000_000 + day * 86_400 * 10**9
        counts = {"input_tokens": 1_000_003, "output_tokens": 7}
        assert ours(found, counts, time_ns) == theirs(*sold, {"service_tier": "flex"}, counts, time_ns)
    assert len(found._days) <= 4
    assert len(found._layouts) <= 4
