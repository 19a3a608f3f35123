"""What a model call costs: the user's own prices first, else the published ones, which `genai-prices` keeps offline.

It runs on the workers, once per step for all destinations. What is not known has no cost: it is counted, never 0.
"""

from __future__ import annotations

import fnmatch
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from .errors import ConfigurationError
from .guard import GUARD, log, warn_once
from .rates import MOST_MODELS, Catalog, OwnRates, Rates
from .step import Kind, Outcome, Step
from .usage import NOTHING, Cost, Usage

if TYPE_CHECKING:
    from genai_prices.data_snapshot import DataSnapshot

Amount = Decimal | int | float | str

_KINDS = frozenset({Kind.LLM, Kind.EMBEDDING})
_MOST_TOLD = 100

# `gen_ai.provider.name` -> genai-prices' id, where replacing `_` by `-` does not give it
_CATALOG_IDS = {
    "aws.bedrock": "aws",
    "azure.ai.openai": "azure",
    "azure.ai.inference": "azure",
    "gcp.gemini": "google",
    "gcp.gen_ai": "google",
    "gcp.vertex_ai": "google",
    "mistral_ai": "mistral",
    "moonshot_ai": "moonshotai",
    "together_ai": "together",
    "voyage_ai": "voyageai",
}

_KEYS = {  # Usage's words -> genai-prices'
    "input_tokens": "input_tokens",
    "output_tokens": "output_tokens",
    "cache_read_tokens": "cache_read_tokens",
    "cache_write_tokens": "cache_write_tokens",
    "cache_write_1h_tokens": "cache_write_1h_tokens",
    "reasoning_tokens": "output_reasoning_tokens",
    "audio_input_tokens": "input_audio_tokens",
    "audio_output_tokens": "output_audio_tokens",
    "image_input_tokens": "input_image_tokens",
    "image_output_tokens": "output_image_tokens",
}


class Prices:
    """Prices of your own, in US dollars per million tokens: negotiated, self-hosted, fine-tuned.

    They hold for the models whose name (the one that answered, or the one requested) matches `model`, at the providers
    whose `gen_ai.provider.name` matches `provider`; `*` is a wildcard, and case does not matter. Of the finer kinds of
    tokens (`cache_read`, `cache_write`, what is kept for an hour, `cache_write_1h`, and `reasoning`) those that have no
    price here cost what the input or the output costs that they are part of; without `output`, as for embeddings, the
    output is free. `Prices("my-llama*", input=0)` says that a model of your own costs nothing.

    Amounts are numbers or texts such as `"0.15"`; a float is taken as it is written. Raises `ConfigurationError` for
    one that is no amount, and for a model or provider that is no text.
    """

    def __init__(
        self,
        model: str = "*",
        provider: str = "*",
        *,
        input: Amount,
        output: Amount | None = None,
        cache_read: Amount | None = None,
        cache_write: Amount | None = None,
        cache_write_1h: Amount | None = None,
        reasoning: Amount | None = None,
    ) -> None:
        for name, pattern in (("model", model), ("provider", provider)):
            if not isinstance(pattern, str) or not pattern:
                raise ConfigurationError(
                    f'Prices({name}={pattern!r}) is no name: write one, with * for any part of it, such as "gpt-4o*"; '
                    "for several names, one Prices(…) each."
                )
        if input is None:
            raise ConfigurationError(
                "Prices(input=None) is no amount: write US dollars per million tokens, 0 for none."
            )
        self.model, self.provider = model.lower(), provider.lower()
        given = {
            "input": input,
            "output": output if output is not None or reasoning is None else 0,
            "cache_read": cache_read,
            "cache_write": cache_write if cache_write is not None or cache_write_1h is None else input,
            "cache_write_1h": cache_write_1h,
            "output_reasoning": reasoning,
        }
        self.per_million = {f"{name}_mtok": _amount(name, value) for name, value in given.items() if value is not None}

    def __repr__(self) -> str:
        return f"Prices({self.model!r}, {self.provider!r})"

    def hold_for(self, provider: str | None, models: Sequence[str]) -> bool:
        """Whether these are the prices of one of `models` (names of one model) at `provider`."""
        if not fnmatch.fnmatchcase((provider or "").lower(), self.provider):
            return False
        return any(fnmatch.fnmatchcase(name.lower(), self.model) for name in models)


def _amount(name: str, value: Any) -> Decimal:
    try:
        amount = Decimal(str(value))
    except InvalidOperation:
        amount = Decimal("NaN")
    if isinstance(value, bool) or not amount.is_finite() or amount < 0:
        raise ConfigurationError(f"Prices({name}={value!r}) is no amount: write US dollars per million tokens.")
    return amount


class PriceList:
    """The prices in force: the user's `own`, in the order given, before the published ones. Thread-safe.

    `priced`, `unknown` and `without_usage` count the model calls whose cost is known, whose model has no price, and
    whose provider told no usage.
    """

    def __init__(self, own: Prices | Sequence[Prices] = ()) -> None:
        self.own = tuple(own) if isinstance(own, Iterable) else (own,)
        for prices in self.own:
            if not isinstance(prices, Prices):
                raise ConfigurationError(f"configure(prices=…) got {prices!r}: pass Prices(…), or a list of them.")
        self._own_rates: dict[int, Rates] = {}  # by their place in `own`
        self._own = lru_cache(maxsize=MOST_MODELS)(self._find_own)
        self.after_fork()

    def after_fork(self) -> None:
        """In a forked child: the parent's other threads are gone, and whatever lock they held; counts begin again."""
        self._lock = threading.Lock()
        self._told: set[tuple[str | None, str]] = set()
        self.priced = self.unknown = self.without_usage = 0

    def counts(self) -> dict[str, int]:
        """`{priced, unknown, without_usage}`."""
        return {"priced": self.priced, "unknown": self.unknown, "without_usage": self.without_usage}

    def settle(self, step: Step) -> None:
        """Write onto an ended `step` what it cost, once, whoever asks first. Only calls of models cost anything."""
        if step.priced or step.kind not in _KINDS:
            return
        with self._lock:
            if not step.priced:
                with GUARD.watching("spanloom.prices"):
                    step.cost = self._cost(step)
                step.priced = True

    def _cost(self, step: Step) -> Cost | None:
        if step.cache_hit:
            self.priced += 1
            return NOTHING
        if not step.usage:
            if step.outcome is Outcome.OK and step.kind is Kind.LLM:
                self.without_usage += 1
                if step.streaming:
                    warn_once(
                        f"usage:{step.provider}",
                        "spanloom: a stream of %s told no token counts, so it has no cost: ask the provider for them, "
                        "as with ChatOpenAI(stream_usage=True)",
                        step.provider or "a model",
                    )
            return None
        models = [name for name in (step.response_model, step.request_model) if name]
        cost = self.cost(step.provider, models, step.usage, step.start_ns, step.service_tier)
        if cost is None:
            self.unknown += 1
            self._tell(step.provider, models)
        else:
            self.priced += 1
        return cost

    def cost(
        self,
        provider: str | None,
        models: Sequence[str],
        usage: Usage,
        time_ns: int | None = None,
        service_tier: str | None = None,
    ) -> Cost | None:
        """What `usage` costs, by the first of `models` that has a price at `provider`; None where none has.

        `provider` is a `gen_ai.provider.name`, `time_ns` (now, where left out) the time of the call: prices change.
        """
        if self.own and (own := self._own(provider, tuple(models))) is not None:
            return _cost(own, usage, time_ns)
        for name in models:
            if (rates := _published(provider, name, service_tier)) is not None:
                return _cost(rates, usage, time_ns)
        return None

    def _find_own(self, provider: str | None, models: tuple[str, ...]) -> Rates | None:
        for at, prices in enumerate(self.own):
            if prices.hold_for(provider, models):
                if at not in self._own_rates:
                    self._own_rates[at] = OwnRates(prices.per_million)
                return self._own_rates[at]
        return None

    def _tell(self, provider: str | None, models: Sequence[str]) -> None:
        which = provider, models[0] if models else "?"
        if which not in self._told and len(self._told) < _MOST_TOLD:
            self._told.add(which)
            log.info("spanloom: no price is known for %s of %s: its cost is left out", which[1], which[0] or "?")


# ---------------------------------------------------------------- genai-prices; imported (0.4 s) where first needed
_catalog: Catalog | None = None
_snapshot: Callable[[], DataSnapshot] | None = None


def _published(provider: str | None, model: str, service_tier: str | None) -> Rates | None:
    """The published prices of `model` at `provider`. A provider that is not known is not guessed at."""
    global _catalog, _snapshot
    if _snapshot is None:
        from genai_prices.data_snapshot import get_snapshot  # noqa: PLC0415

        _snapshot = get_snapshot
    snapshot = _snapshot()
    if _catalog is None or _catalog.snapshot is not snapshot:
        _catalog = Catalog(snapshot)
    catalog = _catalog
    provider = (provider or "").lower()
    seller = _CATALOG_IDS.get(provider, provider.replace("_", "-"))
    if seller == "litellm" and "/" in model:
        seller, _, model = model.partition("/")
    return catalog.rates(seller, model.rpartition("models/")[2], service_tier)  # Google's names are paths


def _cost(rates: Rates, usage: Usage, time_ns: int | None) -> Cost | None:
    """`usage` at `rates`; where a provider's finer counts do not go together, at the price of the coarser ones."""
    counts = _in_their_words(usage)
    try:
        return rates.cost(counts, time_ns)  # nearly always
    except ValueError:
        pass
    for coarser in _coarser(counts):
        try:
            return rates.cost(coarser, time_ns)
        except ValueError:
            continue
    return None


def _in_their_words(usage: Usage) -> dict[str, int]:
    counts = {_KEYS[name]: count for name, count in usage.inclusive().items() if name in _KEYS}
    counts.setdefault("input_tokens", 0)
    counts.setdefault("output_tokens", 0)
    if (cached := counts.get("cache_read_tokens")) and (spoken := counts.get("input_audio_tokens")):
        # no provider says how much of the sound was cached: as little as can be
        counts["cache_audio_read_tokens"] = max(0, cached + spoken - counts["input_tokens"])
    return counts


def _coarser(counts: dict[str, int]) -> Iterator[dict[str, int]]:
    yield {key: count for key, count in counts.items() if "audio" not in key and "image" not in key}
    yield {key: counts[key] for key in ("input_tokens", "output_tokens")}


__all__ = ["PriceList", "Prices"]
