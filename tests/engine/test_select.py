"""Which play answers: what the pack forbids is out, the rest keeps its order less what was used lately."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine import select
from engine.conversation import Conversation, Exchange, Slots, SlotValue
from engine.domain import DealSize, Domain
from engine.select import LARGE_DEAL_FROM, Selection, allowed, deal_size, prepare
from engine.template import parse
from tests.domains import bike_shop, budget, play, situation

NOW = datetime(2027, 3, 1, tzinfo=UTC)
SHOP = bike_shop()
OFFER: Slots = {"price_offer": (budget(300),)}


def talk(*plays: str, situation: str = "") -> Conversation:
    history = tuple(Exchange("", "", "", play) for play in plays)
    return Conversation("c1", "bikes", NOW, NOW, NOW, situation=situation, history=history)


def ranked(before: Conversation, at: str, slots: Slots, domain: Domain = SHOP) -> list[str]:
    return [play.id for play in prepare(before, domain, domain.catalogs[0], slots).rank(at)]


def test_plays_keep_the_order_of_the_pack() -> None:
    assert ranked(talk(), "haggling", {"price_offer": (budget(300),)}) == ["hold_price", "ask"]


def test_a_play_is_out_while_a_slot_that_it_requires_is_unknown_or_empty() -> None:
    cargo: Slots = {**OFFER, "product_interest": (SlotValue("cargo"),)}
    assert ranked(talk(), "haggling", cargo) == ["hold_price", "offer_cheaper", "ask"]
    assert ranked(talk(), "haggling", {**cargo, "price_offer": ()}) == ["hold_price", "ask"]


def test_a_play_is_out_where_no_line_of_it_can_be_filled() -> None:
    # The city bike is the cheapest: nothing fills {cheaper}.
    assert "offer_cheaper" not in ranked(talk(), "haggling", OFFER)


def test_a_play_is_out_in_a_situation_that_forbids_it_and_in_the_turn_after() -> None:
    cargo: Slots = {**OFFER, "product_interest": (SlotValue("cargo"),)}
    assert "offer_cheaper" not in ranked(talk(situation="opening"), "haggling", cargo)
    assert "offer_cheaper" in ranked(talk(situation="other"), "haggling", cargo)


def test_the_answer_to_a_question_can_always_be_filled() -> None:
    shop = bike_shop(plays=(*SHOP.plays, play("reply", "{answer}")), situations=_with_plays("reply", "ask"))
    assert ranked(talk(), "haggling", {}, shop) == ["reply", "ask"]


def test_where_no_play_fits_the_fallback_situation_has_some() -> None:
    shop = bike_shop(situations=_with_plays("offer_cheaper"))
    assert ranked(talk(), "haggling", {}, shop) == ["ask"]


def _with_plays(*plays: str) -> tuple[object, ...]:
    return situation("haggling", *plays), situation("other", "ask", fallback=True)


def test_where_the_situation_is_too_unlikely_the_plays_of_the_fallback_go_first() -> None:
    shop = bike_shop(unsure_below=0.4)
    selection = prepare(talk(), shop, shop.catalogs[0], {})
    assert [play.id for play in selection.rank("haggling", 0.4)] == ["hold_price", "ask"]
    assert [play.id for play in selection.rank("haggling", 0.39)] == ["ask", "hold_price"]


FOUR = tuple(play(name) for name in "abcd")


def four(**fields: object) -> Domain:
    plays = (play("a", **fields), *FOUR[1:])
    return bike_shop(plays=plays, situations=(situation("other", "a", "b", "c", "d", fallback=True),))


@pytest.mark.parametrize(
    ("used", "order"),
    [
        ((), "abcd"),
        (("a",), "bcad"),
        (("a", "b"), "acdb"),
        (("b",), "acdb"),
        (("a", "a"), "bcda"),
        (("a", *"bcdbcd"), "abcd"),
    ],
)
def test_a_play_goes_behind_others_the_more_and_the_later_it_was_used(used: tuple[str, ...], order: str) -> None:
    assert ranked(talk(*used), "other", {}, four()) == list(order)


def test_a_repeatable_play_keeps_its_place() -> None:
    assert ranked(talk("a", "a"), "other", {}, four(repeatable=True)) == list("abcd")


@pytest.mark.parametrize(
    ("made_for", "slots", "order"),
    [
        (DealSize.LARGE, {"budget": (budget(50),)}, "bacd"),
        (DealSize.SMALL, {"budget": (budget(50),)}, "abcd"),
        (DealSize.SMALL, {"budget": (budget(50_000),)}, "bacd"),
        (DealSize.LARGE, {}, "abcd"),
        (DealSize.ANY, {"budget": (budget(50),)}, "abcd"),
    ],
)
def test_a_play_for_deals_of_another_size_goes_back(made_for: DealSize, slots: Slots, order: str) -> None:
    assert ranked(talk(), "other", slots, four(deal_size=made_for)) == list(order)


@pytest.mark.parametrize(
    ("catalog", "slots", "size"),
    [
        (0, {}, DealSize.ANY),
        (0, {"budget": (SlotValue("a lot"),)}, DealSize.ANY),
        (0, {"budget": (budget(LARGE_DEAL_FROM - 1),)}, DealSize.SMALL),
        (0, {"budget": (budget(100, LARGE_DEAL_FROM),)}, DealSize.LARGE),
        (0, {"price_offer": (budget(20_000),), "budget": (budget(5),)}, DealSize.LARGE),
        (0, {"quantity": (budget(19, unit="bikes"),)}, DealSize.SMALL),
        (0, {"quantity": (budget(20, unit="bikes"),)}, DealSize.LARGE),
        (0, {"quantity": (budget(20, 30, unit="bikes"),)}, DealSize.ANY),
        (1, {"quantity": (budget(18, unit="bikes"),)}, DealSize.LARGE),
        (1, {"quantity": (budget(17, unit="bikes"),)}, DealSize.SMALL),
        (0, {"quantity": (budget(5, unit="bikes"),), "product_interest": (SlotValue("cargo"),)}, DealSize.LARGE),
    ],
)
def test_a_deal_is_large_by_budget_offer_or_quantity_times_price(catalog: int, slots: Slots, size: DealSize) -> None:
    assert deal_size(SHOP, SHOP.catalogs[catalog], slots) is size


_SLOTS = st.dictionaries(
    st.sampled_from(["price_offer", "budget", "quantity", "pain"]),
    st.lists(st.builds(budget, st.integers(1, 20_000)), max_size=2).map(tuple),
)
_PLAYS = st.sampled_from([play.id for play in SHOP.plays])
_SITUATIONS = st.sampled_from([situation.id for situation in SHOP.situations])


@given(_SLOTS, st.lists(_PLAYS, max_size=8), _SITUATIONS, st.one_of(st.just(""), _SITUATIONS))
@settings(deadline=None)
def test_a_ranking_is_never_empty_has_no_play_twice_and_none_that_is_not_allowed(
    slots: Slots, used: list[str], at: str, before: str
) -> None:
    selection = prepare(talk(*used, situation=before), SHOP, SHOP.catalogs[0], slots)
    plays = selection.rank(at)
    assert plays
    assert len(set(plays)) == len(plays)
    assert {play.id for play in plays} <= set(SHOP.situations_by_id[at].plays)
    fillable = {*selection.facts, "answer"}
    for one in plays:
        assert allowed(one, {at, before}, selection.known, fillable)
        assert any(parse(line).required <= fillable for line in one.lines)
    assert selection.rank(at) == plays


def test_only_the_latest_plays_are_remembered() -> None:
    selection: Selection = prepare(talk(*"abcdefgh"), SHOP, SHOP.catalogs[0], {})
    assert selection.recent == tuple("cdefgh")
    assert len(selection.recent) == select._RECENT_TURNS
