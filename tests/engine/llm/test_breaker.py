"""The breaker: opens on failures, closes on a probe's success, and is moved by no cancelled call."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from engine.llm.breaker import Breaker, BreakerSettings, State

SETTINGS = BreakerSettings(
    outcomes_max=6, outcomes_min=3, failed_share=0.5, moment_s=0.0, open_s=1.0, open_s_max=4.0, probe_s_max=9.0
)


def opened(at_s: float = 0.0) -> Breaker:
    breaker = Breaker(SETTINGS)
    for _ in range(SETTINGS.outcomes_min):
        breaker.failed(at_s)
    assert breaker.state(at_s) is State.OPEN
    return breaker


def test_it_opens_when_enough_is_known_and_half_of_it_failed() -> None:
    breaker = Breaker(SETTINGS)
    for outcome in (breaker.failed, breaker.failed):
        outcome(0.0)
    assert breaker.state(0.0) is State.CLOSED
    breaker.succeeded(0.0)
    assert breaker.state(0.0) is State.CLOSED
    breaker.failed(0.0)
    assert breaker.state(0.0) is State.OPEN
    assert not breaker.admits(0.5)
    assert not breaker.begin(0.5)


def test_what_fails_in_one_moment_fails_once() -> None:
    breaker = Breaker(BreakerSettings(outcomes_min=3, moment_s=0.1))
    for _ in range(50):
        breaker.failed(1.0)
    assert breaker.state(1.0) is State.CLOSED
    breaker.failed(1.2)
    breaker.failed(1.4)
    assert breaker.state(1.4) is State.OPEN


def test_old_outcomes_are_forgotten() -> None:
    breaker = Breaker(SETTINGS)
    for _ in range(2):
        breaker.failed(0.0)
    for _ in range(SETTINGS.outcomes_max):
        breaker.succeeded(0.0)
    breaker.failed(0.0)
    breaker.failed(0.0)
    assert breaker.state(0.0) is State.CLOSED


def test_in_half_open_there_is_one_probe() -> None:
    breaker = opened()
    assert breaker.state(1.0) is State.HALF_OPEN
    assert breaker.begin(1.0)
    assert not breaker.begin(1.1)
    breaker.succeeded(1.5)
    assert breaker.state(1.5) is State.CLOSED
    assert breaker.begin(1.5)
    # The old failures are forgiven.
    breaker.failed(1.6)
    assert breaker.state(1.6) is State.CLOSED


def test_a_failed_probe_opens_it_for_twice_as_long_up_to_a_bound() -> None:
    breaker = opened()
    now_s, waits = 0.0, []
    for _ in range(5):
        start_s = now_s
        while not breaker.begin(now_s):
            now_s += 0.25
        waits.append(now_s - start_s)
        breaker.failed(now_s)
    assert waits == [1.0, 2.0, 4.0, 4.0, 4.0]


def test_a_cancelled_probe_gives_its_place_back() -> None:
    breaker = opened()
    assert breaker.begin(1.0)
    breaker.cancelled(1.2)
    assert breaker.state(1.2) is State.HALF_OPEN
    assert breaker.begin(1.2)


def test_a_probe_that_never_reports_is_given_up() -> None:
    breaker = opened()
    assert breaker.begin(1.0)
    assert not breaker.admits(9.9)
    assert breaker.begin(10.0)


def test_what_was_begun_before_it_opened_does_not_close_it() -> None:
    breaker = opened()
    breaker.succeeded(0.5)
    assert breaker.state(0.5) is State.OPEN
    breaker.failed(0.6)
    assert breaker.state(1.0) is State.HALF_OPEN


@given(
    st.lists(st.tuples(st.sampled_from(["begin", "succeeded", "failed", "cancelled"]), st.floats(0, 3)), max_size=60)
)
def test_in_any_order_it_lets_one_probe_through_and_cancelled_calls_never_move_it(
    steps: list[tuple[str, float]],
) -> None:
    breaker = Breaker(SETTINGS)
    now_s = 0.0
    probes = 0
    for what, later_s in steps:
        now_s += later_s
        before = breaker.state(now_s)
        if what == "begin":
            through = breaker.begin(now_s)
            assert through == (before is State.CLOSED or (before is State.HALF_OPEN and through))
            assert not (through and before is State.OPEN)
            probes = probes + 1 if through and before is State.HALF_OPEN else probes
        else:
            getattr(breaker, what)(now_s)
            if what == "cancelled":
                assert breaker.state(now_s) is before
        # It always comes back by itself.
        assert breaker.state(now_s + SETTINGS.open_s_max) is not State.OPEN
