"""CraigslistBargain (He et al., EMNLP 2018): whole negotiations replayed, turn by turn, over gRPC.

The buyer's side is sent through Respond, one message at a time, also where the buyer says
several in a row. What the seller said is written down through RecordTurn, with no message of
the buyer. Only what was typed is sent: the buttons of the experiment ("offer 243", "accept")
hold the agreed price itself and stay out.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from google.protobuf.duration_pb2 import Duration
from pydantic import BaseModel
from repartee.v1 import conversation_pb2 as pb
from repartee.v1 import operations_pb2 as ops
from rich.progress import Progress

from engine.figures import Kind, figures
from server.evaluation.figures import Cell, Figure, Grid, Section
from server.evaluation.scores import is_verbatim, quantiles, share
from server.evaluation.service import Service, each

FILE = Path("craigslist_bargain", "dev.jsonl")
SLOT = "price_offer"
PRICE_AIM, BUYER_AIM, RERUN_AIM = 0.90, 0.60, 0.20
# A figure in a recorded reply is about the price if it is within these shares of the list price. Set
# before anything was measured with them, and not fitted since.
BAND = (0.4, 1.25)
_CENT = 0.005


class Said(BaseModel):
    """One thing that was done in a negotiation; only messages have a text."""

    role: str
    action: str
    text: str = ""


class Outcome(BaseModel):
    """How it ended; a price without a deal is one that was turned down."""

    deal: bool
    price: float | None = None


class Dialogue(BaseModel):
    """One negotiation."""

    id: str
    list_price: float
    turns: tuple[Said, ...]
    outcome: Outcome

    @property
    def messages(self) -> list[Said]:
        return [turn for turn in self.turns if turn.action == "message" and turn.text.strip()]

    @property
    def agreed(self) -> float | None:
        return self.outcome.price if self.outcome.deal else None


@dataclass(slots=True)
class Replay:
    """What a caller of the API knows after one negotiation."""

    quotes: int = 0
    verbatim: int = 0
    # The latest figure of either side, the buyer's latest offer, and the seller's latest price.
    latest: float | None = None
    buyer: float | None = None
    seller: float | None = None
    respond_ms: list[float] = field(default_factory=list)


def read(data: Path) -> list[Dialogue]:
    """All negotiations."""
    return [Dialogue.model_validate(json.loads(line)) for line in (data / FILE).read_text().splitlines()]


def price_in(text: str, list_price: float) -> float | None:
    """The last figure of a message that can be a price of this article, if any.

    People rarely write a currency, so bare numbers count; years, mileages and sizes mostly
    fall outside the band. The upper end stands for a range.
    """
    low, high = (bound * list_price for bound in BAND)
    prices = [f.max for f in figures(text) if f.kind in {Kind.MONEY, Kind.NUMBER} and low <= f.max <= high]
    return prices[-1] if prices else None


def last_price(dialogue: Dialogue) -> float | None:
    """The last figure in the band that either side typed: what a caller gets without this service."""
    prices = [price_in(said.text, dialogue.list_price) for said in dialogue.messages]
    return next((price for price in reversed(prices) if price is not None), None)


def same_price(one: float | None, other: float | None) -> bool:
    """Whether both are known, and the same to the cent."""
    return one is not None and other is not None and abs(one - other) < _CENT


async def replay(service: Service, dialogue: Dialogue, domain: str) -> Replay:
    """One negotiation from its start; stops early only where its conversation cannot be opened.

    `latest` is the price on the table, by a rule that any caller could apply: the amount of
    the last `price_offer` that a turn set or changed, or the last `price_in` in a reply
    that was recorded, whichever came later.
    """
    done = Replay()
    opened = await service.create(f"craigslist-{dialogue.id}", domain)
    if opened is None:
        return done
    for number, said in enumerate(dialogue.messages):
        request_id = f"{dialogue.id}/{number}"
        if said.role == "seller":
            recorded = await service.record(opened.name, said.text, request_id)
            price = price_in(said.text, dialogue.list_price) if recorded else None
            done.seller, done.latest = (price, price) if price is not None else (done.seller, done.latest)
        elif answer := await service.respond(opened.name, said.text, request_id):
            _read_answer(done, answer.turn, said.text)
    ended = await service.get(opened.name)
    if ended is not None and SLOT in ended.slots:
        done.buyer = ended.slots[SLOT].values[-1].amount.max
    return done


def _read_answer(done: Replay, turn: pb.Turn, message: str) -> None:
    done.respond_ms.append(_ms(turn.trace.total))
    for change in turn.changes:
        if change.operation == pb.SLOT_OPERATION_RETRACT:
            continue
        done.quotes += 1
        done.verbatim += is_verbatim(message, change.value.quote, change.value.quote_start)
        if change.name == SLOT:
            done.latest = change.value.amount.max


async def evaluate(service: Service, dialogues: Sequence[Dialogue], domain: str, progress: Progress) -> Section:
    """Replays all negotiations and asks the server how it went. The server must be fresh."""

    async def one(dialogue: Dialogue) -> Replay:
        return await replay(service, dialogue, domain)

    replays = await each(dialogues, one, progress, "CraigslistBargain")
    reconciled, latencies = await service.reconciled(), await service.latencies()
    said = [message for dialogue in dialogues for message in dialogue.messages]
    quotes = sum(r.quotes for r in replays)
    buyers = sum(message.role == "buyer" for message in said)
    return Section(
        "Negotiations: CraigslistBargain",
        f"{len(dialogues)} dialogues over gRPC; {buyers} buyer messages one by one through Respond, "
        f"{len(said) - buyers} of sellers through RecordTurn",
        (
            Figure("failed calls", service.errors.total(), 0, at_most=True),
            Figure("quotes", quotes),
            Figure("quotes verbatim", share(sum(r.verbatim for r in replays), quotes), 1.0),
            *_price_figures(dialogues, replays),
            Figure("turns in which detect ran again", reconciled.reconcile_rate, RERUN_AIM, at_most=True),
        ),
        (_triggers(reconciled), _latencies(latencies, replays)),
    )


def _price_figures(dialogues: Sequence[Dialogue], replays: Sequence[Replay]) -> tuple[Figure, ...]:
    deals = [(d, r, d.agreed) for d, r in zip(dialogues, replays, strict=True) if d.agreed is not None]
    latest = sum(same_price(r.latest, price) for _, r, price in deals)
    either = sum(same_price(r.buyer, price) or same_price(r.seller, price) for _, r, price in deals)
    buyer = sum(same_price(r.buyer, price) for _, r, price in deals)
    plain = sum(same_price(last_price(d), price) for d, _, price in deals)
    typed = sum(any(same_price(f, price) for f in _typed(d)) for d, _, price in deals)
    return (
        Figure("priced deals", len(deals)),
        Figure("agreed price, from both sides: the latest figure", share(latest, len(deals)), PRICE_AIM),
        Figure("agreed price, from the buyer's words alone", share(buyer, len(deals)), BUYER_AIM),
        Figure("yardstick: the last figure in the band, either side", share(plain, len(deals))),
        Figure("yardstick: either side's latest figure, two guesses", share(either, len(deals))),
        Figure("ceiling: deals whose price is typed anywhere", share(typed, len(deals))),
    )


def _typed(dialogue: Dialogue) -> list[float]:
    """All figures that either side typed, whatever they are about."""
    return [bound for said in dialogue.messages for f in figures(said.text) for bound in (f.min, f.max)]


def _triggers(stats: ops.GetReconcileStatsResponse) -> Grid:
    rows = tuple(
        (name, of.fired, of.reran, of.changed, share(of.fired, stats.turns), share(of.changed, of.reran))
        for name, of in sorted(stats.triggers.items())
    )
    header = ("trigger", "fired", "reran", "changed the play", "fired, of turns", "changed, of reruns")
    return Grid("Second pass", header, rows)


def _latencies(stats: ops.GetLatencyStatsResponse, replays: Sequence[Replay]) -> Grid:
    """Of the server's windows, and of the answered turns alone, as each one's trace tells."""
    of = {"turn, recorded ones counted in": stats.turn} | dict(sorted(stats.stages.items()))
    answered = [value for r in replays for value in r.respond_ms]
    rows: list[tuple[Cell, ...]] = [("turn, answered ones", len(answered), *_rounded(quantiles(answered)))]
    for name, window in of.items():
        if window.count:
            rows.append((name, window.count, *_rounded(map(_ms, (window.p50, window.p95, window.p99)))))
    return Grid("Time in the server, 16 dialogues at once", ("of", "count", "p50 ms", "p95 ms", "p99 ms"), tuple(rows))


def _ms(span: Duration) -> float:
    return span.ToNanoseconds() / 1e6


def _rounded(values: Iterable[float]) -> tuple[float, ...]:
    return tuple(round(value, 3) for value in values)
