"""Real negotiations on remote models that fail in every way the simulator knows: no turn may.

    make bench-replay DATA=../shared/data      200 dialogues of CraigslistBargain, raced, 5 % of calls failing

Buyers' messages go through the whole server, over gRPC; both official SDKs call the simulator, over TLS and HTTP/2. For
every dialogue it is checked that each turn has a reply, that the conversation counts its turns, and that what is kept of
them is what was answered.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
from repartee.v1 import conversation_pb2 as pb
from repartee.v1.conversation_pb2_grpc import ConversationServiceStub
from rich.console import Console
from rich.table import Table

from benchmarks import serving
from benchmarks.simulator import Fault, Rule
from server.evaluation import craigslist

if TYPE_CHECKING:
    from repartee.v1.conversation_pb2_grpc import ConversationServiceAsyncStub

_FAILING = 0.05


@dataclass(slots=True)
class Outcome:
    """What the turns came to."""

    turns: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    degraded: int = 0
    empty: int = 0
    wrong_state: int = 0
    turns_ms: list[float] = field(default_factory=list)


async def replay(talk: ConversationServiceAsyncStub, messages: list[str], outcome: Outcome) -> None:
    name, replies = "", []
    for message in messages:
        began = time.perf_counter()
        outcome.turns += 1
        try:
            answer = await talk.Respond(pb.RespondRequest(conversation=name, message=message), timeout=30)
        except grpc.aio.AioRpcError as error:
            outcome.failed[error.code().name] += 1
            continue
        outcome.turns_ms.append((time.perf_counter() - began) * 1e3)
        name = answer.conversation.name
        outcome.degraded += answer.turn.trace.degraded
        outcome.empty += not answer.turn.reply.strip()
        replies.append(answer.turn.reply)
        outcome.wrong_state += answer.conversation.turn_count != len(replies)
    if name:
        kept = (await talk.ListTurns(pb.ListTurnsRequest(parent=name, page_size=1000))).turns
        outcome.wrong_state += [turn.reply for turn in kept] != replies


async def run(port: int, dialogues: list[list[str]], in_flight: int) -> Outcome:
    outcome, room = Outcome(), asyncio.Semaphore(in_flight)
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        talk = ConversationServiceStub(channel)

        async def one(messages: list[str]) -> None:
            async with room:
                await replay(talk, messages, outcome)

        await asyncio.gather(*(one(messages) for messages in dialogues))
    return outcome


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--dialogues", type=int, default=200)
    parser.add_argument("--routing", default="race")
    arguments = parser.parse_args()
    found = craigslist.read(arguments.data)[: arguments.dialogues]
    dialogues = [[said.text for said in one.messages if said.role == "buyer"] for one in found]
    faults = [fault for fault in Fault if fault is not Fault.UNAUTHORIZED]
    table = Table(
        "dialogues", "turns", "failed", "empty", "wrong state", "degraded", "p50 ms", "p95", "p99", "faults met"
    )
    with (
        serving.providers("instant") as simulated,
        serving.server(
            simulated.ca_file,
            providers=simulated.settings(),
            routing=arguments.routing,
            first_text_timeout_ms=1500,
            next_text_timeout_ms=1500,
        ) as served,
    ):
        # Each by itself: of the calls that the rules before it have left over.
        share = _FAILING / len(faults)
        simulated.misbehave(
            *(Rule(fault=fault, share=share / (1 - share * place)) for place, fault in enumerate(faults))
        )
        outcome = asyncio.run(run(served.port, dialogues, 16))
        seen = simulated.stats()
    table.add_row(
        str(len(dialogues)),
        str(outcome.turns),
        str(dict(outcome.failed) or 0),
        str(outcome.empty),
        str(outcome.wrong_state),
        f"{outcome.degraded} ({outcome.degraded / outcome.turns:.2%})",
        *serving.quantiles(outcome.turns_ms),
        f"{sum(seen['faults'].values())} of {len(seen['faults'])} kinds in {seen['requests']} calls",
    )
    Console(width=150).print(table)


if __name__ == "__main__":
    main()
