"""What happens in the engine, as frozen values. Whoever counts or shows it subscribes.

No event ever holds what was said.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from engine.reconcile import Trigger
from engine.trace import StageTrace
from engine.usage import Usage


@dataclass(frozen=True, slots=True)
class TurnBegan:
    """A turn was admitted."""


@dataclass(frozen=True, slots=True)
class StageEnded:
    """A stage has run."""

    trace: StageTrace


@dataclass(frozen=True, slots=True)
class FirstText:
    """The first piece of a streamed reply was handed to the caller."""

    after_ms: float


@dataclass(frozen=True, slots=True)
class Reconciled:
    """The triggers of a turn were looked at; `changed` means that the play came out another."""

    fired: tuple[Trigger, ...]
    reran: bool
    changed: bool


@dataclass(frozen=True, slots=True)
class FigureWithheld:
    """The price guard held back a figure that nothing vouched for."""

    kind: str


class CallOutcome(StrEnum):
    """What became of a call to a remote model."""

    WON = "won"
    # Another one won; it was cancelled.
    LOST = "lost"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class CallEnded:
    """A call to a remote model is over."""

    provider: str
    model: str
    step: str
    outcome: CallOutcome
    # Of a failure; else empty.
    kind: str
    latency_ms: float
    # None for an answer that is no stream, and where no text came.
    first_text_ms: float | None
    usage: Usage


@dataclass(frozen=True, slots=True)
class Hedged:
    """A second call was started, as the first was slower than it usually is."""

    provider: str
    model: str


@dataclass(frozen=True, slots=True)
class BreakerMoved:
    """A model's breaker is in another state than it was."""

    provider: str
    model: str
    state: str


@dataclass(frozen=True, slots=True)
class Degraded:
    """The remote models failed a step, or ran out of time, and the built-in engine took over."""

    step: str
    # The kinds of their failures, oldest first; none where time ran out, or none could be asked.
    kinds: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CutShort:
    """A reply was cut short after its first text; what the buyer has read is kept."""


@dataclass(frozen=True, slots=True)
class TurnEnded:
    """A turn was committed, or ended without a trace."""

    total_ms: float
    # "committed", "cancelled", or an error's reason.
    outcome: str


Event = (
    TurnBegan
    | StageEnded
    | FirstText
    | Reconciled
    | FigureWithheld
    | CallEnded
    | Hedged
    | BreakerMoved
    | Degraded
    | CutShort
    | TurnEnded
)
Emit = Callable[[Event], None]
