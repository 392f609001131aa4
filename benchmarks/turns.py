"""Turn latency of the built-in engine, in the server and from a client, beside a bare read of the same server.

    .venv/bin/python -m benchmarks.turns [--turns 2000] [--in-flight 1 4 16]

Messages are the golden set's. The server runs in a process of its own on a free port with a fresh data directory; every
turn is committed durably. `GetConversation` of the same run is the yardstick: a call with everything but the turn.
The stages say what bounds a turn: the embedding, the detection and the fsync of the commit.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import multiprocessing
import tempfile
import time
import tomllib
from collections.abc import Awaitable, Callable, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import numpy as np
import platformdirs
import uvloop
from repartee.v1 import conversation_pb2 as pb
from repartee.v1 import operations_pb2 as ops
from repartee.v1.conversation_pb2_grpc import ConversationServiceStub
from repartee.v1.operations_pb2_grpc import OperationsServiceStub
from rich.console import Console
from rich.table import Table

from engine import packs
from engine.settings import Settings
from server import app, logs

if TYPE_CHECKING:
    from repartee.v1.operations_pb2_grpc import OperationsServiceAsyncStub

_TURNS_PER_CONVERSATION = 6


def serve(data_dir: str, ready: Connection) -> None:
    """Runs a server until it is terminated; tells its port first."""

    async def main() -> None:
        settings = Settings(
            grpc_address="127.0.0.1:0",
            metrics_address="",
            data_dir=Path(data_dir),
            cache_dir=platformdirs.user_cache_path("repartee"),
        )
        logs.configure("json", "warning")
        running = await app.start(settings)
        ready.send(running.port)
        await running.server.wait_for_termination()

    uvloop.run(main())


Call = Callable[[str, str], Awaitable[str]]


async def measure(call: Call, messages: Sequence[str], in_flight: int) -> list[float]:
    """Milliseconds of one call per message, `in_flight` at a time; each worker holds conversations of a few turns."""
    left = iter(messages)
    times: list[float] = []

    async def worker() -> None:
        name = ""
        for number, message in enumerate(left):
            name = name if number % _TURNS_PER_CONVERSATION else ""
            started = time.perf_counter()
            name = await call(name, message)
            times.append((time.perf_counter() - started) * 1e3)

    await asyncio.gather(*(worker() for _ in range(in_flight)))
    return times


async def run(port: int, turns: int, in_flight: Sequence[int]) -> Table:
    cases = tomllib.loads((packs.BUILT_IN / "sales" / "golden.toml").read_text())["case"]
    messages = list(itertools.islice(itertools.cycle(case["message"] for case in cases), turns))
    table = Table("call", "in flight", "p50 ms", "p95 ms", "p99 ms", "calls/s")
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        talk, operations = ConversationServiceStub(channel), OperationsServiceStub(channel)
        known = (await talk.Respond(pb.RespondRequest(message="hello"))).conversation.name

        async def respond(name: str, message: str) -> str:
            return (await talk.Respond(pb.RespondRequest(conversation=name, message=message))).conversation.name

        async def get(name: str, message: str) -> str:
            return (await talk.GetConversation(pb.GetConversationRequest(name=known))).name

        for width in in_flight:
            for title, call in (("GetConversation", get), ("Respond", respond)):
                started = time.perf_counter()
                times = await measure(call, messages, width)
                rate = turns / (time.perf_counter() - started)
                quantiles = (f"{value:.2f}" for value in np.percentile(times, [50, 95, 99]))
                table.add_row(title, str(width), *quantiles, f"{rate:.0f}")
            if width == in_flight[0]:
                # The server's own window: nothing else has been asked of it yet.
                for name, measured in await in_server(operations):
                    table.add_row(f"  {name}, in the server", str(width), *measured, "")
    return table


async def in_server(operations: OperationsServiceAsyncStub) -> list[tuple[str, list[str]]]:
    """The quantiles of turns and of their stages, by the server's own clock."""
    stats = await operations.GetLatencyStats(ops.GetLatencyStatsRequest())
    measured = [("turn", stats.turn), *sorted(stats.stages.items())]
    return [
        (name, [f"{span.ToNanoseconds() / 1e6:.2f}" for span in (one.p50, one.p95, one.p99)]) for name, one in measured
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=3000)
    parser.add_argument("--in-flight", type=int, nargs="+", default=[1, 4, 16])
    arguments = parser.parse_args()
    here, there = multiprocessing.Pipe()
    with tempfile.TemporaryDirectory() as data_dir:
        server = multiprocessing.get_context("spawn").Process(target=serve, args=(data_dir, there), daemon=True)
        server.start()
        table = asyncio.run(run(here.recv(), arguments.turns, arguments.in_flight))
        server.terminate()
        server.join()
    Console().print(table)


if __name__ == "__main__":
    main()
