"""Quantiles over a sliding window: a ring of sketches, the oldest of which is dropped.

DDSketch (Masson, Rim and Lee, VLDB 2019) keeps quantiles within 1 % of the true value in
a bounded number of bins, and merges without loss.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from ddsketch import LogCollapsingLowestDenseDDSketch

_PARTS = 6
_RELATIVE_ACCURACY = 0.01
_BINS_MAX = 1024
QUANTILES = (0.5, 0.95, 0.99)


class Window:
    """Values of the last `window_s` seconds, give or take a sixth of it."""

    def __init__(self, window_s: float, clock: Callable[[], float]) -> None:
        self._part_s = window_s / _PARTS
        self._clock = clock
        self._parts: deque[tuple[int, LogCollapsingLowestDenseDDSketch]] = deque()

    def add(self, value: float) -> None:
        self._advance()
        part = int(self._clock() / self._part_s)
        if not self._parts or self._parts[-1][0] != part:
            self._parts.append((part, _sketch()))
        self._parts[-1][1].add(value)

    def quantiles(self) -> tuple[int, tuple[float, ...]]:
        """How many values the window holds, and their p50, p95 and p99; zeros where there are none."""
        self._advance()
        merged = _sketch()
        for _, sketch in self._parts:
            merged.merge(sketch)
        count = int(merged.count)
        return count, tuple(float(merged.get_quantile_value(q) or 0.0) for q in QUANTILES)

    def _advance(self) -> None:
        oldest = int(self._clock() / self._part_s) - _PARTS
        while self._parts and self._parts[0][0] <= oldest:
            self._parts.popleft()


def _sketch() -> LogCollapsingLowestDenseDDSketch:
    return LogCollapsingLowestDenseDDSketch(_RELATIVE_ACCURACY, _BINS_MAX)
