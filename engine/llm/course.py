"""The course of one call over several models: which one starts next, and when. Pure.

A course is asked after every event, "what now?", and answers with a move. Time and chance
are arguments, so that it can be read, replayed, and tested for every order of events.

    race      all start at once; who fails is tried again only when nobody runs any more
    hedge     one starts; the next when the first is slower than it usually is and there is
              budget for it (Dean and Barroso 2013, "The Tail at Scale"), or when it fails
    failover  one starts; the next when it fails
    single    one starts, and is tried again

A failure that would repeat itself takes its model out, and so does a second timeout: who
waits twice in vain would wait for ever. After any other failure a model rests, for what the
provider asks or for a jittered back-off ("full jitter": Brooker 2015), while others that are
free go first. What could not start before the deadline is not waited for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from engine.llm.model import Kind, ModelError
from engine.step import Routing

ATTEMPTS_MAX = 6
_TIMEOUTS_MAX = 2
_BACKOFF_S = 0.05
_BACKOFF_S_MAX = 2.0


@dataclass(frozen=True, slots=True)
class Start:
    """A call to the model of this number; a hedge spends budget."""

    target: int
    hedge: bool = False


@dataclass(frozen=True, slots=True)
class Wait:
    """Until a call reports, or until this moment; None for no moment."""

    until_s: float | None = None


@dataclass(frozen=True, slots=True)
class Over:
    """Nobody runs, and nobody can start in time."""


Move = Start | Wait | Over


@dataclass(slots=True)
class Course:
    """See the module's text. Models go by their place in `order`'s numbers, the preferred first."""

    routing: Routing
    order: Sequence[int]
    start_s: float
    deadline_s: float
    # When a hedge is due, counted from the start; None where nothing is known yet.
    hedge_after_s: float | None = None
    # What each failed call said, oldest first.
    failures: list[tuple[int, ModelError]] = field(default_factory=list)
    _ready_s: dict[int, float] = field(init=False)
    _running: list[int] = field(default_factory=list)
    _attempts: int = 0
    _tried: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        if self.routing is Routing.SINGLE:
            self.order = self.order[:1]
        self._ready_s = dict.fromkeys(self.order, self.start_s)

    def next(self, now_s: float, *, may_hedge: bool) -> Move:
        """The next move; to be asked again after each one that is a start."""
        fresh = [target for target in self.order if target not in self._tried and target in self._ready_s]
        if self.routing is Routing.RACE and fresh:
            return self._start(fresh[0])
        if not self._running:
            return self._first_of_all(now_s)
        if self.routing is Routing.HEDGE and fresh and self.hedge_after_s is not None and len(self._running) == 1:
            due_s = self.start_s + self.hedge_after_s
            if now_s < due_s:
                return Wait(due_s)
            if may_hedge:
                return self._start(fresh[0], hedge=True)
        return Wait()

    def failed(self, target: int, error: ModelError, now_s: float, draw: float) -> None:
        """A call reports that it has failed; `draw` is uniform in [0, 1)."""
        self._running.remove(target)
        self.failures.append((target, error))
        timeouts = sum(one == target and said.kind is Kind.TIMEOUT for one, said in self.failures)
        if error.kind.is_final or timeouts >= _TIMEOUTS_MAX:
            del self._ready_s[target]
            return
        again = sum(one == target for one, _ in self.failures) - 1
        backoff_s = min(_BACKOFF_S_MAX, _BACKOFF_S * 2**again) * draw
        self._ready_s[target] = now_s + max(error.retry_after_s, backoff_s)

    def _first_of_all(self, now_s: float) -> Move:
        """Nobody runs: whoever is ready first starts, one that was not asked yet before the others."""
        if self._attempts >= ATTEMPTS_MAX or not self._ready_s:
            return Over()
        soonest = min(self._ready_s, key=lambda target: (max(now_s, self._ready_s[target]), target in self._tried))
        ready_s = self._ready_s[soonest]
        if max(ready_s, now_s) >= self.deadline_s:
            return Over()
        return self._start(soonest) if ready_s <= now_s else Wait(ready_s)

    def _start(self, target: int, *, hedge: bool = False) -> Start:
        self._attempts += 1
        self._tried.add(target)
        self._running.append(target)
        return Start(target, hedge)
