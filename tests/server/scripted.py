"""A server with the real services and the real wire, whose provider speaks when the test lets it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field

import grpc
from repartee.v1 import conversation_pb2

from engine.deadline import Deadline
from engine.run import Runner
from engine.step import In, Step
from engine.turn import Turns
from server.conversation_service import ConversationService
from server.handlers import handlers
from server.interceptor import Interceptor
from server.metrics import CallMetrics, new_registry
from tests.fakes import ScriptedProvider, World, small_domain
from tests.server.harness import Client, Loop

REPLY = ("Thank you for writing. ", "Please tell me more ", "about what you need today.")
WHOLE = "".join(REPLY)
SERVICE = conversation_pb2.DESCRIPTOR.services_by_name["ConversationService"]


class GatedProvider(ScriptedProvider):
    """Stops before every piece of the reply, and goes on when it is told to."""

    def __init__(self) -> None:
        super().__init__(reply=REPLY)
        self.allowed = asyncio.Semaphore(0)

    async def stream(self, step: Step[In, str], value: In, deadline: Deadline) -> AsyncGenerator[str, None]:
        async for piece in super().stream(step, value, deadline):
            await self.allowed.acquire()
            yield piece


@dataclass
class Scripted:
    """The server, and what it stands on."""

    loop: Loop
    world: World
    provider: GatedProvider
    grpc_server: grpc.aio.Server
    port: int
    clients: list[Client] = field(default_factory=list)

    def client(self) -> Client:
        self.clients.append(Client(self.port))
        return self.clients[-1]

    def say_some(self) -> None:
        """Lets one reply begin, but not end."""
        for _ in REPLY[1:]:
            self.loop.call(self.provider.allowed.release)

    def say_all(self, replies: int = 1) -> None:
        """Lets so many replies be said, those that have begun from the start."""
        for _ in REPLY * replies:
            self.loop.call(self.provider.allowed.release)

    def stop(self) -> None:
        async def stop() -> None:
            await self.grpc_server.stop(0)

        self.loop.run(stop())
        for client in self.clients:
            client.channel.close()


def scripted_server(
    loop: Loop, turn_timeout_s: float = 20.0, concurrent_max: int = 8, waiting_max: int = 8
) -> Scripted:
    async def start() -> Scripted:
        world = World(waiting_max=waiting_max)
        provider = GatedProvider()
        turns = Turns(
            world.conversations,
            world.lanes,
            Runner(provider, None, world.events.append, 0.0),
            world.embedder,
            world.events.append,
            time.perf_counter,
            concurrent_max,
        )
        domains = {"small": small_domain()}
        service = ConversationService(
            turns, world.conversations, world.lanes, domains, turn_timeout_s, has_models=False
        )
        server = grpc.aio.server(interceptors=[Interceptor(CallMetrics(new_registry()))])
        server.add_generic_rpc_handlers([handlers(SERVICE, service)])
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        return Scripted(loop, world, provider, server, port)

    return loop.run(start())
