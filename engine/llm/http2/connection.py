"""One HTTP/2 connection, as an asyncio protocol over h2.

States of a connection

    open       takes new streams
    retiring   takes none, finishes those that it has, then closes: after a GOAWAY, and
               when its budget of resets is spent
    closed     every stream that was left has failed with the reason

Rules

- Bytes are read as they come, by nobody in particular: each event wakes the one stream
  that it concerns. A reader that is slow, or gone, keeps nobody waiting: a stream's credit
  is given back as it is consumed, and what arrives for a dead stream is given back at once.
- A stream ends in one of three ways. The server ends it; the server resets it, which says
  whether it was processed; or `Connection.drop` resets it, at any moment, without waiting
  for anything: that is what makes cancelling a request safe, whatever it is waiting for.
- What the server surely did not process fails with `NotProcessed`, and may be sent again:
  REFUSED_STREAM, and the streams after a GOAWAY's last one. Everything else may have
  been, and is not sent again here.
- h2 never sees a GOAWAY, and resets no stream that we have reset already (see `frames`).

RFC 9113. Nothing here knows httpx2; times are the event loop's.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import cast

import h2.config
import h2.connection
import h2.events
import h2.exceptions
from h2.errors import ErrorCodes
from h2.settings import SettingCodes, Settings

from engine.llm.http2.frames import FrameTooLarge, GoAway, Splitter, without_resets
from engine.llm.http2.policy import Liveness, ResetBudget, Room

Headers = Sequence[tuple[bytes, bytes]]

_STREAM_WINDOW = 1 << 20
_CONNECTION_WINDOW = 1 << 24
_HEADER_LIST_BYTES_MAX = 1 << 16
# Models think for about so long before their first token.
_SILENT_S = 1.0
_SPENT_IDS = 2**31 - 2**16


class StreamFailed(Exception):
    """A stream has ended before its response did; says of what."""


class NotProcessed(StreamFailed):
    """The server has surely done nothing with the request: it may be sent again."""


class TimedOut(StreamFailed):
    """Nothing came in time."""


@dataclass(eq=False, slots=True)
class Stream:
    """A request and its response, on one connection."""

    id: int
    status: int = 0
    headers: Headers = ()
    # Chunks of the body, each with the credit that it took.
    chunks: deque[tuple[bytes, int]] = field(default_factory=deque)
    ended: bool = False
    error: StreamFailed | None = None
    waiter: asyncio.Future[None] | None = None

    def check(self) -> None:
        """Raises StreamFailed where the stream has failed."""
        if self.error:
            raise self.error

    def wake(self) -> None:
        if self.waiter is not None and not self.waiter.done():
            self.waiter.set_result(None)


class Connection(asyncio.Protocol):
    """See the module's text."""

    def __init__(self, liveness: Liveness, on_room: Callable[[Connection], None]) -> None:
        """`on_room` is called whenever the connection can take more, or less, than before."""
        self._liveness = liveness
        self._on_room = on_room
        self._loop = asyncio.get_running_loop()
        config = h2.config.H2Configuration(
            client_side=True, header_encoding=None, validate_outbound_headers=False, normalize_outbound_headers=False
        )
        self._h2 = h2.connection.H2Connection(config)
        self._splitter = Splitter()
        self._streams: dict[int, Stream] = {}
        self._budget = ResetBudget(at_s=self._loop.time())
        self._transport: asyncio.Transport | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self._heard_s = self._used_s = self._loop.time()
        self._pinged_s: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self.ready: asyncio.Future[None] = self._loop.create_future()
        # Done when the socket is gone, some time after `close`: TLS says goodbye first.
        self.lost: asyncio.Future[None] = self._loop.create_future()
        self.is_retiring = False
        self.is_closed = False

    # -- what a pool asks

    @property
    def takes_streams(self) -> bool:
        return not self.is_retiring and not self.is_closed

    @property
    def room(self) -> Room:
        """A server counts a stream that we reset until it has read so: a quarter is left for those on their way."""
        most = self._h2.remote_settings.max_concurrent_streams
        silent = bool(self._streams) and self._loop.time() - self._heard_s > _SILENT_S
        return Room(len(self._streams), max(1, most - most // 4), silent)

    # -- requests

    def open(self, headers: Headers, *, ends: bool) -> Stream:
        """Begins a request; `ends` where it has no body. The connection must have room."""
        stream = Stream(self._h2.get_next_available_stream_id())
        self._streams[stream.id] = stream
        self._h2.send_headers(stream.id, headers, end_stream=ends)
        if stream.id >= _SPENT_IDS:
            self.is_retiring = True
        if ends:
            self._flush()
        if len(self._streams) == 1:
            self._awake()
        return stream

    async def send(self, stream: Stream, body: bytes, timeout_s: float | None) -> None:
        """Sends the body, as the server gives credit for it; stops where the response is over before.

        Raises:
            StreamFailed: the stream has ended.
        """
        sent = 0
        while sent < len(body):
            stream.check()
            if stream.ended:
                self._end(stream)
                return
            credit = min(self._h2.local_flow_control_window(stream.id), self._h2.max_outbound_frame_size)
            if credit <= 0 or not self._writable.is_set():
                self._flush()
                await self.news(stream, timeout_s, "no credit to send the request's body")
                continue
            chunk = body[sent : sent + credit]
            sent += len(chunk)
            self._h2.send_data(stream.id, chunk, end_stream=sent == len(body))
        self._flush()

    async def news(self, stream: Stream, timeout_s: float | None, waited_for: str) -> None:
        """Waits until something has happened to the stream.

        Raises:
            TimedOut: nothing has, in time.
        """
        stream.waiter = self._loop.create_future()
        timer = self._loop.call_later(timeout_s, _expire, stream.waiter, waited_for) if timeout_s is not None else None
        try:
            await stream.waiter
        finally:
            stream.waiter = None
            if timer:
                timer.cancel()

    def consumed(self, stream: Stream, credit: int) -> None:
        """Gives the server back what a chunk took, once somebody has read it."""
        if not self.is_closed:
            self._h2.acknowledge_received_data(credit, stream.id)
            self._flush()

    def drop(self, stream: Stream) -> None:
        """Ends the stream here and now; nothing happens where it is over."""
        unread = sum(credit for _, credit in stream.chunks)
        stream.chunks.clear()
        if self.is_closed:
            return
        if unread:
            self._h2.acknowledge_received_data(unread, stream.id)
        if self._streams.pop(stream.id, None):
            self._h2.reset_stream(stream.id, ErrorCodes.CANCEL)
            if not self._budget.spend(self._loop.time()):
                self.is_retiring = True
            self._flush()
            self._left()
        elif unread:
            self._flush()

    def close(self) -> None:
        """Closes the connection; streams that are left fail."""
        if not self.is_closed:
            self._h2.close_connection()
            self._flush()
            self._fail(StreamFailed("the connection was closed here"))

    # -- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        # Not `update`, which h2 takes for a change that is still to be acknowledged: it would send the old values.
        self._h2.local_settings = Settings(
            initial_values={
                SettingCodes.ENABLE_PUSH: 0,
                SettingCodes.INITIAL_WINDOW_SIZE: _STREAM_WINDOW,
                SettingCodes.MAX_HEADER_LIST_SIZE: _HEADER_LIST_BYTES_MAX,
            }
        )
        self._h2.initiate_connection()
        self._h2.increment_flow_control_window(_CONNECTION_WINDOW - 65_535)
        self._flush()
        self._watch()

    def data_received(self, data: bytes) -> None:
        self._heard_s = self._loop.time()
        self._pinged_s = None
        try:
            for part in self._splitter.feed(data):
                if isinstance(part, GoAway):
                    self._go_away(part)
                elif not self.is_closed:
                    events = self._h2.receive_data(part)
                    self._write(without_resets(self._h2.data_to_send()))
                    for event in events:
                        self._happened(event)
        except (h2.exceptions.ProtocolError, FrameTooLarge) as error:
            # h2 has prepared to tell the server what it did wrong.
            self._flush()
            self._fail(StreamFailed(f"the server broke the protocol: {str(error) or type(error).__name__}"))
        self._flush()

    def abort(self) -> None:
        """Drops the socket at once."""
        if self._transport:
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.lost.done():
            self.lost.set_result(None)
        self._fail(StreamFailed(f"the connection was lost: {exc or 'the server closed it'}"))

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()
        self._wake_all()

    # -- what the server says

    def _happened(self, event: h2.events.Event) -> None:
        match event:
            case h2.events.DataReceived(stream_id=id_, data=data, flow_controlled_length=credit):
                if stream := self._streams.get(id_):
                    stream.chunks.append((data, credit))
                    stream.wake()
                else:
                    self._h2.acknowledge_received_data(credit, id_)
            case h2.events.ResponseReceived(stream_id=id_, headers=headers):
                if stream := self._streams.get(id_):
                    stream.status = int(headers[0][1])
                    stream.headers = headers[1:]
                    stream.wake()
            case h2.events.StreamEnded(stream_id=id_):
                if stream := self._streams.pop(id_, None):
                    stream.ended = True
                    stream.wake()
                    self._left()
            case h2.events.StreamReset(stream_id=id_, error_code=code):
                if stream := self._streams.pop(id_, None):
                    stream.error = _reset(code, heard=bool(stream.status))
                    stream.wake()
                    self._left()
            case h2.events.WindowUpdated(stream_id=0):
                self._wake_all()
            case h2.events.WindowUpdated(stream_id=id_):
                if stream := self._streams.get(id_):
                    stream.wake()
            case h2.events.RemoteSettingsChanged():
                if not self.ready.done():
                    self.ready.set_result(None)
                self._wake_all()
                self._on_room(self)

    def _go_away(self, said: GoAway) -> None:
        """No new streams; those that the server has not looked at may go elsewhere, the others go on."""
        self.is_retiring = True
        for id_ in [id_ for id_ in self._streams if id_ > said.last_stream_id]:
            stream = self._streams.pop(id_)
            stream.error = NotProcessed(f"the server goes away: {_code(said.error_code)} {said.debug}".rstrip())
            stream.wake()
        self._left()

    # -- how it lives and ends

    def _awake(self) -> None:
        """From now on somebody waits: a connection that was silent for a while is asked at once whether it lives."""
        now_s = self._loop.time()
        if self._pinged_s is None and now_s - self._heard_s > self._liveness.ping_after_s:
            self._ping(now_s)
        self._heard_s = now_s
        self._watch()

    def _ping(self, now_s: float) -> None:
        self._pinged_s = now_s
        self._h2.ping(b"repartee")
        self._flush()

    def _end(self, stream: Stream) -> None:
        """The response was over before the request: the rest of it is not wanted."""
        try:
            self._h2.reset_stream(stream.id, ErrorCodes.NO_ERROR)
        except h2.exceptions.StreamClosedError:
            return  # the server has said so as well
        self._flush()

    def _left(self) -> None:
        """A stream is gone, or none may come any more."""
        self._used_s = self._loop.time()
        if self.is_retiring and not self._streams:
            self.close()
        self._on_room(self)

    def _watch(self) -> None:
        """Looks whether the connection still lives, and sees to it that somebody looks again."""
        if self._timer:
            self._timer.cancel()
        if self.is_closed:
            return
        now_s = self._loop.time()
        verdict = self._liveness.verdict(now_s, self._heard_s, self._used_s, self._pinged_s, busy=bool(self._streams))
        if verdict.idle:
            self.close()
            self._on_room(self)
        elif verdict.dead:
            self._fail(StreamFailed(f"the server gave no sign of life for {self._liveness.ping_timeout_s:g} s"))
        else:
            if verdict.ping:
                self._ping(now_s)
            self._timer = self._loop.call_at(max(verdict.look_again_s, now_s + 0.001), self._watch)

    def _fail(self, error: StreamFailed) -> None:
        if self.is_closed:
            return
        self.is_closed = True
        for stream in self._streams.values():
            stream.error = error
            stream.wake()
        self._streams.clear()
        if self._timer:
            self._timer.cancel()
        if not self.ready.done():
            self.ready.set_exception(error)
            self.ready.exception()  # seen, so that nobody warns of it
        if self._transport:
            self._transport.close()
        self._on_room(self)

    def _wake_all(self) -> None:
        for stream in self._streams.values():
            stream.wake()

    def _flush(self) -> None:
        self._write(self._h2.data_to_send())

    def _write(self, data: bytes) -> None:
        if data and self._transport and not self._transport.is_closing():
            self._transport.write(data)


def _expire(waiter: asyncio.Future[None], waited_for: str) -> None:
    if not waiter.done():
        waiter.set_exception(TimedOut(waited_for))


def _reset(code: int | None, *, heard: bool) -> StreamFailed:
    if code == ErrorCodes.REFUSED_STREAM and not heard:
        return NotProcessed("the server refused the stream")
    return StreamFailed(f"the server reset the stream: {_code(code)}")


def _code(code: int | None) -> str:
    return ErrorCodes(code).name if code in set(ErrorCodes) else f"error {code}"
