"""What each stage of a turn is asked, and what it answers.

These types belong to nobody below the turn: the built-in engine and the remote providers
both take the same questions and give the same answers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from engine.conversation import Exchange, Finding, SlotChange, Slots
from engine.domain import Catalog, Domain, Play, Policy
from engine.reconcile import Detection

Vector = NDArray[np.float32]


class Stage(StrEnum):
    """The parts of a turn that are timed, in the order in which they start."""

    QUEUE = "queue"
    LOOKUP = "lookup"
    CAPTURE = "capture"
    DETECT = "detect"
    SELECT = "select"
    GENERATE = "generate"
    COMMIT = "commit"


@dataclass(frozen=True, slots=True, eq=False)
class CaptureInput:
    """A message to read; dates in it are understood from `today`."""

    domain: Domain
    message: str
    known: Slots
    today: date
    # The turn that its findings belong to, counted from 1.
    turn: int


@dataclass(frozen=True, slots=True)
class CaptureOutput:
    """What was found, in the order in which it stands in the message."""

    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True, eq=False)
class DetectInput:
    """A message to place; `changes` is what capture made of it, known in the second pass only."""

    domain: Domain
    message: str
    vector: Vector
    known: Slots
    # The situation after the turn before; empty in the first turn.
    previous: str
    history: tuple[Exchange, ...]
    changes: tuple[SlotChange, ...] | None = None


DetectOutput = Detection


@dataclass(frozen=True, slots=True, eq=False)
class GenerateInput:
    """A reply to write: to what, in which situation, by which play, from which facts."""

    domain: Domain
    catalog: Catalog
    message: str
    vector: Vector
    slots: Slots
    situation: str
    play: Play
    history: tuple[Exchange, ...]
    # Values for the lines of the pack, prices and totals computed; see `engine.facts`.
    facts: Mapping[str, str] = field(default_factory=dict)
    # What policy obliges the agent to say, whatever the play.
    owed: tuple[Policy, ...] = ()
