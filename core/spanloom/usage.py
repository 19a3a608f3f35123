"""One model of token usage, with the two views that receivers ask for.

OpenTelemetry's GenAI conventions count *inclusively*: `input_tokens` contains the cached tokens and `output_tokens`
the reasoning tokens. Langfuse wants *disjoint* buckets that add up. Both views come from this one record, so that no
dialect does arithmetic of its own.
"""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one model call; every field is a count of tokens, or None where the provider did not say.

    `input_tokens` and `output_tokens` are totals. The other fields are subsets of them: `cache_read_tokens`,
    `cache_write_tokens` and `audio_input_tokens` of the input, `reasoning_tokens` and `audio_output_tokens` of the
    output. A missing count stays missing: it is never turned into 0.
    """

    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    reasoning_tokens: int | None = None
    audio_input_tokens: int | None = None
    audio_output_tokens: int | None = None

    @property
    def total_tokens(self) -> int | None:
        """Input and output together; None where neither is known."""
        if self.input_tokens is None and self.output_tokens is None:
            return None
        return (self.input_tokens or 0) + (self.output_tokens or 0)

    def __bool__(self) -> bool:
        """True where at least one count is known."""
        return any(getattr(self, field.name) is not None for field in fields(self))

    def inclusive(self) -> dict[str, int]:
        """The known counts under their field names: totals contain their subsets (the GenAI conventions' view)."""
        return {f.name: value for f in fields(self) if (value := getattr(self, f.name)) is not None}

    def disjoint(self) -> dict[str, int]:
        """Buckets that share no token and add up to `total_tokens` (Langfuse's view).

        Keys: `input` and `output` (what is left of the totals), `cache_read`, `cache_write`, `reasoning`. A subset
        that a provider reports larger than its total is cut to what the total still holds. Audio tokens stay inside
        `input` and `output`: they overlap with the cached ones, and no provider says by how much.
        """
        out: dict[str, int] = {}
        if self.input_tokens is not None:
            rest = self.input_tokens
            for key, count in (("cache_read", self.cache_read_tokens), ("cache_write", self.cache_write_tokens)):
                if count is not None and count > 0:
                    out[key] = min(count, rest)
                    rest -= out[key]
            out["input"] = rest
        if self.output_tokens is not None:
            rest = self.output_tokens
            if self.reasoning_tokens is not None and self.reasoning_tokens > 0:
                out["reasoning"] = min(self.reasoning_tokens, rest)
                rest -= out["reasoning"]
            out["output"] = rest
        return out
