"""The budget of extra calls: a share of the first ones, and none while the providers fail."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from engine.llm.hedging import HedgeBudget


def test_a_tenth_of_the_calls_may_be_extra_ones() -> None:
    budget = HedgeBudget(share=0.1)
    extra = 0
    for _ in range(1000):
        budget.called()
        if budget.may_hedge():
            budget.hedged()
            extra += 1
    assert 95 <= extra <= 105


def test_what_was_saved_up_is_bounded() -> None:
    budget = HedgeBudget(share=0.5)
    for _ in range(1000):
        budget.called()
    extra = 0
    while budget.may_hedge():
        budget.hedged()
        extra += 1
    assert extra == 10


def test_what_is_scarce_is_kept_for_the_slowest() -> None:
    budget = HedgeBudget(share=0.5)
    assert budget.slower_than == 0.95
    for _ in range(20):
        budget.called()
    assert budget.slower_than == 0.9
    while budget.may_hedge():
        budget.hedged()
    assert budget.slower_than == 0.95


def test_nobody_hedges_while_the_providers_fail() -> None:
    budget = HedgeBudget()
    for _ in range(100):
        budget.called()
    for _ in range(5):
        budget.failed()
    assert not budget.may_hedge()
    assert budget.left == 0
    for _ in range(10):
        budget.succeeded()
    assert budget.may_hedge()


@given(st.floats(0, 1), st.lists(st.sampled_from(["called", "failed", "succeeded"]), max_size=300))
def test_extra_calls_never_exceed_their_share(share: float, events: list[str]) -> None:
    budget, calls, extra = HedgeBudget(share), 0, 0
    for event in events:
        getattr(budget, event)()
        calls += event == "called"
        if budget.may_hedge():
            budget.hedged()
            extra += 1
    assert extra <= 1 + share * calls + 1e-6
