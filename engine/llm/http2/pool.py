"""The connections to one origin: who takes the next request, and when another one is opened.

`policy.assign` decides, this does it. A connection is made by a task of its own, so that a
request that is cancelled meanwhile takes it from nobody else who waits for it.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from dataclasses import dataclass

from engine.llm.http2.connection import Connection, StreamFailed
from engine.llm.http2.policy import Liveness, assign


class CannotConnect(Exception):
    """No connection could be made; says to where, and why not."""


class ConnectTimedOut(CannotConnect):
    """It took too long."""


class NotHttp2(CannotConnect):
    """The server speaks no HTTP/2."""


class NoRoom(Exception):
    """Every connection was full for too long."""


@dataclass(frozen=True, slots=True)
class PoolSettings:
    """Of all pools of a transport."""

    connections_max: int = 8
    # Streams on a connection from which on another one is opened.
    crowded: int = 32
    connect_timeout_s: float = 5.0
    liveness: Liveness = Liveness()  # noqa: RUF009  (frozen)


# What a server has for its part of a connection's end.
_GOODBYE_S = 1.0


class Pool:
    """Of one origin."""

    def __init__(self, host: str, port: int, context: ssl.SSLContext, settings: PoolSettings) -> None:
        self._host = host
        self._port = port
        self._context = context
        self._settings = settings
        self._connections: list[Connection] = []
        self._opening: set[asyncio.Task[None]] = set()
        self._waiting: deque[asyncio.Future[None]] = deque()
        # Closed, and not gone yet.
        self._closing: set[Connection] = set()

    async def acquire(self, connect_timeout_s: float | None, room_timeout_s: float | None) -> Connection:
        """A connection with room for a stream, which is to be opened before anything else is awaited.

        Raises:
            CannotConnect: there is none, and none can be made.
            NoRoom: they are all full, and stay so.
        """
        while True:
            usable = [connection for connection in self._connections if connection.takes_streams]
            assigned = assign(
                [connection.room for connection in usable],
                len(self._connections),
                len(self._opening),
                len(self._waiting),
                most=self._settings.connections_max,
                crowded=self._settings.crowded,
            )
            if assigned.open_another:
                self._open()
            if assigned.place is not None:
                # Whoever waits behind this one may find room as well.
                self._wake_one()
                return usable[assigned.place]
            await self._room(connect_timeout_s, room_timeout_s, connected=bool(usable))

    async def warm_up(self, connections: int) -> None:
        """Opens connections up to so many. Raises CannotConnect."""
        while len(self._connections) + len(self._opening) < min(connections, self._settings.connections_max):
            self._open()
        for task in list(self._opening):
            await asyncio.shield(task)

    async def aclose(self) -> None:
        for task in list(self._opening):
            task.cancel()
        if self._opening:
            await asyncio.wait(self._opening)
        for connection in list(self._connections):
            connection.close()
        if self._closing:
            await asyncio.wait([connection.lost for connection in self._closing], timeout=_GOODBYE_S)
        for connection in self._closing:
            connection.abort()

    async def _room(self, connect_timeout_s: float | None, room_timeout_s: float | None, *, connected: bool) -> None:
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        try:
            async with asyncio.timeout(room_timeout_s if connected else connect_timeout_s):
                await waiter
        except TimeoutError:
            self._leave(waiter)
            if connected:
                raise NoRoom(f"all connections to {self._host}:{self._port} are in use") from None
            raise ConnectTimedOut(f"{self._host}:{self._port}: no connection in time") from None
        except BaseException:
            self._leave(waiter)
            raise

    def _leave(self, waiter: asyncio.Future[None]) -> None:
        """Somebody waits no longer; if it was just this one's turn, it is the next one's now."""
        if waiter in self._waiting:
            self._waiting.remove(waiter)
        elif not waiter.cancelled() and not waiter.exception():
            self._wake_one()

    def _open(self) -> None:
        task = asyncio.ensure_future(self._connect())
        self._opening.add(task)
        task.add_done_callback(self._opened)

    def _opened(self, task: asyncio.Task[None]) -> None:
        self._opening.discard(task)
        error = None if task.cancelled() else task.exception()
        if error and not self._opening and not any(one.takes_streams for one in self._connections):
            # Nobody else will come: whoever waits is told.
            for waiter in self._waiting:
                if not waiter.done():
                    waiter.set_exception(error)
        else:
            self._wake_one()

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        where = f"{self._host}:{self._port}"
        connection: Connection | None = None
        try:
            async with asyncio.timeout(self._settings.connect_timeout_s):
                transport, connection = await loop.create_connection(
                    lambda: Connection(self._settings.liveness, self._changed),
                    self._host,
                    self._port,
                    ssl=self._context,
                    server_hostname=self._host,
                )
                _must_be_http2(transport, where)
                await connection.ready
        except TimeoutError:
            _abandon(connection)
            raise ConnectTimedOut(f"{where}: no connection in {self._settings.connect_timeout_s:g} s") from None
        except (OSError, StreamFailed) as error:
            _abandon(connection)
            raise CannotConnect(f"{where}: {error}") from error
        except BaseException:
            _abandon(connection)
            raise
        self._connections.append(connection)

    def _changed(self, connection: Connection) -> None:
        if connection.is_closed and connection in self._connections:
            self._connections.remove(connection)
            self._closing.add(connection)
            connection.lost.add_done_callback(lambda _: self._closing.discard(connection))
        self._wake_one()

    def _wake_one(self) -> None:
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return


def _abandon(connection: Connection | None) -> None:
    if connection:
        connection.close()


def _must_be_http2(transport: asyncio.BaseTransport, where: str) -> None:
    if transport.get_extra_info("ssl_object").selected_alpn_protocol() != "h2":
        raise NotHttp2(f"{where}: the server speaks no HTTP/2")
