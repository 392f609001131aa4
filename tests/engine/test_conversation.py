"""The state of a conversation: what findings do to slots, and what is remembered of what was said."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.conversation import (
    HISTORY_CHARS_MAX,
    HISTORY_MAX,
    VALUES_MAX,
    Amount,
    Conversation,
    Exchange,
    Finding,
    Operation,
    Period,
    SlotChange,
    SlotValue,
    apply,
    bounded,
)

NOW = datetime(2027, 3, 1, tzinfo=UTC)
LISTS = frozenset({"pain", "objection"})
SET, CHANGE, RETRACT = Operation.SET, Operation.CHANGE, Operation.RETRACT


def conversation(**fields: object) -> Conversation:
    base: dict[str, object] = {"create_time": NOW, "update_time": NOW, "expire_time": NOW + timedelta(days=1)}
    return Conversation("c1", "sales", **{**base, **fields})  # type: ignore[arg-type]


def said(slot: str, text: str) -> Finding:
    return Finding(slot, SlotValue(text))


def taken_back(slot: str, text: str = "") -> Finding:
    return Finding(slot, SlotValue(text) if text else None, retracted=True)


def test_a_first_value_is_set_and_another_one_changes_it() -> None:
    slots, changes = apply({}, [said("budget", "5000 USD")], LISTS)
    assert slots == {"budget": (SlotValue("5000 USD"),)}
    assert changes == (SlotChange("budget", SET, SlotValue("5000 USD"), None),)
    slots, changes = apply(slots, [said("budget", "6000 USD")], LISTS)
    assert slots == {"budget": (SlotValue("6000 USD"),)}
    assert changes == (SlotChange("budget", CHANGE, SlotValue("6000 USD"), SlotValue("5000 USD")),)


def test_a_list_keeps_what_it_has_and_gets_longer() -> None:
    slots, changes = apply({"pain": (SlotValue("slow"),)}, [said("pain", "dear"), said("pain", "ugly")], LISTS)
    assert [value.text for value in slots["pain"]] == ["slow", "dear", "ugly"]
    assert [(change.operation, change.previous) for change in changes] == [(SET, None), (SET, None)]


@pytest.mark.parametrize("slot", ["budget", "pain"])
def test_what_is_known_already_changes_nothing_in_whatever_words(slot: str) -> None:
    known = {slot: (SlotValue("Slow"),)}
    assert apply(known, [said(slot, "SLOW")], LISTS) == (known, ())


def test_typed_values_are_compared_by_what_they_mean() -> None:
    five = Amount(5, 5, "USD")
    assert SlotValue("5 USD", typed=five).same_as(SlotValue("five dollars", typed=five))
    assert not SlotValue("5", typed=five).same_as(SlotValue("5", typed=Amount(5, 5, "EUR")))
    assert not SlotValue("x", typed=Period("2027-01-01", "")).same_as(SlotValue("x", typed=Period("", "2027-01-01")))
    assert SlotValue("x", typed=five).same_as(SlotValue("X"))


def test_a_retraction_takes_back_the_value_it_names_or_all_of_them() -> None:
    known = {"pain": (SlotValue("slow"), SlotValue("dear"))}
    slots, changes = apply(known, [taken_back("pain", "Slow")], LISTS)
    assert slots == {"pain": (SlotValue("dear"),)}
    assert changes == (SlotChange("pain", RETRACT, None, SlotValue("slow")),)
    slots, changes = apply(known, [taken_back("pain")], LISTS)
    assert slots == {}
    assert [change.previous for change in changes] == [SlotValue("slow"), SlotValue("dear")]


def test_a_single_value_is_taken_back_however_it_is_named() -> None:
    slots, changes = apply({"budget": (SlotValue("5000 USD"),)}, [taken_back("budget", "the budget")], LISTS)
    assert (slots, len(changes)) == ({}, 1)


@pytest.mark.parametrize("finding", [taken_back("pain"), taken_back("pain", "x"), Finding("pain", None)])
def test_taking_back_what_is_not_known_or_finding_nothing_changes_nothing(finding: Finding) -> None:
    assert apply({}, [finding], LISTS) == ({}, ())


def test_findings_count_in_their_order() -> None:
    slots, changes = apply({}, [said("pain", "1"), taken_back("pain"), said("pain", "2")], LISTS)
    assert slots == {"pain": (SlotValue("2"),)}
    assert [change.operation for change in changes] == [SET, RETRACT, SET]


@pytest.mark.parametrize(
    ("known", "findings", "expected"),
    [
        ("", ["1", "2"], [(SET, "2", "")]),
        ("", ["1", None], []),
        ("0", ["1", "2"], [(CHANGE, "2", "0")]),
        ("0", [None, "2"], [(CHANGE, "2", "0")]),
        ("0", ["1", None], [(RETRACT, "", "0")]),
        ("0", ["1", "0"], []),
    ],
)
def test_of_a_single_value_the_last_word_counts(
    known: str, findings: list[str | None], expected: list[tuple[Operation, str, str]]
) -> None:
    before = {"budget": (SlotValue(known),)} if known else {}
    heard = [said("budget", word) if word else taken_back("budget") for word in findings]
    slots, changes = apply(before, [*heard, said("pain", "x")], LISTS)
    made = [
        (change.operation, change.value.text if change.value else "", change.previous.text if change.previous else "")
        for change in changes
        if change.name == "budget"
    ]
    assert made == expected
    assert [value.text for value in slots.get("budget", ())] == [word for word in [findings[-1]] if word]


def test_the_slots_that_were_given_are_left_as_they_were() -> None:
    known = {"pain": (SlotValue("slow"),)}
    apply(known, [said("pain", "dear"), taken_back("pain", "slow")], LISTS)
    assert known == {"pain": (SlotValue("slow"),)}


_FINDINGS = st.lists(
    st.builds(
        Finding,
        st.sampled_from(["pain", "budget", "timeline"]),
        st.one_of(st.none(), st.builds(SlotValue, st.sampled_from(["a", "A", "b", "c"]) | st.text(max_size=2))),
        st.booleans(),
    ),
    max_size=40,
)


@given(_FINDINGS)
@settings(deadline=None)
def test_slots_stay_within_their_bounds_and_changes_replay_to_them(findings: list[Finding]) -> None:
    slots, changes = apply({}, findings, LISTS)
    replayed: dict[str, list[SlotValue]] = {}
    for change in changes:
        values = replayed.setdefault(change.name, [])
        if change.previous is not None:
            values.remove(change.previous)
        if change.value is not None:
            values.append(change.value)
    for name, known in slots.items():
        assert 1 <= len(known) <= (VALUES_MAX if name in LISTS else 1)
        assert all(not one.same_as(other) for at, one in enumerate(known) for other in known[:at])
        assert list(known) == replayed[name][-VALUES_MAX:]
    assert all(not values for name, values in replayed.items() if name not in slots)


def test_a_list_forgets_its_oldest_value_beyond_its_bound() -> None:
    slots, _ = apply({}, [said("pain", str(n)) for n in range(VALUES_MAX + 3)], LISTS)
    assert [value.text for value in slots["pain"]] == [str(n) for n in range(3, VALUES_MAX + 3)]


@given(st.lists(st.builds(Exchange, st.text(max_size=5000), st.text(max_size=20)), max_size=20), st.integers(0, 8000))
@settings(deadline=None)
def test_history_keeps_the_latest_exchanges_within_its_bounds(history: list[Exchange], padding: int) -> None:
    history = [Exchange(exchange.message, exchange.reply + "x" * padding) for exchange in history]
    kept = bounded(history)
    assert list(kept) == history[len(history) - len(kept) :]
    assert len(kept) <= HISTORY_MAX
    chars = [len(exchange.message) + len(exchange.reply) for exchange in history]
    assert len(kept) <= 1 or sum(chars[len(chars) - len(kept) :]) <= HISTORY_CHARS_MAX
    one_more = chars[len(chars) - len(kept) - 1 :]
    assert len(kept) in {len(history), HISTORY_MAX} or sum(one_more) > HISTORY_CHARS_MAX


def test_the_last_exchange_is_remembered_whatever_its_length() -> None:
    long = Exchange("x" * (HISTORY_CHARS_MAX + 1), "")
    talk = conversation().remembering(Exchange("Hi", "Hello")).remembering(long)
    assert talk.history == (long,)
    assert talk.remembering(Exchange("Hi", "Hello")).history == (Exchange("Hi", "Hello"),)


def test_every_write_counts_and_moves_the_times() -> None:
    later = NOW + timedelta(hours=1)
    written = conversation().written(later, later + timedelta(days=90))
    assert (written.revision, written.create_time, written.update_time) == (1, NOW, later)
    assert written.expire_time == later + timedelta(days=90)


def test_the_etag_changes_with_every_write_and_with_a_new_conversation_under_an_old_id() -> None:
    talk = conversation()
    reborn = conversation(create_time=NOW + timedelta(microseconds=1))
    assert len({talk.etag, talk.written(NOW, NOW).etag, reborn.etag}) == 3
    assert talk.etag == conversation().etag
