"""What hedging may cost: a share of extra calls, and none while the providers are failing. Pure.

Every first call earns a part of an extra one, up to a burst (a token bucket; "The Tail at
Scale": hedging at the p95 costs 5 % more calls). And as in gRPC's retry throttling (A6),
failures take tokens that successes give back slowly: under half of them nobody hedges, as
more calls are the last thing that an overloaded provider needs.

A call is hedged when it is slower than nine of ten. Where that takes more than is earned,
what is left is kept for the slower half of these: stragglers are what hedging is for.
"""

from __future__ import annotations

from dataclasses import dataclass, field

_BURST = 10.0
_HEALTH_MAX = 10.0
_HEALTH_PER_SUCCESS = 0.1


@dataclass(slots=True)
class HedgeBudget:
    """Of one router; `share` is extra calls for each first call."""

    share: float = 0.1
    _left: float = field(default=1.0, init=False)
    _health: float = field(default=_HEALTH_MAX, init=False)

    @property
    def left(self) -> float:
        """Extra calls that may be made now."""
        return self._left if self._health > _HEALTH_MAX / 2 else 0.0

    @property
    def slower_than(self) -> float:
        """The share of calls that one has to be slower than to be hedged."""
        return 0.9 if self._left >= _BURST / 2 else 0.95

    def called(self) -> None:
        """A first call was started."""
        self._left = min(_BURST, self._left + self.share)

    def may_hedge(self) -> bool:
        return self.left >= 1.0

    def hedged(self) -> None:
        """An extra call was started."""
        self._left -= 1.0

    def succeeded(self) -> None:
        self._health = min(_HEALTH_MAX, self._health + _HEALTH_PER_SUCCESS)

    def failed(self) -> None:
        self._health = max(0.0, self._health - 1.0)
