"""The transport where it connects: cancelled meanwhile, to servers that speak no HTTP/2, through a proxy, and warm."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import httpx2
import pytest
import trustme

from benchmarks.simulator import Simulator, SimulatorSettings
from engine.llm.http2 import HttpError, HttpSettings, new_client, warm_up
from engine.llm.http2.pool import PoolSettings
from engine.llm.http2.transport import Http2Transport

MODELS = "/v1/models"


@asynccontextmanager
async def served() -> AsyncIterator[tuple[Simulator, httpx2.AsyncClient]]:
    async with (
        Simulator(SimulatorSettings()) as simulator,
        new_client(HttpSettings(new_context=simulator.context)) as http,
    ):
        yield simulator, http


def test_who_is_cancelled_while_connecting_takes_the_connection_from_nobody() -> None:
    async def once() -> None:
        async with served() as (simulator, http):
            first = asyncio.create_task(http.get(simulator.url + MODELS))
            others = [asyncio.create_task(http.get(simulator.url + MODELS)) for _ in range(20)]
            for steps in range(40):
                await asyncio.sleep(0)
                if steps == 5:
                    first.cancel()
            answers = await asyncio.gather(*others)
            assert {answer.status_code for answer in answers} == {200}
            assert first.cancelled()
            assert len(simulator.stats.connections) == 1

    asyncio.run(once())


def test_cancelled_at_any_step_a_request_leaves_room_for_the_next() -> None:
    async def once() -> None:
        async with served() as (simulator, http):
            point = 0
            while True:
                point += 1
                task = asyncio.create_task(http.get(simulator.url + MODELS))
                for _ in range(point):
                    await asyncio.sleep(0)
                if task.done() and point > 40:
                    break
                task.cancel()
                await asyncio.wait([task])
                assert (await http.get(simulator.url + MODELS)).status_code == 200
                if point > 400:
                    break
            assert simulator.stats.open_streams == 0
            assert len(simulator.stats.connections) <= 8

    asyncio.run(once())


def test_warm_connections_are_there_before_the_first_request() -> None:
    async def once() -> None:
        async with served() as (simulator, http):
            await warm_up(http, f"{simulator.url}/v1")
            assert len(simulator.stats.connections) == 2
            await http.get(simulator.url + MODELS)
            assert len(simulator.stats.connections) == 2

    asyncio.run(once())


def test_nobody_is_warmed_up_who_is_not_there() -> None:
    async def once() -> None:
        async with new_client(HttpSettings()) as http:
            with pytest.raises(HttpError, match="localhost:9"):
                await warm_up(http, "https://localhost:9")

    asyncio.run(once())


async def older(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A server that speaks HTTP/1.1 only."""
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\nconnection: close\r\n\r\nold")
    await writer.drain()
    writer.close()
    await writer.wait_closed()


@asynccontextmanager
async def older_server() -> AsyncIterator[tuple[int, Callable[[], ssl.SSLContext]]]:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)

    def trusting() -> ssl.SSLContext:
        made = ssl.create_default_context()
        authority.configure_trust(made)
        return made

    server = await asyncio.start_server(older, "127.0.0.1", 0, ssl=context)
    async with server:
        yield server.sockets[0].getsockname()[1], trusting


def test_a_server_without_http2_is_spoken_to_as_it_can() -> None:
    async def once() -> None:
        async with older_server() as (port, trusting):
            transport = Http2Transport(PoolSettings(), trusting)
            async with httpx2.AsyncClient(transport=transport, trust_env=False) as http:
                await transport.warm_up(f"https://localhost:{port}", 2)
                for _ in range(3):
                    answer = await http.get(f"https://localhost:{port}/")
                    assert (answer.http_version, answer.text) == ("HTTP/1.1", "old")

    asyncio.run(once())


def test_an_older_server_keeps_nobody_else_from_http2() -> None:
    async def once() -> None:
        async with older_server() as (port, _), Simulator(SimulatorSettings()) as simulator:

            def trusting() -> ssl.SSLContext:
                made = simulator.context()
                made.check_hostname, made.verify_mode = False, ssl.CERT_NONE
                return made

            async with new_client(HttpSettings(new_context=trusting)) as http:
                assert (await http.get(f"https://localhost:{port}/")).http_version == "HTTP/1.1"
                assert (await http.get(simulator.url + MODELS)).http_version == "HTTP/2"

    asyncio.run(once())


def test_a_request_finds_out_by_itself_that_there_is_no_http2() -> None:
    async def once() -> None:
        async with older_server() as (port, trusting), new_client(HttpSettings(new_context=trusting)) as http:
            assert (await http.get(f"https://localhost:{port}/")).text == "old"

    asyncio.run(once())


def test_a_proxy_is_used_only_where_one_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bytes] = []

    async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n")
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    async def once() -> None:
        server = await asyncio.start_server(proxy, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        monkeypatch.setenv("HTTPS_PROXY", url)
        async with server, served() as (simulator, http):
            assert (await http.get(simulator.url + MODELS)).status_code == 200
            assert asked == []
            async with new_client(HttpSettings(new_context=simulator.context, proxy=url)) as proxied:
                with pytest.raises(httpx2.ProxyError):
                    await proxied.get(simulator.url + MODELS)
            assert asked[0].startswith(b"CONNECT localhost:")

    asyncio.run(once())
