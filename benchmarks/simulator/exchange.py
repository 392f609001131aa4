"""One request and its answer, over HTTP/2 or HTTP/1.1: what the simulator's answers are written to."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings
import h11
from hyperframe.frame import GoAwayFrame

from benchmarks.simulator.stats import ConnectionStats, Stats

_BODY_BYTES_MAX = 4 << 20


class Gone(Exception):
    """Nobody is there any more to write to."""


class Exchange(Protocol):
    """A request that has come whole, and where its answer goes. Writing raises Gone once the client is."""

    path: str
    method: str
    headers: Mapping[str, str]
    body: bytes

    def start(self, status: int, headers: Sequence[tuple[str, str]]) -> None: ...

    async def write(self, data: bytes) -> None: ...

    def end(self) -> None: ...

    def reset(self) -> None:
        """Ends it in the middle."""
        ...

    @property
    def connection(self) -> Misbehaving: ...


class Misbehaving(Protocol):
    """What a connection can be made to do."""

    def go_away(self, *, abrupt: bool) -> None: ...

    def kill(self) -> None: ...

    def freeze(self) -> None: ...


Respond = Callable[[Exchange], Any]


class H2Exchange:
    """Of a stream of HTTP/2."""

    def __init__(self, connection: H2Server, stream_id: int, headers: Mapping[str, str]) -> None:
        self.connection = connection
        self.stream_id = stream_id
        self.headers = headers
        self.path, self.method = headers[":path"], headers[":method"]
        self.body = b""
        self.gone = False
        self.task: asyncio.Task[None] | None = None
        self.credit = asyncio.Event()

    def start(self, status: int, headers: Sequence[tuple[str, str]]) -> None:
        self._check()
        self.connection.h2.send_headers(self.stream_id, [(":status", str(status)), *headers])
        self.connection.flush()

    async def write(self, data: bytes) -> None:
        sent = 0
        while sent < len(data):
            self._check()
            state = self.connection.h2
            room = min(state.local_flow_control_window(self.stream_id), state.max_outbound_frame_size)
            if room <= 0:
                self.credit.clear()
                await self.credit.wait()
                continue
            state.send_data(self.stream_id, data[sent : sent + room])
            sent += room
            self.connection.flush()

    def end(self) -> None:
        self._check()
        self.connection.h2.end_stream(self.stream_id)
        self.connection.flush()
        self.connection.over(self)

    def reset(self) -> None:
        self._check()
        self.connection.h2.reset_stream(self.stream_id, h2.errors.ErrorCodes.INTERNAL_ERROR)
        self.connection.flush()
        self.connection.over(self)

    def _check(self) -> None:
        if self.gone:
            raise Gone


class H2Server(asyncio.Protocol):
    """The server's end of an HTTP/2 connection."""

    def __init__(self, stats: Stats, respond: Respond, streams_max: int) -> None:
        self._stats = stats
        self._respond = respond
        self._streams_max = streams_max
        config = h2.config.H2Configuration(client_side=False, header_encoding="utf-8")
        self.h2 = h2.connection.H2Connection(config)
        self._exchanges: dict[int, H2Exchange] = {}
        self._transport: asyncio.Transport | None = None
        self._frozen = False
        self._last_id = 0
        self.counts = ConnectionStats(len(stats.connections), "HTTP/2")
        stats.connections.append(self.counts)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport) or hasattr(transport, "write"), "a stream"
        self._transport = transport  # type: ignore[assignment]  # uvloop's is no subclass
        most = {h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: self._streams_max}
        self.h2.local_settings = h2.settings.Settings(client=False, initial_values=most)
        self.h2.initiate_connection()
        self.flush()

    def data_received(self, data: bytes) -> None:
        if self._frozen:
            return
        try:
            for event in self.h2.receive_data(data):
                self._happened(event)
        except h2.exceptions.ProtocolError:
            self.flush()
            self.kill()
        self.flush()

    def connection_lost(self, exc: Exception | None) -> None:
        self.counts.closed = True
        for exchange in list(self._exchanges.values()):
            self._leave(exchange)

    def _happened(self, event: h2.events.Event) -> None:
        match event:
            case h2.events.RequestReceived(stream_id=id_, headers=headers):
                self._last_id = max(self._last_id, id_)
                self._exchanges[id_] = H2Exchange(self, id_, {str(name): str(value) for name, value in headers})
                self.counts.open_streams += 1
            case h2.events.DataReceived(stream_id=id_, data=data, flow_controlled_length=credit):
                self.h2.acknowledge_received_data(credit, id_)
                if (exchange := self._exchanges.get(id_)) and len(exchange.body) < _BODY_BYTES_MAX:
                    exchange.body += data
            case h2.events.StreamEnded(stream_id=id_):
                if exchange := self._exchanges.get(id_):
                    self.counts.requests += 1
                    exchange.task = asyncio.ensure_future(self._respond(exchange))
            case h2.events.StreamReset(stream_id=id_):
                if exchange := self._exchanges.get(id_):
                    self.counts.resets += 1
                    self._stats.was_reset(exchange.headers.get("x-sim-key", ""), time.monotonic())
                    self._leave(exchange)
            case h2.events.WindowUpdated():
                for exchange in self._exchanges.values():
                    exchange.credit.set()
            case h2.events.PingReceived():
                self.counts.pings += 1

    def over(self, exchange: H2Exchange) -> None:
        """The answer has been given."""
        exchange.gone = True
        if self._exchanges.pop(exchange.stream_id, None):
            self.counts.open_streams -= 1

    def _leave(self, exchange: H2Exchange) -> None:
        """The client is gone: whatever is still being written for it stops."""
        self.over(exchange)
        if exchange.task and exchange.task is not asyncio.current_task():
            exchange.task.cancel()

    def limit_streams(self, most: int) -> None:
        """Tells the client that it may have no more streams than this from now on."""
        self.h2.update_settings({h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: most})
        self.flush()

    def go_away(self, *, abrupt: bool) -> None:
        # Not by h2, which would end the connection for itself.
        last = max(0, self._last_id - 2) if abrupt else self._last_id
        self._write(GoAwayFrame(0, last_stream_id=last, error_code=0).serialize())
        if abrupt and self._transport:
            self._transport.close()

    def kill(self) -> None:
        if self._transport:
            self._transport.abort()

    def freeze(self) -> None:
        self._frozen = True

    def flush(self) -> None:
        self._write(self.h2.data_to_send())

    def _write(self, data: bytes) -> None:
        if data and self._transport and not self._transport.is_closing() and not self._frozen:
            self._transport.write(data)


class H1Server(asyncio.Protocol):
    """The server's end of an HTTP/1.1 connection, one request after the other; itself its exchange."""

    def __init__(self, stats: Stats, respond: Respond) -> None:
        self._stats = stats
        self._respond = respond
        self._h11 = h11.Connection(h11.SERVER)
        self._transport: asyncio.Transport | None = None
        self._task: asyncio.Task[None] | None = None
        self.path = self.method = ""
        self.headers: Mapping[str, str] = {}
        self.body = b""
        self.counts = ConnectionStats(len(stats.connections), "HTTP/1.1")
        stats.connections.append(self.counts)

    @property
    def connection(self) -> H1Server:
        return self

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # uvloop's is no subclass

    def data_received(self, data: bytes) -> None:
        self._h11.receive_data(data)
        self._read()

    def connection_lost(self, exc: Exception | None) -> None:
        self.counts.closed = True
        if self._task and not self._task.done():
            self.counts.resets += 1
            self._stats.was_reset(self.headers.get("x-sim-key", ""), time.monotonic())
            self._task.cancel()
        self.counts.open_streams = 0

    def _read(self) -> None:
        while True:
            event = self._h11.next_event()
            if isinstance(event, h11.Request):
                self.path, self.method = event.target.decode(), event.method.decode()
                self.headers = {name.decode().lower(): value.decode() for name, value in event.headers}
                self.body = b""
                self.counts.open_streams = 1
            elif isinstance(event, h11.Data):
                self.body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                self.counts.requests += 1
                self._task = asyncio.ensure_future(self._respond(self))
            else:
                return

    def start(self, status: int, headers: Sequence[tuple[str, str]]) -> None:
        self._send(h11.Response(status_code=status, headers=[*headers, ("transfer-encoding", "chunked")]))

    async def write(self, data: bytes) -> None:
        self._send(h11.Data(data=data))

    def end(self) -> None:
        self._send(h11.EndOfMessage())
        self.counts.open_streams = 0
        if self._h11.our_state is h11.DONE and self._h11.their_state is h11.DONE:
            self._h11.start_next_cycle()
            self._read()

    def reset(self) -> None:
        self.kill()

    def go_away(self, *, abrupt: bool) -> None:
        if abrupt:
            self.kill()

    def kill(self) -> None:
        if self._transport:
            self._transport.abort()

    def freeze(self) -> None:
        if self._transport:
            self._transport.pause_reading()

    def _send(self, event: h11.Response | h11.Data | h11.EndOfMessage) -> None:
        data = self._h11.send(event)
        if self._transport is None or self._transport.is_closing():
            raise Gone
        if data:
            self._transport.write(data)
