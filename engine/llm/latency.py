"""How fast a model answers of late: what routing and hedging steer by. Pure; time is an argument.

Two estimates of the same samples. A peak EWMA (Finagle's, by Marius Eriksen and Ruben
Oetting): a slower sample counts at once, a faster one by and by, so that a model that gets
slow is avoided before it has ruined an average; times the calls in flight, so that load
counts too. And adaptive quantiles by size of the prompt, out of counts that decay: the moment
from which a call is slower than it usually is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

# After this, a sample weighs 1/e.
EWMA_S = 10.0
DECAY_S = 120.0
# Bins of the histogram: 5 % apart, from 1 ms to 2 minutes.
_GROWTH = 1.05
_SHORTEST_S = 0.001
_BINS = 1 + math.ceil(math.log(120 / _SHORTEST_S, _GROWTH))
# Sizes of prompts: up to 256 tokens, up to 512, …
_SMALLEST = 256
_SIZES = 6
_WEIGHT_MIN = 10.0


@dataclass(slots=True)
class _Decaying:
    """Counts of samples by how long they took; older ones weigh less."""

    counts: list[float] = field(default_factory=lambda: [0.0] * _BINS)
    weight: float = 0.0
    at_s: float = 0.0

    def add(self, place: int, now_s: float) -> None:
        # New samples are given more weight, instead of all old ones less.
        if now_s - self.at_s > 8 * DECAY_S:
            self._rebase(now_s)
        grown = math.exp((now_s - self.at_s) / DECAY_S)
        self.counts[place] += grown
        self.weight += grown

    def weight_at(self, now_s: float) -> float:
        return self.weight * math.exp(-max(0.0, now_s - self.at_s) / DECAY_S)

    def quantile_s(self, share: float) -> float:
        left = share * self.weight
        for place, count in enumerate(self.counts):
            left -= count
            if left <= 0:
                return _SHORTEST_S * _GROWTH**place
        return _SHORTEST_S * _GROWTH ** (_BINS - 1)

    def _rebase(self, now_s: float) -> None:
        shrunk = math.exp(-(now_s - self.at_s) / DECAY_S)
        self.counts = [count * shrunk for count in self.counts]
        self.weight *= shrunk
        self.at_s = now_s


@dataclass(slots=True)
class Latency:
    """Of one model, for calls of one kind."""

    _in_flight: int = 0
    _peak_s: float = 0.0
    _peak_at_s: float = 0.0
    _by_size: list[_Decaying | None] = field(default_factory=lambda: [None] * _SIZES)
    _all: _Decaying = field(default_factory=_Decaying)

    def begin(self) -> None:
        self._in_flight += 1

    def end(self) -> None:
        self._in_flight -= 1

    def add(self, seconds: float, prompt_tokens: int, now_s: float) -> None:
        """A call took so long."""
        average = self._average_s(now_s)
        if seconds < average:
            share = math.exp(-max(0.0, now_s - self._peak_at_s) / EWMA_S)
            self._peak_s = share * self._peak_s + (1 - share) * seconds
        else:
            self._peak_s = seconds
        self._peak_at_s = now_s
        place = min(_BINS - 1, max(0, round(math.log(max(seconds, _SHORTEST_S) / _SHORTEST_S, _GROWTH))))
        size = _size(prompt_tokens)
        of_size = self._by_size[size] or _Decaying(at_s=now_s)
        self._by_size[size] = of_size
        of_size.add(place, now_s)
        self._all.add(place, now_s)

    def took_longer(self, seconds: float, prompt_tokens: int, now_s: float) -> None:
        """A call was cancelled after so long. It counts if that is more than was expected of it, else it says nothing.

        Without it nobody would ever learn of a straggler that a hedge has overtaken.
        """
        if seconds > self._average_s(now_s) > 0:
            self.add(seconds, prompt_tokens, now_s)

    def peak_ewma_s(self, now_s: float) -> float:
        """What a call may cost now, load counted in; 0 for a model that nothing is known of, so that it is tried."""
        return self._average_s(now_s) * (self._in_flight + 1)

    def quantile_s(self, share: float, prompt_tokens: int, now_s: float) -> float | None:
        """The time that this share of the calls of this size take no longer than; None while too little is known."""
        of_size = self._by_size[_size(prompt_tokens)]
        for counts in (of_size, self._all):
            if counts and counts.weight_at(now_s) >= _WEIGHT_MIN:
                return counts.quantile_s(share)
        return None

    def _average_s(self, now_s: float) -> float:
        """Falls while no sample comes: who was slow once is tried again."""
        return self._peak_s * math.exp(-max(0.0, now_s - self._peak_at_s) / (6 * EWMA_S))


def choose(costs: Sequence[float], draw: tuple[float, float]) -> int:
    """Power of two choices (Mitzenmacher 2001): of two drawn at random the cheaper one, by its place in `costs`."""
    first = int(draw[0] * len(costs))
    second = int(draw[1] * (len(costs) - 1)) if len(costs) > 1 else first
    second += second >= first and len(costs) > 1
    return first if costs[first] <= costs[second] else second


def _size(prompt_tokens: int) -> int:
    return min(_SIZES - 1, max(0, math.ceil(math.log2(max(1, prompt_tokens) / _SMALLEST))))
