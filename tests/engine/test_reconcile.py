"""When detect runs a second time: which triggers fire, and that it runs only where the play could change."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.conversation import Operation, SlotChange, SlotValue
from engine.reconcile import CONFIDENCE_MIN, FINDINGS_MAX, Detection, Trigger, could_change, reconcile, triggers

CRITICAL = frozenset({"budget"})
SURE = Detection("opening", 0.95, (("haggling", 0.04),))
PLAYS = {"opening": "greet", "haggling": "hold_price", "other": "greet"}


def change(name: str, operation: Operation = Operation.SET, quote: str = "", at: int = 0) -> SlotChange:
    value = None if operation is Operation.RETRACT else SlotValue("x", quote, at)
    return SlotChange(name, operation, value, None)


@pytest.mark.parametrize(("confidence", "fires"), [(0.0, True), (0.699, True), (CONFIDENCE_MIN, False), (1.0, False)])
def test_a_detection_below_the_threshold_fires(confidence: float, fires: bool) -> None:
    assert triggers(Detection("opening", confidence), [], CRITICAL) == ((Trigger.LOW_CONFIDENCE,) if fires else ())


@pytest.mark.parametrize("operation", list(Operation))
def test_a_critical_slot_fires_whether_set_changed_or_retracted(operation: Operation) -> None:
    assert triggers(SURE, [change("budget", operation)], CRITICAL) == (Trigger.CRITICAL_SLOT,)
    assert triggers(SURE, [change("pain", operation)], CRITICAL) == ()


def test_more_new_slots_than_three_fire_and_changes_are_not_new() -> None:
    new = [change(f"slot{n}") for n in range(FINDINGS_MAX)]
    assert triggers(SURE, new, CRITICAL) == ()
    assert triggers(SURE, [*new, change("more")], CRITICAL) == (Trigger.CONTEXT_CHANGE,)
    assert triggers(SURE, [*new, change("more", Operation.CHANGE)], CRITICAL) == ()


def test_several_quotes_fire_and_one_quote_under_several_slots_is_one() -> None:
    apart = [change("pain", Operation.CHANGE, "same words", at) for at in range(FINDINGS_MAX + 1)]
    together = [change("pain", Operation.CHANGE, "same words", 7) for _ in range(FINDINGS_MAX + 1)]
    assert triggers(SURE, apart, CRITICAL) == (Trigger.CONTEXT_CHANGE,)
    assert triggers(SURE, together, CRITICAL) == ()
    retracted = [change("pain", Operation.RETRACT) for _ in range(FINDINGS_MAX + 1)]
    assert triggers(SURE, retracted, CRITICAL) == ()


def test_triggers_come_strongest_first() -> None:
    changes = [change(name) for name in ("budget", "a", "b", "c")]
    assert triggers(Detection("opening", 0.1), changes, CRITICAL) == tuple(Trigger)


@pytest.mark.parametrize(
    ("alternatives", "changes"),
    [
        ((), False),
        ((("haggling", 0.3),), True),
        ((("haggling", 0.25),), True),
        ((("haggling", 0.24),), False),
        ((("other", 0.5),), False),
        ((("other", 0.5), ("haggling", 0.3)), True),
    ],
)
def test_the_play_could_change_if_a_plausible_alternative_has_another(
    alternatives: tuple[tuple[str, float], ...], changes: bool
) -> None:
    assert could_change(Detection("opening", 0.5, alternatives), PLAYS.__getitem__, 0.5) is changes


def test_detect_runs_again_only_if_a_trigger_fired_and_the_play_could_change() -> None:
    unsure = Detection("opening", 0.5, (("haggling", 0.4),))
    fired = (Trigger.LOW_CONFIDENCE,)
    verdict = reconcile(unsure, [], CRITICAL, PLAYS.__getitem__, 0.5)
    assert (verdict.fired, verdict.rerun) == (fired, True)
    verdict = reconcile(unsure, [], CRITICAL, lambda _: "greet", 0.5)
    assert (verdict.fired, verdict.rerun) == (fired, False)
    sure = Detection("opening", 0.8, (("haggling", 0.7),))
    verdict = reconcile(sure, [], CRITICAL, PLAYS.__getitem__, 0.5)
    assert (verdict.fired, verdict.rerun) == ((), False)


_DETECTIONS = st.builds(
    Detection,
    st.sampled_from(sorted(PLAYS)),
    st.floats(0, 1),
    st.lists(st.tuples(st.sampled_from(sorted(PLAYS)), st.floats(0, 1)), max_size=3).map(tuple),
)
_CHANGES = st.lists(st.builds(change, st.sampled_from(["budget", "pain"]), st.sampled_from(Operation)), max_size=6)


@given(_DETECTIONS, _CHANGES, st.floats(0, 1))
@settings(deadline=None)
def test_a_second_detection_that_could_not_matter_never_runs(
    detection: Detection, changes: list[SlotChange], plausible_min: float
) -> None:
    verdict = reconcile(detection, changes, CRITICAL, PLAYS.__getitem__, plausible_min)
    assert verdict.fired == triggers(detection, changes, CRITICAL)
    if verdict.rerun:
        assert verdict.fired
        assert {PLAYS[name] for name, _ in detection.alternatives} - {PLAYS[detection.situation]}
    assert not reconcile(detection, changes, CRITICAL, lambda _: "greet", plausible_min).rerun


def test_the_runner_up_is_the_likeliest_alternative_or_nothing() -> None:
    assert SURE.runner_up == ("haggling", 0.04)
    assert Detection("opening", 1.0).runner_up == ("", 0.0)
