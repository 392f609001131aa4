"""What pools and connections decide: who takes a request, when another connection is opened, who is asked if it lives."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.llm.http2.frames import FRAME_BYTES_MAX, FrameTooLarge, GoAway, Splitter, without_resets
from engine.llm.http2.policy import RESETS_BURST, RESETS_PER_S, Assignment, Liveness, ResetBudget, Room, assign

LIVENESS = Liveness(ping_after_s=2, ping_timeout_s=2, idle_s_max=240)


def assigned(*rooms: Room, opening: int = 0, waiting: int = 0, most: int = 4) -> Assignment:
    return assign(rooms, len(rooms), opening, waiting, most=most, crowded=32)


def test_the_emptiest_connection_takes_a_request() -> None:
    assert assigned(Room(5, 100), Room(2, 100), Room(9, 100)) == Assignment(1, open_another=False)


def test_without_a_connection_one_is_opened_and_not_one_for_each() -> None:
    assert assigned() == Assignment(None, open_another=True)
    assert assigned(opening=1, waiting=5) == Assignment(None, open_another=False)
    assert assigned(opening=1, waiting=32) == Assignment(None, open_another=True)


def test_a_crowded_connection_is_joined_by_another() -> None:
    assert assigned(Room(32, 100)) == Assignment(0, open_another=True)
    assert assigned(Room(32, 100), opening=1) == Assignment(0, open_another=False)


def test_a_silent_connection_comes_last_and_is_joined_by_another() -> None:
    assert assigned(Room(1, 100, is_silent=True), Room(20, 100)) == Assignment(1, open_another=False)
    assert assigned(Room(1, 100, is_silent=True)) == Assignment(0, open_another=True)


@given(
    st.lists(st.builds(Room, st.integers(0, 110), st.integers(1, 100), st.booleans()), max_size=6),
    st.integers(0, 3),
    st.integers(0, 200),
    st.integers(1, 6),
)
def test_connections_are_bounded_and_nobody_waits_for_nothing(
    rooms: list[Room], opening: int, waiting: int, most: int
) -> None:
    decided = assigned(*rooms, opening=opening, waiting=waiting, most=most)
    if decided.place is not None:
        assert rooms[decided.place].streams < rooms[decided.place].streams_max
    else:
        assert all(room.streams >= room.streams_max for room in rooms)
        assert decided.open_another or opening or len(rooms) >= most
    assert not decided.open_another or len(rooms) + opening < most


def test_resets_are_budgeted_under_what_servers_take() -> None:
    budget = ResetBudget()
    spent = 1
    while budget.spend(0.0):
        spent += 1
    assert spent == RESETS_BURST
    assert not budget.spend(0.0)
    assert budget.spend(10.0), "time gives some back"
    assert RESETS_BURST < 1000
    assert RESETS_PER_S < 33


@pytest.mark.parametrize(
    ("now_s", "heard_s", "used_s", "pinged_s", "busy", "does"),
    [
        (1, 0, 0, None, True, ""),
        (2, 0, 0, None, True, "ping"),
        (3, 0, 0, 2, True, ""),
        (4, 0, 0, 2, True, "dead"),
        (4, 0, 0, 2, False, "dead"),
        (59, 0, 0, None, False, ""),
        (60, 0, 0, None, False, "ping"),
        (239, 238, 0, None, False, ""),
        (240, 239, 0, None, False, "idle"),
    ],
)
def test_a_connection_is_asked_given_up_or_closed(
    now_s: float, heard_s: float, used_s: float, pinged_s: float | None, does: str, *, busy: bool
) -> None:
    verdict = LIVENESS.verdict(now_s, heard_s, used_s, pinged_s, busy=busy)
    assert [name for name in ("ping", "dead", "idle") if getattr(verdict, name)] == ([does] if does else [])
    assert verdict.look_again_s > now_s or verdict.dead or verdict.idle


# -- frames


def frame(kind: int, body: bytes = b"", stream: int = 1) -> bytes:
    return len(body).to_bytes(3, "big") + bytes([kind, 0]) + stream.to_bytes(4, "big") + body


_FRAMES = st.tuples(st.sampled_from([0, 1, 3, 4, 6, 8]), st.binary(max_size=60), st.integers(1, 99))


@given(st.lists(_FRAMES, max_size=12), st.data())
def test_however_bytes_are_cut_frames_come_whole_and_in_order(
    frames: list[tuple[int, bytes, int]], data: st.DataObject
) -> None:
    goaway = frame(7, (5).to_bytes(4, "big") + (0).to_bytes(4, "big") + b"bye", 0)
    at = data.draw(st.integers(0, len(frames)))
    whole = [frame(*one) for one in frames]
    raw = b"".join([*whole[:at], goaway, *whole[at:]])
    cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=8)))
    splitter, parts = Splitter(), []
    for start, end in zip([0, *cuts], [*cuts, len(raw)], strict=True):
        parts += list(splitter.feed(raw[start:end]))
    place = next(place for place, part in enumerate(parts) if isinstance(part, GoAway))
    assert parts[place] == GoAway(5, 0, "bye")
    assert b"".join(parts[:place]) == b"".join(whole[:at])  # type: ignore[arg-type]
    assert b"".join(parts[place + 1 :]) == b"".join(whole[at:])  # type: ignore[arg-type]


@given(st.lists(_FRAMES, max_size=12))
def test_only_resets_are_left_out(frames: list[tuple[int, bytes, int]]) -> None:
    raw = b"".join(frame(*one) for one in frames)
    assert without_resets(raw) == b"".join(frame(*one) for one in frames if one[0] != 3)


@pytest.mark.parametrize(
    "raw", [b"HTTP/1.1 400 Bad", frame(7, b"short"), (FRAME_BYTES_MAX + 1).to_bytes(3, "big") + b"\0" * 6]
)
def test_what_is_no_frame_is_refused(raw: bytes) -> None:
    with pytest.raises(FrameTooLarge):
        list(Splitter().feed(raw))
