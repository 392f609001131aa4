"""When detect runs a second time, now that capture's findings are known. Pure.

Detect and capture start together, so the first detection has not seen what capture
found. A trigger makes a turn eligible for a second one; it runs only if a different
situation could still change the play. That keeps the second pass to where it matters:
a calibrated classifier is under 0.7 on nearly half of real turns.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from engine.conversation import Operation, SlotChange

CONFIDENCE_MIN = 0.7
# Beyond this many new slots, or this many quotes, a message changes the picture.
FINDINGS_MAX = 3


class Trigger(StrEnum):
    """What makes a turn eligible for a second detection, the strongest first."""

    LOW_CONFIDENCE = "low_confidence"
    CRITICAL_SLOT = "critical_slot"
    CONTEXT_CHANGE = "context_change"


@dataclass(frozen=True, slots=True)
class Detection:
    """A situation with its calibrated probability, and those that come next."""

    situation: str
    confidence: float
    # (id, probability), likeliest first; the situation itself is not among them.
    alternatives: tuple[tuple[str, float], ...] = ()

    @property
    def runner_up(self) -> tuple[str, float]:
        return self.alternatives[0] if self.alternatives else ("", 0.0)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Which triggers fired, and whether detect is to run again."""

    fired: tuple[Trigger, ...]
    rerun: bool


def triggers(detection: Detection, changes: Sequence[SlotChange], critical: frozenset[str]) -> tuple[Trigger, ...]:
    """All triggers whose condition holds, in the order of Trigger.

    Args:
        detection: of the first pass.
        changes: what this turn set, changed or retracted.
        critical: the names of the pack's critical slots.
    """
    fired = []
    if detection.confidence < CONFIDENCE_MIN:
        fired.append(Trigger.LOW_CONFIDENCE)
    if any(change.name in critical for change in changes):
        fired.append(Trigger.CRITICAL_SLOT)
    new = sum(change.operation is Operation.SET for change in changes)
    quotes = len({(change.value.quote_start, change.value.quote) for change in changes if change.value})
    if max(new, quotes) > FINDINGS_MAX:
        fired.append(Trigger.CONTEXT_CHANGE)
    return tuple(fired)


def could_change(detection: Detection, play_for: Callable[[str], str], plausible_min: float) -> bool:
    """Whether a plausible alternative would lead to another play than the first answer does.

    Args:
        detection: of the first pass.
        play_for: the play that selection picks for a situation, this turn's findings counted in.
        plausible_min: alternatives less likely than this share of the winner are not considered.
    """
    first = play_for(detection.situation)
    return any(
        probability >= plausible_min * detection.confidence and play_for(situation) != first
        for situation, probability in detection.alternatives
    )


def reconcile(
    detection: Detection,
    changes: Sequence[SlotChange],
    critical: frozenset[str],
    play_for: Callable[[str], str],
    plausible_min: float,
) -> Verdict:
    """Decides on the second pass. See `triggers` and `could_change` for the arguments."""
    fired = triggers(detection, changes, critical)
    return Verdict(fired, rerun=bool(fired) and could_change(detection, play_for, plausible_min))
