"""What the agent may state as fact: prices and totals by code, and a guard that knows all that the pack approves."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine import facts
from engine.conversation import Amount, Exchange, Period, Slots, SlotValue
from engine.domain import Answer, Policy
from engine.facts import catalog_for, known, money, owed, product_for, quantity, values
from engine.price_guard import Known, PriceGuard, known_in
from tests.domains import bike_shop, budget, catalog, play, product

SHOP = bike_shop()
BIKES, HIRE = SHOP.catalogs
CARGO: Slots = {"product_interest": (SlotValue("cargo"),)}


def bikes(count: float, high: float | None = None) -> Slots:
    return {"quantity": (budget(count, high, unit="bikes"),)}


@pytest.mark.parametrize(
    ("value", "currency", "text"),
    [
        (2450, "USD", "$2,450"),
        (49.5, "USD", "$49.50"),
        (0.125, "EUR", "€0.13"),
        (1.005, "GBP", "£1.01"),
        (999.999, "INR", "₹1,000"),
        (1200, "CHF", "CHF 1,200"),
        (0, "JPY", "¥0"),
    ],
)
def test_money_is_written_for_reading(value: float, currency: str, text: str) -> None:
    assert money(value, currency) == text


@given(st.floats(0, 1e12), st.sampled_from(["USD", "EUR", "CHF"]))
@settings(deadline=None)
def test_the_reader_of_figures_understands_every_amount_that_is_written(value: float, currency: str) -> None:
    written = money(value, currency)
    (amount,) = known_in([written]).money
    assert amount == pytest.approx(value, abs=0.0051)


@pytest.mark.parametrize(
    ("message", "ids"),
    [("Are you a BOT?", ["disclosure"]), ("Are you about?", []), ("stop, are you a robot", ["disclosure", "opt_out"])],
)
def test_policies_are_owed_where_a_cue_stands_in_the_message(message: str, ids: list[str]) -> None:
    shop = bike_shop(policies=(*SHOP.policies, Policy(id="opt_out", cues=("^stop",), line="Of course.")))
    assert [policy.id for policy in owed(shop, message)] == ids


@pytest.mark.parametrize(
    ("message", "history", "slots", "expected"),
    [
        ("hello", [], {}, "bikes"),
        ("can I rent one", [], {}, "hire"),
        ("RENT?", [], {}, "hire"),
        ("is the saddle to rent or the bike", [], {}, "bikes"),
        ("rent a bike", [], {}, "bikes"),
        ("hello", ["can I hire one", "hi"], {}, "hire"),
        ("hello", ["can I hire one", "the saddle"], {}, "bikes"),
        ("parent", [], {}, "bikes"),
        ("rent", [], CARGO, "bikes"),
        ("the saddle", [], {"product_interest": (SlotValue("cargo"), SlotValue("weekly"))}, "hire"),
        ("rent", [], {"product_interest": (SlotValue("a unicycle"),)}, "hire"),
        ("rent", [], {"product_interest": ()}, "hire"),
    ],
)
def test_the_catalog_is_the_one_that_the_talk_is_about(
    message: str, history: list[str], slots: Slots, expected: str
) -> None:
    said = [Exchange(text, "") for text in history]
    assert catalog_for(SHOP, slots, message, said).id == expected


def test_where_nothing_points_to_a_catalog_it_is_the_default_one() -> None:
    assert catalog_for(bike_shop(default_catalog="hire"), {}, "hello", []).id == "hire"
    assert catalog_for(bike_shop(default_catalog="hire"), {}, "rent a bike", []).id == "hire"


def test_the_product_is_the_latest_one_of_the_catalog_else_its_default() -> None:
    both: Slots = {"product_interest": (SlotValue("cargo"), SlotValue("weekly"))}
    assert product_for(SHOP, BIKES, both).id == "cargo"
    assert product_for(SHOP, HIRE, both).id == "weekly"
    assert product_for(SHOP, BIKES, {}).id == "city"


def test_a_line_may_use_what_is_known_and_nothing_else() -> None:
    named = values(SHOP, BIKES, {"pain": (SlotValue("slow_mail"),), "budget": ()})
    assert named == {
        "pain": "slow mail",
        "vendor": "Bikes",
        "product": "City",
        "summary": "a fine city",
        "price": "$500",
        "option": "City at $500",
        "options": "City at $500, or Cargo at $2,450.50",
        "guarantee": "Every bike has a guarantee of 2 years.",
    }


def test_a_cheaper_option_is_offered_where_there_is_one_of_the_same_category() -> None:
    assert values(SHOP, BIKES, CARGO)["cheaper"] == "City at $500"
    assert values(SHOP, BIKES, CARGO)["options"] == "City at $500, or Cargo at $2,450.50"
    apart = catalog("bikes", product("city", 500), product("bell", 5, category="parts"))
    assert "cheaper" not in values(SHOP, apart, {})
    assert "options" not in values(SHOP, apart, {})
    assert values(SHOP, HIRE, {})["option"] == "Weekly at $49 per bike per month"


@pytest.mark.parametrize(
    ("shop", "slots", "totals"),
    [
        (BIKES, bikes(3), {"pieces": "3 bikes", "total": "$1,500"}),
        (BIKES, {**bikes(1200), **CARGO}, {"pieces": "1,200 bikes", "total": "$2,940,600"}),
        (HIRE, bikes(50), {"pieces": "50 bikes", "total": "$2,450 per month", "yearly_total": "$23,400 a year"}),
        (BIKES, bikes(1), {}),
        (BIKES, bikes(2.5), {}),
        (BIKES, bikes(2, 3), {}),
        (BIKES, {}, {}),
        (BIKES, {"quantity": (SlotValue("many"),)}, {}),
    ],
)
def test_totals_are_computed_for_an_exact_number_of_pieces(shop: object, slots: Slots, totals: dict[str, str]) -> None:
    named = values(SHOP, BIKES if shop is BIKES else HIRE, slots)
    assert {name: named[name] for name in ("pieces", "total", "yearly_total") if name in named} == totals


def test_the_quantity_is_the_latest_exact_one() -> None:
    assert quantity(SHOP, {"quantity": (budget(3, unit=""), budget(5, unit=""), budget(7, 9, unit=""))}) == 5
    assert quantity(SHOP, {}) is None


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (SlotValue("x", typed=Amount(5000, 5000, "USD")), "$5,000"),
        (SlotValue("x", typed=Amount(300, 400, "USD", "seat/month")), "$300 to $400 per seat per month"),
        (SlotValue("x", typed=Amount(15, 15, "%")), "15%"),
        (SlotValue("x", typed=Amount(3, 3, "hours", "week")), "3 hours per week"),
        (SlotValue("x", typed=Amount(2.5, 2.5, "")), "2.5"),
        (SlotValue("x", typed=Amount(1_500_000, 1_500_000, "users")), "1,500,000 users"),
        (SlotValue("2027-Q1", "next quarter", typed=Period("2027-01-01", "2027-03-31")), "next quarter"),
        (SlotValue("2027-Q1", typed=Period("2027-01-01", "2027-03-31")), "2027-Q1"),
        (SlotValue("ready_to_buy"), "ready to buy"),
    ],
)
def test_slots_are_put_into_words(value: SlotValue, text: str) -> None:
    assert values(SHOP, BIKES, {"pain": (value,)})["pain"] == text


def test_a_fact_that_needs_what_is_not_known_is_left_out() -> None:
    shop = catalog("bikes", product("city", 5), facts={"offer": "All {pieces}.", "fixed": "{product} is fine."})
    assert "offer" not in values(SHOP, shop, {})
    assert values(SHOP, shop, {})["fixed"] == "City is fine."
    assert values(SHOP, shop, bikes(2))["offer"] == "All 2 pieces."


_SAID = ("the Fjord 160", "Studio 54", "3 years", "11 %", "12 shops", "90 days", "ISO 27001")


def test_every_figure_of_the_pack_passes_the_guard() -> None:
    fjord = product("fjord", 49, name=_SAID[0], per="3 months", summary="made in 1987", price_yearly=39)
    answers = (Answer(id="size", text="We have 12 shops.", asks=("how big", "how many shops")),)
    shop = bike_shop(
        version="figures",
        catalogs=(catalog("bikes", fjord, vendor=_SAID[1], facts={"warranty": "It lasts 3 years."}, answers=answers),),
        policies=(Policy(id="p", cues=("x",), line="You get 11 % back."),),
        plays=(play("ask", "Send it back within 90 days. We hold ISO 27001."),),
    )
    guard = PriceGuard(known(shop, shop.catalogs[0]), Known, Known)
    reply = "".join(f"This is {said}, yes. " for said in (*_SAID, "from 1987", "$49 per 3 months", "$39"))
    assert guard.feed(reply) + guard.finish() == reply


def test_what_is_known_is_kept_by_pack_version_and_catalog_and_bounded() -> None:
    one = known(bike_shop(version="one"), BIKES)
    assert known(bike_shop(version="one"), BIKES) is one
    assert known(bike_shop(version="one"), HIRE) != one
    for version in range(facts._KNOWN_MAX + 5):
        known(bike_shop(version=f"v{version}"), BIKES)
    assert len(facts._known) == facts._KNOWN_MAX
    assert known(bike_shop(version="one"), BIKES) == one


_COUNTS = st.one_of(st.integers(1, 10**8).map(float), st.floats(0, 1e8))


@given(_COUNTS, st.sampled_from([BIKES, HIRE]), st.sampled_from(["city", "cargo", "weekly"]))
@settings(deadline=None)
def test_everything_that_a_line_can_say_passes_the_guard(count: float, shop: object, wanted: str) -> None:
    chosen = BIKES if shop is BIKES else HIRE
    slots = {**bikes(count), "product_interest": (SlotValue(wanted),)}
    named = values(SHOP, chosen, slots)
    guard = PriceGuard(known(SHOP, chosen), Known, lambda: known_in([named["quantity"]]))
    for text in named.values():
        guard.feed(f"{text}\nAnd now: ")
    guard.finish()
