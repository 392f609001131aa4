"""Races over our HTTP/2 transport, beside httpx2's own over HTTP/1.1 and HTTP/2, against Node's server.

    make bench-race            10,000 races; --quick for a tenth

A race is two calls, one slow and one fast; when the fast one has answered, the slow one is cancelled, half of them while
they wait for headers and half in the middle of a stream. The server counts what was reset and when. Node's server has
nghttp2's limits on rapid resets: 1,000 at once, then 33 a second on a connection.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import itertools
import resource
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import numpy as np
import uvloop
from rich.console import Console
from rich.table import Table

from benchmarks.node import NodeServer, node_server
from engine.llm.http2 import HttpSettings, new_client

_DELAY_MS = 50
_IN_FLIGHT = (1, 16, 64, 256)
_RACES_IN_FLIGHT = (16, 64)

Make = Callable[[NodeServer], httpx2.AsyncClient]


def ours(node: NodeServer) -> httpx2.AsyncClient:
    return new_client(HttpSettings(new_context=node.context))


def stock(*, http2: bool) -> Make:
    def make(node: NodeServer) -> httpx2.AsyncClient:
        limits = httpx2.Limits(max_connections=8 if http2 else 600, max_keepalive_connections=600)
        timeout = httpx2.Timeout(connect=10, read=20, write=5, pool=20)
        return httpx2.AsyncClient(verify=node.context(), http2=http2, trust_env=False, limits=limits, timeout=timeout)

    return make


KINDS: dict[str, Make] = {
    "ours, HTTP/2": ours,
    "httpx2, HTTP/2": stock(http2=True),
    "httpx2, HTTP/1.1": stock(http2=False),
}


@dataclass(slots=True)
class Races:
    """What a number of races came to."""

    winners_ms: list[float] = field(default_factory=list)
    resets_ms: list[float] = field(default_factory=list)
    errors: int = 0
    losers: int = 0
    reset: int = 0
    connections: int = 0
    seconds: float = 0.0


@asynccontextmanager
async def warm(make: Make, node: NodeServer, calls: int) -> AsyncIterator[httpx2.AsyncClient]:
    async with make(node) as client:
        await asyncio.gather(*(client.get(f"{node.url}/delay/1") for _ in range(calls)))
        yield client


async def overhead(make: Make, node: NodeServer, in_flight: int) -> tuple[float, float, float]:
    """p50 and p99 over the server's own delay, and the process's CPU, of a call; in milliseconds."""
    calls = max(200, 12 * in_flight)
    async with warm(make, node, in_flight) as client:
        room = asyncio.Semaphore(in_flight)
        over: list[float] = []

        async def call() -> None:
            async with room:
                began = time.perf_counter()
                answer = await client.get(f"{node.url}/delay/{_DELAY_MS}")
                assert answer.status_code == 200
                over.append((time.perf_counter() - began) * 1e3 - _DELAY_MS)

        cpu = time.process_time()
        await asyncio.gather(*(call() for _ in range(calls)))
        cpu_ms = (time.process_time() - cpu) * 1e3 / calls
    p50, p99 = np.percentile(over, [50, 99])
    return float(p50), float(p99), cpu_ms


async def races(make: Make, node: NodeServer, count: int, in_flight: int) -> Races:
    """Runs races, and asks the server what became of the losers."""
    found = Races()
    numbers = itertools.count()
    cancelled_at: dict[str, float] = {}
    before = await asyncio.to_thread(node.stats)
    async with warm(make, node, in_flight) as client:
        room = asyncio.Semaphore(in_flight)

        async def loser(name: str, *, in_the_middle: bool) -> None:
            if not in_the_middle:
                await client.get(f"{node.url}/delay/20000", headers={"x-request": name})
                return
            async with client.stream("GET", f"{node.url}/text/100000/5", headers={"x-request": name}) as answer:
                async for _ in answer.aiter_raw():
                    pass

        async def race() -> None:
            async with room:
                name = str(next(numbers))
                slow = asyncio.create_task(loser(name, in_the_middle=int(name) % 2 == 1))
                began = time.perf_counter()
                try:
                    answer = await client.get(f"{node.url}/delay/20")
                    found.errors += answer.status_code != 200
                    found.winners_ms.append((time.perf_counter() - began) * 1e3 - 20)
                except httpx2.HTTPError:
                    found.errors += 1
                found.losers += 1
                if slow.done():
                    found.errors += slow.exception() is not None
                cancelled_at[name] = time.monotonic() * 1e3
                slow.cancel()
                await asyncio.wait([slow])

        began = time.perf_counter()
        await asyncio.gather(*(race() for _ in range(count)))
        found.seconds = time.perf_counter() - began
        after = await asyncio.to_thread(node.stats)
    found.reset = after["resets"] - before["resets"]
    found.connections = after["connections"] - before["connections"]
    # Both clocks are the machine's monotonic one.
    found.resets_ms = [at - cancelled_at[name] for name, at in after["resetAtMs"].items() if name in cancelled_at]
    return found


async def behind_slow_ones(make: Make, node: NodeServer) -> float:
    """How much later than its own 10 ms an answer comes when 20 streams of one connection are slow, in milliseconds."""
    async with warm(make, node, 1) as client:
        slow = [asyncio.create_task(client.get(f"{node.url}/text/40/25")) for _ in range(20)]
        await asyncio.sleep(0.1)
        times = []
        for _ in range(20):
            began = time.perf_counter()
            await client.get(f"{node.url}/delay/10")
            times.append((time.perf_counter() - began) * 1e3 - 10)
        for task in slow:
            task.cancel()
        await asyncio.wait(slow)
    return float(np.median(times))


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def measure(count: int) -> None:
    console = Console()
    calls = Table("calls", "in flight", "p50 over delay ms", "p99", "CPU a call ms", title="Overhead of a call")
    with node_server() as node:
        for in_flight in _IN_FLIGHT:
            for kind, make in KINDS.items():
                p50, p99, cpu = await overhead(make, node, in_flight)
                calls.add_row(kind, str(in_flight), f"{p50:.2f}", f"{p99:.2f}", f"{cpu:.3f}")
    console.print(calls)
    late = Table("an answer of 10 ms behind 20 slow streams", "later by ms")
    with node_server() as node:
        for kind, make in KINDS.items():
            late.add_row(kind, f"{await behind_slow_ones(make, node):.1f}")
    console.print(late)
    raced = Table("races", "at a time", "errors", "losers", "reset", "p99 ms", "winner p50", "p99", "connections")
    raced.title = "Races: how late resets are after the cancellation, winners after their own delay, in ms"
    for in_flight, (kind, make) in itertools.product(_RACES_IN_FLIGHT, KINDS.items()):
        with node_server() as node:
            # What wedges need not be watched to the end.
            number = count // (_RACES_IN_FLIGHT[-1] // in_flight) if make is ours else count // 20
            gc.collect()
            open_before, tasks_before = descriptors(), len(asyncio.all_tasks())
            found = await races(make, node, number, in_flight)
            left = f"{len(asyncio.all_tasks()) - tasks_before} tasks, {descriptors() - open_before} descriptors left"
            p50, p99 = np.percentile(found.winners_ms or [0], [50, 99])
            reset_p99 = f"{np.percentile(found.resets_ms, 99):.1f}" if found.resets_ms else "–"
            row = (str(in_flight), str(found.errors), str(found.losers), str(found.reset), reset_p99)
            raced.add_row(kind, *row, f"{p50:.1f}", f"{p99:.1f}", str(found.connections))
            console.print(f"{kind}, {number} races, {in_flight} at a time, {found.seconds:.1f} s: {left}")
    console.print(raced)
    console.print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024} MB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--races", type=int, default=10_000)
    parser.add_argument("--quick", action="store_true", help="a tenth of the races")
    arguments = parser.parse_args()
    uvloop.run(measure(arguments.races // 10 if arguments.quick else arguments.races))


if __name__ == "__main__":
    main()
