"""The server's small parts by themselves: page tokens, windows, the error table, names."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import grpc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from repartee.v1 import conversation_pb2 as pb

from engine import errors
from engine.events import Reconciled
from engine.price_guard import UnverifiedFigure
from engine.reconcile import Trigger
from engine.stages import Stage
from server import convert, status
from server.pages import next_token, page_of
from server.stats import ReconcileCounts
from server.windows import Window

keys = st.text(min_size=1, max_size=60)


# -- page tokens


@settings(deadline=None)
@given(keys, keys, st.integers(1, 1000))
def test_a_token_leads_to_where_the_page_ended(after: str, scope: str, size: int) -> None:
    page = page_of(size, next_token(after, scope), scope)
    assert (page.after, page.limit) == (after, size)


@settings(deadline=None)
@given(keys, keys, keys)
def test_a_token_is_for_one_list(after: str, scope: str, other: str) -> None:
    if scope != other:
        with pytest.raises(errors.InvalidField) as caught:
            page_of(10, next_token(after, scope), other)
        assert caught.value.field == "page_token"


@settings(deadline=None)
@given(st.text(min_size=1))
def test_a_made_up_token_is_refused_and_nothing_else(token: str) -> None:
    with pytest.raises(errors.InvalidField):
        page_of(10, token, "conversations")


def test_the_first_page_needs_no_token_and_the_last_one_gives_none() -> None:
    assert page_of(5, "", "conversations").after == ""
    assert next_token("", "conversations") == ""


def test_a_token_can_stand_in_an_address() -> None:
    assert set(next_token("2026-11-21T02:35:48.777+00:00 ÿ?>", "x")) <= set(
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_="
    )


# -- windows


class Clock:
    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def test_an_empty_window_is_all_zeros() -> None:
    assert Window(60, Clock()).quantiles() == (0, (0.0, 0.0, 0.0))


@settings(deadline=None, max_examples=50)
@given(st.lists(st.floats(0.001, 1e5), min_size=1, max_size=200))
def test_quantiles_are_within_a_hundredth_of_a_value_that_was_there(values: list[float]) -> None:
    window = Window(60, Clock())
    for value in values:
        window.add(value)
    count, quantiles = window.quantiles()
    assert count == len(values)
    ordered = sorted(values)
    for share, shown in zip((0.5, 0.95, 0.99), quantiles, strict=True):
        rank = share * (len(ordered) - 1)
        near = {ordered[int(rank)], ordered[min(int(rank) + 1, len(ordered) - 1)]}
        assert min(abs(shown - value) / value for value in near) <= 0.0101


def test_values_leave_the_window_as_time_goes_on() -> None:
    clock = Clock()
    window = Window(60, clock)
    for age in range(60):
        clock.now_s = 1000.0 + age
        window.add(1.0)
    assert 50 <= window.quantiles()[0] <= 60
    clock.now_s += 30
    assert 20 <= window.quantiles()[0] <= 40
    clock.now_s += 40
    assert window.quantiles() == (0, (0.0, 0.0, 0.0))


def test_a_value_stays_for_most_of_the_window() -> None:
    clock = Clock()
    window = Window(60, clock)
    window.add(7.0)
    clock.now_s += 49
    count, (p50, _, _) = window.quantiles()
    assert count == 1
    assert p50 == pytest.approx(7.0, rel=0.01)
    clock.now_s += 12
    assert window.quantiles()[0] == 0


def test_old_slowness_does_not_hide_that_it_is_fast_again() -> None:
    clock = Clock()
    window = Window(60, clock)
    for _ in range(1000):
        window.add(900.0)
    clock.now_s += 61
    window.add(3.0)
    assert window.quantiles()[1] == pytest.approx((3.0, 3.0, 3.0), rel=0.01)


def test_a_window_takes_a_bounded_space_however_much_comes_in() -> None:
    clock = Clock()
    window = Window(60, clock)
    for n in range(10_000):
        clock.now_s += 1
        window.add(10.0 ** (n % 12 - 6))
    assert len(window._parts) <= 7


# -- the error table


def kinds(root: type[errors.EngineError] = errors.EngineError) -> list[type[errors.EngineError]]:
    return [root, *(kind for child in root.__subclasses__() for kind in kinds(child))]


def test_every_error_that_a_caller_can_make_has_a_code_of_its_own() -> None:
    internal = {kind for kind in kinds() if status.code_of(kind.__new__(kind)) is grpc.StatusCode.INTERNAL}
    # A pack is read at the start only; an unverified figure ends a reply, never a call.
    assert internal == {errors.EngineError, errors.PackError, UnverifiedFigure}


def test_every_kind_of_error_has_its_reason() -> None:
    reasons = [kind.reason for kind in kinds()]
    assert len(set(reasons)) == len(reasons)
    assert all(reason.replace("_", "").isupper() and len(reason) <= 63 for reason in reasons)


def test_a_field_of_a_held_request_is_named_from_the_outer_one_on() -> None:
    error = errors.InvalidField("options.tier", "is not offered")
    error.move_into("request")
    told = status.status_of(error)
    assert told.message == "request.options.tier: is not offered"
    assert "request.options.tier" in str(told.details)


# -- the rest


def test_triggers_are_counted_by_what_they_led_to() -> None:
    counts = ReconcileCounts(datetime(2026, 11, 2, tzinfo=UTC))
    counts(Reconciled((), reran=False, changed=False))
    counts(Reconciled((Trigger.CRITICAL_SLOT,), reran=False, changed=False))
    counts(Reconciled((Trigger.CRITICAL_SLOT, Trigger.LOW_CONFIDENCE), reran=True, changed=True))
    critical, low = counts.triggers[Trigger.CRITICAL_SLOT], counts.triggers[Trigger.LOW_CONFIDENCE]
    assert (counts.turns, counts.reran) == (3, 1)
    assert (critical.fired, critical.reran, critical.changed) == (2, 1, 1)
    assert (low.fired, low.reran, low.changed) == (1, 1, 1)


def test_the_contract_knows_every_stage_and_trigger() -> None:
    assert {f"STAGE_{stage.name}" for stage in Stage} < set(pb.Stage.keys())
    assert {f"RECONCILE_TRIGGER_{trigger.name}" for trigger in Trigger} < set(pb.ReconcileTrigger.keys())


def test_times_are_sent_in_utc_to_the_microsecond() -> None:
    there = timezone(timedelta(hours=-7))
    stamp = convert.timestamp(datetime(2026, 11, 1, 18, 30, 0, 123456, there))
    assert stamp.ToJsonString() == "2026-11-02T01:30:00.123456Z"
    assert convert.duration(1.5).ToMicroseconds() == 1500
