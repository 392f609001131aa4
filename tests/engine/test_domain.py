"""Whole packs and the lint that proves them sound: every fault is found, named, and found alone."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from engine import packs
from engine.domain import Answer, Cue, Domain, Example, Play, Situation, Slot, SlotType
from engine.domain_lint import EXAMPLES_MIN, faults, summary
from tests.domains import LINES, bike_shop, catalog, examples, play, product, situation, slot

SHOP = bike_shop()
BIKES, HIRE = SHOP.catalogs


def changed(part: str, id_: str, **fields: Any) -> Domain:
    """The shop with some fields of one of its situations, slots, plays or catalogs changed."""
    key = "name" if part == "slots" else "id"
    items = [
        type(item).model_validate({**item.model_dump(), **fields}) if getattr(item, key) == id_ else item
        for item in getattr(SHOP, part)
    ]
    return bike_shop(**{part: items})


def with_catalog(**fields: Any) -> Domain:
    return changed("catalogs", "bikes", **fields)


def test_the_shop_of_the_tests_is_sound() -> None:
    assert faults(SHOP) == []


@pytest.mark.parametrize("name", sorted(packs.available()))
def test_the_packs_that_come_with_the_service_are_sound(name: str) -> None:
    assert faults(packs.load(packs.BUILT_IN / name)) == []


def test_a_summary_counts_what_a_pack_holds() -> None:
    assert summary(SHOP) == "3 situations, 9 slots, 4 plays with 12 lines, 2 catalogs, 60 examples"


_REPEATED: list[tuple[Domain, str]] = [
    (bike_shop(situations=(*SHOP.situations, situation("opening", neighbours=("other",)))), "situation opening: defi"),
    (bike_shop(slots=(*SHOP.slots, slot("pain", SlotType.TEXT, "x"))), "slot pain: defined 2 times"),
    (bike_shop(plays=(*SHOP.plays, play("ask"))), "play ask: defined 2 times"),
    (bike_shop(policies=(*SHOP.policies, *SHOP.policies)), "policy disclosure: defined 2 times"),
    (
        bike_shop(catalogs=(BIKES, HIRE, catalog("hire", product("other", 5), facts={"guarantee": "Yes."}))),
        "catalog hire: defined 2 times",
    ),
    (with_catalog(products=(*BIKES.products, product("weekly", 5))), "product weekly: defined 2 times"),
    (
        with_catalog(answers=[Answer(id="a", text="Yes.", asks=("is it", "is that"))] * 2),
        "catalog bikes: answer a is defined 2 times",
    ),
]


@pytest.mark.parametrize(("domain", "fault"), _REPEATED)
def test_an_id_that_is_defined_twice_is_a_fault(domain: Domain, fault: str) -> None:
    (found,) = faults(domain)
    assert found.startswith(fault)


@pytest.mark.parametrize(
    ("domain", "fault"),
    [
        (
            changed("situations", "opening", expected_slots=["ghost"]),
            "situation opening: expects slot ghost, which does not exist",
        ),
        (
            changed("situations", "opening", plays=["greet", "ghost"]),
            "situation opening: names play ghost, which does not exist",
        ),
        (
            changed("situations", "opening", neighbours=["other", "ghost"]),
            "situation opening: names neighbour ghost, which does not exist",
        ),
        (
            changed("situations", "haggling", neighbours=["other"]),
            "situation haggling: other is its neighbour, but not the other way round",
        ),
        (changed("plays", "offer_cheaper", requires=["ghost"]), "play offer_cheaper: requires slot ghost, which does"),
        (
            changed("plays", "greet", forbidden_when=["ghost"]),
            "play greet: is forbidden in situation ghost, which does not exist",
        ),
        (
            bike_shop(examples=(*SHOP.examples, Example(message="boo", situation="ghost"))),
            "examples ghost: there is no such situation",
        ),
    ],
)
def test_an_id_that_leads_nowhere_is_a_fault(domain: Domain, fault: str) -> None:
    (found,) = faults(domain)
    assert found.startswith(fault)


@pytest.mark.parametrize(
    ("domain", "fault"),
    [
        (bike_shop(plays=(*SHOP.plays, play("idle"))), "play idle: no situation uses it"),
        (
            bike_shop(examples=examples("opening", "other")),
            "situation haggling: cannot be reached: it has no examples",
        ),
        (
            changed("plays", "hold_price", forbidden_when=["haggling"]),
            "situation haggling: names play hold_price, which is forbidden in it",
        ),
        (
            changed("situations", "haggling", plays=["offer_cheaper", "ask"][:1]),
            "situation haggling: no play of it works with nothing known",
        ),
    ],
)
def test_what_can_never_be_reached_or_used_is_a_fault(domain: Domain, fault: str) -> None:
    assert [found for found in faults(domain) if not found.startswith("play hold_price: no situation")] == [fault]


def test_a_situation_needs_a_play_whose_line_can_be_said_in_every_catalog() -> None:
    shop = changed("plays", "ask", lines=["{guarantee} {cheaper}"] + [f"{line} {{cheaper}}" for line in LINES])
    assert faults(shop) == ["situation other: no play of it works with nothing known"]


@pytest.mark.parametrize(
    ("domain", "fault"),
    [
        (changed("plays", "ask", lines=LINES[:2]), "play ask: has 2 lines; at least 3 are needed"),
        (changed("plays", "ask", lines=[*LINES, LINES[0]]), "play ask: says 'All right.' 2 times"),
        (
            changed("plays", "ask", lines=[*LINES, "[{ghost}]"]),
            "play ask: uses {ghost}, which catalog bikes does not define",
        ),
        (
            changed("plays", "ask", needs_grounded_fact=True, lines=[*LINES, "[{pain}]"]),
            "play ask: needs a grounded fact, but no line of it uses one",
        ),
        (
            with_catalog(facts={**BIKES.facts, "more": "{ghost}"}),
            "catalog bikes: fact more uses {ghost}, which nothing defines",
        ),
        (
            with_catalog(answers=[Answer(id="a", text="{ghost}", asks=("is it", "is that"))]),
            "catalog bikes: answer a uses {ghost}, which nothing defines",
        ),
        (
            bike_shop(catalogs=(BIKES, catalog("hire", product("weekly", 49), facts={}))),
            "play hold_price: uses {guarantee}, which catalog hire does not define",
        ),
    ],
)
def test_a_line_that_cannot_be_said_is_a_fault(domain: Domain, fault: str) -> None:
    assert faults(domain)[0] == fault


@pytest.mark.parametrize(
    ("made", "fault"),
    [
        (slot("bare"), "slot bare: has no cues, so the built-in engine never finds it"),
        (slot("mood", SlotType.ENUM, "happy"), "slot mood: an enum needs a value on every cue"),
        (slot("odd", SlotType.TEXT, "{ghost|money} x"), "slot odd: cue '{ghost|money} x' uses {ghost}, which nothing"),
        (slot("odd", SlotType.TEXT, Cue(pattern="x", unless="{ghost}")), "slot odd: cue 'x' uses {ghost}, which"),
    ],
)
def test_a_slot_that_can_never_be_found_is_a_fault(made: Slot, fault: str) -> None:
    (found,) = faults(bike_shop(slots=(*SHOP.slots, made)))
    assert found.startswith(fault)


def test_a_cue_may_use_every_kind_of_span_that_capture_knows() -> None:
    kinds = "money percent quantity measure number period product brands clause name".split()
    everything = slot("all", SlotType.TEXT, *(f"{{{kind}}}" for kind in kinds))
    taken_back = slot("mood", SlotType.ENUM, Cue(pattern="happy", value="good"), Cue(pattern="forget", retract=True))
    assert faults(bike_shop(slots=(*SHOP.slots, everything, taken_back))) == []


def test_too_few_examples_and_examples_that_stand_twice_are_faults() -> None:
    few = (*examples("opening", "haggling"), *examples("other", each=EXAMPLES_MIN - 1))
    assert faults(bike_shop(examples=few)) == ["examples other: 19 are too few to learn from; at least 20"]
    twice = (*SHOP.examples, Example(message="OPENING in words 0", situation="other"))
    assert faults(bike_shop(examples=twice)) == ["examples opening, other: 'opening in words 0' stands there 2 times"]


# -- what a part of a pack may hold


@pytest.mark.parametrize(
    ("kind", "fields", "where"),
    [
        (Cue, {"pattern": "(a"}, "pattern"),
        (Cue, {"pattern": ""}, "pattern"),
        (Cue, {"pattern": "a", "unless": "[b"}, "unless"),
        (Cue, {"pattern": "a", "confidence": 0}, "confidence"),
        (Slot, {"name": "Pain", "type": "text", "description": ""}, "name"),
        (Slot, {"name": "pain", "type": "words", "description": ""}, "type"),
        (Situation, {"id": "a", "stage": "", "definition": "", "plays": []}, "plays"),
        (Situation, {"id": "a", "stage": "", "definition": "", "plays": ["b"], "playz": ["b"]}, "playz"),
        (Play, {"id": "a", "source": "", "principle": "", "strategy": "", "lines": ["a {"]}, "lines"),
        (Play, {"id": "a", "source": "", "principle": "", "strategy": "", "lines": ["a" * 601]}, "lines"),
    ],
)
def test_a_part_that_is_not_well_formed_is_refused_with_its_field(
    kind: Any, fields: dict[str, Any], where: str
) -> None:
    with pytest.raises(ValidationError) as caught:
        kind.model_validate(fields)
    assert {error["loc"][0] for error in caught.value.errors()} == {where}


@pytest.mark.parametrize("fallbacks", [0, 2])
def test_a_pack_has_exactly_one_fallback(fallbacks: int) -> None:
    situations = [situation(name, fallback=at < fallbacks) for at, name in enumerate("abc")]
    with pytest.raises(ValidationError, match="exactly one must have fallback"):
        bike_shop(situations=situations)


def test_the_default_catalog_must_exist_and_is_not_blamed_for_broken_catalogs() -> None:
    with pytest.raises(ValidationError, match="there is no catalog ghost"):
        bike_shop(default_catalog="ghost")
    with pytest.raises(ValidationError) as caught:
        bike_shop(catalogs=())
    assert [error["loc"] for error in caught.value.errors()] == [("catalogs",)]


def test_the_default_product_of_a_catalog_must_exist() -> None:
    with pytest.raises(ValidationError, match="default_product: there is no product ghost"):
        catalog("shop", product("bike", 5), default_product="ghost")


def test_a_pack_is_looked_up_by_its_ids() -> None:
    assert SHOP.home is BIKES
    assert SHOP.fallback.id == "other"
    assert SHOP.situations_by_id["opening"] is SHOP.situations[0]
    assert SHOP.plays_by_id["ask"] is SHOP.plays[1]
    assert SHOP.slots_by_name["pain"] is SHOP.slots[0]
    assert SHOP.lists == {"pain", "objection", "competitor"}
    assert SHOP.critical == {"pain", "budget", "objection"}
    assert SHOP.slots_by_name["objection"].values == ("price", "timing")
    assert BIKES.product("cargo") is BIKES.products[1]
    assert BIKES.product("Cargo") is None
    assert Cue(pattern="{money|number} for {clause}", unless="{brands}").placeholders == {
        "money",
        "number",
        "clause",
        "brands",
    }
