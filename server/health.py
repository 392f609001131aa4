"""grpc.health.v1, with Watch streams that end when the server drains.

An open Watch would otherwise keep a draining server waiting for all of its grace period.
"""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
from grpc_health.v1 import health_pb2
from grpc_health.v1._async import HealthServicer

Context = grpc.aio.ServicerContext[Any, Any]


class Health(HealthServicer):  # type: ignore[misc]  # grpc_health has no types
    """The health of each service."""

    def __init__(self) -> None:
        super().__init__()
        self._watches: set[asyncio.Task[None]] = set()

    async def Watch(self, request: health_pb2.HealthCheckRequest, context: Context) -> None:
        watch = asyncio.ensure_future(super().Watch(request, context))
        self._watches.add(watch)
        try:
            await asyncio.wait({watch})
        finally:
            self._watches.discard(watch)
            watch.cancel()
        if not watch.cancelled():
            watch.result()

    async def drain(self) -> None:
        """Tells every watcher NOT_SERVING, then ends the streams."""
        await self.enter_graceful_shutdown()
        # The watchers wake up in the next rounds of the loop, and write before they wait again.
        for _ in range(3):
            await asyncio.sleep(0)
        for watch in tuple(self._watches):
            watch.cancel()
