"""How much a message asks of a model: the bounds of each class, and the tier that follows."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.complexity import Complexity, Tier, complexity, tier_for

SIMPLE, ORDINARY, COMPLEX = Complexity.SIMPLE, Complexity.ORDINARY, Complexity.COMPLEX


def words(count: int) -> str:
    return " ".join(["word"] * count)


@pytest.mark.parametrize(
    ("message", "known_slots", "rating"),
    [
        ("", 0, SIMPLE),
        (words(14), 1, SIMPLE),
        (words(15), 1, ORDINARY),
        (words(14), 2, ORDINARY),
        (words(60), 8, ORDINARY),
        (words(61), 0, COMPLEX),
        ("hi", 9, COMPLEX),
        ("how much?", 0, SIMPLE),
        ("how much??!", 0, SIMPLE),
        ("how much? and when?", 0, COMPLEX),
        ("is there an API", 0, ORDINARY),
        ("an api, and again: an API", 0, ORDINARY),
        ("an API and a DPA", 0, COMPLEX),
        ("my capital is small", 0, SIMPLE),
    ],
)
def test_a_message_is_rated_by_length_questions_terms_and_what_is_known(
    message: str, known_slots: int, rating: Complexity
) -> None:
    assert complexity(message, known_slots) is rating


@pytest.mark.parametrize(
    ("rating", "lift", "tier"),
    [
        (SIMPLE, 0, Tier.FAST),
        (ORDINARY, 0, Tier.FAST),
        (COMPLEX, 0, Tier.POWERFUL),
        (SIMPLE, 1, Tier.FAST),
        (ORDINARY, 1, Tier.POWERFUL),
        (COMPLEX, 1, Tier.POWERFUL),
        (SIMPLE, -1, Tier.FAST),
        (COMPLEX, -1, Tier.FAST),
    ],
)
def test_the_tier_follows_the_rating_and_the_task(rating: Complexity, lift: int, tier: Tier) -> None:
    assert tier_for(rating, lift=lift) is tier


@given(st.text(), st.integers(0, 20), st.text())
@settings(deadline=None)
def test_more_text_and_more_knowledge_never_ask_for_less(message: str, known_slots: int, more: str) -> None:
    order = [SIMPLE, ORDINARY, COMPLEX]
    longer = complexity(f"{message} {more}", known_slots + 1)
    assert order.index(longer) >= order.index(complexity(message, known_slots))
