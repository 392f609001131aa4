"""The transport against a server that is not ours: Node's, over nghttp2, with its limits on rapid resets."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

import httpx2
import pytest

from benchmarks.node import NodeServer, node_server
from engine.llm.http2.pool import PoolSettings
from engine.llm.http2.transport import Http2Transport

T = TypeVar("T")


@asynccontextmanager
async def client(node: NodeServer, settings: PoolSettings | None = None) -> AsyncIterator[httpx2.AsyncClient]:
    transport = Http2Transport(settings or PoolSettings(), node.context)
    async with httpx2.AsyncClient(transport=transport, trust_env=False) as made:
        yield made
    # Nothing is left of it: no task, no connection.
    assert all(not pool._connections and not pool._opening for pool in transport._pools.values())
    assert len(asyncio.all_tasks()) == 1


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """What the server sees comes a moment later; polled, and bounded."""
    for _ in range(500):
        if await condition():
            return
        await asyncio.sleep(0)
    raise AssertionError("it never came to be")


async def seen(node: NodeServer) -> dict[str, int]:
    return await asyncio.to_thread(node.stats)


def test_a_request_goes_over_http2_and_comes_back(node: NodeServer) -> None:
    async def once() -> None:
        async with client(node) as http:
            answer = await http.post(f"{node.url}/echo", content=b"x" * 300_000)
            assert (answer.status_code, answer.http_version) == (200, "HTTP/2")
            # More than the server's credit at first: the body had to wait for it.
            assert answer.content == b"x" * 300_000

    asyncio.run(once())


def test_a_large_answer_comes_whole_whoever_reads_it_slowly(node: NodeServer) -> None:
    async def once() -> None:
        size = 40 << 20
        async with client(node) as http, http.stream("GET", f"{node.url}/size/{size}") as answer:
            got = 0
            async for chunk in answer.aiter_raw():
                got += len(chunk)
                await asyncio.sleep(0)
            assert got == size

    asyncio.run(once())


def test_a_reader_who_stops_keeps_nobody_waiting(node: NodeServer) -> None:
    async def once() -> None:
        async with client(node, PoolSettings(connections_max=1)) as http:
            async with http.stream("GET", f"{node.url}/size/{6 << 20}") as lazy:
                first = await anext(lazy.aiter_raw())
                assert first
                # Its credit is used up; others go on over the same connection.
                for _ in range(20):
                    assert (await http.get(f"{node.url}/size/100000")).status_code == 200
            # And what was never read is given back: as much again, 20 times, still comes.
            for _ in range(20):
                async with http.stream("GET", f"{node.url}/size/{2 << 20}"):
                    pass
            assert len((await http.get(f"{node.url}/size/{2 << 20}")).content) == 2 << 20

    asyncio.run(once())


def test_a_fast_answer_does_not_wait_for_slow_ones(node: NodeServer) -> None:
    async def once() -> float:
        async with client(node, PoolSettings(connections_max=1)) as http:
            await http.get(f"{node.url}/delay/0")
            slow = [asyncio.create_task(http.get(f"{node.url}/delay/5000")) for _ in range(20)]
            await asyncio.sleep(0)
            began = time.perf_counter()
            await http.get(f"{node.url}/delay/10")
            took = time.perf_counter() - began
            for task in slow:
                task.cancel()
            await asyncio.wait(slow)
            return took

    assert asyncio.run(once()) < 2.0, "it came in its own time, not in the slow ones'"


def test_every_cancelled_request_is_reset_and_none_is_an_error(node: NodeServer) -> None:
    """More resets than one connection may have: the pool spreads and replaces, within its bound."""
    races = 3000

    async def once() -> None:
        before = await seen(node)
        async with client(node, PoolSettings(connections_max=4)) as http:
            room = asyncio.Semaphore(64)

            async def race() -> None:
                async with room:
                    legs = [asyncio.create_task(http.get(f"{node.url}/delay/{ms}")) for ms in (2, 60_000)]
                    done, _ = await asyncio.wait(legs, return_when=asyncio.FIRST_COMPLETED)
                    for leg in legs:
                        leg.cancel()
                    await asyncio.wait(legs)
                    assert [leg.result().status_code for leg in done] == [200]

            await asyncio.gather(*(race() for _ in range(races)))
            after = await seen(node)
            assert after["resets"] - before["resets"] == races
            assert after["open"] == 0
            assert after["live"] <= 4 + 1  # and the one that asks

    asyncio.run(once())


def test_a_stream_that_is_left_in_the_middle_is_reset(node: NodeServer) -> None:
    async def once() -> None:
        before = await seen(node)
        async with client(node) as http:
            for _ in range(50):
                async with http.stream("GET", f"{node.url}/text/1000/1") as answer:
                    async for _ in answer.aiter_lines():
                        break

            async def all_reset() -> bool:
                now = await seen(node)
                return now["resets"] - before["resets"] == 50 and now["open"] == 0

            await until(all_reset)

    asyncio.run(once())


def test_more_requests_than_streams_wait_for_room() -> None:
    async def once(node: NodeServer) -> None:
        async with client(node, PoolSettings(connections_max=2)) as http:
            answers = await asyncio.gather(*(http.get(f"{node.url}/delay/5") for _ in range(60)))
            assert {answer.status_code for answer in answers} == {200}
            assert (await seen(node))["connections"] <= 2 + 1

    with node_server(streams_max=3) as narrow:
        asyncio.run(once(narrow))


def test_who_waits_too_long_for_room_is_told() -> None:
    async def once(node: NodeServer) -> None:
        async with client(node, PoolSettings(connections_max=1)) as http:
            assert (await http.get(f"{node.url}/delay/0")).status_code == 200
            async with http.stream("GET", f"{node.url}/text/100000/50") as busy:
                assert busy.status_code == 200
                with pytest.raises(httpx2.PoolTimeout, match="in use"):
                    await http.get(f"{node.url}/delay/0", timeout=httpx2.Timeout(5, pool=0.05))
            # There is room again as soon as the other one is gone.
            assert (await http.get(f"{node.url}/delay/0")).status_code == 200

    with node_server(streams_max=1) as narrow:
        asyncio.run(once(narrow))


def test_a_server_that_is_not_there_is_named(node: NodeServer) -> None:
    async def once() -> None:
        async with client(node) as http:
            with pytest.raises(httpx2.ConnectError, match=r"localhost:9: .*(refused|Connect)"):
                await http.get("https://localhost:9/")

    asyncio.run(once())


def test_a_certificate_that_nobody_vouches_for_is_refused(node: NodeServer) -> None:
    async def once() -> None:
        async with httpx2.AsyncClient(
            transport=Http2Transport(PoolSettings(), ssl.create_default_context), trust_env=False
        ) as http:
            with pytest.raises(httpx2.ConnectError, match="certificate"):
                await http.get(f"{node.url}/delay/0")

    asyncio.run(once())


def test_a_request_that_gets_no_answer_in_time_says_so(node: NodeServer) -> None:
    async def once() -> None:
        async with client(node) as http:
            with pytest.raises(httpx2.ReadTimeout):
                await http.get(f"{node.url}/delay/60000", timeout=httpx2.Timeout(5, read=0.05))
            assert (await http.get(f"{node.url}/delay/0")).status_code == 200

    asyncio.run(once())
