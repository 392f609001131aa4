"""What the detector promises: calibrated places in order, abstention, evidence in the second pass."""

from __future__ import annotations

from dataclasses import replace

import pytest

from engine.conversation import Operation, SlotChange, SlotValue
from engine.local.detect import ALTERNATIVES_MAX, Detector
from engine.local.features import CHARS_MAX, rarity, words
from engine.local.training import fit
from engine.reconcile import Detection
from engine.stages import DetectInput
from tests.engine.local.packs import FakeEmbedder, tiny_domain

DOMAIN = tiny_domain()
EMBEDDER = FakeEmbedder()
MODEL = fit(DOMAIN, EMBEDDER.encode)


def detect(message: str, *, threshold: float = 0.0, changes: tuple[SlotChange, ...] | None = None) -> Detection:
    detector = Detector(replace(MODEL, threshold=threshold), DOMAIN)
    return detector(DetectInput(DOMAIN, message, EMBEDDER.encode(message), {}, "", (), changes))


@pytest.mark.parametrize(
    ("message", "situation"),
    [
        ("How much does it cost?", "price_inquiry"),
        ("that's WAY too expensive", "price_objection"),
        ("Good morning!", "opening"),
        ("hmm ok", "no_match"),
    ],
)
def test_plain_messages_land_right(message: str, situation: str) -> None:
    assert detect(message).situation == situation


@pytest.mark.parametrize("message", ["how much", "", "🙏", "\x00", "ß" * 5000, "zzzz qqqq"])
def test_probabilities_are_ordered_and_sum_to_one(message: str) -> None:
    found = detect(message)
    shares = [found.confidence, *(share for _, share in found.alternatives)]
    names = [found.situation, *(name for name, _ in found.alternatives)]
    assert shares == sorted(shares, reverse=True)
    assert sum(shares) == pytest.approx(1)
    assert sorted(names) == sorted(MODEL.situations)
    assert len(found.alternatives) <= ALTERNATIVES_MAX


def test_abstains_under_the_threshold_and_keeps_the_likeliest_next() -> None:
    sure, unsure = detect("how much"), detect("how much", threshold=0.999)
    assert sure.situation == "price_inquiry"
    assert unsure.situation == "no_match"
    assert unsure.confidence < sure.confidence
    assert unsure.runner_up == (sure.situation, sure.confidence)
    assert "no_match" not in dict(unsure.alternatives)


@pytest.mark.parametrize("operation", list(Operation))
def test_second_pass_hears_what_capture_found(operation: Operation) -> None:
    value = None if operation is Operation.RETRACT else SlotValue("price", "too much")
    change = SlotChange("objection", operation, value, None)
    before, after = detect("the sofa"), detect("the sofa", changes=(change,))
    assert share(after, "price_objection") > share(before, "price_objection")


def test_a_slot_that_many_expect_says_less() -> None:
    telling = detect("the sofa", changes=(SlotChange("objection", Operation.SET, SlotValue("price"), None),))
    common = detect("the sofa", changes=(SlotChange("budget", Operation.SET, SlotValue("9"), None),))
    assert share(telling, "price_objection") > share(common, "price_objection")


@pytest.mark.parametrize("name", ["", "never_heard_of"])
def test_second_pass_without_evidence_is_the_first(name: str) -> None:
    changes = (SlotChange(name, Operation.SET, SlotValue("x"), None),) if name else ()
    assert detect("how much", changes=changes) == detect("how much")


def test_words_are_bounded_and_of_unit_length() -> None:
    idf = rarity(["how much", "how are you"])
    long = words("how much " * 10_000, idf)
    assert len(long.buckets) <= CHARS_MAX
    assert float(long.values @ long.values) == pytest.approx(1)
    assert len(words("", idf).buckets) == 0
    assert idf[words("how", idf).buckets[0]] < idf[words("much", idf).buckets[0]]


def share(found: Detection, situation: str) -> float:
    return {found.situation: found.confidence, **dict(found.alternatives)}[situation]
