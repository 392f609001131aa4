"""A connection frame by frame, without sockets, in virtual time: what every rule says, and what holds in any order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import h2.exceptions
import pytest
from h2.errors import ErrorCodes
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.llm.http2.connection import NotProcessed, Stream, StreamFailed, TimedOut
from engine.llm.http2.policy import RESETS_BURST, Liveness
from tests.engine.llm.http2.peer import REQUEST, Peer
from tests.virtual_time import run, virtual_loop


def on_a_connection(test: Callable[[Peer], Coroutine[Any, Any, None]], **of_peer: Any) -> None:
    async def whole() -> None:
        peer = Peer(**of_peer)
        await test(peer)
        peer.connection.close()
        await asyncio.sleep(0)

    run(whole())


def asks(peer: Peer) -> Stream:
    return peer.connection.open(REQUEST, ends=True)


def test_an_answer_comes_to_its_own_stream() -> None:
    async def once(peer: Peer) -> None:
        one, other = asks(peer), asks(peer)
        peer.answers(other.id)
        peer.writes(other.id, b"hello", ends=True)
        assert (other.status, [data for data, _ in other.chunks], other.ended) == (200, [b"hello"], True)
        assert (one.status, one.ended) == (0, False)
        assert peer.connection.room.streams == 1

    on_a_connection(once)


def test_a_dropped_stream_is_reset_once_whatever_still_comes_for_it() -> None:
    async def once(peer: Peer) -> None:
        stream = asks(peer)
        peer.answers(stream.id)
        # Written before the server knows of the reset.
        peer.h2.send_data(stream.id, b"x" * 10_000)
        for _ in range(5):
            peer.h2.send_data(stream.id, b"y" * 10_000)
        late = peer.h2.data_to_send()
        peer.connection.drop(stream)
        peer.connection.drop(stream)
        peer.connection.data_received(late)
        await asyncio.sleep(0)
        assert peer.resets == {stream.id: 1}
        assert peer.connection.room.streams == 0

    on_a_connection(once)


def test_what_dead_streams_took_of_the_credit_is_given_back() -> None:
    async def once(peer: Peer) -> None:
        for _ in range(300):
            stream = asks(peer)
            peer.answers(stream.id)
            for _ in range(10):
                peer.writes(stream.id, b"x" * 16_000)
            peer.connection.drop(stream)
            await asyncio.sleep(0)
        # 48 MB went unread over a connection with credit for 16.
        stream = asks(peer)
        peer.answers(stream.id)
        assert peer.h2.local_flow_control_window(stream.id) >= 1 << 20

    on_a_connection(once)


def test_a_stream_gets_credit_as_it_is_read() -> None:
    async def once(peer: Peer) -> None:
        stream = asks(peer)
        peer.answers(stream.id)
        while peer.h2.local_flow_control_window(stream.id) >= 16_000:
            peer.writes(stream.id, b"x" * 16_000)
        unread = sum(len(data) for data, _ in stream.chunks)
        assert unread <= 1 << 20, "what a slow reader has waiting is bounded"
        while stream.chunks:
            _, credit = stream.chunks.popleft()
            peer.connection.consumed(stream, credit)
        await asyncio.sleep(0)
        assert peer.h2.local_flow_control_window(stream.id) >= 1 << 19

    on_a_connection(once)


def test_a_body_goes_as_far_as_there_is_credit_and_then_waits() -> None:
    async def once(peer: Peer) -> None:
        stream = peer.connection.open(REQUEST, ends=False)
        await peer.connection.send(stream, b"x" * 200_000, 1.0)
        await asyncio.sleep(0)
        assert peer.received[stream.id] == 200_000
        assert stream.id in peer.whole
        peer.deaf = True
        silent = peer.connection.open(REQUEST, ends=False)
        with pytest.raises(TimedOut):
            await peer.connection.send(silent, b"x" * 200_000, 1.0)

    on_a_connection(once)


def test_an_answer_that_is_complete_before_the_request_ends_it() -> None:
    async def once(peer: Peer) -> None:
        stream = peer.connection.open(REQUEST, ends=False)
        peer.connection._flush()
        peer.answers(stream.id, ends=True)
        await peer.connection.send(stream, b"x" * 200_000, 1.0)
        await asyncio.sleep(0)
        assert stream.ended
        assert peer.resets[stream.id] == 1
        assert peer.received[stream.id] == 0

    on_a_connection(once)


def test_after_a_graceful_goaway_streams_end_in_their_own_time() -> None:
    async def once(peer: Peer) -> None:
        early, late = asks(peer), asks(peer)
        peer.answers(early.id)
        peer.goes_away(early.id)
        assert not peer.connection.takes_streams
        assert isinstance(late.error, NotProcessed)
        peer.writes(early.id, b"still here", ends=True)
        assert early.ended
        assert early.error is None
        assert peer.connection.is_closed

    on_a_connection(once)


def test_a_refused_stream_was_not_processed_and_a_reset_one_may_have_been() -> None:
    async def once(peer: Peer) -> None:
        refused, reset = asks(peer), asks(peer)
        peer.drops(refused.id, ErrorCodes.REFUSED_STREAM)
        peer.drops(reset.id, ErrorCodes.INTERNAL_ERROR)
        assert isinstance(refused.error, NotProcessed)
        assert isinstance(reset.error, StreamFailed)
        assert not isinstance(reset.error, NotProcessed)
        assert "INTERNAL_ERROR" in str(reset.error)

    on_a_connection(once)


def test_a_lost_connection_fails_every_stream_with_the_reason() -> None:
    async def once(peer: Peer) -> None:
        streams = [asks(peer) for _ in range(3)]
        peer.connection.connection_lost(ConnectionResetError("reset by peer"))
        assert {str(stream.error) for stream in streams} == {"the connection was lost: reset by peer"}
        assert peer.connection.is_closed

    on_a_connection(once)


def test_bytes_that_are_no_http2_end_the_connection() -> None:
    async def once(peer: Peer) -> None:
        stream = asks(peer)
        peer.connection.data_received(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        assert "broke the protocol" in str(stream.error)

    on_a_connection(once)


def test_a_connection_that_has_reset_enough_retires() -> None:
    async def once(peer: Peer) -> None:
        last = asks(peer)
        for _ in range(int(RESETS_BURST) + 1):
            peer.connection.drop(asks(peer))
            await asyncio.sleep(0)
        assert not peer.connection.takes_streams
        assert not peer.connection.is_closed, "one stream goes on"
        peer.answers(last.id, ends=True)
        assert last.ended
        assert peer.connection.is_closed

    on_a_connection(once)


def test_a_frozen_server_is_noticed_while_somebody_waits() -> None:
    async def once(peer: Peer) -> None:
        stream = asks(peer)
        peer.deaf = True
        await peer.connection.news(stream, None, "an answer")
        assert "no sign of life" in str(stream.error)
        assert virtual_loop().time() == pytest.approx(4.0, abs=0.1)

    on_a_connection(once)


def test_a_slow_server_that_answers_pings_is_waited_for() -> None:
    async def once(peer: Peer) -> None:
        stream = asks(peer)
        await asyncio.sleep(60)
        assert peer.pings > 10
        assert stream.error is None

    on_a_connection(once)


def test_a_connection_that_fell_silent_is_asked_when_it_is_used_again() -> None:
    async def once(peer: Peer) -> None:
        await asyncio.sleep(30)
        peer.deaf = True
        stream = asks(peer)
        began_s = virtual_loop().time()
        await peer.connection.news(stream, None, "an answer")
        assert stream.error is not None
        assert virtual_loop().time() - began_s == pytest.approx(2.0, abs=0.1)

    on_a_connection(once)


def test_a_connection_that_nobody_uses_is_closed_after_minutes() -> None:
    async def once(peer: Peer) -> None:
        closed = []
        for _ in range(2):
            await asyncio.sleep(130)
            closed.append(peer.connection.is_closed)
        assert closed == [False, True]
        assert peer.rooms[-1] is False

    on_a_connection(once, liveness=Liveness(idle_s_max=240))


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["ask", "answer", "write", "end", "drop", "reset", "refuse", "read", "step", "goaway", "late"]),
        st.integers(0, 7),
    ),
    max_size=80,
)


@given(STEPS)
@settings(deadline=None, max_examples=300)
def test_in_any_order_every_stream_ends_once_and_no_credit_is_lost(steps: list[tuple[str, int]]) -> None:
    async def once(peer: Peer) -> None:
        streams: list[Stream] = []
        dropped: set[int] = set()
        late = b""
        for what, which in steps:
            stream = streams[which % len(streams)] if streams else None
            if what == "step":
                await asyncio.sleep(0)
            elif what == "ask":
                if peer.connection.takes_streams and peer.connection.room.streams < peer.connection.room.streams_max:
                    streams.append(asks(peer))
            elif what == "goaway":
                peer.goes_away(streams[which % len(streams)].id if streams else 0)
            elif stream is None or (peer.connection.is_closed and what != "drop"):
                continue
            elif what == "drop":
                peer.connection.drop(stream)
                dropped.add(stream.id)
            elif what == "read" and stream.chunks:
                peer.connection.consumed(stream, stream.chunks.popleft()[1])
            else:
                late = _server_does(peer, stream.id, what, late)
        if late and not peer.connection.is_closed:
            peer.connection.data_received(late)
        await asyncio.sleep(0)
        live = {stream.id for stream in streams if not stream.ended and not stream.error and stream.id not in dropped}
        assert peer.connection.room.streams == (0 if peer.connection.is_closed else len(live))
        assert all(times == 1 for times in peer.resets.values()), "reset once, or not at all"
        for stream in streams:
            assert not (stream.ended and stream.error), "it ends in one way"
        for stream in streams:
            peer.connection.drop(stream)
        await asyncio.sleep(0)
        if not peer.connection.is_closed:
            assert peer.h2.outbound_flow_control_window >= 1 << 23

    on_a_connection(once)


def _server_does(peer: Peer, id_: int, what: str, late: bytes) -> bytes:
    """One step of the server's; what it may not do now is left out. `late` is what it has said and nobody heard yet."""
    if late and what != "late":
        peer.connection.data_received(late)
        late = b""
    try:
        if what == "answer":
            peer.answers(id_)
        elif what == "write":
            peer.writes(id_, b"x" * 9_000)
        elif what == "end":
            peer.writes(id_, b"", ends=True)
        elif what == "reset":
            peer.drops(id_, ErrorCodes.INTERNAL_ERROR)
        elif what == "refuse":
            peer.drops(id_, ErrorCodes.REFUSED_STREAM)
        elif what == "late":
            peer.h2.send_data(id_, b"z" * 5_000)
            late += peer.h2.data_to_send()
    except (h2.exceptions.ProtocolError, KeyError):
        # It has forgotten the stream: the KeyError is h2's own way to say so.
        peer.says()
    return late
