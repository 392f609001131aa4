"""What routing steers by: the peak EWMA, the adaptive p90, the power of two choices."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.llm.latency import DECAY_S, EWMA_S, Latency, choose

SECONDS = st.floats(0.001, 60)


def of(*seconds: float, every_s: float = 0.1, tokens: int = 300) -> tuple[Latency, float]:
    """A latency after some samples, and the moment of the last."""
    latency, now_s = Latency(), 100.0
    for one in seconds:
        now_s += every_s
        latency.add(one, tokens, now_s)
    return latency, now_s


def test_a_slower_sample_counts_at_once_and_a_faster_one_by_and_by() -> None:
    latency, now_s = of(0.1, 2.0)
    assert latency.peak_ewma_s(now_s) == pytest.approx(2.0)
    latency.add(0.1, 300, now_s + 0.1)
    assert latency.peak_ewma_s(now_s + 0.1) > 1.9
    latency.add(0.1, 300, now_s + 3 * EWMA_S)
    assert latency.peak_ewma_s(now_s + 3 * EWMA_S) < 0.3


def test_a_cancelled_call_counts_only_where_it_was_slow_already() -> None:
    latency, now_s = of(0.5)
    latency.took_longer(0.2, 300, now_s)
    assert latency.peak_ewma_s(now_s) == pytest.approx(0.5)
    latency.took_longer(3.0, 300, now_s)
    assert latency.peak_ewma_s(now_s) == pytest.approx(3.0)
    unknown = Latency()
    unknown.took_longer(3.0, 300, now_s)
    assert unknown.peak_ewma_s(now_s) == 0.0


def test_load_counts() -> None:
    latency, now_s = of(0.5)
    latency.begin()
    latency.begin()
    assert latency.peak_ewma_s(now_s) == pytest.approx(1.5)
    latency.end()
    assert latency.peak_ewma_s(now_s) == pytest.approx(1.0)


def test_an_unknown_model_is_tried_and_a_slow_one_is_tried_again() -> None:
    assert Latency().peak_ewma_s(5.0) == 0.0
    latency, now_s = of(10.0)
    assert latency.peak_ewma_s(now_s + 30 * EWMA_S) < 0.1


def test_the_p90_needs_samples() -> None:
    latency, now_s = of(*[0.2] * 9)
    assert latency.quantile_s(0.9, 300, now_s) is None
    for _ in range(2):
        latency.add(0.2, 300, now_s)
    assert latency.quantile_s(0.9, 300, now_s) == pytest.approx(0.2, rel=0.06)


@given(st.lists(SECONDS, min_size=60, max_size=200))
def test_the_p90_is_that_of_the_samples(samples: list[float]) -> None:
    latency, now_s = of(*samples, every_s=0.001)
    exact = float(np.quantile(samples, 0.9, method="inverted_cdf"))
    below = float(np.quantile(samples, 0.87, method="inverted_cdf"))
    above = float(np.quantile(samples, 0.93, method="inverted_cdf"))
    p90_s = latency.quantile_s(0.9, 300, now_s)
    assert p90_s is not None
    assert below / 1.06 <= p90_s <= above * 1.06, exact


def test_the_p90_follows_what_is_new() -> None:
    latency, now_s = of(*[0.2] * 50)
    later_s = now_s + 5 * DECAY_S
    for _ in range(50):
        latency.add(1.0, 300, later_s)
    assert latency.quantile_s(0.9, 300, later_s) == pytest.approx(1.0, rel=0.06)
    # And a day later there is nothing left to go by.
    assert latency.quantile_s(0.9, 300, later_s + 86_400) is None


def test_after_days_the_counts_are_still_numbers() -> None:
    latency, now_s = of(0.2)
    for day in range(30):
        for _ in range(20):
            latency.add(0.3, 300, now_s + 86_400.0 * day)
        assert latency.quantile_s(0.9, 300, now_s + 86_400.0 * day) == pytest.approx(0.3, rel=0.06)


def test_sizes_of_prompts_are_apart_where_enough_is_known() -> None:
    latency, now_s = of(*[0.2] * 20, tokens=200)
    for _ in range(3):
        latency.add(2.0, 3000, now_s)
    # Three are too few: all sizes together speak.
    assert (latency.quantile_s(0.9, 3000, now_s) or 0) < 2.1
    for _ in range(20):
        latency.add(2.0, 3000, now_s)
    assert latency.quantile_s(0.9, 3000, now_s) == pytest.approx(2.0, rel=0.06)
    assert latency.quantile_s(0.9, 200, now_s) == pytest.approx(0.2, rel=0.06)


UNIT = st.floats(0, 1, exclude_max=True)


@given(st.lists(st.floats(0, 10), min_size=1, max_size=6), UNIT, UNIT)
def test_of_two_the_cheaper_one_is_chosen(costs: list[float], one: float, other: float) -> None:
    place = choose(costs, (one, other))
    assert 0 <= place < len(costs)
    if len(costs) > 1:
        assert costs[place] < max(costs) or costs.count(max(costs)) > 1


@given(st.lists(st.floats(0, 10), min_size=2, max_size=2), UNIT, UNIT)
def test_two_are_always_compared(costs: list[float], one: float, other: float) -> None:
    assert costs[choose(costs, (one, other))] == min(costs)
