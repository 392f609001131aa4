"""The price guard: no figure reaches a buyer that is not known to be true, however the reply is cut into pieces."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from engine.figures import Kind
from engine.price_guard import Known, PriceGuard, UnverifiedFigure, known_in

SEAT = known_in(["A seat is $49 per month.", "A discount of 10 % by the year.", "We hold ISO 27001, and answer 24/7."])
BUYER = known_in(["We are 50 people."])

# Words and signs that figures are made of, and some that they are not.
_FRAGMENTS = st.sampled_from(
    "$ $49 49 49.99 .50 , . ! ? - – / : % $2,450 2,000 50 500 7 12 1.2k k m rs rs. usd € euros dollars cents fifty "
    "forty-nine hundred thousand grand million a an and half couple of between from to or per cent percent each every "
    "for user seat month year monthly apiece seats people users days weeks business sales am pm th nd # GPT ISO 27001 "
    "24/7 the comes total equals = price now big ok".split()
)
_TEXTS = st.lists(st.tuples(_FRAGMENTS, st.sampled_from([" ", " ", " ", "", "\n"])), max_size=14).map(
    lambda parts: "".join(fragment + gap for fragment, gap in parts)
)


def read(pieces: Iterable[str], facts: Known = SEAT, buyer: Known = BUYER) -> tuple[str, bool]:
    """What a reader gets of a reply that comes in pieces, and whether all of it was fine."""
    guard = PriceGuard(facts, Known, lambda: buyer)
    released = ""
    try:
        for piece in pieces:
            released += guard.feed(piece)
        return released + guard.finish(), True
    except UnverifiedFigure:
        return released, False


def cut(text: str, at: Iterable[int]) -> list[str]:
    edges = [0, *sorted(place % (len(text) + 1) for place in at), len(text)]
    return [text[start:end] for start, end in pairwise(edges)]


def passes(text: str, facts: Known = SEAT, buyer: Known = BUYER) -> bool:
    return read([text], facts, buyer)[1]


_CUTS = st.lists(st.integers(0, 200), max_size=8)
_NUMBERS = st.frozensets(st.sampled_from([0.5, 1.2, 2, 7, 12, 49, 49.99, 50, 99, 100, 500, 2000, 2450, 50_000]))
_KNOWN = st.builds(Known, _NUMBERS, _NUMBERS, _NUMBERS, st.frozensets(st.sampled_from(["27001", "24/7", "49", "50"])))


_ALL = Known(frozenset({49, 50, 99}), frozenset(), frozenset({50, 500}))


@given(_TEXTS, _CUTS, _KNOWN)
@settings(deadline=None, max_examples=400)
@example("50 seats at $99: the total price is $49 for each user and so on", [45], _ALL)
@example("It is Rs. 500 in all", [10, 11], _ALL)
@example("It takes two business days. ", range(28), _ALL)
@example("It is $49 a month for each user and for every month monthly", range(60), _ALL)
@example("Model k49.99 each $ $ $ , , ", [25], Known(frozenset(), frozenset(), frozenset({99}), frozenset({"49"})))
@example("Model k49.99 . ", range(15), Known(verbatim=frozenset({"49"})))
def test_what_is_released_is_a_prefix_and_the_verdict_does_not_depend_on_the_pieces(
    text: str, at: Iterable[int], known: Known
) -> None:
    fine = read([text], known, Known())[1]
    released, also_fine = read(cut(text, at), known, Known())
    assert text.startswith(released)
    assert (also_fine, released == text) == (fine, fine)


@given(st.text(max_size=60), _CUTS)
@settings(deadline=None)
def test_any_text_in_any_pieces_is_released_whole_or_stopped(text: str, at: list[int]) -> None:
    released, fine = read(cut(text, at))
    assert text.startswith(released)
    assert fine is (released == text) is read([text])[1]


_WRONG = ["$48", "$49.99", "$4,711", "49.5 %", "11 %", "51 seats", "51", "12 days", "two weeks", "fifty-one", "€49.50"]
_GOOD = [
    "$49",
    "$49 per user",
    "50 people",
    "fifty people",
    "10 %",
    "two options",
    "ISO 27001",
    "24/7",
    "$2,450",
    "fine",
]


@given(st.lists(st.sampled_from(_GOOD)), st.sampled_from(_WRONG), st.lists(st.sampled_from(_GOOD)), _CUTS)
@settings(deadline=None)
def test_nothing_from_the_first_unverified_figure_on_is_ever_released(
    before: list[str], wrong: str, after: list[str], at: list[int]
) -> None:
    start = "".join(f"There is {part}, yes. " for part in before)
    text = f"{start}There is {wrong}, yes. " + "".join(f"There is {part}, yes. " for part in after)
    released, fine = read(cut(text, at))
    assert not fine
    assert f"{start}There is ".startswith(released)


@given(st.lists(st.sampled_from(_GOOD)), _CUTS)
@settings(deadline=None)
def test_a_reply_of_known_figures_arrives_whole(parts: list[str], at: list[int]) -> None:
    text = "".join(f"There is {part}, yes. " for part in parts)
    assert read(cut(text, at)) == (text, True)


@given(st.integers(2, 5000), st.integers(1, 999), st.integers(1, 10**7), _CUTS)
@settings(deadline=None)
def test_a_total_passes_exactly_if_it_is_the_count_times_the_price(
    count: int, price: int, stated: int, at: list[int]
) -> None:
    facts, buyer = known_in([f"${price} per seat"]), known_in([f"{count} seats", f"somebody said ${stated}"])
    right = f"For {count} seats at ${price} it comes to ${count * price:,}."
    assert read(cut(right, at), facts, buyer) == (right, True)
    wrong = f"For {count} seats at ${price} it comes to ${stated:,}."
    # Also fine: the same for a year, and the difference of what was stated, which is nothing here.
    assert read(cut(wrong, at), facts, buyer)[1] is (stated in {count * price, count * price * 12})


@pytest.mark.parametrize(
    ("reply", "fine"),
    [
        ("50 seats at $49 come to $2,450.", True),
        ("50 seats at $49 come to $2,450 a month.", True),
        ("50 seats at $49 come to $2,540.", False),
        ("50 seats at $49 come to $2,000.", False),
        ("50 seats at $49 is $2,450 in all.", True),
        ("50 seats at $49 = $2,000.", False),
        ("50 seats at $49, $29,400 a year.", True),
        ("50 seats at $49 come to $26,460 a year, less 10 %.", True),
        ("50 seats at $49, less 10 %, come to $2,205, which saves you $245.", True),
        ("50 seats at $49, less 10 %, come to $2,200.", False),
        ("Fifty seats at forty-nine dollars come to two thousand four hundred and fifty dollars.", True),
        ("Fifty seats at forty-nine dollars come to two thousand four hundred dollars.", False),
        ("You said 50, so that is $2,450.", True),
        ("It is $49, not $2,450: a difference of $2,401.", True),
        ("It is $49, not $2,450: a difference of $2,400.", False),
    ],
)
def test_fifty_seats_at_49_pass_with_their_right_total_only(reply: str, fine: bool) -> None:
    assert passes(reply) is fine


def test_a_wrong_total_is_held_back_although_the_buyer_said_it_first() -> None:
    buyer = known_in(["So 50 seats would be $2,000, right?"])
    assert not passes("50 seats at $49 come to $2,000.", buyer=buyer)
    assert not passes("Right, for 50 seats at $49 the total is $2,000.", buyer=buyer)
    assert passes("You said $2,000; 50 seats at $49 come to $2,450.", buyer=buyer)


def test_a_discount_that_only_the_buyer_spoke_of_gives_no_total() -> None:
    buyer = known_in(["We are 50 people and want 20 % off."])
    assert passes("You asked for 20 %.", buyer=buyer)
    assert not passes("50 seats at $49 come to $1,960.", buyer=buyer)
    assert not passes("I can do $39.20 for a seat.", buyer=buyer)
    assert passes("50 seats at $49, less 10 %, come to $2,205.", buyer=buyer)


@pytest.mark.parametrize("price", ["$49.99", "$49.50", "$4,900", "$49k", "$49 thousand", "49%", "forty-nine thousand"])
def test_a_price_is_never_cut_into_another_one(price: str) -> None:
    text = f"It is {price} for you and for all of yours."
    facts = known_in([f"Our price: {price}."])
    for place in range(len(text)):
        guard = PriceGuard(facts, Known, Known)
        released = guard.feed(text[:place])
        assert price in released or released in "It is "
        assert released + guard.feed(text[place:]) + guard.finish() == text


def test_49_99_does_not_pass_as_49_at_any_cut() -> None:
    for place in range(len("It is $49.99 now.")):
        released, fine = read(cut("It is $49.99 now.", [place]))
        assert not fine
        assert "4" not in released


@pytest.mark.parametrize(
    ("reply", "fine"),
    [
        ("There are two options.", True),
        ("There are 2 options.", False),
        ("There are thirteen options.", False),
        ("It takes two weeks.", False),
        ("It takes two business days.", False),
        ("Come in five minutes.", False),
        ("We open at 9:30.", False),
        ("Take the MP3 player.", False),
        ("We are certified to ISO 27001.", True),
        ("We answer 24/7.", True),
        ("That is a third off, 10 percent.", True),
        ("That is 11 percent off.", False),
        ("Between 49 and 50 dollars.", False),
        ("$49 to $2,450, as you like.", True),
        ("$49 to $2,451, as you like.", False),
    ],
)
def test_figures_in_digits_and_lengths_of_time_must_be_known_and_small_counts_in_words_need_not(
    reply: str, fine: bool
) -> None:
    assert passes(reply) is fine


def test_a_clause_that_is_settled_is_released_before_the_reply_ends() -> None:
    guard = PriceGuard(SEAT, Known, lambda: BUYER)
    assert guard.feed("A seat is $49 a month. Would that suit") == "A seat is $49 a month. Would "
    assert guard.feed(" you? Yes") == "that suit you? "
    assert guard.finish() == "Yes"


def test_a_stopped_reply_stays_stopped() -> None:
    guard = PriceGuard(SEAT, Known, lambda: BUYER)
    with pytest.raises(UnverifiedFigure):
        guard.feed("It is $48 for each. Fine? ")
    with pytest.raises(UnverifiedFigure):
        guard.feed("It is $49. ")
    with pytest.raises(UnverifiedFigure):
        guard.finish()


def test_the_error_names_the_kind_and_never_the_figure() -> None:
    with pytest.raises(UnverifiedFigure) as caught:
        PriceGuard(SEAT, Known, lambda: BUYER).feed("It is $4,711 for each. Fine? ")
    assert caught.value.kind is Kind.MONEY
    assert "4" not in caught.value.message


def test_what_is_known_is_read_by_kind_and_a_bare_number_may_be_money() -> None:
    known = known_in(["$49.50 for 3 users, 10 % off, or 80, ISO 27001"], prices=[12.345])
    assert known.money == {49.5, 80, 12.35 if round(12.345, 2) == 12.35 else 12.34, 27001}
    assert known.percents == {10}
    assert known.counts == {3, 80, 27001}
    assert known.verbatim == {"49.50", "3", "10", "80", "27001"}


def test_a_count_is_no_money_and_a_percentage_is_neither() -> None:
    known = known_in(["50 seats and 10 %"])
    assert passes("50 seats", known, Known())
    assert not passes("$50", known, Known())
    assert not passes("50 %", known, Known())
    assert not passes("10 seats", known, Known())


@pytest.mark.parametrize("said", ["You can have it for half price.", "That is a third off.", "½ off, just for you!"])
def test_a_discount_without_a_figure_is_one_all_the_same(said: str) -> None:
    assert not passes(said)
    assert passes(said.replace("third", "half"), facts=known_in(["Members get 50 % off."]))


def test_a_discount_in_words_is_held_back_until_it_is_whole() -> None:
    assert read(["You can have it at a third", " o", "ff, today."]) == ("You can have it ", False)
