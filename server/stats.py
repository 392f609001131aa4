"""Counts what the stats RPCs show, since this process started."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from engine.events import Event, Reconciled
from engine.reconcile import Trigger


@dataclass(slots=True)
class TriggerCounts:
    """See TriggerStats of the contract."""

    fired: int = 0
    reran: int = 0
    changed: int = 0


@dataclass(slots=True)
class ReconcileCounts:
    """Subscribes to the engine's events."""

    since: datetime
    turns: int = 0
    reran: int = 0
    triggers: dict[Trigger, TriggerCounts] = field(
        default_factory=lambda: {trigger: TriggerCounts() for trigger in Trigger}
    )

    def __call__(self, event: Event) -> None:
        if not isinstance(event, Reconciled):
            return
        self.turns += 1
        self.reran += event.reran
        for trigger in event.fired:
            counts = self.triggers[trigger]
            counts.fired += 1
            counts.reran += event.reran
            counts.changed += event.changed
