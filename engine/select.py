"""Which play answers a situation: a ranking over the pack's data. Pure, no model call.

A play is out if the pack says so: a slot that it requires is not known, a situation that
forbids it is at hand, or no line of it can be filled from what is known. The others keep
the pack's order, moved back for every time they were used lately and for a deal that is
of another size than they are made for.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass

from engine import facts
from engine.conversation import Amount, Conversation, Slots
from engine.domain import Catalog, DealSize, Domain, Play, SlotType
from engine.template import parse

# A play that was used in the turn before goes behind the next two.
_REPEATED = 2.0
_USED_EARLIER = 0.75
_OTHER_SIZE = 1.5
_RECENT_TURNS = 6
LARGE_DEAL_FROM = 10_000.0


def deal_size(domain: Domain, catalog: Catalog, slots: Slots) -> DealSize:
    """Large from 10,000 of any currency: a budget, an offer, or quantity times price."""
    known = [
        value.typed.max
        for slot in domain.slots
        if slot.type is SlotType.MONEY
        for value in slots.get(slot.name, ())
        if isinstance(value.typed, Amount)
    ]
    count = facts.quantity(domain, slots)
    if count is not None:
        product = facts.product_for(domain, catalog, slots)
        months = 12 if "month" in product.per else 1
        known.append(count * product.price * months)
    if not known:
        return DealSize.ANY
    return DealSize.LARGE if max(known) >= LARGE_DEAL_FROM else DealSize.SMALL


def allowed(play: Play, situations: Set[str], known: Set[str], fillable: Set[str]) -> bool:
    """Whether the pack lets a play be used.

    Args:
        situations: the situation now, and the one a turn ago.
        known: names of the slots with a value.
        fillable: every name that a line can use now.
    """
    return (
        known >= set(play.requires)
        and situations.isdisjoint(play.forbidden_when)
        and any(parse(line).required <= fillable for line in play.lines)
    )


@dataclass(frozen=True, slots=True)
class Selection:
    """Ranks plays for one message; what does not depend on the situation is computed once."""

    domain: Domain
    # The situation a turn ago.
    previous: str
    # The plays of the latest turns, oldest first.
    recent: tuple[str, ...]
    known: frozenset[str]
    # Every name that a line can use, with its text; an answer is there for any question, if only "I do not know".
    facts: Mapping[str, str]
    size: DealSize

    def rank(self, situation: str, confidence: float = 1.0) -> tuple[Play, ...]:
        """The plays that fit a situation, best first; never empty.

        Where the situation is too unlikely to act on, the fallback's plays go before them.
        """
        ranked = self._fitting(situation)
        fallback = tuple(self.domain.plays_by_id[play] for play in self.domain.fallback.plays)
        if confidence < self.domain.unsure_below:
            ranked = fallback + tuple(play for play in ranked if play not in fallback)
        return ranked or fallback

    def _fitting(self, situation: str) -> tuple[Play, ...]:
        candidates = []
        for place, play_id in enumerate(self.domain.situations_by_id[situation].plays):
            play = self.domain.plays_by_id[play_id]
            if allowed(play, {situation, self.previous}, self.known, {*self.facts, "answer"}):
                candidates.append((place + self._penalty(play), play))
        candidates.sort(key=lambda candidate: candidate[0])
        return tuple(play for _, play in candidates)

    def _penalty(self, play: Play) -> float:
        used = 0 if play.repeatable else self.recent.count(play.id)
        other_size = DealSize.ANY not in {self.size, play.deal_size} and play.deal_size is not self.size
        return _USED_EARLIER * used + _REPEATED * (used > 0 and self.recent[-1] == play.id) + _OTHER_SIZE * other_size


def prepare(conversation: Conversation, domain: Domain, catalog: Catalog, slots: Slots) -> Selection:
    """What selection needs to know.

    Args:
        conversation: as it was before this turn.
        domain: its pack.
        catalog: the one that the talk is about.
        slots: with this turn's findings.
    """
    return Selection(
        domain,
        conversation.situation,
        tuple(exchange.play for exchange in conversation.history[-_RECENT_TURNS:]),
        frozenset(name for name, values in slots.items() if values),
        facts.values(domain, catalog, slots),
        deal_size(domain, catalog, slots),
    )
