"""Who starts next, and when: every rule of the four courses, and what holds in any order of events."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.llm.course import ATTEMPTS_MAX, Course, Move, Over, Start, Wait
from engine.llm.model import Kind, ModelError
from engine.step import Routing

OVERLOADED = ModelError(Kind.OVERLOADED, "busy")
REFUSED = ModelError(Kind.AUTH, "who are you?")


def course(
    routing: Routing, models: int = 2, *, deadline_s: float = 10.0, hedge_after_s: float | None = None
) -> Course:
    return Course(routing, range(models), 0.0, deadline_s, hedge_after_s)


def moves(of: Course, now_s: float, *, may_hedge: bool = True) -> list[Move]:
    """All starts of a moment, and what follows them."""
    made: list[Move] = []
    while not made or isinstance(made[-1], Start):
        made.append(of.next(now_s, may_hedge=may_hedge))
    return made


def test_a_race_starts_all_at_once() -> None:
    assert moves(course(Routing.RACE, 3), 0.0) == [Start(0), Start(1), Start(2), Wait()]


@pytest.mark.parametrize("routing", [Routing.FAILOVER, Routing.HEDGE, Routing.SINGLE])
def test_all_others_start_with_the_preferred_one(routing: Routing) -> None:
    assert moves(course(routing), 0.0) == [Start(0), Wait()]


@pytest.mark.parametrize("routing", [Routing.FAILOVER, Routing.HEDGE])
def test_a_failure_starts_the_next_one_at_once(routing: Routing) -> None:
    over = course(routing)
    moves(over, 0.0)
    over.failed(0, OVERLOADED, 0.3, 0.9)
    assert moves(over, 0.3) == [Start(1), Wait()]


def test_a_race_goes_on_while_somebody_runs() -> None:
    race = course(Routing.RACE)
    moves(race, 0.0)
    race.failed(0, OVERLOADED, 0.1, 1.0)
    assert moves(race, 9.0) == [Wait()]


def test_who_failed_is_tried_again_after_a_back_off_that_doubles() -> None:
    single = course(Routing.SINGLE)
    waits = []
    now_s = 0.0
    for _ in range(4):
        moves(single, now_s)
        single.failed(0, OVERLOADED, now_s, 1.0)
        move = single.next(now_s, may_hedge=False)
        assert isinstance(move, Wait)
        assert move.until_s is not None
        waits.append(move.until_s - now_s)
        now_s = move.until_s
    assert waits == pytest.approx([0.05, 0.1, 0.2, 0.4])


def test_what_the_provider_asks_for_is_kept() -> None:
    single = course(Routing.SINGLE)
    moves(single, 0.0)
    single.failed(0, ModelError(Kind.RATE_LIMITED, "slow down", retry_after_s=3.0), 1.0, 0.0)
    assert moves(single, 1.0) == [Wait(4.0)]
    assert moves(single, 4.0) == [Start(0), Wait()]


def test_nobody_is_waited_for_beyond_the_deadline() -> None:
    single = course(Routing.SINGLE, deadline_s=2.0)
    moves(single, 0.0)
    single.failed(0, ModelError(Kind.RATE_LIMITED, "slow down", retry_after_s=3.0), 1.0, 0.0)
    assert moves(single, 1.0) == [Over()]


@pytest.mark.parametrize("routing", list(Routing))
def test_a_failure_that_would_repeat_itself_is_not_repeated(routing: Routing) -> None:
    one = course(routing, models=1)
    moves(one, 0.0)
    one.failed(0, REFUSED, 0.1, 0.5)
    assert moves(one, 0.1) == [Over()]


def test_nobody_waits_for_the_same_model_in_vain_a_third_time() -> None:
    race = course(Routing.RACE, deadline_s=60.0)
    late = ModelError(Kind.TIMEOUT, "no answer in time")
    now_s = 0.0
    for _ in range(2):
        moves(race, now_s)
        race.failed(0, late, now_s + 4, 0.0)
        if 1 in race._running:
            race.failed(1, late, now_s + 4, 0.0)
        now_s += 4
    assert len(race.failures) == 3
    moves(race, now_s)
    race.failed(1, late, now_s + 4, 0.0)
    assert moves(race, now_s + 4) == [Over()]


def test_a_hedge_starts_when_the_first_is_slower_than_it_usually_is() -> None:
    hedge = course(Routing.HEDGE, 3, hedge_after_s=0.5)
    assert moves(hedge, 0.0) == [Start(0), Wait(0.5)]
    assert moves(hedge, 0.4) == [Wait(0.5)]
    # One more, never two.
    assert moves(hedge, 0.5) == [Start(1, hedge=True), Wait()]
    assert moves(hedge, 5.0) == [Wait()]


def test_a_hedge_needs_budget_and_a_known_delay() -> None:
    poor, unknown = course(Routing.HEDGE, hedge_after_s=0.5), course(Routing.HEDGE)
    assert moves(poor, 0.0, may_hedge=False) == [Start(0), Wait(0.5)]
    assert moves(poor, 0.5, may_hedge=False) == [Wait()]
    assert moves(unknown, 0.0) == [Start(0), Wait()]
    assert moves(unknown, 9.0) == [Wait()]


def test_without_models_it_is_over() -> None:
    assert moves(course(Routing.RACE, 0), 0.0) == [Over()]


def test_single_never_asks_another_one() -> None:
    single = course(Routing.SINGLE, 3)
    moves(single, 0.0)
    single.failed(0, REFUSED, 0.1, 0.5)
    assert moves(single, 0.1) == [Over()]


_ERRORS = st.builds(ModelError, st.sampled_from(Kind), st.just("no"), retry_after_s=st.floats(0, 3, allow_nan=False))


@given(
    st.sampled_from(Routing),
    st.integers(0, 4),
    st.one_of(st.none(), st.floats(0, 1)),
    st.lists(st.tuples(st.floats(0, 2), st.booleans(), st.integers(0, 3), _ERRORS, st.floats(0, 0.99)), max_size=30),
)
def test_in_any_order_of_events_calls_are_bounded_and_nobody_is_forgotten(
    routing: Routing,
    models: int,
    hedge_after_s: float | None,
    events: list[tuple[float, bool, int, ModelError, float]],
) -> None:
    of = course(routing, models, hedge_after_s=hedge_after_s)
    running: list[int] = []
    final: set[int] = set()
    starts = 0
    now_s = 0.0
    for step_s, may_hedge, which, error, draw in events:
        for move in moves(of, now_s, may_hedge=may_hedge):
            if isinstance(move, Start):
                assert move.target not in running, "one call a model at a time"
                assert move.target not in final
                assert may_hedge or not move.hedge
                running.append(move.target)
                starts += 1
            elif isinstance(move, Over):
                assert not running, "it is not over while somebody runs"
            else:
                assert running or (move.until_s or 0) > now_s, "nobody waits for nothing"
                assert move.until_s is None or move.until_s < of.deadline_s
        assert starts <= max(ATTEMPTS_MAX, models)
        now_s += step_s
        if running:
            failed = running.pop(which % len(running))
            of.failed(failed, error, now_s, draw)
            timed_out = [one for one, said in of.failures if said.kind is Kind.TIMEOUT]
            if error.kind.is_final or timed_out.count(failed) >= 2:
                final.add(failed)
    assert len(of.failures) + len(running) == starts
