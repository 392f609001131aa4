"""API keys: one that is limited or refused rests, the others go on, and none is ever shown."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from engine.llm.keys import COOL_DOWN_S, REFUSED_S, Keys

ONE, OTHER = "sk-one-secret", "sk-other-secret"


def test_all_ready_keys_take_part() -> None:
    keys = Keys([ONE, OTHER])
    assert {keys.pick(0.0, draw) for draw in (0.0, 0.49, 0.5, 0.99)} == {ONE, OTHER}


def test_a_limited_key_rests_for_as_long_as_it_was_told() -> None:
    keys = Keys([ONE, OTHER])
    keys.rate_limited(ONE, 5.0, 100.0)
    assert {keys.pick(104.9, draw / 10) for draw in range(10)} == {OTHER}
    assert {keys.pick(105.0, draw / 10) for draw in range(10)} == {ONE, OTHER}


def test_without_a_word_it_rests_a_little() -> None:
    keys = Keys([ONE])
    keys.rate_limited(ONE, 0.0, 100.0)
    assert keys.pick(100.0, 0.0) is None
    assert keys.ready_at_s(100.0) == 100.0 + COOL_DOWN_S


def test_a_refused_key_rests_for_long_but_not_for_ever() -> None:
    keys = Keys([ONE])
    keys.refused(ONE, 0.0)
    # What comes later from an earlier call does not wake it up.
    keys.rate_limited(ONE, 1.0, 0.5)
    assert keys.pick(REFUSED_S - 1, 0.0) is None
    assert keys.pick(REFUSED_S, 0.0) == ONE


def test_a_provider_cannot_put_a_key_away_for_days() -> None:
    keys = Keys([ONE])
    keys.rate_limited(ONE, 1e9, 0.0)
    assert keys.ready_at_s(0.0) <= 3600


def test_no_key_is_shown() -> None:
    assert "secret" not in repr(Keys([ONE, OTHER]))


@given(st.lists(st.floats(0, 100), min_size=1, max_size=5), st.floats(0, 200), st.floats(0, 1, exclude_max=True))
def test_who_is_picked_is_ready_and_somebody_is_picked_where_one_is(
    rests: list[float], now_s: float, draw: float
) -> None:
    keys = Keys([str(place) for place in range(len(rests))])
    for place, rest_s in enumerate(rests):
        keys.rate_limited(str(place), rest_s + 0.001, 0.0)
    picked = keys.pick(now_s, draw)
    ready = [place for place, rest_s in enumerate(rests) if rest_s + 0.001 <= now_s]
    assert (picked is None) == (not ready)
    assert picked is None or int(picked) in ready
    assert (keys.ready_at_s(now_s) <= now_s) == bool(ready)
