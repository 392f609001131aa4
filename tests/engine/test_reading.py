"""Typed reading of texts: what callers give for a slot is read as a buyer's own words would be."""

from __future__ import annotations

from datetime import date

import pytest

from engine.conversation import Amount, Period, SlotValue
from engine.reading import FIRST_MASK, Reader, amount_text
from tests.domains import bike_shop

MASK = chr(FIRST_MASK)
TODAY = date(2027, 3, 17)


def reader() -> Reader:
    return Reader(bike_shop())


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("budget", "about 5k", SlotValue("5000 USD", "about 5k", typed=Amount(5000, 5000, "USD"))),
        ("budget", "€5", SlotValue("5 EUR", "€5", typed=Amount(5, 5, "EUR"))),
        ("quantity", "50 bikes", SlotValue("50 bikes", "50 bikes", typed=Amount(50, 50, "bikes"))),
        ("timeline", "Q3", SlotValue("2027-Q3", "Q3", typed=Period("2027-07-01", "2027-09-30"))),
        ("product_interest", "a City bike", SlotValue("city", "a City bike")),
        ("objection", "Price", SlotValue("price", "Price")),
        ("competitor", "trek bikes", SlotValue("Trek", "trek bikes")),
        ("competitor", "Some  Other", SlotValue("Some Other", "Some  Other")),
        ("pain", "trek  bikes squeak", SlotValue("trek bikes squeak", "trek  bikes squeak")),
    ],
)
def test_a_value_that_is_given_is_read_as_the_buyers_own_words_would_be(name: str, text: str, value: SlotValue) -> None:
    assert reader().given(name, text, TODAY) == value


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("budget", "a lot", 'says no money; expected one like "$5,000"'),
        ("quantity", "some", "says no quantity"),
        ("timeline", "soon", "says no period"),
        ("product_interest", "a unicycle", "says no product"),
        ("objection", "colour", "not one of price, timing"),
        ("budget", MASK, "says no money"),
    ],
)
def test_a_value_that_says_nothing_of_the_slots_type_is_refused(name: str, text: str, says: str) -> None:
    with pytest.raises(ValueError, match=r"not one of|says no") as caught:
        reader().given(name, text, TODAY)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (Amount(50_000, 50_000, "USD"), "50000 USD"),
        (Amount(300, 400.5, "USD", "seat/month"), "300-400.5 USD per seat per month"),
        (Amount(12_345_678_901, 12_345_678_901, ""), "12345678901"),
        (Amount(0.1 + 0.2, 0.1 + 0.2, "EUR"), "0.3 EUR"),
    ],
)
def test_amounts_are_stored_in_a_form_to_read(amount: Amount, text: str) -> None:
    assert amount_text(amount) == text
