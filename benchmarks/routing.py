"""What routing buys, and what it costs: single, failover, hedge and race on the same simulated providers.

    make bench-routing         600 turns a row; ARGS="--turns 200" for fewer

The simulator's preset `realistic`: first tokens after 300 to 900 ms, every twentieth call a straggler of five times that.
Every row runs the golden set's messages through a server of its own, over gRPC; a turn is three calls or more. Rows differ
in settings only. Costs are by made-up prices, the same for all rows.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import time
import tomllib
from dataclasses import dataclass, field
from typing import Any

import grpc
from repartee.v1 import conversation_pb2 as pb
from repartee.v1.conversation_pb2_grpc import ConversationServiceStub
from rich.console import Console
from rich.table import Table

from benchmarks import serving
from engine import packs

ROWS: dict[str, tuple[tuple[str, ...], str]] = {
    "single, anthropic only": (("anthropic",), "single"),
    "single, openai only": (("openai",), "single"),
    "single, the faster one": ((), "single"),
    "failover": ((), "failover"),
    "hedge": ((), "hedge"),
    "race": ((), "race"),
}


@dataclass(slots=True)
class Row:
    """What a row's turns came to."""

    turns_ms: list[float] = field(default_factory=list)
    first_text_ms: list[float] = field(default_factory=list)
    calls: int = 0
    steps: int = 0
    degraded: int = 0
    cost_usd: float = 0.0
    wasted_usd: float = 0.0


async def run(port: int, turns: int, in_flight: int) -> Row:
    cases = tomllib.loads((packs.BUILT_IN / "sales" / "golden.toml").read_text())["case"]
    messages = itertools.islice(itertools.cycle(case["message"] for case in cases), turns)
    row = Row()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        talk = ConversationServiceStub(channel)

        async def worker() -> None:
            for message in messages:
                began = time.perf_counter()
                request = pb.StreamRespondRequest(request=pb.RespondRequest(message=message))
                done: Any = None
                async for event in talk.StreamRespond(request):
                    if event.WhichOneof("event") == "done":
                        done = event.done
                row.turns_ms.append((time.perf_counter() - began) * 1e3)
                add(row, done.turn.trace)

        await asyncio.gather(*(worker() for _ in range(in_flight)))
    return row


def add(row: Row, trace: pb.Trace) -> None:
    row.first_text_ms.append(trace.first_text.ToNanoseconds() / 1e6)
    asked = [stage for stage in trace.stages if stage.calls and stage.provider != "local"]
    row.calls += sum(stage.calls for stage in asked)
    row.steps += len(asked)
    row.degraded += trace.degraded
    row.cost_usd += trace.usage.cost_usd
    row.wasted_usd += trace.usage.wasted_cost_usd


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=600)
    parser.add_argument("--in-flight", type=int, default=16)
    parser.add_argument("--rows", default="", help="only those whose title holds this")
    arguments = parser.parse_args()
    table = Table(
        "routing",
        "p50 ms",
        "p95",
        "p99",
        "first text p50",
        "p95",
        "p99",
        "calls a step",
        "degraded",
        "$ a turn",
        "wasted",
    )
    with serving.providers("realistic") as simulated:
        for title, (names, routing) in ROWS.items():
            if arguments.rows not in title:
                continue
            with serving.server(
                simulated.ca_file, providers=simulated.settings(*names), routing=routing, first_text_timeout_ms=10_000
            ) as served:
                row = asyncio.run(run(served.port, arguments.turns, arguments.in_flight))
            table.add_row(
                title,
                *serving.quantiles(row.turns_ms),
                *serving.quantiles(row.first_text_ms),
                f"{row.calls / row.steps:.2f}",
                str(row.degraded),
                f"{row.cost_usd / len(row.turns_ms):.5f}",
                f"{row.wasted_usd / row.cost_usd:.0%}" if row.cost_usd else "–",
            )
    Console(width=140).print(table)


if __name__ == "__main__":
    main()
