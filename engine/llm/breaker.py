"""A circuit breaker for one model: after too many failures it is left alone for a while.

    closed     calls go through; the latest outcomes are remembered
    open       no call goes through until a time
    half-open  one call goes through, the probe; its outcome closes the breaker or opens it
               again, for twice as long

Nygard 2007, "Release It!". Two things that a race needs and others lack (see FINDINGS): a
cancelled call counts as neither success nor failure, else every loser would speak against
its model; and in half-open there is one probe at a time, given back if it is cancelled.
And the failures of one moment are one: a connection that is cut takes all of its calls
with it, which says no more of the model than one of them would.
Pure: time is an argument.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from enum import StrEnum


class State(StrEnum):
    """See the module's text."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@dataclass(frozen=True, slots=True)
class BreakerSettings:
    """It opens when of the latest `outcomes_max` at least `outcomes_min` are known and this share has failed."""

    outcomes_max: int = 20
    outcomes_min: int = 5
    failed_share: float = 0.5
    # Failures that come together within this are one.
    moment_s: float = 0.1
    # Short: a probe now and then costs little, and whoever is back is used again within a second.
    open_s: float = 0.25
    open_s_max: float = 0.75
    # A probe that has not reported after this is given up.
    probe_s_max: float = 30.0


@dataclass(slots=True)
class Breaker:
    """See the module's text."""

    settings: BreakerSettings = BreakerSettings()
    # True for a failure, oldest first.
    _outcomes: deque[bool] = field(default_factory=deque)
    _failures: int = 0
    _failed_s: float = float("-inf")
    # When it half-opens; None while closed.
    _until_s: float | None = None
    _open_s: float = 0.0
    _probe_since_s: float | None = None

    def state(self, now_s: float) -> State:
        if self._until_s is None:
            return State.CLOSED
        return State.OPEN if now_s < self._until_s else State.HALF_OPEN

    def admits(self, now_s: float) -> bool:
        """Whether a call may go through now; takes no place."""
        state = self.state(now_s)
        return state is State.CLOSED or (state is State.HALF_OPEN and not self._is_probed(now_s))

    def begin(self, now_s: float) -> bool:
        """Lets a call through, if it may; in half-open it is the probe."""
        if not self.admits(now_s):
            return False
        if self._until_s is not None:
            self._probe_since_s = now_s
        return True

    def succeeded(self, now_s: float) -> None:
        if self._until_s is not None:
            if self.state(now_s) is State.OPEN:
                return  # begun before it opened
            self._until_s, self._open_s, self._probe_since_s = None, 0.0, None
            self._outcomes.clear()
            self._failures = 0
        self._remember(failed=False)

    def failed(self, now_s: float) -> None:
        if self._until_s is not None:
            if self.state(now_s) is State.HALF_OPEN:
                self._open(now_s)
            return
        if now_s < self._failed_s + self.settings.moment_s:
            return
        self._failed_s = now_s
        self._remember(failed=True)
        known, least = len(self._outcomes), self.settings.outcomes_min
        if known >= least and self._failures >= self.settings.failed_share * known:
            self._open(now_s)

    def cancelled(self, now_s: float) -> None:
        """A call ended without a verdict: a probe gives its place back."""
        if self.state(now_s) is State.HALF_OPEN:
            self._probe_since_s = None

    def _is_probed(self, now_s: float) -> bool:
        since_s = self._probe_since_s
        return since_s is not None and now_s < since_s + self.settings.probe_s_max

    def _open(self, now_s: float) -> None:
        settings = self.settings
        self._open_s = min(settings.open_s_max, self._open_s * 2) if self._open_s else settings.open_s
        self._until_s = now_s + self._open_s
        self._probe_since_s = None

    def _remember(self, *, failed: bool) -> None:
        self._outcomes.append(failed)
        self._failures += failed
        if len(self._outcomes) > self.settings.outcomes_max:
            self._failures -= self._outcomes.popleft()
