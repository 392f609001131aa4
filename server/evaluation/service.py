"""A server to measure: started here, on a free port and an empty data directory, and talked to over gRPC."""

from __future__ import annotations

import asyncio
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import grpc
from repartee.v1 import conversation_pb2 as pb
from repartee.v1 import operations_pb2 as ops
from repartee.v1.conversation_pb2_grpc import ConversationServiceStub
from repartee.v1.operations_pb2_grpc import OperationsServiceStub
from rich.progress import Progress

from engine.settings import Settings
from server import app

if TYPE_CHECKING:
    # The stubs' types know an async flavour that does not exist at run time.
    from repartee.v1.conversation_pb2_grpc import ConversationServiceAsyncStub
    from repartee.v1.operations_pb2_grpc import OperationsServiceAsyncStub

IN_FLIGHT_MAX = 16
_TIMEOUT_S = 60
# Longer than an evaluation takes, so that the quantiles cover all of it.
_WINDOW_S = 6 * 3600
_GRACE_S = 5.0

T = TypeVar("T")
R = TypeVar("R")


class Service:
    """A client that counts what fails instead of ending the evaluation."""

    def __init__(self, talk: ConversationServiceAsyncStub, operations: OperationsServiceAsyncStub) -> None:
        self._talk = talk
        self.operations = operations
        # Failed calls by status code.
        self.errors: Counter[str] = Counter()

    async def create(self, conversation_id: str, domain: str) -> pb.Conversation | None:
        request = pb.CreateConversationRequest(conversation_id=conversation_id, domain=domain)
        return await self._counted(self._talk.CreateConversation(request, timeout=_TIMEOUT_S))

    async def get(self, name: str) -> pb.Conversation | None:
        return await self._counted(self._talk.GetConversation(pb.GetConversationRequest(name=name), timeout=_TIMEOUT_S))

    async def respond(self, conversation: str, message: str, request_id: str) -> pb.RespondResponse | None:
        request = pb.RespondRequest(conversation=conversation, message=message, request_id=request_id)
        return await self._counted(self._talk.Respond(request, timeout=_TIMEOUT_S))

    async def record(self, conversation: str, reply: str, request_id: str) -> pb.Turn | None:
        request = pb.RecordTurnRequest(parent=conversation, reply=reply, author="person:seller", request_id=request_id)
        return await self._counted(self._talk.RecordTurn(request, timeout=_TIMEOUT_S))

    async def analyze(self, message: str, conversation: str = "", domain: str = "") -> pb.AnalyzeResponse | None:
        """Alone and without a trace, or as the next message of a conversation."""
        request = pb.RespondRequest(
            conversation=conversation, message=message, options=pb.TurnOptions(domain="" if conversation else domain)
        )
        asked = pb.AnalyzeRequest(request=request, persist=bool(conversation))
        return await self._counted(self._talk.Analyze(asked, timeout=_TIMEOUT_S))

    async def latencies(self) -> ops.GetLatencyStatsResponse:
        return await self.operations.GetLatencyStats(ops.GetLatencyStatsRequest(), timeout=_TIMEOUT_S)

    async def reconciled(self) -> ops.GetReconcileStatsResponse:
        return await self.operations.GetReconcileStats(ops.GetReconcileStatsRequest(), timeout=_TIMEOUT_S)

    async def _counted(self, call: Awaitable[T]) -> T | None:
        try:
            return await call
        except grpc.aio.AioRpcError as error:
            self.errors[error.code().name] += 1
            return None


@asynccontextmanager
async def serving(settings: Settings) -> AsyncIterator[Service]:
    """A server with nothing in it; it and what it wrote are gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="repartee-eval-") as data_dir:
        running = await app.start(
            settings.model_copy(
                update={
                    "grpc_address": "127.0.0.1:0",
                    "metrics_address": "",
                    "data_dir": Path(data_dir),
                    "stats_window_s": _WINDOW_S,
                }
            )
        )
        try:
            async with grpc.aio.insecure_channel(f"127.0.0.1:{running.port}") as channel:
                yield Service(ConversationServiceStub(channel), OperationsServiceStub(channel))
        finally:
            await running.stop(_GRACE_S)


async def each(items: Sequence[T], work: Callable[[T], Awaitable[R]], progress: Progress, title: str) -> list[R]:
    """Does the work for all items, a few at a time, and tells how far it is; results in the items' order."""
    task = progress.add_task(title, total=len(items))
    gate = asyncio.Semaphore(IN_FLIGHT_MAX)

    async def one(item: T) -> R:
        async with gate:
            result = await work(item)
        progress.advance(task)
        return result

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(item)) for item in items]
    return [done.result() for done in tasks]
