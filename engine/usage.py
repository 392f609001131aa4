"""What model calls cost: tokens and US dollars, those of thrown-away answers counted apart."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Usage:
    """Of one call, one stage or one turn; adds up."""

    input_tokens: int = 0
    output_tokens: int = 0
    # Of the input, what the provider's prompt cache held.
    cached_input_tokens: int = 0
    cost_usd: float = 0.0
    # Of all these, what went into answers that were thrown away.
    wasted_tokens: int = 0
    wasted_cost_usd: float = 0.0
    # A cancelled call reports nothing: its share is estimated.
    estimated: bool = False

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.cached_input_tokens + other.cached_input_tokens,
            self.cost_usd + other.cost_usd,
            self.wasted_tokens + other.wasted_tokens,
            self.wasted_cost_usd + other.wasted_cost_usd,
            self.estimated or other.estimated,
        )


NO_USAGE = Usage()
