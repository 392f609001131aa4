"""A conversation's state: what is known of the buyer, and what has been said.

Everything here is a frozen value; a turn makes a new conversation out of the old one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

VALUES_MAX = 16
HISTORY_MAX = 12
HISTORY_CHARS_MAX = 16_000


@dataclass(frozen=True, slots=True)
class Amount:
    """A figure or a range; equal ends for an exact figure."""

    min: float
    max: float
    # ISO 4217 for money, "%" for percentages, else what is counted.
    unit: str
    # "month", "year", "seat" where the figure is per something.
    per: str = ""


@dataclass(frozen=True, slots=True)
class Period:
    """From the first day to the last, ISO 8601; an end that is open is empty."""

    first_day: str
    last_day: str


@dataclass(frozen=True, slots=True)
class SlotValue:
    """One captured value, and the words it was captured from."""

    # Normalised, for reading: "50000 USD", "2027-Q1", "VP of Sales".
    text: str
    # Verbatim; starts at `quote_start` of its turn's message, in code points.
    quote: str = ""
    quote_start: int = 0
    confidence: float = 1.0
    # Counted from 1; 0 where it was given when the conversation was created.
    turn: int = 0
    typed: Amount | Period | None = None

    def same_as(self, other: SlotValue) -> bool:
        """Whether both say the same thing, in whatever words."""
        if self.typed is not None and other.typed is not None:
            return self.typed == other.typed
        return self.text.casefold() == other.text.casefold()


@dataclass(frozen=True, slots=True)
class Finding:
    """What capture found in a message under one slot's name.

    A retraction names the value that is taken back, or none for all of them.
    """

    slot: str
    value: SlotValue | None
    retracted: bool = False


class Operation(StrEnum):
    """What a turn did to a slot."""

    SET = "set"
    CHANGE = "change"
    RETRACT = "retract"


@dataclass(frozen=True, slots=True)
class SlotChange:
    """`value` is None after a retraction, `previous` is None when a value is new."""

    name: str
    operation: Operation
    value: SlotValue | None
    previous: SlotValue | None


@dataclass(frozen=True, slots=True)
class Exchange:
    """What was said in one turn, as later turns remember it."""

    message: str
    reply: str
    situation: str = ""
    play: str = ""


Slots = Mapping[str, tuple[SlotValue, ...]]


@dataclass(frozen=True, slots=True)
class Conversation:
    """The state after the latest turn."""

    id: str
    domain: str
    create_time: datetime
    update_time: datetime
    expire_time: datetime
    slots: Slots = field(default_factory=dict)
    situation: str = ""
    turn_count: int = 0
    # Grows by one with every write.
    revision: int = 0
    history: tuple[Exchange, ...] = ()

    @property
    def etag(self) -> str:
        """Changes with every write, also where an id is used again after a deletion."""
        identity = f"{self.id}\n{self.create_time.isoformat()}\n{self.revision}"
        return hashlib.sha256(identity.encode()).hexdigest()[:16]

    def written(self, now: datetime, expire_time: datetime) -> Conversation:
        """The same, one write later."""
        return replace(self, update_time=now, expire_time=expire_time, revision=self.revision + 1)

    def remembering(self, exchange: Exchange) -> Conversation:
        """The same with one more exchange; the oldest ones give way to the bounds."""
        return replace(self, history=bounded((*self.history, exchange)))


def bounded(history: Iterable[Exchange]) -> tuple[Exchange, ...]:
    """The latest exchanges that fit the bounds, oldest first; the last one always does."""
    kept: list[Exchange] = []
    chars = 0
    for exchange in reversed(tuple(history)[-HISTORY_MAX:]):
        chars += len(exchange.message) + len(exchange.reply)
        if kept and chars > HISTORY_CHARS_MAX:
            break
        kept.append(exchange)
    return tuple(reversed(kept))


def apply(slots: Slots, findings: Iterable[Finding], lists: frozenset[str]) -> tuple[Slots, tuple[SlotChange, ...]]:
    """Merges what capture found into what is known.

    Args:
        slots: what is known, by name.
        findings: in the order in which they stand in the message.
        lists: the names of the slots that hold several values.

    Returns:
        The new slots, and what changed; a finding that says nothing new changes nothing. Of
        a slot that holds one value the last word counts: "300, no, 900" sets it once, to 900.
    """
    known = dict(slots)
    changes: list[SlotChange] = []
    for finding in findings:
        before = known.get(finding.slot, ())
        after, change = (_retract if finding.retracted else _set)(before, finding, finding.slot in lists)
        if change and finding.slot not in lists:
            changes = [earlier for earlier in changes if earlier.name != finding.slot]
            change = _net(finding.slot, slots.get(finding.slot, ()), after)
        changes += change
        if after:
            known[finding.slot] = after
        else:
            known.pop(finding.slot, None)
    return known, tuple(changes)


def _net(name: str, before: tuple[SlotValue, ...], after: tuple[SlotValue, ...]) -> list[SlotChange]:
    """What a turn has done to a slot of one value, whatever it went through."""
    old, new = (values[-1] if values else None for values in (before, after))
    if old and new:
        return [] if old.same_as(new) else [SlotChange(name, Operation.CHANGE, new, old)]
    if new:
        return [SlotChange(name, Operation.SET, new, None)]
    return [SlotChange(name, Operation.RETRACT, None, old)] if old else []


Merged = tuple[tuple[SlotValue, ...], list[SlotChange]]


def _set(values: tuple[SlotValue, ...], finding: Finding, several: bool) -> Merged:
    value = finding.value
    if value is None or any(value.same_as(known) for known in values):
        return values, []
    if several:
        return (*values, value)[-VALUES_MAX:], [SlotChange(finding.slot, Operation.SET, value, None)]
    if values:
        return (value,), [SlotChange(finding.slot, Operation.CHANGE, value, values[-1])]
    return (value,), [SlotChange(finding.slot, Operation.SET, value, None)]


def _retract(values: tuple[SlotValue, ...], finding: Finding, several: bool) -> Merged:
    named = finding.value
    gone = [value for value in values if named is None or not several or named.same_as(value)]
    changes = [SlotChange(finding.slot, Operation.RETRACT, None, value) for value in gone]
    return tuple(value for value in values if value not in gone), changes
