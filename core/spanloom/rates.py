"""Sums of genai-prices', laid out once: which price each kind of tokens has, and which counts hold others.

`ModelPrice.calc_price` works that out anew in each call, in some 70 us; what is laid out here costs a few. Both do the
same arithmetic in the same order, to the last digit: a layout is kept where its first cost was genai-prices' own, digit
for digit. Whatever cannot be laid out, and counts that do not go together, are genai-prices' to judge.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from .usage import Cost

if TYPE_CHECKING:
    from genai_prices.data_snapshot import DataSnapshot
    from genai_prices.types import ModelInfo, ModelPrice, PriceVariant, Provider

Counts = Mapping[str, int]
"""Tokens under genai-prices' names: `input_tokens` and `output_tokens`, and what of their subsets is known."""

MOST_MODELS = 1_024
_MOST_LAYOUTS = 256  # of one model: by its prices so far, and by which counts are known
_MOST_DAYS = 64

_ZERO = Decimal(0)


class Rates:
    """The prices of one model, for one kind of service. Thread-safe."""

    def __init__(self) -> None:
        # by the price's id, which is kept alive beside its layout; None where there is none
        self._layouts: dict[tuple[int, tuple[str, ...]], tuple[ModelPrice, _Layout | None]] = {}

    def cost(self, counts: Counts, time_ns: int | None) -> Cost:
        """What `counts` cost at that time (now, where left out). Raises `ValueError` where they do not go together."""
        raise NotImplementedError

    def _laid_out(self, price: ModelPrice, counts: Counts, ask: Callable[[], Cost]) -> Cost:
        """By the layout of `price` for such counts; by genai-prices, which `ask` asks, where that has no answer."""
        which = id(price), tuple(counts)
        found = self._layouts.get(which)
        if found is not None:
            layout = found[1]
            made = layout.cost(counts) if layout is not None else None
            return made if made is not None else ask()
        told = ask()
        layout = _layout(price, counts)
        same = layout is not None and _digits(layout.cost(counts)) == _digits(told)
        if len(self._layouts) >= _MOST_LAYOUTS:
            self._layouts.clear()
        self._layouts[which] = price, layout if same else None
        return told


class OwnRates(Rates):
    """Prices of the user's own, as `ModelPrice` takes them."""

    def __init__(self, per_million: Mapping[str, Decimal]) -> None:
        super().__init__()
        from genai_prices.types import ModelPrice  # noqa: PLC0415

        self._price = ModelPrice(**per_million)

    def cost(self, counts: Counts, time_ns: int | None) -> Cost:  # noqa: ARG002  they hold at any time
        return self._laid_out(self._price, counts, lambda: self._asked(counts))

    def _asked(self, counts: Counts) -> Cost:
        from genai_prices import Usage  # noqa: PLC0415

        made = self._price.calc_price(Usage(**counts))
        return Cost(made["input_price"], made["output_price"], made["total_price"])


class PublishedRates(Rates):
    """The published prices of one model; they may change with the day, with the hour and with the `context`."""

    def __init__(self, seller: Provider, model: ModelInfo, context: Mapping[str, str] | None) -> None:
        super().__init__()
        self._seller, self._model, self._context = seller, model, context
        variants = _variants(seller, model, context)
        dated: Any = model.prices if isinstance(model.prices, list) else ()
        self._only: ModelPrice | None = None if dated or variants else model.prices  # type: ignore[assignment]
        self._by_day = all(_is_of_days(one.constraint) for one in (*dated, *variants))
        self._chosen = context if variants else None
        self._days: dict[int, ModelPrice] = {}

    def cost(self, counts: Counts, time_ns: int | None) -> Cost:
        price = self._only
        if price is not None:
            return self._laid_out(price, counts, lambda: self._asked(counts, _moment(time_ns)))
        when = _moment(time_ns)
        if self._by_day:
            price = self._days.get(when.toordinal()) or self._on(when)
        elif self._chosen is None:
            price = self._model.get_prices(when)
        else:
            return self._asked(counts, when)
        return self._laid_out(price, counts, lambda: self._asked(counts, when))

    def _on(self, when: datetime) -> ModelPrice:
        if len(self._days) >= _MOST_DAYS:
            self._days.clear()
        price = self._days[when.toordinal()] = self._model.get_prices(when, self._chosen)
        return price

    def _asked(self, counts: Counts, when: datetime) -> Cost:
        from genai_prices import Usage  # noqa: PLC0415

        made = self._model.calc_price(
            Usage(**counts), self._seller, genai_request_timestamp=when, price_context=self._context
        )
        return Cost(made.input_price, made.output_price, made.total_price)


def _variants(seller: Provider, model: ModelInfo, context: Mapping[str, str] | None) -> list[PriceVariant]:
    """What may change the prices of `model` in that context, at one time or another."""
    if not context or not any(model is one for one in seller.models):
        return []
    return [
        variant
        for variant in model.price_variants or ()
        if all(context.get(key) == value for key, value in variant.when.items())
    ]


def _is_of_days(constraint: object) -> bool:
    from genai_prices.types import StartDateConstraint  # noqa: PLC0415

    return constraint is None or type(constraint) is StartDateConstraint


def _moment(time_ns: int | None) -> datetime:
    return datetime.fromtimestamp(time_ns / 1e9, UTC) if time_ns else datetime.now(UTC)


# ---------------------------------------------------------------- the published ones
class Catalog:
    """One snapshot of genai-prices', with the models of it that were asked for last."""

    def __init__(self, snapshot: DataSnapshot) -> None:
        self.snapshot = snapshot
        self._sellers = frozenset(provider.id for provider in snapshot.providers)
        self.rates = lru_cache(maxsize=MOST_MODELS)(self._rates)

    def _rates(self, seller_id: str, model: str, service_tier: str | None) -> Rates | None:
        """Those of `model` at the seller, and nobody else's; None where there are none."""
        if seller_id not in self._sellers:
            return None
        try:
            seller, found = self.snapshot.find_provider_model(model, None, seller_id, None)
        except LookupError:
            return None
        return PublishedRates(seller, found, _context(service_tier))


def _context(service_tier: str | None) -> dict[str, str] | None:
    if service_tier is None:
        return None
    return {"processing": "batch"} if service_tier == "batch" else {"service_tier": service_tier}


# ---------------------------------------------------------------- a layout
class _Layout:
    """How one `ModelPrice` is applied to counts of one set of names."""

    __slots__ = ("_counted", "_summed")

    def __init__(self, counted: list[tuple[str, tuple[str, ...]]], summed: list[tuple[Any, ...]]) -> None:
        self._counted = counted  # the finest first: a count, and those inside it that have prices of their own
        # What they cost, in the order of the sum: count, price, tiers, per how many, direction; `per` is None where the
        # price is all, that of a count which is not there: nothing, and yet its zeros are among the sum's digits.
        self._summed = summed

    def cost(self, counts: Counts) -> Cost | None:
        """What genai-prices would say; None where it has to be asked."""
        for count in counts.values():
            if type(count) is not int or count < 0:
                return None
        left = {"requests": 1}
        for name, inside in self._counted:
            count = counts.get(name, 0)
            for part in inside:
                count -= left[part]
            if count < 0:
                return None
            left[name] = count
        given = answered = total = _ZERO
        for name, price, tiers, per, direction in self._summed:
            if per is None:
                amount = price
            else:
                rate = _tier(price, tiers, counts["input_tokens"]) if tiers else price
                amount = rate * left.get(name, 0) / per
            total += amount
            if direction == "input":
                given += amount
            elif direction == "output":
                answered += amount
        return Cost(given, answered, total)


def _tier(price: Decimal, tiers: tuple[tuple[int, Decimal], ...], input_tokens: int) -> Decimal:
    for start, dearer in tiers:
        if input_tokens > start:
            return dearer
    return price


def _layout(price: ModelPrice, counts: Counts) -> _Layout | None:
    """That of `price`; None where it has what this room does not know, or where a count that it needs is missing."""
    from genai_prices import Usage  # noqa: PLC0415
    from genai_prices.data_units import unit_data  # noqa: PLC0415

    units = {unit.get("price_key", name): (name, unit) for name, unit in unit_data.items()}
    priced: dict[str, dict[str, str]] = {}
    summed: list[tuple[Any, ...]] = []
    probe = Usage(**dict.fromkeys(counts, 1))
    for key, value in vars(price).items():
        if value is None:
            continue
        if key not in units:
            return None
        name, unit = units[key]
        tiers = tuple((tier.start, tier.price) for tier in reversed(getattr(value, "tiers", ())))
        dimensions, rate, per = unit["dimensions"], getattr(value, "base", value), unit["per"]
        if name in counts:
            priced[name] = dimensions
        elif name != "requests":
            try:
                getattr(probe, name)
            except ValueError:  # missing, and not nothing: others that are known lie inside it
                return None
            if not tiers:
                rate, per = rate * 0 / per, None
        summed.append((name, rate, tiers, per, dimensions.get("direction")))
    order = sorted(priced, key=lambda name: (-len(priced[name]), name))
    return _Layout([(name, tuple(_inside(name, priced, order))) for name in order], summed)


def _inside(name: str, priced: Mapping[str, dict[str, str]], order: list[str]) -> list[str]:
    return [other for other in order if other != name and priced[name].items() <= priced[other].items()]


def _digits(cost: Cost | None) -> object:
    return cost and [amount.as_tuple() for amount in (cost.input, cost.output, cost.total)]
