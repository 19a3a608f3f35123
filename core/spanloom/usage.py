"""One model of token usage, with the two views that receivers ask for; and what the tokens cost.

OpenTelemetry's GenAI conventions count *inclusively*: `input_tokens` contains the cached tokens and `output_tokens`
the reasoning tokens. Langfuse wants *disjoint* buckets that add up. Both views come from this one record, so that no
dialect does arithmetic of its own.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from decimal import Decimal
from operator import attrgetter

# A total and a partition of it, whose parts share no token; those of different partitions of a total may. The totals
# first: their parts have parts.
_PARTITIONS = (
    ("input_tokens", ("cache_read_tokens", "cache_write_tokens")),
    ("input_tokens", ("audio_input_tokens", "image_input_tokens", "text_input_tokens")),
    ("output_tokens", ("reasoning_tokens",)),
    ("output_tokens", ("audio_output_tokens", "image_output_tokens", "text_output_tokens")),
    ("cache_write_tokens", ("cache_write_1h_tokens",)),
)


@dataclass(slots=True, unsafe_hash=True)  # not frozen: made in the application's calls, at a fifth of the time
class Usage:
    """Tokens of one model call; every field is a count of tokens, or None where the provider did not say. Nobody
    changes it.

    `input_tokens` and `output_tokens` are totals. The other fields are subsets of them: `cache_read_tokens`,
    `cache_write_tokens` and the `…_input_tokens` of one modality are of the input, `reasoning_tokens` and the
    `…_output_tokens` of one modality of the output; `cache_write_1h_tokens` is the part of the cache's writes that is
    kept for an hour, which costs more. A missing count stays missing: it is never turned into 0.
    """

    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    reasoning_tokens: int | None = None
    audio_input_tokens: int | None = None
    audio_output_tokens: int | None = None
    text_input_tokens: int | None = None
    text_output_tokens: int | None = None
    image_input_tokens: int | None = None
    image_output_tokens: int | None = None
    cache_write_1h_tokens: int | None = None

    @property
    def total_tokens(self) -> int | None:
        """Input and output together; None where neither is known."""
        if self.input_tokens is None and self.output_tokens is None:
            return None
        return (self.input_tokens or 0) + (self.output_tokens or 0)

    def __bool__(self) -> bool:
        """True where at least one count is known."""
        return _counts(self) != _NOTHING

    def inclusive(self) -> dict[str, int]:
        """The known counts under their field names: totals contain their subsets (the GenAI conventions' view).

        A subset that a provider reports larger than its total is cut to what the total still holds.
        """
        values = _counts(self)
        given, answered = values[:2]
        if values[2:] == _NO_PARTS and given is not None and answered is not None:  # often: nothing to cut
            return {"input_tokens": given, "output_tokens": answered}
        counts = {name: value for name, value in zip(_NAMES, values, strict=True) if value is not None}
        for total, parts in _PARTITIONS:
            if (rest := counts.get(total)) is None:
                continue
            for part in parts:
                if part in counts:
                    if (count := counts[part]) > rest:
                        counts[part] = count = rest
                    rest -= count
        return counts

    def disjoint(self) -> dict[str, int]:
        """Buckets that share no token and add up to `total_tokens` (Langfuse's view).

        Keys: `input` and `output` (what is left of the totals), `cache_read`, `cache_write`, `reasoning`. The tokens of
        one modality stay inside: they overlap with the cached ones, and no provider says by how much.
        """
        counts, out = self.inclusive(), dict[str, int]()
        if (total := counts.get("input_tokens")) is not None:
            if read := counts.get("cache_read_tokens"):
                out["cache_read"] = read
                total -= read
            if written := counts.get("cache_write_tokens"):
                out["cache_write"] = written
                total -= written
            out["input"] = total
        if (total := counts.get("output_tokens")) is not None:
            if reasoned := counts.get("reasoning_tokens"):
                out["reasoning"] = reasoned
                total -= reasoned
            out["output"] = total
        return out


_NAMES = tuple(field.name for field in fields(Usage))
_NOTHING = (None,) * len(_NAMES)
_NO_PARTS = _NOTHING[2:]
_counts = attrgetter(*_NAMES)


@dataclass(frozen=True, slots=True)
class Cost:
    """What one model call cost, exactly; `total` may hold more than `input` and `output`, such as a fee per request."""

    input: Decimal
    output: Decimal
    total: Decimal
    currency: str = "USD"


NOTHING = Cost(Decimal(0), Decimal(0), Decimal(0))
"""The cost of an answer from a cache."""
