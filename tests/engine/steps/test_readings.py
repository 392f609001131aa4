"""What models answer is believed as far as it can be checked: quotes stand in the message, ids in the pack."""

from __future__ import annotations

from datetime import date
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from engine import packs
from engine.conversation import Amount, Finding, Period, Slots, SlotValue
from engine.domain import Domain
from engine.stages import CaptureInput, DetectInput
from engine.steps import CAPTURE, DETECT

TODAY = date(2027, 3, 17)
MESSAGE = "We're 50 people, and could do $40 a seat by May 1st. Too expensive otherwise; Zendesk is cheaper."
KNOWN: Slots = {"timeline": (SlotValue("2027-Q2"),), "objection": (SlotValue("price"),)}


@cache
def sales() -> Domain:
    return packs.load(packs.BUILT_IN / "sales")


def asked(message: str = MESSAGE, known: Slots | None = None) -> CaptureInput:
    return CaptureInput(sales(), message, known or {}, TODAY, 4)


def schema_of_capture() -> type[BaseModel]:
    assert CAPTURE.structure
    return CAPTURE.structure.schema(asked())


def read(*found: tuple[str, str, str, str], known: Slots | None = None, message: str = MESSAGE) -> tuple[Finding, ...]:
    items = [dict(zip(("slot", "quote", "value", "op"), one, strict=True)) for one in found]
    assert CAPTURE.structure
    return CAPTURE.structure.read(
        asked(message, known), schema_of_capture().model_validate({"findings": items})
    ).findings


def test_figures_and_dates_are_read_as_the_built_in_engine_reads_them() -> None:
    offer, deadline, seats = read(
        ("price_offer", "$40 a seat", "", "set"),
        ("timeline", "by May 1st", "", "set"),
        ("quantity", "50 people", "", "set"),
    )[1:] + read(("quantity", "50 people", "", "set"))
    assert offer.value is not None
    assert offer.value.typed == Amount(40, 40, "USD", "seat")
    assert deadline.value is not None
    assert deadline.value.typed == Period("", "2027-05-01")
    assert seats.value is not None
    assert seats.value.typed == Amount(50, 50, "people")
    assert seats.value.turn == 4


def test_findings_stand_in_the_order_of_the_message() -> None:
    found = read(("price_offer", "$40 a seat", "", "set"), ("quantity", "50 people", "", "set"))
    assert [finding.slot for finding in found] == ["quantity", "price_offer"]


def test_an_option_is_taken_from_the_value_and_its_words_are_quoted() -> None:
    (finding,) = read(("objection", "Too expensive otherwise", "price", "set"))
    assert finding.value == SlotValue("price", "Too expensive otherwise", MESSAGE.index("Too"), 0.9, 4)


def test_a_name_is_brought_to_its_form_in_the_lexicon() -> None:
    (finding,) = read(("competitor", "zendesk", "", "set"))
    assert finding.value is not None
    assert (finding.value.text, finding.value.quote) == ("Zendesk", "Zendesk")


@pytest.mark.parametrize(
    "found",
    [
        ("pain", "we lose orders every week", "", "set"),
        ("price_offer", "Too expensive", "", "set"),
        ("objection", "Too expensive", "colour", "set"),
        ("pain", "  ", "", "set"),
    ],
)
def test_what_cannot_be_checked_is_left_out(found: tuple[str, str, str, str]) -> None:
    assert [finding.slot for finding in read(found, ("quantity", "50 people", "", "set"))] == ["quantity"]


def test_who_quotes_only_what_nobody_said_is_not_believed() -> None:
    with pytest.raises(ValueError, match="no finding"):
        read(("pain", "we lose orders every week", "", "set"))
    # What was said, and does not say what the slot holds, is no lie.
    assert read(("price_offer", "Too expensive", "", "set")) == ()


def test_a_thing_that_no_catalog_has_is_asked_for_all_the_same() -> None:
    (finding,) = read(("product_interest", "seat", "", "set"))
    assert finding.value is not None
    assert finding.value.text == "seat"


def test_nothing_found_is_an_answer() -> None:
    assert read() == ()


def test_only_what_is_known_can_be_taken_back() -> None:
    found = read(("timeline", "forget the date", "", "retract"), ("pain", "x", "", "retract"), known=KNOWN)
    assert found == (Finding("timeline", None, retracted=True),)
    assert read(("objection", "", "price", "retract"), known=KNOWN) == (
        Finding("objection", SlotValue("price"), retracted=True),
    )


def test_a_slot_that_the_pack_does_not_have_fits_no_schema() -> None:
    with pytest.raises(ValidationError):
        read(("shoe_size", "50", "", "set"))


@given(st.text(max_size=60), st.lists(st.tuples(st.text(max_size=12), st.booleans()), max_size=6))
def test_whatever_is_quoted_stands_in_the_message(message: str, quotes: list[tuple[str, bool]]) -> None:
    found = [("pain", quote, "", "set") for quote, _ in quotes]
    try:
        findings = read(*found, message=message)
    except ValueError:
        return
    for finding in findings:
        assert finding.value is not None
        assert finding.value.quote
        assert message[finding.value.quote_start :].startswith(finding.value.quote)


# -- detect


def placed(situation: str, confidence: float, runner_up: str) -> tuple[str, float, tuple[tuple[str, float], ...]]:
    value = DetectInput(sales(), MESSAGE, np.zeros(1, np.float32), {}, "", ())
    assert DETECT.structure
    answer = DETECT.structure.schema(value).model_validate(
        {"situation": situation, "confidence": confidence, "runner_up": runner_up}
    )
    detection = DETECT.structure.read(value, answer)
    return detection.situation, detection.confidence, detection.alternatives


def test_a_detection_has_a_runner_up_that_is_less_likely() -> None:
    assert placed("price_negotiation", 0.75, "price_objection") == (
        "price_negotiation",
        0.75,
        (("price_objection", 0.25),),
    )
    assert placed("price_negotiation", 0.4, "price_objection")[2] == (("price_objection", 0.4),)
    assert placed("price_negotiation", 0.4, "price_negotiation")[2] == ()


@pytest.mark.parametrize(
    ("situation", "confidence"), [("price_war", 0.5), ("price_inquiry", 1.5), ("price_inquiry", float("nan"))]
)
def test_an_unknown_situation_or_an_impossible_confidence_fits_no_schema(situation: str, confidence: float) -> None:
    with pytest.raises(ValidationError):
        placed(situation, confidence, "price_inquiry")
