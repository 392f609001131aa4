"""Slots on the pack's held-out cases: what capture makes of a message, given what was known.

The built-in provider is asked directly. What it finds is merged into what was known, as a
turn would, and the changes are held against the case's. A change is right if a slot and an
operation are the expected ones, the quotes overlap, and a value, amount or day that the case
names is the same. A retraction has no quote of its own.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from engine.conversation import Amount, Operation, Period, SlotChange, apply
from engine.deadline import Deadline
from engine.domain import Domain
from engine.local.provider import LocalProvider
from engine.reading import reader
from engine.stages import CaptureInput
from engine.steps import CAPTURE
from server.evaluation.figures import Figure, Grid, Section
from server.evaluation.scores import Tally, is_verbatim, occurrences, overlap, share

# The day on which the cases' dates are understood, unless their file names another.
TODAY = date(2026, 11, 21)
F1_AIM = 0.80
_SLACK = 1e-6


class Expected(BaseModel):
    """A change that a careful reader would mark; what is left out is not compared."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    slot: str
    op: Operation = Operation.SET
    quote: str = ""
    value: str = ""
    amount: tuple[float, float] | None = None
    first_day: str | None = None
    last_day: str | None = None


class Case(BaseModel):
    """A message, what was known before it, and all that is to be found in it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    message: str
    # As a caller of CreateConversation would give it.
    known: dict[str, str] = {}
    expect: tuple[Expected, ...] = ()


class Cases(BaseModel):
    """The file of cases."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    today: date = TODAY
    case: tuple[Case, ...] = ()


@dataclass(slots=True)
class _Counts:
    tallies: dict[str, Tally]
    quotes: int = 0
    verbatim: int = 0
    # Cases with nothing to find, and those of them in which nothing was found.
    empty: int = 0
    left_alone: int = 0


def read(pack: Path) -> Cases:
    """The cases of a pack's directory; none where it has no such file."""
    return read_file(pack / "slot_cases.toml")


def read_file(file: Path) -> Cases:
    """The cases of one file; none where it is missing."""
    return Cases.model_validate(tomllib.loads(file.read_text()) if file.is_file() else {})


async def evaluate(provider: LocalProvider, domain: Domain, cases: Cases) -> Section:
    """Precision, recall and F1 of each slot and of all together."""
    counts = _Counts({slot.name: Tally() for slot in domain.slots})
    for case in cases.case:
        changes = await _changes(provider, domain, case, cases.today)
        quoted = [change.value for change in changes if change.value]
        counts.quotes += len(quoted)
        counts.verbatim += sum(is_verbatim(case.message, value.quote, value.quote_start) for value in quoted)
        counts.empty += not case.expect
        counts.left_alone += not case.expect and not changes
        for name, tally in compared(case.message, case.expect, changes).items():
            counts.tallies[name] = counts.tallies.get(name, Tally()) + tally
    total = sum(counts.tallies.values(), Tally())
    return Section(
        f"Slots: held-out cases of {domain.id}",
        f"{len(cases.case)} messages, dates as of {cases.today}; right: slot, operation, quote, and value where given",
        (
            Figure("micro precision", total.precision),
            Figure("micro recall", total.recall),
            Figure("micro F1", total.f1, F1_AIM),
            Figure("quotes", counts.quotes),
            Figure("quotes verbatim", share(counts.verbatim, counts.quotes), 1.0),
            Figure("messages with nothing to find, left alone", share(counts.left_alone, counts.empty)),
        ),
        (_by_slot(counts.tallies),),
    )


def compared(message: str, expected: Sequence[Expected], changes: Sequence[SlotChange]) -> dict[str, Tally]:
    """By slot: how many changes are right; each answers one expectation at most."""
    tallies: dict[str, Tally] = {}
    left = list(expected)
    for change in changes:
        match = next((wanted for wanted in left if is_right(message, wanted, change)), None)
        if match is not None:
            left.remove(match)
        tallies[change.name] = tallies.get(change.name, Tally()) + Tally(match is not None, 1)
    for wanted in expected:
        tallies[wanted.slot] = tallies.get(wanted.slot, Tally()) + Tally(expected=1)
    return tallies


def is_right(message: str, expected: Expected, change: SlotChange) -> bool:
    """Whether a change is the expected one, as far as that says."""
    value = change.value or change.previous
    if change.name != expected.slot or change.operation != expected.op or value is None:
        return False
    if expected.value and value.text.casefold() != expected.value.casefold():
        return False
    if change.operation is Operation.RETRACT:
        return True
    end = value.quote_start + len(value.quote)
    return (
        any(overlap(value.quote_start, end, *place) for place in occurrences(expected.quote, message))
        and _same_amount(expected, value.typed)
        and _same_days(expected, value.typed)
    )


def _same_amount(expected: Expected, typed: Amount | Period | None) -> bool:
    if expected.amount is None:
        return True
    return isinstance(typed, Amount) and all(
        math.isclose(said, wanted, abs_tol=_SLACK)
        for said, wanted in zip((typed.min, typed.max), expected.amount, strict=True)
    )


def _same_days(expected: Expected, typed: Amount | Period | None) -> bool:
    if expected.first_day is None and expected.last_day is None:
        return True
    return (
        isinstance(typed, Period)
        and expected.first_day in {None, typed.first_day}
        and expected.last_day in {None, typed.last_day}
    )


async def _changes(provider: LocalProvider, domain: Domain, case: Case, today: date) -> tuple[SlotChange, ...]:
    known = {name: (reader(domain).given(name, text, today),) for name, text in case.known.items()}
    asked = CaptureInput(domain, case.message, known, today, turn=1)
    found = await provider.answer(CAPTURE, asked, Deadline(math.inf))
    _, changes = apply(known, found.findings, domain.lists)
    return changes


def _by_slot(tallies: dict[str, Tally]) -> Grid:
    header = ("slot", "expected", "found", "right", "precision", "recall", "F1")
    return Grid("By slot", header, tuple(_row(name, tally) for name, tally in _ordered(tallies.items())))


def _ordered(items: Iterable[tuple[str, Tally]]) -> list[tuple[str, Tally]]:
    """The worst first."""
    return sorted(items, key=lambda item: (item[1].f1, item[0]))


def _row(name: str, of: Tally) -> tuple[str | int | float, ...]:
    return name, of.expected, of.found, of.right, of.precision, of.recall, of.f1
