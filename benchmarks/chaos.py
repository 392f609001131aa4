"""Providers that come and go under load: killed and started again, frozen, going away every few requests.

    make bench-chaos           20 kills; ARGS="--kills 5" for fewer

Turns are asked all the time, over gRPC, from a server that hedges between two simulated providers. Whatever happens to
those, no turn may fail: the built-in engine answers meanwhile (degraded). What is measured is how soon the models answer
again, and that nothing is left over: descriptors, memory.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import grpc
from repartee.v1 import conversation_pb2 as pb
from repartee.v1.conversation_pb2_grpc import ConversationServiceStub
from rich.console import Console
from rich.table import Table

from benchmarks import serving
from benchmarks.serving import Providers
from benchmarks.simulator import Fault, Rule

_MESSAGES = (
    "We're a team of 50 and our counts are always wrong.",
    "How much would that be?",
    "Could you do $40 a seat?",
)
_SETTINGS = {"routing": "hedge", "first_text_timeout_ms": 1500, "next_text_timeout_ms": 1500}


@dataclass(slots=True)
class Load:
    """Turns that were asked, one after the other by each of some callers."""

    failed: int = 0
    degraded: int = 0
    # When each turn ended, and whether models answered all of it.
    ended: list[tuple[float, bool]] = field(default_factory=list)
    slowest_s: float = 0.0

    def recovered_s(self, since: float) -> float:
        """How long it took from a moment to the first turn that the models answered; infinite if they never did."""
        return min((at - since for at, whole in self.ended if at >= since and whole), default=float("inf"))


@asynccontextmanager
async def load(port: int, callers: int) -> AsyncIterator[Load]:
    found = Load()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        talk = ConversationServiceStub(channel)

        async def caller() -> None:
            name = ""
            for number in range(1_000_000):
                message, began = _MESSAGES[number % len(_MESSAGES)], time.monotonic()
                if number % len(_MESSAGES) == 0:
                    name = ""
                try:
                    answer = await talk.Respond(pb.RespondRequest(conversation=name, message=message), timeout=10)
                except grpc.aio.AioRpcError:
                    found.failed += 1
                    name = ""
                    continue
                name = answer.conversation.name
                found.failed += not answer.turn.reply
                found.degraded += answer.turn.trace.degraded
                found.slowest_s = max(found.slowest_s, time.monotonic() - began)
                found.ended.append((time.monotonic(), not answer.turn.trace.degraded))

        tasks = [asyncio.create_task(caller()) for _ in range(callers)]
        yield found
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def disturbed(
    times: int, callers: int, down_s: float, disturb: Callable[[Providers], None], mend: Callable[[Providers], None]
) -> tuple[Load, list[float]]:
    """Disturbs the simulator for a while, again and again; how soon after each time models answer again."""
    recoveries = []
    with (
        serving.providers("instant", answers="scripted") as simulated,
        serving.server(simulated.ca_file, providers=simulated.settings(), **_SETTINGS) as served,
    ):
        async with load(served.port, callers) as found:
            await asyncio.sleep(2)
            for _ in range(times):
                await asyncio.to_thread(disturb, simulated)
                await asyncio.sleep(down_s)
                await asyncio.to_thread(mend, simulated)
                back = time.monotonic()
                await asyncio.sleep(3)
                recoveries.append(found.recovered_s(back))
    return found, recoveries


async def going_away(calls: int, callers: int) -> tuple[Load, list[float], str]:
    """A graceful GOAWAY every 50 requests, for many calls; what is left over of them."""
    with (
        serving.providers("instant", answers="scripted") as simulated,
        serving.server(simulated.ca_file, providers=simulated.settings(), **_SETTINGS) as served,
    ):
        simulated.misbehave(Rule(fault=Fault.GOAWAY, every=50))
        async with load(served.port, callers) as found:
            await asyncio.sleep(3)
            before, rss = served.descriptors, served.rss_mb
            while (await asyncio.to_thread(simulated.stats))["requests"] < calls:
                await asyncio.sleep(1)
            left = f"{served.descriptors - before:+d} descriptors, {served.rss_mb - rss:+.0f} MB"
    return found, [], left


async def measure(kills: int, calls: int, callers: int) -> Table:
    table = Table(
        "what happens", "turns", "failed", "degraded", "slowest s", "back after s: median", "worst", "left over"
    )
    away, _, left = await going_away(calls, callers)
    rows = [
        # Killed: the port is closed, and what was open is cut.
        (
            f"killed {kills} times, down for 1 s",
            *await disturbed(kills, callers, 1, Providers.stop, Providers.start),
            "",
        ),
        # Frozen: connections stay open, and nothing answers.
        ("frozen 5 times for 4 s", *await disturbed(5, callers, 4, Providers.freeze, Providers.thaw), ""),
        (f"GOAWAY every 50 requests, {calls} calls", away, [], left),
    ]
    for title, found, recoveries, left_over in rows:
        ordered = sorted(recoveries) or [0.0]
        back = (f"{ordered[len(ordered) // 2]:.2f}", f"{ordered[-1]:.2f}") if recoveries else ("", "")
        counts = (str(len(found.ended)), str(found.failed), str(found.degraded), f"{found.slowest_s:.2f}")
        table.add_row(title, *counts, *back, left_over)
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--calls", type=int, default=100_000)
    parser.add_argument("--callers", type=int, default=8)
    arguments = parser.parse_args()
    Console(width=150).print(asyncio.run(measure(arguments.kills, arguments.calls, arguments.callers)))


if __name__ == "__main__":
    main()
