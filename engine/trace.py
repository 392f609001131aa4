"""A finished turn, with everything that decided it and where its time went."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from engine.conversation import Conversation, SlotChange
from engine.reconcile import Detection, Trigger
from engine.stages import Stage
from engine.usage import NO_USAGE, Usage


@dataclass(frozen=True, slots=True)
class StageTrace:
    """One stage that ran; times in milliseconds, the start counted from the request's arrival."""

    stage: Stage
    start_ms: float
    duration_ms: float
    step: str = ""
    # Empty where no provider was asked.
    provider: str = ""
    model: str = ""
    tier: str = ""
    calls: int = 0


@dataclass(frozen=True, slots=True)
class Trace:
    """What a turn's course was."""

    stages: tuple[StageTrace, ...] = ()
    # The first trigger that asked for a second detection, where one ran.
    reconciled: Trigger | None = None
    total_ms: float = 0.0
    # Only where the reply was streamed.
    first_text_ms: float | None = None
    # In a stage the built-in engine took over from remote models.
    degraded: bool = False
    usage: Usage = NO_USAGE


@dataclass(frozen=True, slots=True)
class Turn:
    """One exchange of a conversation, as it is stored."""

    number: int
    create_time: datetime
    message: str = ""
    reply: str = ""
    changes: tuple[SlotChange, ...] = ()
    detection: Detection | None = None
    play: str = ""
    trace: Trace = field(default_factory=Trace)
    interrupted: bool = False
    # Who answered where this service did not.
    author: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a turn leaves behind: the state after it, and the turn itself."""

    conversation: Conversation
    turn: Turn


@dataclass(frozen=True, slots=True)
class Analysis:
    """What a message means, without a reply: the plays that fit are ranked, best first."""

    conversation: Conversation
    changes: tuple[SlotChange, ...]
    detection: Detection
    plays: tuple[str, ...]
    trace: Trace
