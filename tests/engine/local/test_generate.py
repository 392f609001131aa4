"""The built-in engine's replies: they answer what was asked, never repeat themselves, and never invent."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest

from engine import facts, packs
from engine.conversation import Amount, Exchange, Slots, SlotValue
from engine.domain import Answer, Domain, Play, Policy
from engine.local.generate import Generate
from engine.price_guard import Known, PriceGuard, known_in
from engine.stages import GenerateInput, Vector
from engine.template import parse
from tests.domains import bike_shop, catalog, play, product

OPEN = Answer(id="hours", text="We are open from 9 to 5.", asks=("When are you open?", "opening hours"))
TOLD = play("tell", "{answer} Anything else?", "Well: {answer}")
CHAT = play("chat", "Lovely.", "Splendid.", "How nice.")
SHOP = bike_shop(
    catalogs=(catalog("bikes", product("city_bike", 590), answers=(OPEN,), facts={"trial": "Try it for 30 days."}),),
    default_catalog="bikes",
    plays=(TOLD, CHAT, play("ask"), play("greet"), play("hold_price"), play("offer_cheaper")),
)


def encode(text: str) -> Vector:
    """Two dimensions are enough here: what is about opening hours, and what is not."""
    return np.array([1, 0] if "open" in text.lower() else [0, 1], np.float32)


def reply(
    message: str,
    used: Play,
    *,
    history: Sequence[Exchange] = (),
    slots: Slots | None = None,
    owed: tuple[Policy, ...] = (),
    domain: Domain = SHOP,
    situation: str = "haggling",
) -> str:
    home = domain.home
    values = facts.values(domain, home, slots or {})
    value = GenerateInput(
        domain, home, message, encode(message), slots or {}, situation, used, tuple(history), values, owed
    )
    generate = Generate(domain, encode)
    assert "".join(generate(value)) == generate.reply(value)
    return generate.reply(value)


def test_a_question_that_the_catalog_answers_is_answered() -> None:
    assert reply("When are you open?", TOLD) == "We are open from 9 to 5. Anything else?"


def test_a_question_that_nothing_answers_is_not_guessed_at() -> None:
    assert reply("How tall is your dog?", TOLD) in SHOP.voice.unknown


def test_a_clear_question_is_answered_before_another_play_goes_on() -> None:
    assert reply("Nice. When are you open?", CHAT).startswith("We are open from 9 to 5. ")


def test_nobody_is_answered_and_told_in_one_breath_that_he_was_not_understood() -> None:
    assert reply("When are you open?", play("clarify", "I did not get that."), situation="other") == OPEN.text


def test_what_is_no_question_gets_no_answer() -> None:
    assert reply("I open my shop on Monday", CHAT) in CHAT.lines


def test_who_asks_again_is_answered_again_in_other_words() -> None:
    first = reply("When are you open?", TOLD)
    second = reply("When are you open?", TOLD, history=[Exchange("When are you open?", first)])
    assert OPEN.text in second != first


def test_nobody_is_told_twice_what_he_did_not_ask_for() -> None:
    said = reply("Are you open?", CHAT)
    assert OPEN.text not in reply("So you open at 9, right?", CHAT, history=[Exchange("Are you open?", said)])


def test_no_line_is_said_again_while_another_one_is_left_and_never_twice_in_a_row() -> None:
    history: list[Exchange] = []
    for _ in range(9):
        history.append(Exchange("hm", reply("hm", CHAT, history=history)))
    said = [exchange.reply for exchange in history]
    assert set(said[:3]) == set(CHAT.lines)
    assert all(one != other for one, other in pairwise(said))


def test_a_line_that_uses_what_is_known_is_preferred() -> None:
    told = play("sum_up", "All right.", "[For {quantity}: ]{total} in all.", "Fine.")
    wanted = {"quantity": (SlotValue("3 bikes", typed=Amount(3, 3, "bikes")),)}
    assert reply("ok", told, slots=wanted) == "For 3 bikes: $1,770 in all."


@pytest.mark.parametrize(
    ("message", "whole"),
    [("Are you a bot?", True), ("Hi there. Are you a bot?", True), ("Are you a bot? And when are you open?", False)],
)
def test_what_policy_owes_is_said_first_and_alone_if_nothing_else_was_said(message: str, whole: bool) -> None:
    policy = Policy(id="disclosure", cues=("are you a bot",), line="I am an AI of {vendor}.")
    said = reply(message, TOLD, owed=(policy,))
    assert said.startswith("I am an AI of Bikes.")
    assert (said == "I am an AI of Bikes.") == whole


def test_a_policy_that_stands_alone_silences_every_play() -> None:
    policy = Policy(id="opt_out", cues=("unsubscribe",), line="You will not hear from us.", alone=True)
    assert reply("Unsubscribe me! When are you open?", TOLD, owed=(policy,)) == "You will not hear from us."


@pytest.mark.parametrize("name", ["sales", "support"])
def test_every_line_of_a_built_in_pack_passes_the_price_guard(name: str) -> None:
    """With nothing known, and with all that a buyer may have said."""
    domain = packs.load(packs.BUILT_IN / name)
    said = {slot.name: (SlotValue("a thing", "a thing"),) for slot in domain.slots}
    said |= {slot.name: (SlotValue("60", "60 of them", typed=Amount(60, 60, "")),) for slot in domain.slots[-9:]}
    for home in domain.catalogs:
        for known in ({}, said):
            values = facts.values(domain, home, known) | {"answer": home.answers[0].text}
            computed = known_in(values.values())
            lines = [line for used in domain.plays for line in used.lines]
            for text in filter(None, (parse(line).render(values) for line in lines)):
                guard = PriceGuard(facts.known(domain, home), lambda: computed, Known)  # noqa: B023
                assert guard.feed(text) + guard.finish() == text
