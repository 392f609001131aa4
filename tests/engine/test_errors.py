"""Errors that callers are told about: each says what, where, and a reason of its own."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from engine import errors, price_guard
from engine.deadline import Deadline
from engine.errors import AlreadyExists, EngineError, InvalidField, NotFound, Overloaded, RequestIdTaken, Unsupported


def every_error(root: type[EngineError] = EngineError) -> Iterator[type[EngineError]]:
    for kind in root.__subclasses__():
        yield kind
        yield from every_error(kind)


def test_every_error_has_a_reason_of_its_own_as_google_rpc_wants_it() -> None:
    assert price_guard.UnverifiedFigure in every_error()
    reasons = [kind.reason for kind in every_error()]
    assert len(set(reasons)) == len(reasons)
    assert all(re.fullmatch(r"[A-Z][A-Z0-9_]{1,62}[A-Z0-9]", reason) for reason in reasons)


def test_every_error_has_a_docstring_that_says_what_happened() -> None:
    assert [kind.__name__ for kind in every_error() if not kind.__doc__] == []


def test_a_wrong_field_is_named_in_the_message_and_in_the_metadata() -> None:
    error = InvalidField("slots.budget", "says no money")
    assert str(error) == error.message == "slots.budget: says no money"
    assert error.metadata == {"field": "slots.budget"}
    assert (error.field, error.description) == ("slots.budget", "says no money")
    assert isinstance(Unsupported("mode", "is not offered"), InvalidField)
    assert RequestIdTaken().field == "request_id"


def test_a_field_of_an_inner_request_is_named_from_the_outer_one() -> None:
    error = InvalidField("message", "is empty")
    error.move_into("turn")
    error.move_into("session")
    assert (error.field, error.message) == ("session.turn.message", "session.turn.message: is empty")
    assert error.metadata == {"field": "session.turn.message"}


@pytest.mark.parametrize("kind", [NotFound, AlreadyExists])
def test_a_resource_is_named(kind: type[NotFound | AlreadyExists]) -> None:
    error = kind("conversation", "conversations/c1")
    assert "conversations/c1" in error.message
    assert (error.kind, error.name, error.metadata) == (
        "conversation",
        "conversations/c1",
        {"name": "conversations/c1"},
    )


def test_an_overload_says_when_to_come_back() -> None:
    assert Overloaded("too many turns", retry_after_ms=250).retry_after_ms == 250


def test_metadata_is_a_copy() -> None:
    metadata = {"a": "b"}
    error = errors.Busy("busy", metadata=metadata)
    metadata["a"] = "c"
    assert error.metadata == {"a": "b"}
    assert errors.Busy("busy").metadata == {}


@pytest.mark.parametrize(
    ("now_s", "left_s", "passed"), [(0, 10, False), (9.5, 0.5, False), (10, 0, True), (11, 0, True)]
)
def test_a_deadline_has_time_left_until_it_has_passed(now_s: float, left_s: float, passed: bool) -> None:
    deadline = Deadline(10)
    assert deadline.left_s(now_s) == left_s
    assert deadline.passed(now_s) is passed
