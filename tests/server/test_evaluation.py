"""The arithmetic of `repartee eval`, on inputs that are small enough to check by hand."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from repartee.v1 import conversation_pb2 as pb

from engine.conversation import Amount, Operation, Period, SlotChange, SlotValue
from engine.domain import Example
from server.evaluation import craigslist, golden, scores, sgd, slots
from server.evaluation.figures import Figure, Grid, Section, as_json, ranking
from server.evaluation.scores import Tally
from server.evaluation.slots import Expected


def test_nothing_measured_reaches_no_aim() -> None:
    assert scores.share(0, 0) == 0
    assert Figure("of nothing", scores.share(0, 0), 1.0).reached is False


def test_precision_recall_and_f1() -> None:
    tally = Tally(right=3, found=4, expected=6)
    assert (tally.precision, tally.recall, tally.f1) == (0.75, 0.5, 0.6)
    assert Tally(1, 2, 3) + Tally(2, 2, 3) == tally
    assert Tally().f1 == 0


def test_macro_f1_counts_every_true_class_the_same() -> None:
    truths, predictions = ["a", "a", "a", "b"], ["a", "a", "a", "a"]
    # F1 of a is 6/7, of b 0.
    assert scores.macro_f1(truths, predictions) == pytest.approx(3 / 7)
    assert scores.macro_f1(["a", "b"], ["a", "b"]) == 1


def test_a_class_that_is_only_predicted_costs_the_class_that_was_missed() -> None:
    # F1 of a is 2/3; c has no F1 of its own.
    assert scores.macro_f1(["a", "a"], ["a", "c"]) == pytest.approx(2 / 3)
    assert scores.tallies(["a", "a"], ["a", "c"])["c"] == Tally(0, 1, 0)


@pytest.mark.parametrize(
    ("confidences", "right", "error"),
    [
        ([], [], 0.0),
        ([1.0, 1.0], [True, True], 0.0),
        ([1.0, 1.0], [False, False], 1.0),
        ([0.5, 0.5], [True, False], 0.0),
        # In one bin a gap up and a gap down cancel out; in two they add up.
        ([0.51, 0.53], [True, False], 0.02),
        ([0.1, 0.9], [True, False], 0.9),
        # Three in a bin that is .2 off, one in a bin that is right.
        ([0.8, 0.8, 0.8, 0.0], [True, True, True, False], 0.15),
    ],
)
def test_calibration_error(confidences: list[float], right: list[bool], error: float) -> None:
    assert scores.calibration_error(confidences, right) == pytest.approx(error)


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans())))
@settings(deadline=None)
def test_calibration_error_is_a_share(cases: list[tuple[float, bool]]) -> None:
    assert 0 <= scores.calibration_error([sure for sure, _ in cases], [hit for _, hit in cases]) <= 1 + 1e-9


def test_accuracy_against_coverage() -> None:
    confidences, right = [0.9, 0.8, 0.6, 0.3], [True, True, False, False]
    assert scores.cut_at(confidences, right, 0.8) == scores.Cut(0.8, 0.5, 1.0)
    assert scores.cut_at(confidences, right, 0.0) == scores.Cut(0.0, 1.0, 0.5)
    assert scores.cut_at(confidences, right, 0.95) == scores.Cut(0.95, 0.0, 0.0)


def test_the_widest_cut_is_the_one_that_answers_most() -> None:
    confidences, right = [0.9, 0.8, 0.6, 0.3], [True, True, False, True]
    assert scores.widest_cut(confidences, right, 0.75) == scores.Cut(0.3, 1.0, 0.75)
    assert scores.widest_cut(confidences, right, 0.85) == scores.Cut(0.8, 0.5, 1.0)
    assert scores.widest_cut([0.4], [False], 0.85) == scores.Cut(1.0, 0.0, 0.0)


def test_equal_confidences_are_cut_together() -> None:
    # Taking only the right one of the two would need to know which one it is.
    assert scores.widest_cut([0.7, 0.7], [True, False], 0.85).coverage == 0


@pytest.mark.parametrize(
    ("one", "other", "common"),
    [((0, 3), (2, 5), True), ((0, 3), (3, 5), False), ((1, 2), (0, 9), True), ((2, 2), (0, 9), False)],
)
def test_overlap_is_a_character_in_common(one: tuple[int, int], other: tuple[int, int], common: bool) -> None:
    assert scores.overlap(*one, *other) is common
    assert scores.overlap(*other, *one) is common


def test_occurrences_are_all_of_them() -> None:
    assert scores.occurrences("aa", "aaa") == [(0, 2), (1, 3)]
    assert scores.occurrences("", "aaa") == []


def test_a_quote_is_verbatim_at_its_place_only() -> None:
    assert scores.is_verbatim("é 80 or 90", "80", 2)
    assert not scores.is_verbatim("é 80 or 90", "80", 7)
    assert not scores.is_verbatim("é 80 or 90", "", 2)


def test_plain_messages_differ_in_words() -> None:
    assert scores.plain("Lose my  number!") == scores.plain("lose my number") != scores.plain("lose his number")


# -- slots

MESSAGE = "not 300, we could do 900"


def change(
    text: str, quote: str, operation: Operation = Operation.SET, typed: Amount | Period | None = None
) -> SlotChange:
    value = SlotValue(text, quote, MESSAGE.find(quote), typed=typed)
    return SlotChange("price_offer", operation, value, None)


@pytest.mark.parametrize(
    ("expected", "right"),
    [
        (Expected(slot="price_offer", quote="900"), True),
        (Expected(slot="price_offer", quote="do 900", amount=(900, 900)), True),
        (Expected(slot="price_offer", quote="900", amount=(800, 900)), False),
        (Expected(slot="price_offer", quote="900", value="900 usd"), True),
        (Expected(slot="price_offer", quote="900", value="high"), False),
        (Expected(slot="price_offer", quote="300"), False),
        (Expected(slot="price_offer", quote="900", op=Operation.CHANGE), False),
        (Expected(slot="budget_signal", quote="900"), False),
        (Expected(slot="price_offer", quote="900", first_day="2026-01-01"), False),
    ],
)
def test_a_change_is_right_in_all_that_the_case_names(expected: Expected, right: bool) -> None:
    assert slots.is_right(MESSAGE, expected, change("900 USD", "900", typed=Amount(900, 900, "USD"))) is right


def test_days_are_compared_where_they_are_given() -> None:
    found = change("2027", "900", typed=Period("2027-01-01", "2027-12-31"))
    assert slots.is_right(MESSAGE, Expected(slot="price_offer", quote="900", first_day="2027-01-01"), found)
    assert not slots.is_right(MESSAGE, Expected(slot="price_offer", quote="900", last_day="2027-06-30"), found)


def test_a_retraction_is_known_by_what_it_takes_back() -> None:
    gone = SlotChange("objection", Operation.RETRACT, None, SlotValue("price"))
    assert slots.is_right(MESSAGE, Expected(slot="objection", op=Operation.RETRACT, value="price"), gone)
    assert not slots.is_right(MESSAGE, Expected(slot="objection", op=Operation.RETRACT, value="effort"), gone)


def test_an_expectation_is_answered_once() -> None:
    twice = [change("900 USD", "900"), change("900 USD", "do 900")]
    assert slots.compared(MESSAGE, [Expected(slot="price_offer", quote="900")], twice) == {
        "price_offer": Tally(1, 2, 1)
    }


def test_a_miss_and_a_false_find_count_in_their_own_slots() -> None:
    assert slots.compared(MESSAGE, [Expected(slot="pain", quote="not")], [change("900 USD", "900")]) == {
        "price_offer": Tally(0, 1, 0),
        "pain": Tally(0, 0, 1),
    }


# -- the learning curve


def test_a_larger_sample_holds_the_smaller_one_and_favours_no_situation() -> None:
    examples = [Example(message=f"{name} {n}", situation=name) for name in ("one", "two") for n in range(20)]
    small, large = golden.sample(examples, 4), golden.sample(examples, 8)
    assert Counter(example.situation for example in small) == {"one": 4, "two": 4}
    assert set(small) < set(large)
    assert golden.sample(examples, 4) == small
    assert len(golden.sample(examples, 99)) == 40


# -- negotiations


@pytest.mark.parametrize(
    ("text", "price"),
    [
        ("I was thinking 180, or 190 with the case", 190.0),
        ("$2,000 is what I paid in 1999", None),
        ("it is 40 cm wide, 150 and it is yours", 150.0),
        ("somewhere between 150 and 170", 170.0),
        ("deal!", None),
    ],
)
def test_a_recorded_reply_names_a_price_near_the_list_price(text: str, price: float | None) -> None:
    assert craigslist.price_in(text, list_price=200) == price


def test_buttons_that_hold_the_agreed_price_are_not_replayed() -> None:
    dialogue = craigslist.Dialogue.model_validate(
        {
            "id": "1",
            "list_price": 200,
            "turns": [
                {"role": "seller", "action": "message", "text": "180?"},
                {"role": "buyer", "action": "message", "text": "ok"},
                {"role": "seller", "action": "offer", "price": 150},
            ],
            "outcome": {"deal": True, "price": 150},
        }
    )
    assert [said.text for said in dialogue.messages] == ["180?", "ok"]
    assert craigslist.last_price(dialogue) == 180
    assert not craigslist.same_price(craigslist.last_price(dialogue), dialogue.agreed)


def test_a_price_that_was_turned_down_is_not_agreed() -> None:
    dialogue = craigslist.Dialogue(id="1", list_price=200, turns=(), outcome=craigslist.Outcome(deal=False, price=150))
    assert dialogue.agreed is None
    assert not craigslist.same_price(None, None)


# -- spans and updates


def user(text: str, spans: list[tuple[str, str]], state: dict[str, tuple[str, ...]]) -> sgd.Turn:
    places = tuple(sgd.Span(slot=slot, start=text.find(part), end=text.find(part) + len(part)) for slot, part in spans)
    return sgd.Turn(speaker="user", text=text, frames=(sgd.Frame(service="s", spans=places, slot_values=state),))


def test_updates_tell_a_new_value_from_a_replaced_one() -> None:
    dialogue = sgd.Dialogue(
        id="1",
        turns=(
            user("on May 1", [("date", "May 1")], {"date": ("May 1",)}),
            user("the first of May, as I said", [], {"date": ("May 1", "the first of May")}),
            user("yes, that day", [], {"date": ("May 2",)}),
            user("two of us", [], {"date": ("May 2",), "travelers": ("2",), "time": ("noon",)}),
            user("no, 3 of us", [], {"date": ("dontcare",), "travelers": ("3",)}),
        ),
    )
    assert list(sgd.updates(dialogue)) == [
        sgd.Update(0, "date", ((3, 8),), overwrites=False),
        sgd.Update(2, "date", (), overwrites=True),
        sgd.Update(3, "count", ((0, 3),), overwrites=False),
        sgd.Update(4, "count", ((4, 5),), overwrites=True),
    ]


def test_a_part_of_a_span_touches_it_and_is_not_the_whole() -> None:
    place = [(0, len("Wednesday next week"))]
    part = pb.SlotChange(name="date", value=pb.SlotValue(quote="Wednesday"))
    more = pb.SlotChange(name="date", value=pb.SlotValue(quote="Wednesday next week, then"))
    other = pb.SlotChange(name="price", value=pb.SlotValue(quote="Wednesday next week"))
    assert sgd.touched(part, "date", place)
    assert not sgd.whole(part, "date", place)
    assert sgd.whole(more, "date", place)
    assert not sgd.touched(other, "date", place)


# -- figures


def test_aims_are_floors_or_ceilings_and_hold_at_their_ends() -> None:
    assert Figure("f1", 0.7, 0.7).reached is True
    assert Figure("f1", 0.69, 0.7).reached is False
    assert Figure("errors", 1, 0, at_most=True).reached is False
    assert Figure("errors", 0, 0, at_most=True).reached is True
    assert Figure("deals", 461).reached is None


def test_a_section_as_json() -> None:
    section = Section("T", "how", (Figure("f1", 0.5, 0.7),), (Grid("by slot", ("slot", "f1"), (("pain", 0.5),)),))
    assert as_json(section) == {
        "title": "T",
        "method": "how",
        "figures": [{"name": "f1", "value": 0.5, "unit": "", "aim": 0.7, "at_most": False, "reached": False}],
        "breakdowns": {"by slot": [{"slot": "pain", "f1": 0.5}]},
    }


def test_a_ranking_shows_shares_of_all_not_of_what_it_shows() -> None:
    grid = ranking("t", "situation", Counter({"b": 1, "a": 1, "c": 2}), rows_max=2)
    assert grid.rows == (("c", 2, 0.5), ("a", 1, 0.25))
