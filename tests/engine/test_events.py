"""What the engine tells the world: frozen values, without a word of what was said."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields, is_dataclass
from typing import Any, get_args

import pytest

from engine import trace
from engine.events import Event, FigureWithheld, StageEnded, TurnEnded
from engine.stages import Stage
from engine.trace import StageTrace, Trace

EVENTS: tuple[Any, ...] = get_args(Event)


def test_an_event_is_a_frozen_value_that_can_be_compared() -> None:
    assert TurnEnded(12.5, "committed") == TurnEnded(12.5, "committed")
    assert len({FigureWithheld("money"), FigureWithheld("money"), FigureWithheld("percent")}) == 2
    with pytest.raises(FrozenInstanceError):
        FigureWithheld("money").kind = "percent"  # type: ignore[misc]


def test_no_event_has_a_field_for_what_was_said() -> None:
    held = {"message", "reply", "text", "quote", "value", "slots", "changes", "history"}
    for event in (*EVENTS, StageTrace, Trace):
        assert is_dataclass(event)
        assert held.isdisjoint(field.name for field in fields(event)), event


def test_a_stage_that_asked_nobody_names_nobody() -> None:
    event = StageEnded(StageTrace(Stage.SELECT, start_ms=1.0, duration_ms=2.0))
    assert (event.trace.provider, event.trace.model, event.trace.tier, event.trace.calls) == ("", "", "", 0)


def test_a_turn_begins_with_an_empty_trace_of_its_own() -> None:
    assert trace.Trace() == Trace(stages=(), reconciled=None, total_ms=0.0, first_text_ms=None, degraded=False)
