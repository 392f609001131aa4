"""Capture by cues: every finding is in the buyer's own words, and no text can break or stall it."""

from __future__ import annotations

from datetime import date
from functools import cache

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from engine import packs
from engine.conversation import Amount, Finding, Period, Slots, SlotValue
from engine.domain import Cue, Slot, SlotType
from engine.local.capture import Capture
from engine.reading import Reader
from engine.stages import CaptureInput
from tests.domains import bike_shop, slot

TODAY = date(2027, 3, 17)
SHOP = bike_shop()
MONEY, TEXT, ENUM, ENTITY = SlotType.MONEY, SlotType.TEXT, SlotType.ENUM, SlotType.ENTITY
MASK = "\ue000"


@cache
def reader(*slots: Slot) -> Capture:
    return Capture(Reader(bike_shop(slots=slots) if slots else SHOP))


@cache
def sales() -> Capture:
    return Capture(Reader(packs.load(packs.BUILT_IN / "sales")))


def findings(message: str, *slots: Slot, known: Slots | None = None) -> list[Finding]:
    value = CaptureInput(SHOP, message, known or {}, TODAY, 3)
    return list(reader(*slots)(value).findings)


def read(message: str, *slots: Slot, known: Slots | None = None) -> list[tuple[str, str, str]]:
    """Each finding as slot, text and quote; one that is taken back as "-slot"."""
    return [
        ("-" * found.retracted + found.slot, found.value.text if found.value else "", found.value.quote)
        if found.value
        else (f"-{found.slot}", "", "")
        for found in findings(message, *slots, known=known)
    ]


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("our budget is $5,000", [("budget", "5000 USD", "$5,000")]),
        ("Our BUDGET is 5k.", [("budget", "5000 USD", "5k")]),
        ("Would you take €300-400?", [("price_offer", "300-400 EUR", "€300-400")]),
        ("we need 50 bikes", [("quantity", "50 bikes", "50 bikes")]),
        ("the City Bike", [("product_interest", "city", "City Bike")]),
        ("the  city\nbike", [("product_interest", "city", "city\nbike")]),
        ("by friday", [("timeline", "by 2027-03-19", "by friday")]),
        ("it costs us 3 hours a day", [("impact", "3 hours per day", "3 hours a day")]),
        ("it costs us 15 %", [("impact", "15 %", "15 %")]),
        ("that is too expensive", [("objection", "price", "too expensive")]),
        ("tired of flat tyres, but so what", [("pain", "flat tyres", "flat tyres")]),
        ("tired of (the) noise)", [("pain", "the) noise", "the) noise")]),
        ("tired of   flat\ttyres!", [("pain", "flat tyres", "flat\ttyres")]),
        ("looking at trek bikes", [("competitor", "Trek", "trek bikes")]),
        ("Looking at Van Moof now", [("competitor", "Van Moof", "Van Moof")]),
        ("looking at cheap ones", []),
        ("hello there", []),
        ("", []),
    ],
)
def test_each_type_of_slot_is_read_and_quoted(message: str, expected: list[tuple[str, str, str]]) -> None:
    assert read(message) == expected


def test_small_numbers_in_words_are_how_many_and_never_an_offer() -> None:
    assert read("would you take two") == []
    assert read("would you take twenty") == [("price_offer", "20 USD", "twenty")]
    assert read("we need two") == [("quantity", "2", "two")]
    assert read("would you take this one") == []


@pytest.mark.parametrize(
    "form", ["L’Oréal", "l'oréal", "L'Oréal  Paris", "Oréal\u00a0Paris", "  Paris", "", "C++", "a.b"]
)
def test_a_name_is_found_however_it_stands_in_the_lexicon(form: str) -> None:
    one = slot("competitor", ENTITY, "at {brands}")
    capture = Capture(Reader(bike_shop(slots=(one,), lexicons={"brands": {"X": (form,)}})))
    found = capture(CaptureInput(SHOP, f"we look at {form.strip()} now", {}, TODAY, 1)).findings
    assert [one.value and one.value.text for one in found] == (["X"] if form else [])


def test_findings_come_in_the_order_of_the_message_with_their_turn_and_confidence() -> None:
    sure = slot("budget", MONEY, Cue(pattern="have {money}", confidence=0.7))
    late = slot("timeline", SlotType.PERIOD, "{period}")
    found = findings("By friday I have $50, by monday more.", sure, late)
    assert [(one.slot, one.value.quote_start, one.value.confidence) for one in found if one.value] == [
        ("timeline", 0, 0.9),
        ("budget", 17, 0.7),
        ("timeline", 22, 0.9),
    ]
    assert {one.value.turn for one in found if one.value} == {3}
    assert [one.value.typed for one in found if one.value] == [
        Period("", "2027-03-19"),
        Amount(50, 50, "USD"),
        Period("", "2027-03-22"),
    ]


def test_a_later_cue_does_not_take_words_that_an_earlier_one_has_taken() -> None:
    both = slot("budget", MONEY, "have {money}", Cue(pattern="{money} in cash", confidence=0.5))
    assert [found.value and found.value.confidence for found in findings("I have $50 in cash", both)] == [0.9]
    other = slot("price_offer", MONEY, "{money} in cash")
    assert [name for name, *_ in read("I have $50 in cash", both, other)] == ["budget", "price_offer"]


@pytest.mark.parametrize(
    ("message", "found"),
    [
        ("this is too expensive", True),
        ("this is not too expensive", False),
        ("it isn't too expensive", False),
        ("it isn’t too expensive", False),
        ("not bad, but too expensive", True),
        ("no, too expensive", True),
        ("I do not know. too expensive", True),
        ("never was it too expensive", False),
        ("not that I would want to complain now, too expensive", True),
    ],
)
def test_a_negation_right_before_turns_a_cue_round(message: str, found: bool) -> None:
    assert bool(read(message)) is found


def test_what_was_known_is_taken_back_when_it_is_negated_and_is_an_enum() -> None:
    known: Slots = {"objection": (SlotValue("price"),), "pain": (SlotValue("noise"),)}
    assert read("it is not too expensive", known=known) == [("-objection", "price", "too expensive")]
    assert read("it is not a bad time", known=known) == []
    assert read("I am not tired of noise", known=known) == []


def test_a_retraction_names_what_it_takes_back_and_counts_only_where_something_is_known() -> None:
    assert read("we no longer look at Trek") == []
    known: Slots = {"competitor": (SlotValue("Trek"),), "objection": (SlotValue("price"),)}
    assert read("we no longer look at trek bikes", known=known) == [("-competitor", "Trek", "")]
    one = slot("objection", ENUM, Cue(pattern="price is fine", value="price", retract=True))
    assert read("the price is fine", one, known=known) == [("-objection", "price", "")]
    every = slot("objection", ENUM, Cue(pattern="all is fine", retract=True))
    assert read("all is fine", every, known=known) == [("-objection", "", "")]
    named = slot("competitor", ENTITY, Cue(pattern=r"forget (?P<span>\S+)", retract=True))
    assert read("forget Trek please", named, known=known) == [("-competitor", "Trek", "")]


def test_an_unless_is_looked_for_in_the_same_sentence_only() -> None:
    one = slot("budget", MONEY, Cue(pattern="have {money}", unless="they|Retail"))
    assert read("I have $50 and they more", one) == []
    assert read("Retail, I have $50", one) == []
    assert read("They said so. I have $50", one) == [("budget", "50 USD", "$50")]
    assert read("I have $50! They do not", one) == [("budget", "50 USD", "$50")]


@pytest.mark.parametrize(
    ("pattern", "message", "quote"),
    [
        ("take {money} for {clause}", "take $5 for the old bike.", "the old bike"),
        ("from {money} to {period}", "from $5 to friday", "$5"),
        (r"paid {money} for (?P<span>\w+)", "paid $5 for bells", "bells"),
        ("(?:keep|lose) it", "I lose it.", "lose it"),
        ("I am {name}", "I am Ann Lee of Rome.", "Ann Lee of Rome"),
        ("I am {name}", "I am ann", None),
        ("cafe {clause}", "cafe ’x’ (y).", "’x’ (y"),
    ],
)
def test_the_quote_is_the_clause_else_the_first_placeholder_else_the_match(
    pattern: str, message: str, quote: str | None
) -> None:
    found = read(message, slot("pain", TEXT, pattern))
    assert [words for _, _, words in found] == ([quote] if quote else [])


def test_a_quote_starts_after_the_signs_that_are_left_out_of_it() -> None:
    (found,) = findings("we are tired of ('flat' tyres).")
    assert found.value
    assert (found.value.quote, found.value.quote_start) == ("flat' tyres", 18)


def test_of_two_names_for_the_same_words_the_longer_one_counts() -> None:
    one = slot("competitor", ENTITY, "at {brands}")
    shop = bike_shop(slots=(one,), lexicons={"brands": {"Trek": (), "Trek Two": ("trek two", "two")}})
    found = Capture(Reader(shop))(CaptureInput(SHOP, "we look at trek two", {}, TODAY, 1)).findings
    assert [one.value and one.value.text for one in found] == ["Trek Two"]


def test_nothing_is_found_where_nothing_is_left_to_quote() -> None:
    assert read("tired of ---, really", slot("pain", TEXT, r"tired of (?P<span>-+)")) == []


@pytest.mark.parametrize("char", [MASK, "\ue003", "\uf8ff", "İ", "ı", "ſ", "K", "😀", "\u0301", "\x00", "\ud800"])
def test_no_character_passes_for_a_span_or_breaks_the_offsets(char: str) -> None:
    message = f"{char}would you take {char} or have $50 {char}, tired of {char}x{char} by frİday and pİpedrıve{char}"
    for capture in (reader(), sales()):
        found = capture(CaptureInput(SHOP, message, {}, TODAY, 1)).findings
        for one in found:
            assert one.value is not None
            assert message[one.value.quote_start :].startswith(one.value.quote)
            assert (one.slot in {"budget", "price_offer"}) <= (one.value.typed == Amount(50, 50, "USD"))
    assert ("budget", "50 USD", "$50") in read(message)


def test_names_are_found_in_letters_that_only_ignoring_case_takes_for_latin_ones() -> None:
    assert read("looking at GİANT") == [("competitor", "Giant", "GİANT")]
    assert read("looking at gıant") == [("competitor", "Giant", "gıant")]


_WORDS = st.sampled_from(
    "our budget is have would you take need costs us looking at no longer look tired of sick of too expensive bad time "
    "not n't never but so and $50 5k 80 50 bikes 3 hours 15 % city bike Trek trek bikes by friday next quarter . , ! ? ; "
    "’ ' ( ) İ ı ſ 😀 \ue000 \ue003 \uf8ff Zoom Van deal we i'd pay 60 is too much for spreadsheets my boss".split(" ")
)
_MESSAGES = st.one_of(
    st.text(max_size=80),
    st.lists(st.tuples(_WORDS, st.sampled_from([" ", " ", "  ", "", "\n", "\u2003", "\t"])), max_size=20).map(
        lambda parts: "".join(word + gap for word, gap in parts)
    ),
)
_KNOWN: Slots = {"objection": (SlotValue("price"),), "competitor": (SlotValue("Trek"),), "price_offer": ()}


@given(_MESSAGES, st.booleans())
@settings(deadline=None)
@example("have \ue000 $50", False)
def test_every_quote_stands_in_the_message_where_it_says(message: str, known: bool) -> None:
    for capture in (reader(), sales()):
        value = CaptureInput(SHOP, message, _KNOWN if known else {}, TODAY, 1)
        starts = []
        for found in capture(value).findings:
            assert found.value is not None or found.retracted
            if found.value is None or (found.retracted and not found.value.quote):
                continue
            start, quote = found.value.quote_start, found.value.quote
            assert quote
            assert message[start : start + len(quote)] == quote
            assert quote.strip() == quote
            starts.append(start)
            assert isinstance(found.value.typed, Amount | Period | None)
        assert capture(value) == capture(value)


# -- values that a caller gives
