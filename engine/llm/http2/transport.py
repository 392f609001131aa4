"""The transport for httpx2: the only file that knows both it and our connections."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass

import httpx2

from engine.llm.http2.connection import Connection, NotProcessed, Stream, StreamFailed, TimedOut
from engine.llm.http2.pool import CannotConnect, ConnectTimedOut, NoRoom, NotHttp2, Pool, PoolSettings

HttpClient = httpx2.AsyncClient
HttpError = httpx2.HTTPError
NewContext = Callable[[], ssl.SSLContext]

# How often a request is sent anew that no server has looked at.
_SENT_MAX = 3
# They belong to a connection, and HTTP/2 forbids them; "host" became ":authority".
_NOT_SENT = frozenset({b"host", b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"})
_WARM_CONNECTIONS = 2


@dataclass(frozen=True, slots=True)
class HttpSettings:
    """Of one client, for all providers."""

    connections_max: int = 8
    # Makes what says whom to trust: by default the system's authorities and SSL_CERT_FILE.
    new_context: NewContext = ssl.create_default_context
    # A proxy's URL: through it requests go as HTTP/1.1, as httpx2 sends them.
    proxy: str | None = None
    # Seconds between two reads, from the request on; the callers' own deadlines are shorter.
    read_timeout_s: float = 30.0


def new_client(settings: HttpSettings) -> HttpClient:
    """A client that all SDKs share. Nothing in the environment changes where it connects to."""
    transport: httpx2.AsyncBaseTransport = (
        httpx2.AsyncHTTPTransport(verify=settings.new_context(), proxy=settings.proxy, trust_env=False)
        if settings.proxy
        else Http2Transport(PoolSettings(settings.connections_max), settings.new_context)
    )
    timeout = httpx2.Timeout(connect=2.0, read=settings.read_timeout_s, write=5.0, pool=1.0)
    return httpx2.AsyncClient(transport=transport, trust_env=False, timeout=timeout, follow_redirects=False)


async def warm_up(client: HttpClient, base_url: str) -> None:
    """Opens connections before they are needed. Raises HttpError with the host and the cause."""
    transport = client._transport  # noqa: SLF001  (httpx2 shows a client's transport nowhere else)
    if isinstance(transport, Http2Transport):
        await transport.warm_up(base_url, _WARM_CONNECTIONS)


class Http2Transport(httpx2.AsyncBaseTransport):
    """Sends requests over HTTP/2; over HTTP/1.1, by httpx2's own transport, to servers that speak nothing else."""

    def __init__(self, settings: PoolSettings, new_context: NewContext) -> None:
        self._settings = settings
        self._new_context = new_context
        self._context = new_context()
        self._context.set_alpn_protocols(["h2", "http/1.1"])
        self._pools: dict[tuple[str, int], Pool] = {}
        self._older: dict[tuple[str, int], httpx2.AsyncHTTPTransport] = {}

    async def warm_up(self, url: str, connections: int) -> None:
        """Opens connections to a URL's origin, up to so many. Raises httpx2.ConnectError."""
        origin = _origin(httpx2.URL(url))
        try:
            await self._pool(origin).warm_up(connections)
        except NotHttp2:
            self._fall_back(origin)
        except CannotConnect as error:
            raise httpx2.ConnectError(str(error)) from error

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """See httpx2.AsyncBaseTransport."""
        origin = _origin(request.url)
        if origin in self._older or request.url.scheme != "https":
            return await self._fall_back(origin).handle_async_request(request)
        timeouts: Mapping[str, float | None] = request.extensions.get("timeout") or {}
        body = await request.aread()
        for sent in range(1, _SENT_MAX + 1):
            try:
                connection = await self._pool(origin).acquire(timeouts.get("connect"), timeouts.get("pool"))
                return await _exchange(connection, request, body, timeouts)
            except NotProcessed as error:
                if sent == _SENT_MAX:
                    raise httpx2.RemoteProtocolError(str(error), request=request) from error
            except NotHttp2:
                return await self._fall_back(origin).handle_async_request(request)
            except (CannotConnect, NoRoom, StreamFailed) as error:
                raise _translated(error, request) from error
        raise AssertionError("the last try returns or raises")

    async def aclose(self) -> None:
        for pool in self._pools.values():
            await pool.aclose()
        for transport in self._older.values():
            await transport.aclose()

    def _pool(self, origin: tuple[str, int]) -> Pool:
        if origin not in self._pools:
            self._pools[origin] = Pool(*origin, self._context, self._settings)
        return self._pools[origin]

    def _fall_back(self, origin: tuple[str, int]) -> httpx2.AsyncHTTPTransport:
        if origin not in self._older:
            # With a context of its own: it sets there which protocols are offered.
            self._older[origin] = httpx2.AsyncHTTPTransport(verify=self._new_context(), trust_env=False, http2=False)
        return self._older[origin]


async def _exchange(
    connection: Connection, request: httpx2.Request, body: bytes, timeouts: Mapping[str, float | None]
) -> httpx2.Response:
    stream = connection.open(_headers(request), ends=not body)
    try:
        if body:
            await connection.send(stream, body, timeouts.get("write"))
        while not stream.status:
            stream.check()
            await connection.news(stream, timeouts.get("read"), "no response")
    except BaseException:
        connection.drop(stream)
        raise
    return httpx2.Response(
        stream.status,
        headers=list(stream.headers),
        stream=_Body(connection, stream, request, timeouts.get("read")),
        extensions={"http_version": b"HTTP/2", "stream_id": stream.id},
    )


class _Body(httpx2.AsyncByteStream):
    """A response's body, as it comes."""

    def __init__(
        self, connection: Connection, stream: Stream, request: httpx2.Request, timeout_s: float | None
    ) -> None:
        self._connection = connection
        self._stream = stream
        self._request = request
        self._timeout_s = timeout_s

    async def __aiter__(self) -> AsyncIterator[bytes]:
        connection, stream = self._connection, self._stream
        try:
            while True:
                while stream.chunks:
                    data, credit = stream.chunks.popleft()
                    if credit:
                        connection.consumed(stream, credit)
                    if data:
                        yield data
                stream.check()
                if stream.ended:
                    return
                await connection.news(stream, self._timeout_s, "no more of the response")
        except StreamFailed as error:
            connection.drop(stream)
            raise _translated(error, self._request) from error
        except BaseException:
            connection.drop(stream)
            raise

    async def aclose(self) -> None:
        self._connection.drop(self._stream)


def _headers(request: httpx2.Request) -> list[tuple[bytes, bytes]]:
    url = request.url
    return [
        (b":method", request.method.encode()),
        (b":authority", url.netloc),
        (b":scheme", url.raw_scheme),
        (b":path", url.raw_path),
        *((name, value) for raw, value in request.headers.raw if (name := raw.lower()) not in _NOT_SENT),
    ]


def _translated(error: Exception, request: httpx2.Request) -> httpx2.TransportError:
    kinds: dict[type[Exception], type[httpx2.TransportError]] = {
        ConnectTimedOut: httpx2.ConnectTimeout,
        CannotConnect: httpx2.ConnectError,
        NoRoom: httpx2.PoolTimeout,
        TimedOut: httpx2.ReadTimeout,
    }
    return kinds.get(type(error), httpx2.RemoteProtocolError)(str(error), request=request)


def _origin(url: httpx2.URL) -> tuple[str, int]:
    return url.host, url.port or (443 if url.scheme == "https" else 80)
