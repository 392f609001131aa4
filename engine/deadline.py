"""One absolute point in time by which a request must be answered."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Deadline:
    """Seconds on the event loop's clock. Passed down as it is: never a nested timeout."""

    at_s: float

    def left_s(self, now_s: float) -> float:
        """The seconds that are left at `now_s`; never less than 0."""
        return max(0.0, self.at_s - now_s)

    def passed(self, now_s: float) -> bool:
        return now_s >= self.at_s
