"""Schema-Guided Dialogue (Rastogi et al., AAAI 2020): spans of money, dates and counts, and values that change.

Users of travel, booking and banking services, annotated to the character. A small pack of
the repository reads every figure and period that it meets into four slots, so what is
measured is the recognition of spans, not the cues of a trade.

Spans: each user message on its own, through Analyze. An annotated span is touched if a quote of
a slot of its kind overlaps it, whole if such a quote holds all of it, and exact if both have the
same ends. Touched is not enough: "Wednesday" for "Wednesday next week" is another day. Exact asks
for more than is right: the annotation leaves out "the" and "from", and what is counted.

Overwritten: each dialogue is one conversation, its user messages analysed and persisted in
order. Counted are the turns in which the annotated state replaces a value, and the user says
the new one: a day that the system proposed and the user agreed to has no words to quote. The pack
has one slot for all dates, where the data tells a departure from a return: every further date is
a CHANGE to it. That makes CHANGE easy to report, and is why few CHANGEs replace a value there.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import BaseModel
from repartee.v1 import conversation_pb2 as pb
from rich.progress import Progress

from server.evaluation.figures import Figure, Grid, Section
from server.evaluation.scores import is_verbatim, overlap, share
from server.evaluation.service import Service, each

FILE = Path("sgd", "dev_slice.jsonl")
# Kept beside the benchmarks: it is a yardstick, not a pack that anybody serves.
PACKS = Path(__file__).parents[2] / "benchmarks" / "packs"
DOMAIN = "booking"
# Of the schema's slots, those that hold a date, an amount of money or a number of things. Times
# of day, ratings, numbers of stops and whatever only the system states are left out.
KINDS = {
    "date": (
        "date departure_date return_date check_in_date appointment_date visit_date leaving_date pickup_date dropoff_date"
    ).split(),
    "money": ["transfer_amount"],
    "count": (
        "number_of_days stay_length number_of_seats number_of_rooms number_of_riders number_of_beds number_of_baths "
        "number_checked_bags passengers travelers"
    ).split(),
}
# The pack's slots of each kind. Nights and days are lengths of time, and have one of their own.
READ_AS = {"date": {"date"}, "money": {"price"}, "count": {"count", "length"}}
_KIND_OF = {name: kind for kind, names in KINDS.items() for name in names}
_NUMBER_WORDS = "zero one two three four five six seven eight nine ten eleven twelve".split()
_ANYTHING = "dontcare"


class Span(BaseModel):
    """Where a slot's value stands in a turn, [start, end)."""

    slot: str
    start: int
    end: int


class Frame(BaseModel):
    """What a turn says about one service, and the state after it: several spellings of each value."""

    service: str
    spans: tuple[Span, ...] = ()
    slot_values: dict[str, tuple[str, ...]] = {}


class Turn(BaseModel):
    """One thing said by either side."""

    speaker: str
    text: str
    frames: tuple[Frame, ...]


class Dialogue(BaseModel):
    """A user's talk with an assistant, over one service or several."""

    id: str
    turns: tuple[Turn, ...]

    @property
    def users(self) -> list[Turn]:
        return [turn for turn in self.turns if turn.speaker == "user" and turn.text.strip()]


@dataclass(frozen=True, slots=True)
class Update:
    """A user turn in which the state takes up a value of some kind."""

    turn: int
    kind: str
    # Where the user says the new value; empty where the user does not.
    places: tuple[tuple[int, int], ...]
    # Another value is replaced; else none was known.
    overwrites: bool


@dataclass(slots=True)
class Tracked:
    """One dialogue: what its state took up, and what was reported."""

    updates: list[Update]
    # By turn.
    changes: list[Sequence[pb.SlotChange]] = field(default_factory=list)


def read(data: Path) -> list[Dialogue]:
    """All dialogues."""
    return [Dialogue.model_validate(json.loads(line)) for line in (data / FILE).read_text().splitlines()]


def updates(dialogue: Dialogue) -> Iterator[Update]:
    """Every value of a known kind that the state takes up, in order."""
    known: dict[tuple[str, str], set[str]] = {}
    for number, turn in enumerate(dialogue.users):
        for frame in turn.frames:
            for slot, values in frame.slot_values.items():
                before, now = known.get((frame.service, slot), set()), {*values} - {_ANYTHING}
                if slot in _KIND_OF and now and not before & now:
                    yield Update(number, _KIND_OF[slot], tuple(_said(turn, frame, slot, now)), bool(before))
                known[frame.service, slot] = now


def _said(turn: Turn, frame: Frame, slot: str, values: set[str]) -> Iterator[tuple[int, int]]:
    """Where a turn says a value: its spans, or the number itself; the schema gives counts up to nine no span."""
    yield from ((span.start, span.end) for span in frame.spans if span.slot == slot)
    if _KIND_OF[slot] != "count":
        return
    for value in values:
        word = f"|{_NUMBER_WORDS[int(value)]}" if value.isdecimal() and int(value) < len(_NUMBER_WORDS) else ""
        for match in re.finditer(rf"\b(?:{re.escape(value)}{word})\b", turn.text, re.IGNORECASE):
            yield match.span()


def touched(change: pb.SlotChange, kind: str, places: Sequence[tuple[int, int]]) -> bool:
    """Whether a change has its value from one of these places, or from a part of it."""
    start, end = _ends(change)
    return change.name in READ_AS[kind] and any(overlap(start, end, *place) for place in places)


def whole(change: pb.SlotChange, kind: str, places: Sequence[tuple[int, int]]) -> bool:
    """Whether the quote of a change of this kind holds all of one of these places."""
    start, end = _ends(change)
    return change.name in READ_AS[kind] and any(start <= first and last <= end for first, last in places)


def _ends(change: pb.SlotChange) -> tuple[int, int]:
    return change.value.quote_start, change.value.quote_start + len(change.value.quote)


async def evaluate(service: Service, dialogues: Sequence[Dialogue], progress: Progress) -> Section:
    """Recall of spans, then of changes, through a server that has the booking pack."""
    said = [(dialogue, turn) for dialogue in dialogues for turn in dialogue.users]

    async def read_alone(item: tuple[Dialogue, Turn]) -> Sequence[pb.SlotChange]:
        answer = await service.analyze(item[1].text, domain=DOMAIN)
        return answer.changes if answer else []

    async def follow(dialogue: Dialogue) -> Tracked:
        return await _follow(service, dialogue)

    found = await each(said, read_alone, progress, "SGD, spans")
    tracked = await each(dialogues, follow, progress, "SGD, changes")
    quotes = [(turn.text, change.value) for (_, turn), changes in zip(said, found, strict=True) for change in changes]
    verbatim = sum(is_verbatim(text, value.quote, value.quote_start) for text, value in quotes)
    spans, span_grid = _spans([turn for _, turn in said], found)
    changes, change_grid = _changes(tracked)
    return Section(
        "Spans and changes: Schema-Guided Dialogue",
        f"{len(dialogues)} dialogues, {len(said)} user messages through Analyze with the {DOMAIN} pack",
        (
            Figure("failed calls", service.errors.total(), 0, at_most=True),
            Figure("quotes", len(quotes)),
            Figure("quotes verbatim", share(verbatim, len(quotes)), 1.0),
            *spans,
            *changes,
        ),
        (span_grid, change_grid),
    )


async def _follow(service: Service, dialogue: Dialogue) -> Tracked:
    """One dialogue as one conversation, its user messages analysed and persisted in order."""
    tracked = Tracked(list(updates(dialogue)))
    opened = await service.create(f"sgd-{dialogue.id}", DOMAIN)
    for turn in dialogue.users:
        answer = await service.analyze(turn.text, conversation=opened.name) if opened else None
        tracked.changes.append(answer.changes if answer else [])
    return tracked


def _spans(turns: Sequence[Turn], found: Sequence[Sequence[pb.SlotChange]]) -> tuple[tuple[Figure, ...], Grid]:
    """Recall of annotated spans, of all and by kind."""
    rows = {kind: Counter[str]() for kind in KINDS}
    for turn, changes in zip(turns, found, strict=True):
        for span in (span for frame in turn.frames for span in frame.spans if span.slot in _KIND_OF):
            kind, place = _KIND_OF[span.slot], (span.start, span.end)
            hits = [change for change in changes if touched(change, kind, [place])]
            rows[kind]["annotated"] += 1
            rows[kind]["touched"] += bool(hits)
            rows[kind]["whole"] += any(whole(change, kind, [place]) for change in hits)
            rows[kind]["exact"] += any(_ends(change) == place for change in hits)
    total = sum(rows.values(), Counter[str]())
    measures = ("whole", "touched", "exact")
    grid = Grid(
        "Spans",
        ("kind", "annotated", *measures),
        tuple(
            (kind, row["annotated"], *(share(row[m], row["annotated"]) for m in measures)) for kind, row in rows.items()
        ),
    )
    return tuple(Figure(f"spans found: {m}", share(total[m], total["annotated"])) for m in measures), grid


def _changes(tracked: Sequence[Tracked]) -> tuple[tuple[Figure, ...], Grid]:
    """Whether a replaced value is reported as CHANGE, and how many CHANGEs the state bears out.

    SET is what is reported where nothing was captured before: that column is beside it.
    """
    rows = {kind: Counter[str]() for kind in KINDS}
    for dialogue in tracked:
        for update in dialogue.updates:
            if update.overwrites:
                _count_update(rows[update.kind], update, dialogue.changes[update.turn])
        for number, changes in enumerate(dialogue.changes):
            here = [update for update in dialogue.updates if update.turn == number]
            for change in changes:
                if change.operation == pb.SLOT_OPERATION_CHANGE:
                    kind = next(kind for kind, names in READ_AS.items() if change.name in names)
                    rows[kind]["reports"] += 1
                    rows[kind]["taken up"] += any(update.kind == kind for update in here)
                    rows[kind]["justified"] += any(update.kind == kind and update.overwrites for update in here)
    total = sum(rows.values(), Counter[str]())
    keys = ("replaced", "said", "change", "whole", "set", "reports", "justified", "taken up")
    grid = Grid(
        "Overwritten values",
        ("kind", "replaced", "and said", "CHANGE", "whole", "SET", "CHANGEs", "state replaces", "state takes up"),
        tuple((kind, *(rows[kind][key] for key in keys)) for kind in KINDS),
    )
    return (
        Figure("overwritten values reported as CHANGE", share(total["change"], total["said"])),
        Figure("overwritten values reported as CHANGE, whole", share(total["whole"], total["said"])),
        Figure("CHANGEs where the state replaces a value", share(total["justified"], total["reports"])),
        Figure("CHANGEs where it replaces or takes up one", share(total["taken up"], total["reports"])),
    ), grid


def _count_update(row: Counter[str], update: Update, changes: Sequence[pb.SlotChange]) -> None:
    """How one replaced value was reported."""
    said = [change for change in changes if touched(change, update.kind, update.places)]
    changed = [change for change in said if change.operation == pb.SLOT_OPERATION_CHANGE]
    row["replaced"] += 1
    row["said"] += bool(update.places)
    row["change"] += bool(changed)
    row["whole"] += any(whole(change, update.kind, update.places) for change in changed)
    row["set"] += bool(said) and not changed
