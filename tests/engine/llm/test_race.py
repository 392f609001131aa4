"""The race itself: a valid answer wins, failures do not, and nothing runs on when it is over."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from engine.llm.course import Course, Start
from engine.llm.model import Kind, ModelError, Tokens
from engine.llm.race import Leg, StreamTimeouts, first_valid
from engine.step import Routing
from tests.engine.llm.models import TOKENS, Does, ScriptedModel, text
from tests.virtual_time import cancelled_at, other_tasks, run, virtual_loop

BROKEN = ModelError(Kind.CONNECTION, "gone")
TIMEOUTS = StreamTimeouts(first_s=2.0, between_s=1.0, total_s=10.0)


async def raced(
    routing: Routing, *calls: tuple[float, str | BaseException], hedge_after_s: float | None = None
) -> tuple[str | None, float, list[int]]:
    """What won, when, and which calls were cancelled; a call is how long it takes and what it comes to."""
    cancelled: list[int] = []
    discarded: list[str] = []

    async def start(move: Start) -> str:
        takes_s, outcome = calls[move.target]
        try:
            await asyncio.sleep(takes_s)
        except asyncio.CancelledError:
            cancelled.append(move.target)
            raise
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    async def discard(answer: str) -> None:
        discarded.append(answer)

    course = Course(routing, range(len(calls)), 0.0, 60.0, hedge_after_s)
    won = await first_valid(course, start, discard, lambda: 0.5, lambda: True)
    return (won[1] if won else None), virtual_loop().time(), cancelled


def test_the_first_answer_wins_and_the_others_are_cancelled() -> None:
    assert run(raced(Routing.RACE, (12.0, "slow"), (0.5, "fast"), (3.0, "middle"))) == ("fast", 0.5, [0, 2])


def test_a_failure_that_comes_first_does_not_end_the_race() -> None:
    assert run(raced(Routing.RACE, (0.1, BROKEN), (2.0, "valid"))) == ("valid", 2.0, [])


def test_of_two_at_the_same_moment_the_preferred_one_wins_and_the_other_is_discarded() -> None:
    won, at_s, cancelled = run(raced(Routing.RACE, (1.0, "preferred"), (1.0, "other")))
    assert (won, at_s, cancelled) == ("preferred", 1.0, [])


def test_a_race_is_over_when_all_have_failed_for_good() -> None:
    refused = ModelError(Kind.AUTH, "no")
    assert run(raced(Routing.RACE, (0.1, refused), (0.3, refused))) == (None, 0.3, [])


def test_failover_goes_on_at_once() -> None:
    assert run(raced(Routing.FAILOVER, (0.2, BROKEN), (0.3, "second"))) == ("second", 0.5, [])


def test_a_hedge_overtakes_a_straggler() -> None:
    assert run(raced(Routing.HEDGE, (30.0, "straggler"), (0.4, "hedge"), hedge_after_s=0.5)) == ("hedge", 0.9, [0])
    assert run(raced(Routing.HEDGE, (0.4, "quick"), (0.4, "hedge"), hedge_after_s=0.5)) == ("quick", 0.4, [])


def test_whoever_is_cancelled_in_the_middle_leaves_nothing_behind() -> None:
    async def once(point: int) -> bool:
        task, cut = await cancelled_at(point, raced(Routing.RACE, (0.3, BROKEN), (0.6, "one"), (0.6, "two")))
        assert other_tasks() == set()
        assert task.cancelled() == cut
        return cut

    points = 1
    while run(once(points)):
        points += 1
    assert points > 5


# -- a leg


async def read(*does: Does, between: Callable[[Leg], None] | None = None) -> tuple[str, ScriptedModel, Leg]:
    model = ScriptedModel("p", [does])
    leg = Leg(model.stream(text()), TIMEOUTS)
    said = ""
    try:
        await leg.begun()
        async for piece in leg.pieces():
            said += piece
    finally:
        await leg.aclose()
        assert model.open == 0
        assert other_tasks() == set()
    return said, model, leg


def test_a_leg_gives_all_its_text_and_what_it_took() -> None:
    said, _, leg = run(read(0.1, "Tell ", 0.2, "me.", TOKENS))
    assert (said, leg.text, leg.tokens, leg.first_text_at_s) == ("Tell me.", "Tell me.", TOKENS, 0.1)


def test_what_comes_before_it_is_asked_for_is_kept() -> None:
    async def later() -> str:
        model = ScriptedModel("p", [["One, ", "two, ", 0.1, "three.", TOKENS]])
        leg = Leg(model.stream(text()), TIMEOUTS)
        await leg.begun()
        await asyncio.sleep(5)
        return "".join([piece async for piece in leg.pieces()])

    assert run(later()) == "One, two, three."


@pytest.mark.parametrize(
    ("does", "kind"),
    [
        ((0.1, BROKEN), Kind.CONNECTION),
        ((TOKENS,), Kind.INVALID_OUTPUT),
        ((5.0, "too late"), Kind.TIMEOUT),
        (("one", 3.0, "two"), Kind.TIMEOUT),
        (("one", BROKEN), Kind.CONNECTION),
        (tuple([0.9, "on and on "] * 20), Kind.TIMEOUT),
    ],
)
def test_a_leg_that_dies_says_of_what_and_is_gone(does: tuple[Does, ...], kind: Kind) -> None:
    with pytest.raises(ModelError) as caught:
        run(read(*does))
    assert caught.value.kind is kind


def test_a_leg_that_is_dropped_ends_its_call() -> None:
    async def dropped() -> ScriptedModel:
        model = ScriptedModel("p", [["one", 60.0, "two", Tokens()]])
        leg = Leg(model.stream(text()), TIMEOUTS)
        await leg.begun()
        await leg.aclose()
        return model

    model = run(dropped())
    assert (model.open, model.cancelled) == (0, 1)
